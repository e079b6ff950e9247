//! Pure: checks of lookups and alternate keys.

use super::{Case, Report};
use crate::catalog::model::{AlternateKey, ColumnKind, LookupTarget, Table};
use crate::config::job::{ColumnMapping, IdRule, LookupBy, LookupRule, LookupVia};
use crate::config::similar::closest;
use crate::record::outcome::Operation;

/// Lookups lead to tables they may lead to, by ways that work there.
pub(super) fn lookups(case: &Case<'_>, out: &mut Report<'_>) {
    for (mapping, column) in super::columns::known(case) {
        let name = mapping.target.as_str();
        match (&column.kind, &mapping.lookup) {
            (ColumnKind::Lookup(targets), Some(rule)) => lookup(case, mapping, targets, rule, out),
            // One target, and nothing said: values are GUIDs.
            (ColumnKind::Lookup(targets), None) if targets.len() == 1 => {}
            (ColumnKind::Lookup(targets), None) => {
                let message = format!("`{name}` is a lookup, and how its row is found is not said");
                let table = targets.first().map_or("account", |t| t.table.as_str());
                let way_out = format!(
                    "{name} = {{ from = \"…\", lookup = {{ table = \"{table}\", id = true }} }} \
                     for GUIDs, {{ staged = \"load\" }} for keys of rows this job loads, or {{ \
                     table = \"{table}\", key = \"…\" }} for an alternate key"
                );
                out.error("DV0109", Some(name), message, way_out);
            }
            (_, Some(_)) => {
                let message = format!("`{name}` is no lookup");
                out.error("DV0109", Some(name), message, "leave `lookup` out");
            }
            _ => {}
        }
    }
}

fn lookup(
    case: &Case<'_>,
    mapping: &ColumnMapping,
    targets: &[LookupTarget],
    rule: &LookupRule,
    out: &mut Report<'_>,
) {
    let name = Some(mapping.target.as_str());
    for via in &rule.targets {
        let Some(target) = targets.iter().find(|t| t.table == via.table) else {
            let allowed: Vec<&str> = targets.iter().map(|t| t.table.as_str()).collect();
            let message = format!("`{}` cannot refer to `{}`", mapping.target, via.table);
            out.error("DV0110", name, message, format!("it refers to: {}", allowed.join(", ")));
            continue;
        };
        if target.navigation_property.is_empty() || target.entity_set.is_empty() {
            let message = format!(
                "the metadata does not tell by which navigation property `{}` refers to `{}`",
                mapping.target, via.table
            );
            let way_out = "see whether the relationship exists and the application user may read \
                           metadata";
            out.error("DV0111", name, message, way_out);
        }
        target_table(case, mapping, via, out);
    }
}

fn target_table(case: &Case<'_>, mapping: &ColumnMapping, via: &LookupVia, out: &mut Report<'_>) {
    let name = Some(mapping.target.as_str());
    let LookupBy::Key(key) = &via.by else { return };
    let Some(table) = case.catalog.table(&via.table) else {
        let message = format!("the environment has no table `{}`", via.table);
        out.error("DV0101", name, message, "check the name, and the solution with that table");
        return;
    };
    let Some(key) = find_key(table, key, name, out) else { return };
    let [column] = key.columns.as_slice() else {
        let message = format!(
            "key `{}` has {} columns; a lookup's value is one",
            key.name,
            key.columns.len()
        );
        out.error("DV0114", name, message, "use a key of one column, or GUIDs");
        return;
    };
    let fits = table.column(column).is_none_or(|c| {
        matches!(
            c.kind,
            ColumnKind::Text { .. }
                | ColumnKind::Integer { .. }
                | ColumnKind::BigInt
                | ColumnKind::Decimal { .. }
                | ColumnKind::DateTime(_)
                | ColumnKind::Choice(_)
                | ColumnKind::Guid
        )
    });
    if !fits {
        let message = format!(
            "key `{}` is over `{column}`, which has a type no key value can be written for",
            key.name
        );
        out.error("DV0114", name, message, "use another key, or GUIDs");
    }
}

/// The alternate key that finds rows exists, works, and gets all its values.
///
/// Source: `dataverse-web-api.md` §4.4.
pub(super) fn alternate_key(case: &Case<'_>, out: &mut Report<'_>) {
    let IdRule::AlternateKey(key) = &case.load.ids else { return };
    let Some(table) = case.table else { return };
    let Some(key) = find_key(table, key, None, out) else { return };
    for column in &key.columns {
        let Some(mapping) = case.load.columns.iter().find(|c| c.target == *column) else {
            let message = format!("`{column}` belongs to key `{}` and is not mapped", key.name);
            let way_out = format!("add {column} = \"…\" to [table.columns]");
            out.error("DV0113", Some(column), message, way_out);
            continue;
        };
        if mapping.truncate {
            let message = format!("`{column}` belongs to the key; cut values may become equal");
            out.error("DV0113", Some(column), message, "leave `truncate` out");
        }
    }
    let others = case.load.columns.iter().any(|c| !key.columns.contains(&c.target));
    if !others && case.load.operation == Operation::Update {
        let message = "only columns of the key are mapped: nothing would change".to_owned();
        out.warning("DV0113", None, message, "map the columns to change");
    }
}

/// The usable key called `name`, or what is wrong with it.
fn find_key<'t>(
    table: &'t Table,
    name: &str,
    column: Option<&str>,
    out: &mut Report<'_>,
) -> Option<&'t AlternateKey> {
    let Some(key) = table.key(name) else {
        let over = table.keys.iter().find(|k| k.columns.iter().any(|c| c == name));
        let way_out = if let Some(key) = over {
            format!("`{name}` is a column; its key is called `{}`", key.name)
        } else if let Some(near) = closest(name, table.keys.iter().map(|k| k.name.as_str())) {
            format!("did you mean `{near}`?")
        } else if table.keys.is_empty() {
            "the table has no alternate keys: add one, or use GUIDs".to_owned()
        } else {
            let names: Vec<&str> = table.keys.iter().map(|k| k.name.as_str()).collect();
            format!("its keys are: {}", names.join(", "))
        };
        let message = format!("`{}` has no alternate key `{name}`", table.logical_name);
        out.error("DV0112", column, message, way_out);
        return None;
    };
    if !key.is_active {
        let message = format!("key `{name}` of `{}` is not active yet", table.logical_name);
        let way_out = "its index is being built or has failed: see the key's status in the maker \
                       portal, remove duplicates, and reactivate it";
        out.error("DV0112", column, message, way_out);
    }
    Some(key)
}
