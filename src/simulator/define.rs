//! Pure: the data files that define tables, turned into a schema.

use super::schema::{
    CollectionDef, ColumnDef, ColumnType, DateBehaviour, KeyDef, LookupFlavour, LookupTargetDef,
    ManyToMany, OptionDef, Ownership, Property, RequiredLevel, Schema, Standing, StateDef,
    StateRules, StatusDef, Storage, TableDef, Weight,
};
use serde::Deserialize;
use std::collections::{BTreeMap, HashMap};
use uuid::Uuid;

/// Why a table definition was not understood.
#[derive(Debug, thiserror::Error)]
pub enum DefineError {
    /// Not TOML of the expected form.
    #[error("the table definitions in {file} are not valid: {reason}")]
    Toml {
        /// Which file.
        file: String,
        /// What is wrong, with line and caret.
        reason: String,
    },
    /// A name that must be unique occurs twice.
    #[error("{what} '{name}' is defined twice")]
    Twice {
        /// Kind of thing.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// A reference leads nowhere.
    #[error("table '{table}' refers to {what} '{name}', which is not defined")]
    Unknown {
        /// Where.
        table: String,
        /// Kind of thing.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// A column is not complete.
    #[error("column '{column}' of table '{table}': {rule}")]
    Column {
        /// Where.
        table: String,
        /// Which column.
        column: String,
        /// The rule that is broken.
        rule: &'static str,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileData {
    #[serde(default)]
    options: BTreeMap<String, Vec<(i32, String)>>,
    #[serde(default)]
    table: Vec<TableData>,
    #[serde(default)]
    many_to_many: Vec<ManyToManyData>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TableData {
    name: String,
    set: String,
    display: Option<String>,
    code: i32,
    id: Option<String>,
    primary_name: Option<String>,
    #[serde(default)]
    elastic: bool,
    #[serde(default)]
    ownership: OwnershipData,
    #[serde(default)]
    rules: RulesData,
    weight: WeightData,
    #[serde(default)]
    activity: bool,
    #[serde(default = "yes")]
    tracking: bool,
    #[serde(default = "bulk_messages")]
    messages: Vec<String>,
    #[serde(default = "plain_states")]
    states: Vec<StateData>,
    #[serde(default)]
    names: bool,
    columns: Vec<ColumnData>,
    #[serde(default)]
    keys: Vec<KeyData>,
}

#[derive(Deserialize, Default, Clone, Copy, PartialEq)]
#[serde(rename_all = "snake_case")]
enum OwnershipData {
    None,
    Organization,
    #[default]
    User,
}

#[derive(Deserialize, Default, Clone, Copy)]
#[serde(rename_all = "snake_case")]
enum RulesData {
    #[default]
    Plain,
    Case,
    Opportunity,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "snake_case")]
enum WeightData {
    Simple,
    Moderate,
    OutOfTheBox,
    Complex,
    Elastic,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StateData {
    value: i32,
    label: String,
    default: i32,
    reasons: Vec<(i32, String)>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyData {
    name: String,
    columns: Vec<String>,
    #[serde(default = "active")]
    status: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ManyToManyData {
    name: String,
    set: String,
    code: i32,
    tables: [String; 2],
}

#[derive(Deserialize, Clone)]
#[serde(deny_unknown_fields)]
struct ColumnData {
    name: String,
    #[serde(rename = "type")]
    kind: KindData,
    display: Option<String>,
    max: Option<f64>,
    min: Option<f64>,
    precision: Option<u8>,
    format: Option<String>,
    options: Option<Vec<(i32, String)>>,
    global: Option<String>,
    #[serde(default)]
    required: RequiredData,
    #[serde(default = "yes")]
    create: bool,
    #[serde(default = "yes")]
    update: bool,
    #[serde(default)]
    to: Vec<String>,
    #[serde(default)]
    nav: Vec<String>,
    #[serde(default)]
    rel: Vec<String>,
    #[serde(default)]
    flavour: FlavourData,
    #[serde(default)]
    restrict: bool,
    #[serde(default)]
    behaviour: BehaviourData,
    auto_number: Option<String>,
    repeat: Option<u32>,
}

#[derive(Deserialize, Clone, Copy, PartialEq)]
#[serde(rename_all = "snake_case")]
enum KindData {
    Text,
    Memo,
    Integer,
    Bigint,
    Decimal,
    Money,
    Double,
    Boolean,
    Choice,
    Choices,
    Date,
    Lookup,
    Guid,
    File,
    Image,
    EntityName,
}

#[derive(Deserialize, Default, Clone, Copy)]
#[serde(rename_all = "snake_case")]
enum RequiredData {
    #[default]
    None,
    Recommended,
    Application,
    System,
}

#[derive(Deserialize, Default, Clone, Copy)]
#[serde(rename_all = "snake_case")]
enum FlavourData {
    #[default]
    Lookup,
    Customer,
    Owner,
}

#[derive(Deserialize, Default, Clone, Copy)]
#[serde(rename_all = "snake_case")]
enum BehaviourData {
    #[default]
    UserLocal,
    DateOnly,
    TimeZoneIndependent,
}

fn yes() -> bool {
    true
}

fn active() -> String {
    "Active".to_owned()
}

fn bulk_messages() -> Vec<String> {
    ["CreateMultiple", "UpdateMultiple", "UpsertMultiple"].map(str::to_owned).to_vec()
}

fn plain_states() -> Vec<StateData> {
    [(0, "Active", 1), (1, "Inactive", 2)]
        .map(|(value, label, default)| StateData {
            value,
            label: label.to_owned(),
            default,
            reasons: vec![(default, label.to_owned())],
        })
        .into()
}

/// Names and texts of the files of the ready set.
pub const READY_FILES: [(&str, &str); 4] = [
    ("tables/options.toml", include_str!("tables/options.toml")),
    ("tables/system.toml", include_str!("tables/system.toml")),
    ("tables/sales.toml", include_str!("tables/sales.toml")),
    ("tables/custom.toml", include_str!("tables/custom.toml")),
];

/// The ready set of standard and custom tables.
///
/// # Panics
/// Never for the files built in; a unit test reads them.
#[must_use]
pub fn ready_set() -> Schema {
    parse(&READY_FILES).expect("the built-in table definitions are read by a test")
}

/// Reads table definitions: pairs of file name (for messages) and TOML text.
///
/// # Errors
/// If a text is not valid, or a name is unknown or defined twice.
pub fn parse(files: &[(&str, &str)]) -> Result<Schema, DefineError> {
    let mut data =
        FileData { options: BTreeMap::new(), table: Vec::new(), many_to_many: Vec::new() };
    for (file, text) in files {
        let part: FileData = toml::from_str(text)
            .map_err(|e| DefineError::Toml { file: (*file).to_owned(), reason: e.to_string() })?;
        data.options.extend(part.options);
        data.table.extend(part.table);
        data.many_to_many.extend(part.many_to_many);
    }
    let mut schema = Schema::default();
    for (name, options) in &data.options {
        schema.global_options.insert(name.clone(), options_of(options));
    }
    for table in &data.table {
        let def = table_of(table, &schema.global_options)?;
        add_table(&mut schema, def)?;
    }
    for relationship in &data.many_to_many {
        add_many_to_many(&mut schema, relationship)?;
    }
    resolve(&mut schema)?;
    Ok(schema)
}

fn add_table(schema: &mut Schema, def: TableDef) -> Result<usize, DefineError> {
    let index = schema.tables.len();
    if schema.by_name.insert(def.name.clone(), index).is_some() {
        return Err(DefineError::Twice { what: "table", name: def.name });
    }
    if schema.by_set.insert(def.set.clone(), index).is_some() {
        return Err(DefineError::Twice { what: "entity set", name: def.set });
    }
    schema.tables.push(def);
    Ok(index)
}

/// A repeatable id for a piece of metadata.
fn metadata_id(what: &str, of: &str, name: &str) -> Uuid {
    let hash = xxhash_rust::xxh3::xxh3_128(format!("{what}\u{0}{of}\u{0}{name}").as_bytes());
    uuid::Builder::from_random_bytes(hash.to_be_bytes()).into_uuid()
}

fn options_of(options: &[(i32, String)]) -> Vec<OptionDef> {
    options.iter().map(|(value, label)| OptionDef { value: *value, label: label.clone() }).collect()
}

fn table_of(
    data: &TableData,
    globals: &HashMap<String, Vec<OptionDef>>,
) -> Result<TableDef, DefineError> {
    let name = data.name.to_lowercase();
    let mut builder = Builder {
        table: name.clone(),
        custom: data.name.contains('_'),
        columns: Vec::new(),
        by_column: HashMap::new(),
        globals,
    };
    let id = data.id.clone().unwrap_or_else(|| format!("{}Id", data.name));
    builder.push(&id, ColumnType::Guid, RequiredLevel::System, (true, false))?;
    for column in &data.columns {
        match column.repeat {
            None => builder.column(column)?,
            Some(times) => {
                for n in 1..=times {
                    let mut one = column.clone();
                    one.name = column.name.replace("{n}", &format!("{n:02}"));
                    builder.column(&one)?;
                }
            }
        }
    }
    if data.names {
        builder.name_columns()?;
    }
    builder.standing_columns(data)?;
    let standing = standing_of(&builder.by_column, data.elastic);
    let mut keys = Vec::new();
    for key in &data.keys {
        keys.push(builder.key(key)?);
    }
    let primary_name = match &data.primary_name {
        None => None,
        Some(column) => Some(builder.index(column)?),
    };
    Ok(TableDef {
        display_name: data.display.clone().unwrap_or_else(|| display_of(&data.name)),
        metadata_id: metadata_id("table", "", &name),
        schema_name: data.name.clone(),
        set: data.set.clone(),
        type_code: data.code,
        storage: if data.elastic { Storage::Elastic } else { Storage::Standard },
        ownership: match data.ownership {
            OwnershipData::None => Ownership::None,
            OwnershipData::Organization => Ownership::Organization,
            OwnershipData::User => Ownership::User,
        },
        state_rules: match data.rules {
            RulesData::Plain => StateRules::Plain,
            RulesData::Case => StateRules::Case,
            RulesData::Opportunity => StateRules::Opportunity,
        },
        weight: match data.weight {
            WeightData::Simple => Weight::Simple,
            WeightData::Moderate => Weight::Moderate,
            WeightData::OutOfTheBox => Weight::OutOfTheBox,
            WeightData::Complex => Weight::Complex,
            WeightData::Elastic => Weight::Elastic,
        },
        is_activity: data.activity,
        is_intersect: false,
        is_custom: data.name.contains('_'),
        change_tracking: data.tracking,
        messages: data.messages.clone(),
        columns: builder.columns,
        by_column: builder.by_column,
        by_navigation: HashMap::new(),
        primary_name,
        keys,
        by_property: super::schema::FastMap::default(),
        collections: HashMap::new(),
        referenced_by: Vec::new(),
        standing,
        must_have: Vec::new(),
        counted: Vec::new(),
        money: Vec::new(),
        auto_numbered: Vec::new(),
        name,
    })
}

fn standing_of(columns: &HashMap<String, usize>, elastic: bool) -> Standing {
    let at = |name: &str| columns.get(name).copied();
    Standing {
        created_on: at("createdon"),
        created_by: at("createdby"),
        created_on_behalf_by: at("createdonbehalfby"),
        modified_on: at("modifiedon"),
        modified_by: at("modifiedby"),
        modified_on_behalf_by: at("modifiedonbehalfby"),
        overridden_created_on: at("overriddencreatedon"),
        version: at("versionnumber"),
        full_name: match (at("fullname"), at("firstname"), at("lastname")) {
            (Some(full), Some(first), Some(last)) => Some([full, first, last]),
            _ => None,
        },
        owner: at("ownerid"),
        owning_user: at("owninguser"),
        owning_team: at("owningteam"),
        owning_unit: at("owningbusinessunit"),
        state: at("statecode"),
        status: at("statuscode"),
        currency: at("transactioncurrencyid").filter(|&c| c > 0),
        exchange_rate: at("exchangerate"),
        partition: if elastic { at("partitionid") } else { None },
        time_to_live: if elastic { at("ttlinseconds") } else { None },
    }
}

/// `PrimaryContactId` to `Primary Contact Id`; a publisher's prefix is dropped.
fn display_of(schema_name: &str) -> String {
    let bare = schema_name.split_once('_').map_or(schema_name, |(_, rest)| rest);
    let mut out = String::with_capacity(bare.len() + 4);
    let mut before_lower = false;
    for c in bare.chars() {
        if c.is_uppercase() && before_lower {
            out.push(' ');
        }
        before_lower = c.is_lowercase();
        out.push(c);
    }
    out
}

struct Builder<'a> {
    table: String,
    custom: bool,
    columns: Vec<ColumnDef>,
    by_column: HashMap<String, usize>,
    globals: &'a HashMap<String, Vec<OptionDef>>,
}

impl Builder<'_> {
    fn index(&self, schema_name: &str) -> Result<usize, DefineError> {
        self.by_column.get(&schema_name.to_lowercase()).copied().ok_or_else(|| {
            DefineError::Unknown {
                table: self.table.clone(),
                what: "column",
                name: schema_name.to_owned(),
            }
        })
    }

    fn push(
        &mut self,
        schema_name: &str,
        kind: ColumnType,
        required: RequiredLevel,
        (for_create, for_update): (bool, bool),
    ) -> Result<usize, DefineError> {
        let name = schema_name.to_lowercase();
        let index = self.columns.len();
        if self.by_column.insert(name.clone(), index).is_some() {
            return Err(DefineError::Twice { what: "column", name });
        }
        self.columns.push(ColumnDef {
            display_name: display_of(schema_name),
            metadata_id: metadata_id("column", &self.table, &name),
            schema_name: schema_name.to_owned(),
            kind,
            required,
            for_create,
            for_update,
            for_read: true,
            is_custom: self.custom && schema_name.contains('_'),
            attribute_of: None,
            auto_number: None,
            money_base: None,
            name,
        });
        Ok(index)
    }

    fn column(&mut self, data: &ColumnData) -> Result<(), DefineError> {
        let kind = self.kind(data)?;
        let required = match data.required {
            RequiredData::None => RequiredLevel::None,
            RequiredData::Recommended => RequiredLevel::Recommended,
            RequiredData::Application => RequiredLevel::Application,
            RequiredData::System => RequiredLevel::System,
        };
        let writable = data.kind != KindData::File;
        let valid = (data.create && writable, data.update && writable);
        let index = self.push(&data.name, kind, required, valid)?;
        if let Some(display) = &data.display {
            self.columns[index].display_name.clone_from(display);
        }
        self.columns[index].auto_number.clone_from(&data.auto_number);
        Ok(())
    }

    fn kind(&self, data: &ColumnData) -> Result<ColumnType, DefineError> {
        let bad = |rule| DefineError::Column {
            table: self.table.clone(),
            column: data.name.clone(),
            rule,
        };
        let options = || -> Result<(Vec<OptionDef>, Option<String>), DefineError> {
            match (&data.options, &data.global) {
                (Some(options), None) => Ok((options_of(options), None)),
                (None, Some(global)) => {
                    let options = self.globals.get(global).ok_or_else(|| DefineError::Unknown {
                        table: self.table.clone(),
                        what: "option set",
                        name: global.clone(),
                    })?;
                    Ok((options.clone(), Some(global.clone())))
                }
                _ => Err(bad("wants either `options` or `global`")),
            }
        };
        let precision = data.precision.unwrap_or(2);
        let bounds = |low: f64, high: f64| (data.min.unwrap_or(low), data.max.unwrap_or(high));
        Ok(match data.kind {
            KindData::Text => ColumnType::Text {
                max: whole(data.max.unwrap_or(100.0)) as usize,
                format: data.format.clone().unwrap_or_else(|| "Text".to_owned()),
            },
            KindData::Memo => ColumnType::Memo { max: whole(data.max.unwrap_or(2000.0)) as usize },
            KindData::Integer => {
                let (min, max) = bounds(f64::from(i32::MIN), f64::from(i32::MAX));
                ColumnType::Integer { min: whole(min) as i32, max: whole(max) as i32 }
            }
            KindData::Bigint => ColumnType::BigInt,
            KindData::Decimal => {
                let (min, max) = bounds(-1e11, 1e11);
                ColumnType::Decimal {
                    min: whole(min) * 10_000_000_000,
                    max: whole(max) * 10_000_000_000,
                    precision,
                }
            }
            KindData::Money => {
                let (min, max) = bounds(-922_337_203_685_477.0, 922_337_203_685_477.0);
                ColumnType::Money { min: whole(min) * 10_000, max: whole(max) * 10_000, precision }
            }
            KindData::Double => {
                let (min, max) = bounds(-1e11, 1e11);
                ColumnType::Double { min, max, precision }
            }
            KindData::Boolean => {
                let label = |want: i32, default: &str| {
                    data.options
                        .iter()
                        .flatten()
                        .find(|o| o.0 == want)
                        .map_or_else(|| default.to_owned(), |o| o.1.clone())
                };
                ColumnType::Boolean { yes: label(1, "Yes"), no: label(0, "No") }
            }
            KindData::Choice => {
                let (options, global) = options()?;
                ColumnType::Choice { options, global }
            }
            KindData::Choices => {
                let (options, global) = options()?;
                ColumnType::Choices { options, global }
            }
            KindData::Date => ColumnType::DateTime(match data.behaviour {
                BehaviourData::UserLocal => DateBehaviour::UserLocal,
                BehaviourData::DateOnly => DateBehaviour::DateOnly,
                BehaviourData::TimeZoneIndependent => DateBehaviour::TimeZoneIndependent,
            }),
            KindData::Lookup => {
                if data.to.is_empty() {
                    return Err(bad("a lookup wants targets in `to`"));
                }
                let flavour = match data.flavour {
                    FlavourData::Lookup => LookupFlavour::Lookup,
                    FlavourData::Customer => LookupFlavour::Customer,
                    FlavourData::Owner => LookupFlavour::Owner,
                };
                ColumnType::Lookup { targets: self.targets(data), flavour }
            }
            KindData::Guid => ColumnType::Guid,
            KindData::File => ColumnType::File,
            KindData::Image => ColumnType::Image,
            KindData::EntityName => ColumnType::EntityName,
        })
    }

    /// Navigation property and relationship of each target, by Dataverse's naming habits unless
    /// the data file says otherwise.
    fn targets(&self, data: &ColumnData) -> Vec<LookupTargetDef> {
        let custom = data.name.contains('_');
        let base = if custom { data.name.clone() } else { data.name.to_lowercase() };
        let several = data.to.len() > 1;
        let pick = |from: &[String], at: usize| from.get(at).filter(|s| !s.is_empty()).cloned();
        data.to
            .iter()
            .enumerate()
            .map(|(at, target)| {
                let navigation = pick(&data.nav, at).unwrap_or_else(|| {
                    if several { format!("{base}_{target}") } else { base.clone() }
                });
                let relationship = pick(&data.rel, at)
                    .unwrap_or_else(|| format!("{}_{target}_{}", self.table, data.name));
                LookupTargetDef {
                    table: target.clone(),
                    table_index: usize::MAX,
                    navigation,
                    collection: relationship.clone(),
                    relationship,
                    restrict_delete: data.restrict,
                }
            })
            .collect()
    }

    /// Columns with the names of lookups and choices, as tables of Microsoft have them.
    fn name_columns(&mut self) -> Result<(), DefineError> {
        let sources: Vec<(String, String)> = self
            .columns
            .iter()
            .filter(|c| {
                matches!(
                    c.kind,
                    ColumnType::Lookup { .. }
                        | ColumnType::Choice { .. }
                        | ColumnType::Choices { .. }
                        | ColumnType::Boolean { .. }
                )
            })
            .map(|c| (c.schema_name.clone(), c.name.clone()))
            .collect();
        for (schema_name, name) in sources {
            let schema_name = format!("{schema_name}Name");
            let none = RequiredLevel::None;
            let at = self.push(&schema_name, ColumnType::Virtual, none, (false, false))?;
            self.columns[at].attribute_of = Some(name);
        }
        Ok(())
    }

    fn lookup(
        &mut self,
        schema_name: &str,
        targets: &[(&str, String)],
        flavour: LookupFlavour,
        valid: (bool, bool),
    ) -> Result<usize, DefineError> {
        let navigation = schema_name.to_lowercase();
        let targets = targets
            .iter()
            .map(|(table, relationship)| LookupTargetDef {
                table: (*table).to_owned(),
                table_index: usize::MAX,
                navigation: navigation.clone(),
                relationship: relationship.clone(),
                collection: relationship.clone(),
                restrict_delete: true,
            })
            .collect();
        let kind = ColumnType::Lookup { targets, flavour };
        self.push(schema_name, kind, RequiredLevel::None, valid)
    }

    /// The columns every table of its kind has.
    fn standing_columns(&mut self, data: &TableData) -> Result<(), DefineError> {
        const NEVER: (bool, bool) = (false, false);
        const ONCE: (bool, bool) = (true, false);
        const ALWAYS: (bool, bool) = (true, true);
        let none = RequiredLevel::None;
        let whole = || ColumnType::Integer { min: i32::MIN, max: i32::MAX };
        let instant = || ColumnType::DateTime(DateBehaviour::UserLocal);
        let table = self.table.clone();
        if data.elastic {
            let text = ColumnType::Text { max: 1024, format: "Text".to_owned() };
            self.push("PartitionId", text, none, ONCE)?;
            self.push("TTLInSeconds", whole(), none, ALWAYS)?;
        }
        let money: Vec<usize> = (0..self.columns.len())
            .filter(|&c| matches!(self.columns[c].kind, ColumnType::Money { .. }))
            .collect();
        if !money.is_empty() || self.by_column.contains_key("transactioncurrencyid") {
            if !self.by_column.contains_key("transactioncurrencyid") {
                let targets = [("transactioncurrency", format!("TransactionCurrency_{table}"))];
                self.lookup("TransactionCurrencyId", &targets, LookupFlavour::Lookup, ALWAYS)?;
            }
            let rate = ColumnType::Decimal {
                min: 1,
                max: 100_000_000_000 * 10_000_000_000,
                precision: 10,
            };
            if !self.by_column.contains_key("exchangerate") {
                self.push("ExchangeRate", rate, none, NEVER)?;
            }
        }
        for column in money {
            let kind = ColumnType::Money {
                min: -9_223_372_036_854_770_000,
                max: 9_223_372_036_854_770_000,
                precision: 4,
            };
            let name = format!("{}_Base", self.columns[column].schema_name);
            let base = self.push(&name, kind, none, NEVER)?;
            self.columns[column].money_base = Some(base);
        }
        self.push("CreatedOn", instant(), none, NEVER)?;
        self.push("ModifiedOn", instant(), none, NEVER)?;
        self.push("OverriddenCreatedOn", instant(), none, ONCE)?;
        self.push("ImportSequenceNumber", whole(), none, ONCE)?;
        self.push("TimeZoneRuleVersionNumber", whole(), none, ALWAYS)?;
        self.push("UTCConversionTimeZoneCode", whole(), none, ALWAYS)?;
        self.push("VersionNumber", ColumnType::BigInt, none, NEVER)?;
        for who in ["CreatedBy", "ModifiedBy", "CreatedOnBehalfBy", "ModifiedOnBehalfBy"] {
            let targets = [("systemuser", format!("lk_{table}_{}", who.to_lowercase()))];
            self.lookup(who, &targets, LookupFlavour::Lookup, NEVER)?;
        }
        if data.ownership == OwnershipData::User {
            let targets =
                [("systemuser", format!("owner_{table}")), ("team", format!("team_owner_{table}"))];
            let owner = self.lookup("OwnerId", &targets, LookupFlavour::Owner, ALWAYS)?;
            self.columns[owner].required = RequiredLevel::System;
            let lookup = LookupFlavour::Lookup;
            let unit = [("businessunit", format!("business_unit_{table}"))];
            self.lookup("OwningBusinessUnit", &unit, lookup, NEVER)?;
            self.lookup("OwningUser", &[("systemuser", format!("user_{table}"))], lookup, NEVER)?;
            self.lookup("OwningTeam", &[("team", format!("team_{table}"))], lookup, NEVER)?;
        }
        self.state_columns(&data.states)
    }

    fn state_columns(&mut self, states: &[StateData]) -> Result<(), DefineError> {
        if states.is_empty() {
            return Ok(());
        }
        let option = |value: i32, label: &str| OptionDef { value, label: label.to_owned() };
        let state = ColumnType::State(
            states
                .iter()
                .map(|s| StateDef {
                    option: option(s.value, &s.label),
                    default_status: s.default,
                    invariant: s.label.replace(' ', ""),
                })
                .collect(),
        );
        let status = ColumnType::Status(
            states
                .iter()
                .flat_map(|s| {
                    s.reasons.iter().map(|(value, label)| StatusDef {
                        option: option(*value, label),
                        state: s.value,
                    })
                })
                .collect(),
        );
        let (state_name, status_name) =
            if self.custom { ("statecode", "statuscode") } else { ("StateCode", "StatusCode") };
        let at = self.push(state_name, state, RequiredLevel::System, (true, true))?;
        self.columns[at].display_name = "Status".to_owned();
        let at = self.push(status_name, status, RequiredLevel::None, (true, true))?;
        self.columns[at].display_name = "Status Reason".to_owned();
        Ok(())
    }

    fn key(&self, data: &KeyData) -> Result<KeyDef, DefineError> {
        let columns: Result<Vec<usize>, _> =
            data.columns.iter().map(|column| self.index(column)).collect();
        let name = data.name.to_lowercase();
        Ok(KeyDef {
            metadata_id: metadata_id("key", &self.table, &name),
            schema_name: data.name.clone(),
            columns: columns?,
            status: data.status.clone(),
            name,
        })
    }
}

/// Numbers of the data file stay far below 2^53.
fn whole(number: f64) -> i128 {
    number as i128
}

fn add_many_to_many(schema: &mut Schema, data: &ManyToManyData) -> Result<(), DefineError> {
    let name = data.name.to_lowercase();
    let mut sides = [0usize; 2];
    for (side, table) in data.tables.iter().enumerate() {
        sides[side] = *schema.by_name.get(table).ok_or_else(|| DefineError::Unknown {
            table: name.clone(),
            what: "table",
            name: table.clone(),
        })?;
    }
    let globals = HashMap::new();
    let mut builder = Builder {
        table: name.clone(),
        custom: data.name.contains('_'),
        columns: Vec::new(),
        by_column: HashMap::new(),
        globals: &globals,
    };
    let never = (false, false);
    builder.push(&format!("{}Id", data.name), ColumnType::Guid, RequiredLevel::System, never)?;
    let columns = sides.map(|side| schema.tables[side].columns[0].name.clone());
    for column in &columns {
        builder.push(column, ColumnType::Guid, RequiredLevel::None, never)?;
    }
    let version = builder.push("VersionNumber", ColumnType::BigInt, RequiredLevel::None, never)?;
    let def = TableDef {
        schema_name: data.name.clone(),
        set: data.set.clone(),
        display_name: display_of(&data.name),
        metadata_id: metadata_id("table", "", &name),
        type_code: data.code,
        storage: Storage::Standard,
        ownership: Ownership::None,
        state_rules: StateRules::Plain,
        weight: Weight::Simple,
        is_activity: false,
        is_intersect: true,
        is_custom: true,
        change_tracking: false,
        messages: Vec::new(),
        columns: builder.columns,
        by_column: builder.by_column,
        by_navigation: HashMap::new(),
        primary_name: None,
        keys: Vec::new(),
        by_property: super::schema::FastMap::default(),
        collections: HashMap::new(),
        referenced_by: Vec::new(),
        standing: Standing { version: Some(version), ..Standing::default() },
        must_have: Vec::new(),
        counted: Vec::new(),
        money: Vec::new(),
        auto_numbered: Vec::new(),
        name,
    };
    let intersect = add_table(schema, def)?;
    schema.many_to_many.push(ManyToMany {
        schema_name: data.name.clone(),
        metadata_id: metadata_id("relationship", "", &data.name),
        intersect,
        tables: sides,
        columns,
        navigation: [data.name.clone(), data.name.clone()],
    });
    Ok(())
}

/// Second pass: lookups find their tables, navigation properties both ends.
fn resolve(schema: &mut Schema) -> Result<(), DefineError> {
    let mut links = Vec::new();
    for (t, table) in schema.tables.iter_mut().enumerate() {
        for (c, column) in table.columns.iter_mut().enumerate() {
            let ColumnType::Lookup { targets, .. } = &mut column.kind else { continue };
            for target in targets {
                let to =
                    *schema.by_name.get(&target.table).ok_or_else(|| DefineError::Unknown {
                        table: table.name.clone(),
                        what: "table",
                        name: target.table.clone(),
                    })?;
                target.table_index = to;
                table.by_navigation.entry(target.navigation.clone()).or_insert((c, to));
                links.push((t, c, to, target.collection.clone()));
            }
        }
    }
    for (table, column, to, collection) in links {
        let target = &mut schema.tables[to];
        target.referenced_by.push((table, column));
        target.collections.insert(collection, CollectionDef::OneToMany { table, column });
    }
    for (relationship, link) in schema.many_to_many.iter().enumerate() {
        for side in 0..2 {
            let def = CollectionDef::ManyToMany { relationship, side };
            let table = &mut schema.tables[link.tables[side]];
            table.collections.insert(link.navigation[side].clone(), def);
        }
    }
    const ADMINISTRATIVE: [&str; 4] = ["systemuser", "team", "businessunit", "transactioncurrency"];
    for table in &mut schema.tables {
        for (c, column) in table.columns.iter().enumerate() {
            let kept_by_service =
                Some(c) == table.standing.owner || Some(c) == table.standing.state;
            if c > 0 && column.required == RequiredLevel::System && !kept_by_service {
                table.must_have.push(c);
            }
            if column.auto_number.is_some() {
                table.auto_numbered.push(c);
            }
            if matches!(column.kind, ColumnType::Money { .. }) && column.money_base.is_some() {
                table.money.push(c);
            }
            if let ColumnType::Lookup { targets, .. } = &column.kind {
                let counts = |t: &LookupTargetDef| !ADMINISTRATIVE.contains(&t.table.as_str());
                if table.storage == Storage::Standard && targets.iter().any(counts) {
                    table.counted.push(c);
                }
            }
            match column.kind {
                ColumnType::Lookup { .. } => {
                    let name = format!("_{}_value", column.name);
                    table.by_property.insert(name, Property::LookupValue(c));
                }
                ColumnType::Virtual => {}
                _ => {
                    table.by_property.insert(column.name.clone(), Property::Column(c));
                }
            }
        }
        for (navigation, &(c, to)) in &table.by_navigation {
            let bind = format!("{navigation}@odata.bind");
            table.by_property.insert(bind, Property::Bind(c, to));
            table.by_property.insert(navigation.clone(), Property::Navigation(c, to));
        }
        for name in table.collections.keys() {
            let bind = format!("{name}@odata.bind");
            table.by_property.insert(bind, Property::Collection);
            table.by_property.insert(name.clone(), Property::Collection);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ready_set_is_complete() {
        let schema = ready_set();
        for table in &schema.tables {
            assert!(table.columns.len() > 3, "{}", table.name);
            assert!(matches!(table.columns[0].kind, ColumnType::Guid), "{}", table.name);
            for column in &table.columns {
                assert_eq!(column.name, column.schema_name.to_lowercase());
                if let ColumnType::Lookup { targets, .. } = &column.kind {
                    for target in targets {
                        assert_eq!(schema.tables[target.table_index].name, target.table);
                    }
                }
            }
        }
        let wide = schema.table("new_wide").map(|t| &t.columns).into_iter().flatten();
        let lookups =
            wide.filter(|c| c.is_custom && matches!(c.kind, ColumnType::Lookup { .. })).count();
        assert!(lookups >= 20, "{lookups}");
        let contact = schema.table("contact").expect("defined");
        assert_eq!(
            contact.by_property["parentcustomerid_account@odata.bind"],
            Property::Bind(contact.by_column["parentcustomerid"], schema.by_name["account"])
        );
        let meter = schema.table("new_meter").expect("defined");
        assert!(meter.by_property.contains_key("new_Site@odata.bind"));
        assert!(!meter.by_property.contains_key("new_site@odata.bind"));
        assert!(matches!(
            schema.table("account").expect("defined").collections["contact_customer_accounts"],
            CollectionDef::OneToMany { .. }
        ));
    }

    #[test]
    fn bad_definitions_say_where() {
        let head = "[[table]]\nname='new_A'\nset='new_as'\ncode=1\nweight='simple'\n";
        let check = |text: &str, part: &str| {
            let error = parse(&[("x.toml", text)]).expect_err(text).to_string();
            assert!(error.contains(part), "{error}");
        };
        check("[[table]]\nnme='a'", "x.toml");
        check(&format!("{head}columns=[{{name='B',type='choice'}}]"), "`options` or `global`");
        check(&format!("{head}columns=[{{name='B',type='lookup'}}]"), "targets");
        check(&format!("{head}columns=[{{name='B',type='lookup',to=['no']}}]"), "'no'");
        check(
            &format!("{head}columns=[{{name='B',type='text'}},{{name='b',type='text'}}]"),
            "twice",
        );
        check(&format!("{head}columns=[]\nkeys=[{{name='k',columns=['z']}}]"), "'z'");
    }
}
