//! Pure: rows and their unique keys.

use super::value::Value;
use std::collections::HashMap;
use uuid::Uuid;

/// One row.
#[derive(Clone, Debug)]
pub struct Row {
    /// Primary key.
    pub id: Uuid,
    /// Row version; grows with every change in the whole store.
    pub version: u64,
    /// Values in the order of the table's columns.
    pub values: Vec<Value>,
}

/// Rows of one table.
#[derive(Debug, Default)]
pub struct TableRows {
    /// Rows in order of insertion; `None` where one was deleted.
    pub rows: Vec<Option<Row>>,
    /// Place of a row by primary key (elastic tables: see `by_partition`).
    pub by_id: HashMap<Uuid, usize>,
}

/// All rows.
#[derive(Debug, Default)]
pub struct Store {
    /// By table index.
    pub tables: Vec<TableRows>,
}
