//! Pure: the columns of one table, its own and those every table has.

use super::data::{
    BehaviourData, ColumnData, FlavourData, KeyData, KindData, OwnershipData, RequiredData,
    StateData, TableData,
};
use super::{DefineError, metadata_id, options_of};
use crate::simulator::schema::{
    ColumnDef, ColumnType, DateBehaviour, KeyDef, LookupFlavour, LookupTargetDef, OptionDef,
    RequiredLevel, StateDef, StatusDef,
};
use std::collections::HashMap;

/// `PrimaryContactId` to `Primary Contact Id`; a publisher's prefix is dropped.
pub(super) fn display_of(schema_name: &str) -> String {
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

pub(super) struct Builder<'a> {
    pub(super) table: String,
    pub(super) custom: bool,
    pub(super) columns: Vec<ColumnDef>,
    pub(super) by_column: HashMap<String, usize>,
    pub(super) globals: &'a HashMap<String, Vec<OptionDef>>,
}

impl Builder<'_> {
    pub(super) fn index(&self, schema_name: &str) -> Result<usize, DefineError> {
        self.by_column.get(&schema_name.to_lowercase()).copied().ok_or_else(|| {
            DefineError::Unknown {
                table: self.table.clone(),
                what: "column",
                name: schema_name.to_owned(),
            }
        })
    }

    pub(super) fn push(
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

    pub(super) fn column(&mut self, data: &ColumnData) -> Result<(), DefineError> {
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

    pub(super) fn kind(&self, data: &ColumnData) -> Result<ColumnType, DefineError> {
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
    pub(super) fn targets(&self, data: &ColumnData) -> Vec<LookupTargetDef> {
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
    pub(super) fn name_columns(&mut self) -> Result<(), DefineError> {
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

    pub(super) fn lookup(
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
    pub(super) fn standing_columns(&mut self, data: &TableData) -> Result<(), DefineError> {
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

    pub(super) fn state_columns(&mut self, states: &[StateData]) -> Result<(), DefineError> {
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

    pub(super) fn key(&self, data: &KeyData) -> Result<KeyDef, DefineError> {
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
pub(super) fn whole(number: f64) -> i128 {
    number as i128
}
