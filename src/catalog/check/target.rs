//! Pure: checks of the table itself, the source's header, and what requests need.

use super::{Case, Report};
use crate::catalog::model::{ColumnKind, TableKind};
use crate::config::job::{IdRule, ValueSource};
use crate::config::similar::closest;
use crate::record::outcome::Operation;
use std::collections::HashSet;

/// The table exists and rows can be written to it.
pub(super) fn table(case: &Case<'_>, out: &mut Report<'_>) {
    let name = &case.load.table;
    let Some(table) = case.table else {
        let way_out = match closest(name, case.catalog.tables.keys().map(String::as_str)) {
            Some(near) => format!("did you mean \"{near}\"? use the logical name"),
            None => "use the logical name, and check that the solution with the table is installed"
                .to_owned(),
        };
        out.error("DV0101", None, format!("the environment has no table `{name}`"), way_out);
        return;
    };
    if table.kind == TableKind::Virtual {
        let way_out = "load the rows into the system that holds them";
        out.error(
            "DV0102",
            None,
            format!("rows of virtual table `{name}` live elsewhere"),
            way_out,
        );
    }
    if table.is_intersect {
        let message = format!("`{name}` is the hidden table of an N:N relationship");
        let way_out = "Dataverse fills it by associate requests only; not in this version";
        out.error("DV0102", None, message, way_out);
    }
}

/// Every source column the job names is in the header; columns nobody uses are told.
pub(super) fn source_columns(case: &Case<'_>, out: &mut Report<'_>) {
    let Some(header) = case.header else { return };
    let load = case.load;
    let mut used: Vec<(&str, &str)> = vec![(&load.key, "`key`")];
    if let IdRule::Column(column) = &load.ids {
        used.push((column, "`ids`"));
    }
    for mapping in &load.columns {
        if let ValueSource::Column(column) = &mapping.from {
            used.push((column, &mapping.target));
        }
        if let Some(column) = mapping.lookup.as_ref().and_then(|l| l.type_column.as_deref()) {
            used.push((column, &mapping.target));
        }
    }
    let mut told = HashSet::new();
    for (column, user) in &used {
        let count = header.iter().filter(|h| h == column).count();
        if count == 1 || !told.insert(*column) {
            continue;
        }
        if count > 1 {
            let message = format!("the header names `{column}` {count} times; {user} needs it");
            let way_out = "give each source column its own name";
            out.error("DV0115", Some(column), message, way_out);
            continue;
        }
        let way_out = match closest(column, header.iter().map(String::as_str)) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("the header has: {}", listed(header.iter().map(String::as_str))),
        };
        let message = format!("the source has no column `{column}`, which {user} needs");
        out.error("DV0115", Some(column), message, way_out);
    }
    // Columns with two underscores are those of an error file that is loaded again.
    let unused: Vec<&str> = header
        .iter()
        .map(String::as_str)
        .filter(|h| !h.starts_with("__") && !used.iter().any(|(column, _)| column == h))
        .collect();
    if !unused.is_empty() {
        let message = format!("source columns without a target: {}", listed(unused.into_iter()));
        out.note("DV0116", None, message, "map them, or leave it at that");
    }
}

/// At most a dozen names, so that a wide file does not flood the screen.
pub(super) fn listed<'a>(names: impl Iterator<Item = &'a str> + Clone) -> String {
    let count = names.clone().count();
    let mut text = names.take(12).collect::<Vec<_>>().join(", ");
    if count > 12 {
        text.push_str(&format!(" and {} more", count - 12));
    }
    text
}

/// Elastic tables have rules of their own.
///
/// Source: `dataverse-web-api.md` §6.
pub(super) fn elastic(case: &Case<'_>, out: &mut Report<'_>) {
    let Some(table) = case.table.filter(|t| t.kind == TableKind::Elastic) else { return };
    let load = case.load;
    for mapping in &load.columns {
        let Some(column) = table.column(&mapping.target) else { continue };
        let refused = match column.kind {
            ColumnKind::Money { .. } => "money",
            ColumnKind::Choices(_) => "multi-select choices",
            ColumnKind::State(_) | ColumnKind::Status(_) if load.operation == Operation::Create => {
                "a state on create"
            }
            _ => continue,
        };
        let message = format!("elastic tables do not take {refused}");
        out.error("DV0118", Some(&mapping.target), message, "leave the column out");
    }
    let partitioned = load.columns.iter().any(|c| c.target == "partitionid");
    if !partitioned && load.operation != Operation::Create {
        let message = "`partitionid` is not mapped: rows whose partition differs from their id \
                       will not be found"
            .to_owned();
        out.warning("DV0118", Some("partitionid"), message, "map `partitionid` if rows have one");
    }
    if load.operation == Operation::Upsert {
        let message = "upsert replaces the whole row of an elastic table: columns that are not \
                       mapped lose their values"
            .to_owned();
        out.warning("DV0118", None, message, "map every column, or use operation = \"update\"");
    }
    if load.request.detect_duplicates {
        let message = "elastic tables know no duplicate detection".to_owned();
        out.warning("DV0118", None, message, "leave `detect_duplicates` out");
    }
}

/// Tells by which message rows will go.
pub(super) fn messages(case: &Case<'_>, out: &mut Report<'_>) {
    let Some(table) = case.table else { return };
    let (supported, name) = match case.load.operation {
        Operation::Create => (table.messages.create, "CreateMultiple"),
        Operation::Update => (table.messages.update, "UpdateMultiple"),
        Operation::Upsert => (table.messages.upsert, "UpsertMultiple"),
        Operation::Delete => (table.messages.delete, "DeleteMultiple"),
    };
    let message = if supported {
        format!("rows go by {name}")
    } else {
        format!("the table has no {name}: rows go as single operations in $batch, which is slower")
    };
    out.note("DV0119", None, message, "");
}

/// Options of requests that need rights, and how many plug-in steps may be left out.
///
/// Source: `dataverse-web-api.md` §5.
pub(super) fn privileges(case: &Case<'_>, out: &mut Report<'_>) {
    let request = &case.load.request;
    let role = "give it to the application users' security role; system administrators have it";
    if request.bypass_sync || request.bypass_async || !request.bypass_steps.is_empty() {
        let message = "leaving out custom logic needs privilege prvBypassCustomBusinessLogic";
        out.note("DV0122", None, message.to_owned(), role);
    }
    if request.bypass_steps.len() > 3 {
        let message = format!(
            "{} plug-in steps are to be left out; an organization allows 3 unless its setting \
             BypassBusinessLogicExecutionStepIdsLimit says more",
            request.bypass_steps.len()
        );
        out.warning("DV0122", None, message, "raise the setting (at most 10), or use bypass_sync");
    }
    if request.act_for_object.is_some() || request.act_for_user.is_some() {
        let message = "writing for another user needs privilege prvActOnBehalfOfAnotherUser, and \
                       only what both users may do is done";
        out.note("DV0122", None, message.to_owned(), role);
    }
    let Some(table) = case.table else { return };
    let secured: Vec<&str> = case
        .load
        .columns
        .iter()
        .filter(|c| table.column(&c.target).is_some_and(|c| c.is_secured))
        .map(|c| c.target.as_str())
        .collect();
    if !secured.is_empty() {
        let message = format!("field security guards {}", listed(secured.into_iter()));
        let way_out = "add the application users to a field security profile that may write them";
        out.note("DV0122", None, message, way_out);
    }
}
