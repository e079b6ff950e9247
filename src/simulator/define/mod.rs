//! Pure: the data files that define tables, turned into a schema.

mod columns;
mod data;
mod resolve;

use super::schema::{
    ColumnType, FastMap, ManyToMany, OptionDef, Ownership, RequiredLevel, Schema, Standing,
    StateRules, Storage, TableDef, Weight,
};
use columns::{Builder, display_of};
use data::{FileData, ManyToManyData, OwnershipData, RulesData, TableData, WeightData};
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
/// Names and texts of the files of the ready set.
pub const READY_FILES: [(&str, &str); 4] = [
    ("tables/options.toml", include_str!("../tables/options.toml")),
    ("tables/system.toml", include_str!("../tables/system.toml")),
    ("tables/sales.toml", include_str!("../tables/sales.toml")),
    ("tables/custom.toml", include_str!("../tables/custom.toml")),
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
    resolve::resolve(&mut schema)?;
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
        by_property: FastMap::default(),
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
        by_property: FastMap::default(),
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
#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulator::schema::{CollectionDef, Property};

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
