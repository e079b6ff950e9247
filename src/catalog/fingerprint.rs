//! Pure: one number that changes when anything the loader relies on changes in the metadata.

use crate::catalog::model::{Choice, Column, ColumnKind, Table};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_64;

/// Hash over a rendering of all tables in name order. The rendering is written by hand, so that
/// it stays the same when types are renamed between versions of the loader.
pub(super) fn fingerprint(tables: &BTreeMap<String, Arc<Table>>) -> u64 {
    let mut text = String::from("catalog 1\n");
    for table in tables.values() {
        render_table(&mut text, table);
    }
    xxh3_64(text.as_bytes())
}

// Writing to a String cannot fail, so the results below are dropped.

fn render_table(out: &mut String, table: &Table) {
    let Table { logical_name, entity_set, primary_id, primary_name, kind, .. } = table;
    let _ = writeln!(
        out,
        "table {logical_name:?} {entity_set:?} {primary_id:?} {primary_name:?} {kind:?} {} {} {}",
        table.is_activity, table.is_intersect, table.is_custom
    );
    let messages = table.messages;
    let _ = writeln!(
        out,
        "messages {} {} {} {}",
        messages.create, messages.update, messages.upsert, messages.delete
    );
    for column in table.columns.values() {
        render_column(out, column);
    }
    for key in &table.keys {
        let _ = writeln!(out, "key {:?} {:?} {}", key.name, key.columns, key.is_active);
    }
}

fn render_column(out: &mut String, column: &Column) {
    let _ = write!(
        out,
        "column {:?} {:?} {:?} {} {} {} {} {} ",
        column.logical_name,
        column.schema_name,
        column.required,
        column.valid_for_create,
        column.valid_for_update,
        column.valid_for_read,
        column.is_secured,
        column.is_auto_number
    );
    let _ = match &column.kind {
        ColumnKind::Text { max_length } => write!(out, "text {max_length}"),
        ColumnKind::Memo { max_length } => write!(out, "memo {max_length}"),
        ColumnKind::Integer { min, max } => write!(out, "integer {min} {max}"),
        ColumnKind::BigInt => write!(out, "bigint"),
        ColumnKind::Decimal { min, max, precision } => {
            write!(out, "decimal {min} {max} {precision}")
        }
        ColumnKind::Money { min, max, precision } => write!(out, "money {min} {max} {precision}"),
        ColumnKind::Double { min, max } => write!(out, "double {min} {max}"),
        ColumnKind::Boolean { true_label, false_label } => {
            write!(out, "boolean {true_label:?} {false_label:?}")
        }
        ColumnKind::Choice(choices) => render_choices(out, "choice", choices),
        ColumnKind::Choices(choices) => render_choices(out, "choices", choices),
        ColumnKind::State(choices) => render_choices(out, "state", choices),
        ColumnKind::Status(choices) => {
            for status in choices {
                let Choice { value, labels } = &status.choice;
                let _ = write!(out, "status {} {value} {labels:?} ", status.state);
            }
            Ok(())
        }
        ColumnKind::DateTime(behavior) => write!(out, "datetime {behavior:?}"),
        ColumnKind::Guid => write!(out, "guid"),
        ColumnKind::Lookup(targets) => {
            for target in targets {
                let _ = write!(
                    out,
                    "lookup {:?} {:?} {:?} ",
                    target.table, target.entity_set, target.navigation_property
                );
            }
            Ok(())
        }
        ColumnKind::File => write!(out, "file"),
        ColumnKind::Image => write!(out, "image"),
        ColumnKind::TableName => write!(out, "tablename"),
        ColumnKind::PartyList => write!(out, "partylist"),
        ColumnKind::Other(name) => write!(out, "other {name:?}"),
    };
    out.push('\n');
}

fn render_choices(out: &mut String, word: &str, choices: &[Choice]) -> std::fmt::Result {
    for Choice { value, labels } in choices {
        write!(out, "{word} {value} {labels:?} ")?;
    }
    Ok(())
}
