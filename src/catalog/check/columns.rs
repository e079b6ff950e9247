//! Pure: checks of mapped columns.

use super::target::listed;
use super::{Case, Report};
use crate::catalog::model::{Column, ColumnKind, DateBehavior, Required, Table};
use crate::config::job::{ChoiceRule, ColumnMapping, IdRule};
use crate::config::similar::closest;
use crate::record::outcome::Operation;

/// Mapped columns with what the environment knows of them.
pub(super) fn known<'a>(case: &Case<'a>) -> impl Iterator<Item = (&'a ColumnMapping, &'a Column)> {
    let table = case.table;
    case.load.columns.iter().filter_map(move |m| table?.column(&m.target).map(|c| (m, c)))
}

/// Every mapped column exists and may be written by the operation.
pub(super) fn exist_and_writable(case: &Case<'_>, out: &mut Report<'_>) {
    let Some(table) = case.table else { return };
    for mapping in &case.load.columns {
        let name = mapping.target.as_str();
        let Some(column) = table.column(name) else {
            out.error(
                "DV0103",
                Some(name),
                format!("`{}` has no column `{name}`", table.logical_name),
                way_out_of_missing(name, table),
            );
            continue;
        };
        if let Some(why) = unwritable(column) {
            out.error("DV0105", Some(name), format!("`{name}` {why}"), "leave it out");
            continue;
        }
        writable_by(case.load.operation, column, table, out);
    }
}

fn way_out_of_missing(name: &str, table: &Table) -> String {
    let lookup_value = name.strip_prefix('_').and_then(|n| n.strip_suffix("_value"));
    if let Some(bare) = lookup_value.filter(|n| table.column(n).is_some()) {
        return format!("map `{bare}` itself");
    }
    if let Some(column) = table.columns.values().find(|c| c.schema_name == name) {
        return format!("use the logical name `{}`", column.logical_name);
    }
    match closest(name, table.columns.keys().map(String::as_str)) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "use the logical name; a solution with this column may be missing".to_owned(),
    }
}

fn unwritable(column: &Column) -> Option<String> {
    match &column.kind {
        ColumnKind::File => {
            Some("is a file column: files are uploaded one by one, not in this version".into())
        }
        ColumnKind::PartyList => Some("is a list of activity parties: not in this version".into()),
        ColumnKind::TableName => Some("is set by Dataverse together with its lookup".into()),
        ColumnKind::Other(kind) => Some(format!("is of type {kind}, which cannot be written")),
        _ if !column.valid_for_create && !column.valid_for_update => {
            Some("is read-only (calculated, rolled up, or kept by Dataverse)".into())
        }
        _ => None,
    }
}

fn writable_by(operation: Operation, column: &Column, table: &Table, out: &mut Report<'_>) {
    let name = Some(column.logical_name.as_str());
    let (create, update) = (column.valid_for_create, column.valid_for_update);
    let is_state = matches!(column.kind, ColumnKind::State(_) | ColumnKind::Status(_));
    match operation {
        // `state` has its own words for this.
        Operation::Create if !create && !is_state => out.error(
            "DV0104",
            name,
            "cannot be set when a row is made".to_owned(),
            "leave it out, and set it by a second job with operation = \"update\"",
        ),
        Operation::Update if !update && column.logical_name != table.primary_id => out.error(
            "DV0104",
            name,
            "cannot be changed once the row is there".to_owned(),
            "leave it out; it can be set by operation = \"create\" only",
        ),
        Operation::Upsert if !create || !update => {
            let when =
                if create { "when the row is there already" } else { "when the row is made" };
            if column.logical_name != table.primary_id {
                out.warning(
                    "DV0104",
                    name,
                    format!(
                        "cannot be written {when}; such rows may be refused or the value ignored"
                    ),
                    "use separate create and update jobs if it matters",
                );
            }
        }
        _ => {}
    }
}

/// Rules of a mapping belong to the column's type.
pub(super) fn rules_fit(case: &Case<'_>, out: &mut Report<'_>) {
    for (mapping, column) in known(case) {
        let name = Some(mapping.target.as_str());
        let is_text = matches!(column.kind, ColumnKind::Text { .. } | ColumnKind::Memo { .. });
        let is_choice = matches!(
            column.kind,
            ColumnKind::Choice(_)
                | ColumnKind::Choices(_)
                | ColumnKind::State(_)
                | ColumnKind::Status(_)
        );
        let behavior = match column.kind {
            ColumnKind::DateTime(behavior) => Some(behavior),
            _ => None,
        };
        let unfit = [
            (mapping.truncate && !is_text, "truncate", "text"),
            (mapping.date_format.is_some() && behavior.is_none(), "date_format", "date"),
            (
                mapping.time_zone.is_some() && behavior != Some(DateBehavior::UserLocal),
                "time_zone",
                "user-local date-time",
            ),
        ];
        for (is_unfit, rule, kind) in unfit {
            if is_unfit {
                let message = format!("`{rule}` means nothing here: this is no {kind} column");
                out.error("DV0124", name, message, format!("leave `{rule}` out"));
            }
        }
        if mapping.choice != ChoiceRule::Auto && !is_choice {
            let message = "`choice` means nothing here: this is no choice column".to_owned();
            out.warning("DV0124", name, message, "leave `choice` out");
        }
    }
}

/// Columns the API insists on are mapped.
///
/// Source: `dataverse-web-api.md` §8.2: only `SystemRequired` is enforced by the API.
pub(super) fn required(case: &Case<'_>, out: &mut Report<'_>) {
    let Some(table) = case.table else { return };
    if !matches!(case.load.operation, Operation::Create | Operation::Upsert) {
        return;
    }
    for column in table.columns.values() {
        let name = column.logical_name.as_str();
        let asked = column.required == Required::System && column.valid_for_create;
        let mapped = case.load.columns.iter().any(|c| c.target == name);
        let by_server = name == table.primary_id || name == "ownerid" || column.is_auto_number;
        if !asked || mapped || by_server {
            continue;
        }
        match column.kind {
            ColumnKind::Text { .. } | ColumnKind::Memo { .. } | ColumnKind::Lookup(_) => out.error(
                "DV0108",
                Some(name),
                format!("`{name}` is required by Dataverse and not mapped"),
                format!("map it, or give all rows one value: {name} = {{ constant = \"…\" }}"),
            ),
            ColumnKind::Integer { .. }
            | ColumnKind::BigInt
            | ColumnKind::Decimal { .. }
            | ColumnKind::Money { .. }
            | ColumnKind::Double { .. }
            | ColumnKind::DateTime(_) => out.warning(
                "DV0108",
                Some(name),
                format!("`{name}` is required by Dataverse and not mapped; it may have a default"),
                "map it if rows are refused",
            ),
            // Choices and two-option columns have defaults.
            _ => {}
        }
    }
}

/// The row's id comes from one place.
pub(super) fn primary_id(case: &Case<'_>, out: &mut Report<'_>) {
    let Some(table) = case.table else { return };
    let Some(mapping) = case.load.columns.iter().find(|c| c.target == table.primary_id) else {
        return;
    };
    let given = match &case.load.ids {
        IdRule::Pinned => "pinned ids set it too",
        IdRule::Dataverse => "Dataverse is to set it",
        IdRule::Column(_) => "`ids` sets it too",
        IdRule::AlternateKey(_) => "the alternate key finds the row",
    };
    let message = format!("`{}` is the row's own id, and {given}", mapping.target);
    let way_out = "leave the column out, and say ids = { column = \"…\" } with the source column \
                   that holds the GUID";
    out.error("DV0117", Some(&mapping.target), message, way_out);
}

/// Rows are born active.
///
/// Source: `dataverse-web-api.md` §4.9.
pub(super) fn state(case: &Case<'_>, out: &mut Report<'_>) {
    let mut mapped = (None, None);
    for (mapping, column) in known(case) {
        match column.kind {
            ColumnKind::State(_) => mapped.0 = Some(mapping.target.as_str()),
            ColumnKind::Status(_) => mapped.1 = Some(mapping.target.as_str()),
            _ => {}
        }
    }
    match (case.load.operation, mapped) {
        (Operation::Create | Operation::Upsert, (Some(state), _)) => out.warning(
            "DV0120",
            Some(state),
            "rows are normally made active; a row with another state may be refused or stay active"
                .to_owned(),
            "create without it, then set statecode and statuscode by a job with operation = \
             \"update\"",
        ),
        (Operation::Update, (Some(state), None)) => out.note(
            "DV0120",
            Some(state),
            "a state without a status reason gets the state's default reason".to_owned(),
            "map statuscode as well if it matters",
        ),
        _ => {}
    }
}

/// Columns made for migrations.
///
/// Source: `dataverse-web-api.md` §4.10.
pub(super) fn migration_columns(case: &Case<'_>, out: &mut Report<'_>) {
    for (mapping, _) in known(case) {
        let name = mapping.target.as_str();
        if !matches!(name, "overriddencreatedon" | "importsequencenumber") {
            continue;
        }
        if matches!(case.load.operation, Operation::Update | Operation::Upsert) {
            let message = "works only when a row is made".to_owned();
            let way_out = "leave it out, or use operation = \"create\"";
            out.warning("DV0121", Some(name), message, way_out);
        } else if name == "overriddencreatedon" {
            let message = "needs privilege prvOverrideCreatedOnCreatedBy".to_owned();
            out.note("DV0121", Some(name), message, "give it to the application users' role");
        }
    }
}

/// Amounts are in some currency.
///
/// Source: `dataverse-web-api.md` §4.7.
pub(super) fn currency(case: &Case<'_>, out: &mut Report<'_>) {
    let creates = matches!(case.load.operation, Operation::Create | Operation::Upsert);
    let said = case.load.columns.iter().any(|c| c.target == "transactioncurrencyid");
    if !creates || said {
        return;
    }
    let amounts: Vec<&str> = known(case)
        .filter(|(_, c)| matches!(c.kind, ColumnKind::Money { .. }))
        .map(|(m, _)| m.target.as_str())
        .collect();
    if !amounts.is_empty() {
        let message = format!(
            "no `transactioncurrencyid` is mapped: {} will be in the application user's or the \
             organization's own currency",
            listed(amounts.into_iter())
        );
        out.note("DV0123", None, message, "map `transactioncurrencyid` if that is wrong");
    }
}
