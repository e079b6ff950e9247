//! Pure: metadata answers, put together to tables.

use crate::catalog::model::{
    AlternateKey, BulkMessages, Choice, Column, ColumnKind, DateBehavior, LookupTarget, Required,
    StatusChoice, Table, TableKind,
};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// A collection answer.
#[derive(Deserialize)]
pub(super) struct Page<T> {
    pub(super) value: Vec<T>,
    /// Metadata does not page; were it to, the rest must not be lost in silence.
    #[serde(rename = "@odata.nextLink")]
    pub(super) next: Option<String>,
}

/// `EntityDefinitions`.
///
/// Source: `dataverse-web-api.md` §8.1.
#[derive(Deserialize, Clone)]
#[serde(rename_all = "PascalCase")]
pub(super) struct TableFacts {
    pub(super) logical_name: String,
    pub(super) entity_set_name: Option<String>,
    primary_id_attribute: Option<String>,
    primary_name_attribute: Option<String>,
    is_activity: Option<bool>,
    is_intersect: Option<bool>,
    is_custom_entity: Option<bool>,
    table_type: Option<String>,
}

impl TableFacts {
    pub(super) fn kind(&self) -> TableKind {
        match self.table_type.as_deref() {
            Some("Elastic") => TableKind::Elastic,
            Some("Virtual") => TableKind::Virtual,
            _ => TableKind::Standard,
        }
    }

    /// The table without columns and keys: enough to refer to its rows. `None` when the Web API
    /// does not reach it.
    pub(super) fn outline(&self) -> Option<Table> {
        Some(Table {
            logical_name: self.logical_name.clone(),
            entity_set: self.entity_set_name.clone()?,
            primary_id: self.primary_id_attribute.clone()?,
            primary_name: self.primary_name_attribute.clone(),
            kind: self.kind(),
            is_activity: self.is_activity.unwrap_or(false),
            is_intersect: self.is_intersect.unwrap_or(false),
            is_custom: self.is_custom_entity.unwrap_or(false),
            columns: BTreeMap::new(),
            keys: Vec::new(),
            messages: BulkMessages::default(),
        })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Named {
    value: String,
}

/// `Attributes`.
///
/// Source: `dataverse-web-api.md` §8.2.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ColumnFacts {
    logical_name: String,
    schema_name: Option<String>,
    attribute_type: Option<String>,
    attribute_type_name: Option<Named>,
    attribute_of: Option<String>,
    is_valid_for_create: Option<bool>,
    is_valid_for_update: Option<bool>,
    is_valid_for_read: Option<bool>,
    is_secured: Option<bool>,
    required_level: Option<Named>,
    auto_number_format: Option<String>,
}

impl ColumnFacts {
    /// `String`, `MultiSelectPicklist`, …: the finer of the two type names.
    fn type_name(&self) -> &str {
        match &self.attribute_type_name {
            Some(named) => named.value.strip_suffix("Type").unwrap_or(&named.value),
            None => self.attribute_type.as_deref().unwrap_or("Virtual"),
        }
    }

    /// The cast that has the rest of this column, and what to ask of it.
    pub(super) fn cast(&self) -> Option<(&'static str, &'static str)> {
        const LENGTH: &str = "$select=LogicalName,MaxLength";
        const RANGE: &str = "$select=LogicalName,MinValue,MaxValue";
        const PRECISE: &str = "$select=LogicalName,MinValue,MaxValue,Precision";
        const OPTIONS: &str = "$select=LogicalName&$expand=OptionSet($select=Options),\
                               GlobalOptionSet($select=Options)";
        Some(match self.type_name() {
            "String" => ("String", LENGTH),
            "Memo" => ("Memo", LENGTH),
            "Integer" => ("Integer", RANGE),
            "Double" => ("Double", RANGE),
            "Decimal" => ("Decimal", PRECISE),
            "Money" => ("Money", PRECISE),
            "DateTime" => ("DateTime", "$select=LogicalName,DateTimeBehavior"),
            "Boolean" => (
                "Boolean",
                "$select=LogicalName&$expand=OptionSet($select=TrueOption,FalseOption),\
                 GlobalOptionSet($select=TrueOption,FalseOption)",
            ),
            "Picklist" => ("Picklist", OPTIONS),
            "MultiSelectPicklist" => ("MultiSelectPicklist", OPTIONS),
            "State" => ("State", OPTIONS),
            "Status" => ("Status", OPTIONS),
            "Lookup" | "Customer" | "Owner" => ("Lookup", "$select=LogicalName,Targets"),
            _ => return None,
        })
    }
}

/// What a cast adds to a column; each type has a few of these.
///
/// Source: `dataverse-web-api.md` §8.2.
#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ColumnDetail {
    pub(super) logical_name: String,
    max_length: Option<i64>,
    min_value: Option<Box<RawValue>>,
    max_value: Option<Box<RawValue>>,
    precision: Option<u8>,
    date_time_behavior: Option<Named>,
    option_set: Option<OptionSet>,
    global_option_set: Option<OptionSet>,
    targets: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct OptionSet {
    options: Option<Vec<OptionFacts>>,
    true_option: Option<OptionFacts>,
    false_option: Option<OptionFacts>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct OptionFacts {
    value: Option<i32>,
    state: Option<i32>,
    label: Option<Labels>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Labels {
    localized_labels: Option<Vec<Label>>,
    user_localized_label: Option<Label>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Label {
    label: Option<String>,
}

/// `Keys`.
///
/// Source: `dataverse-web-api.md` §8.3.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct KeyFacts {
    logical_name: String,
    key_attributes: Vec<String>,
    entity_key_index_status: Option<String>,
}

/// `ManyToOneRelationships`.
///
/// Source: `dataverse-web-api.md` §8.4.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct LookupFacts {
    referencing_attribute: String,
    referenced_entity: String,
    referencing_entity_navigation_property_name: Option<String>,
}

/// Everything known of one table.
pub(super) struct Pieces {
    pub(super) outline: Table,
    pub(super) columns: Vec<ColumnFacts>,
    pub(super) details: Vec<ColumnDetail>,
    pub(super) keys: Vec<KeyFacts>,
    pub(super) lookups: Vec<LookupFacts>,
    pub(super) messages: BulkMessages,
}

/// The tables users and teams live in; owner lookups lead to the abstract table `owner`.
///
/// Source: `dataverse-web-api.md` §13, owner lookups in metadata.
const OWNERS: [&str; 2] = ["systemuser", "team"];

impl Pieces {
    /// Puts the table together; `entity_sets` maps logical names to entity sets.
    pub(super) fn assemble(self, entity_sets: &BTreeMap<&str, &str>) -> Table {
        let details: BTreeMap<String, ColumnDetail> =
            self.details.into_iter().map(|d| (d.logical_name.clone(), d)).collect();
        let bind_names: BTreeMap<(&str, &str), &str> = self
            .lookups
            .iter()
            .filter_map(|l| {
                let name = l.referencing_entity_navigation_property_name.as_deref()?;
                Some(((l.referencing_attribute.as_str(), l.referenced_entity.as_str()), name))
            })
            .collect();
        let none = ColumnDetail::default();
        let mut table = self.outline;
        table.messages = self.messages;
        for facts in self.columns {
            // Shadows of other columns (names of lookups, labels) cannot be written.
            if facts.attribute_of.is_some() {
                continue;
            }
            let detail = details.get(&facts.logical_name).unwrap_or(&none);
            let kind = column_kind(&facts, detail, &bind_names, entity_sets);
            let column = Column {
                schema_name: facts.schema_name.unwrap_or_else(|| facts.logical_name.clone()),
                kind,
                required: required(facts.required_level.as_ref()),
                valid_for_create: facts.is_valid_for_create.unwrap_or(false),
                valid_for_update: facts.is_valid_for_update.unwrap_or(false),
                valid_for_read: facts.is_valid_for_read.unwrap_or(false),
                is_secured: facts.is_secured.unwrap_or(false),
                is_auto_number: facts.auto_number_format.is_some_and(|f| !f.is_empty()),
                logical_name: facts.logical_name.clone(),
            };
            table.columns.insert(facts.logical_name, column);
        }
        table.keys = self
            .keys
            .into_iter()
            .map(|key| AlternateKey {
                name: key.logical_name,
                columns: key.key_attributes,
                is_active: key.entity_key_index_status.as_deref() == Some("Active"),
            })
            .collect();
        table.keys.sort_by(|a, b| a.name.cmp(&b.name));
        table
    }
}

fn required(level: Option<&Named>) -> Required {
    match level.map(|l| l.value.as_str()) {
        Some("SystemRequired") => Required::System,
        Some("ApplicationRequired") => Required::Application,
        Some("Recommended") => Required::Recommended,
        _ => Required::None,
    }
}

fn column_kind(
    facts: &ColumnFacts,
    detail: &ColumnDetail,
    bind_names: &BTreeMap<(&str, &str), &str>,
    entity_sets: &BTreeMap<&str, &str>,
) -> ColumnKind {
    let max_length = detail.max_length.and_then(|n| u32::try_from(n).ok()).unwrap_or(u32::MAX);
    let bound = |raw: &Option<Box<RawValue>>, otherwise: &str| {
        raw.as_ref().map_or_else(|| otherwise.to_owned(), |r| plain_decimal(r.get()))
    };
    match facts.type_name() {
        "String" => ColumnKind::Text { max_length },
        "Memo" => ColumnKind::Memo { max_length },
        "Integer" => ColumnKind::Integer {
            min: whole(detail.min_value.as_deref()).unwrap_or(i64::from(i32::MIN)),
            max: whole(detail.max_value.as_deref()).unwrap_or(i64::from(i32::MAX)),
        },
        "BigInt" => ColumnKind::BigInt,
        "Decimal" => ColumnKind::Decimal {
            min: bound(&detail.min_value, "-100000000000"),
            max: bound(&detail.max_value, "100000000000"),
            precision: detail.precision.unwrap_or(10),
        },
        "Money" => ColumnKind::Money {
            min: bound(&detail.min_value, "-922337203685477"),
            max: bound(&detail.max_value, "922337203685477"),
            precision: detail.precision.unwrap_or(4),
        },
        "Double" => ColumnKind::Double {
            min: float(detail.min_value.as_deref()).unwrap_or(-100_000_000_000.0),
            max: float(detail.max_value.as_deref()).unwrap_or(100_000_000_000.0),
        },
        "Boolean" => {
            let label = |pick: fn(&OptionSet) -> Option<&OptionFacts>, otherwise: &str| {
                let sets = [&detail.option_set, &detail.global_option_set];
                let option = sets.into_iter().flatten().find_map(pick);
                let labels = option.map(labels).unwrap_or_default();
                labels.into_iter().next().unwrap_or_else(|| otherwise.to_owned())
            };
            ColumnKind::Boolean {
                true_label: label(|s| s.true_option.as_ref(), "Yes"),
                false_label: label(|s| s.false_option.as_ref(), "No"),
            }
        }
        "Picklist" => ColumnKind::Choice(choices(detail)),
        "MultiSelectPicklist" => ColumnKind::Choices(choices(detail)),
        "State" => ColumnKind::State(choices(detail)),
        "Status" => ColumnKind::Status(
            options(detail)
                .filter_map(|option| {
                    Some(StatusChoice { choice: choice(option)?, state: option.state.unwrap_or(0) })
                })
                .collect(),
        ),
        "DateTime" => ColumnKind::DateTime(
            match detail.date_time_behavior.as_ref().map(|b| b.value.as_str()) {
                Some("DateOnly") => DateBehavior::DateOnly,
                Some("TimeZoneIndependent") => DateBehavior::TimeZoneIndependent,
                _ => DateBehavior::UserLocal,
            },
        ),
        "Uniqueidentifier" | "UniqueIdentifier" => ColumnKind::Guid,
        "Lookup" | "Customer" | "Owner" => {
            ColumnKind::Lookup(targets(facts, detail, bind_names, entity_sets))
        }
        "File" => ColumnKind::File,
        "Image" => ColumnKind::Image,
        "EntityName" => ColumnKind::TableName,
        "PartyList" => ColumnKind::PartyList,
        other => ColumnKind::Other(other.to_owned()),
    }
}

/// The targets of a lookup that can be bound: those with a bind name and an entity set.
fn targets(
    facts: &ColumnFacts,
    detail: &ColumnDetail,
    bind_names: &BTreeMap<(&str, &str), &str>,
    entity_sets: &BTreeMap<&str, &str>,
) -> Vec<LookupTarget> {
    let column = facts.logical_name.as_str();
    let mut tables: Vec<&str> =
        detail.targets.iter().flatten().map(String::as_str).filter(|t| *t != "owner").collect();
    let related = bind_names.keys().filter(|(c, _)| *c == column).map(|(_, table)| *table);
    let leads_to_owner = bind_names.contains_key(&(column, "owner"));
    let owners = OWNERS.into_iter().filter(|_| leads_to_owner);
    for table in related.filter(|t| *t != "owner").chain(owners) {
        if !tables.contains(&table) {
            tables.push(table);
        }
    }
    tables
        .into_iter()
        .filter_map(|table| {
            let through_owner = OWNERS.contains(&table).then_some((column, "owner"));
            let name = bind_names
                .get(&(column, table))
                .or_else(|| through_owner.and_then(|key| bind_names.get(&key)))?;
            Some(LookupTarget {
                table: table.to_owned(),
                entity_set: (*entity_sets.get(table)?).to_owned(),
                navigation_property: (*name).to_owned(),
            })
        })
        .collect()
}

fn options(detail: &ColumnDetail) -> impl Iterator<Item = &OptionFacts> {
    let own = detail.option_set.as_ref().and_then(|s| s.options.as_ref());
    let global = detail.global_option_set.as_ref().and_then(|s| s.options.as_ref());
    own.filter(|o| !o.is_empty()).or(global).into_iter().flatten()
}

fn choices(detail: &ColumnDetail) -> Vec<Choice> {
    options(detail).filter_map(choice).collect()
}

fn choice(option: &OptionFacts) -> Option<Choice> {
    Some(Choice { value: option.value?, labels: labels(option) })
}

/// All labels, the user's first.
fn labels(option: &OptionFacts) -> Vec<String> {
    let Some(labels) = &option.label else { return Vec::new() };
    let mut all: Vec<String> = Vec::new();
    let users = labels.user_localized_label.iter();
    for label in users.chain(labels.localized_labels.iter().flatten()) {
        if let Some(text) = label.label.as_ref().filter(|t| !all.contains(t)) {
            all.push(text.clone());
        }
    }
    all
}

fn whole(raw: Option<&RawValue>) -> Option<i64> {
    let text = plain_decimal(raw?.get());
    text.split('.').next()?.parse().ok()
}

fn float(raw: Option<&RawValue>) -> Option<f64> {
    raw?.get().parse().ok()
}

/// A JSON number without exponent: `-1.5E+3` becomes `-1500`. Anything else is returned as it is.
fn plain_decimal(number: &str) -> String {
    let Some((mantissa, exponent)) = number.split_once(['e', 'E']) else {
        return number.to_owned();
    };
    let exponent: Option<i32> = exponent.parse().ok().filter(|e: &i32| e.abs() <= 400);
    let Some(exponent) = exponent else { return number.to_owned() };
    let (sign, digits) = mantissa.strip_prefix('-').map_or(("", mantissa), |d| ("-", d));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let mut all: String = [whole, fraction].concat();
    let mut point = i32::try_from(whole.len()).unwrap_or(i32::MAX).saturating_add(exponent);
    while point <= 0 {
        all.insert(0, '0');
        point += 1;
    }
    let point = usize::try_from(point).unwrap_or(0);
    while all.len() < point {
        all.push('0');
    }
    let (whole, fraction) = all.split_at(point);
    let whole = whole.trim_start_matches('0');
    let fraction = fraction.trim_end_matches('0');
    let whole = if whole.is_empty() { "0" } else { whole };
    let point = if fraction.is_empty() { "" } else { "." };
    format!("{sign}{whole}{point}{fraction}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn exponents_are_written_out() {
        for (number, want) in [
            ("100000000000.0", "100000000000.0"),
            ("-1E+11", "-100000000000"),
            ("1.5e3", "1500"),
            ("1E-10", "0.0000000001"),
            ("-12.50E-1", "-1.25"),
            ("0e5", "0"),
            ("1e9999", "1e9999"),
        ] {
            assert_eq!(plain_decimal(number), want, "{number}");
        }
    }

    proptest! {
        #[test]
        fn writing_out_keeps_the_value(mantissa in -99_999_i64..99_999, exponent in -20_i32..20) {
            let text = format!("{mantissa}E{exponent}");
            let plain = plain_decimal(&text);
            prop_assert!(!plain.contains('E'));
            let (want, got): (f64, f64) = (text.parse().unwrap(), plain.parse().unwrap());
            prop_assert!((want - got).abs() <= want.abs() * 1e-12);
        }
    }
}
