//! Pure: what elastic tables do differently: partitions, row-by-row success, errors with
//! HTTP-like codes.
//!
//! Source: `dataverse-web-api.md` §2.7, §6.

use super::call::{Refusal, RefusalCode};
use super::model::Model;
use super::schema::TableDef;
use super::value::Value;
use uuid::Uuid;

/// The pair of primary key and partition is taken.
pub(super) fn conflict(def: &TableDef, id: Uuid) -> Refusal {
    Refusal {
        status: 409,
        code: RefusalCode::Text("409".to_owned()),
        message: format!(
            "Entity with the specified id already exists in the system: {} {id}.",
            def.name
        ),
        annotations: Vec::new(),
    }
}

/// Token of a write; a read that carries it sees the write.
pub(super) fn session_token(version: u64) -> String {
    format!("240:8#{version}#7=-1")
}

/// Partition of a row that was given one.
pub(super) fn partition_of(model: &Model, table: usize, place: usize) -> Option<String> {
    let column = model.schema.tables[table].standing.partition?;
    let row = model.store.tables[table].row(place)?;
    match &row.values[column] {
        Value::Text(text) if **text != *row.id.to_string() => Some(text.to_string()),
        _ => None,
    }
}

/// Address of a row with its partition.
pub(super) fn entity_url(
    origin: &str,
    def: &TableDef,
    model: &Model,
    table: usize,
    place: usize,
    partition: &str,
) -> String {
    let id = super::create::id_at(model, table, place);
    let quoted = partition.replace('\'', "''");
    format!(
        "{origin}/api/data/v9.2/{}({}={id},partitionid='{quoted}')",
        def.set, def.columns[0].name
    )
}
