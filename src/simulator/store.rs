//! Pure: rows and their unique keys.

use super::schema::FastMap;
use super::value::Value;
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
    pub by_id: FastMap<Uuid, usize>,
    /// Elastic tables: place of a row by primary key and partition.
    pub by_partition: FastMap<(Uuid, Box<str>), usize>,
    /// Place of a row by the folded values of each alternate key, in the order of
    /// `TableDef::keys`; rows with an empty key column are absent.
    pub by_key: Vec<FastMap<Box<str>, usize>>,
    /// Intersect tables: place of a row by the two ids.
    pub by_pair: FastMap<(Uuid, Uuid), usize>,
    /// Rows that exist.
    pub live: usize,
}

impl TableRows {
    /// The row at `place`, if it still exists.
    #[must_use]
    pub fn row(&self, place: usize) -> Option<&Row> {
        self.rows.get(place).and_then(Option::as_ref)
    }

    /// All rows in order of insertion.
    pub fn iter(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter().flatten()
    }
}

/// All rows.
#[derive(Debug, Default)]
pub struct Store {
    /// By table index.
    pub tables: Vec<TableRows>,
    /// How many lookups hold an id, over all tables; the service's own columns do not count.
    pub references: FastMap<Uuid, u32>,
}

impl Store {
    /// Place of a row of a table that is not elastic.
    #[must_use]
    pub fn place(&self, table: usize, id: Uuid) -> Option<usize> {
        self.tables[table].by_id.get(&id).copied()
    }

    /// Place of a row of an elastic table; without partition, the one named after the id.
    ///
    /// Source: `dataverse-web-api.md` §6.
    #[must_use]
    pub fn place_in_partition(
        &self,
        table: usize,
        id: Uuid,
        partition: Option<&str>,
    ) -> Option<usize> {
        let partition: Box<str> = partition.map_or_else(|| id.to_string().into(), Into::into);
        self.tables[table].by_partition.get(&(id, partition)).copied()
    }

    /// A row of a table that is not elastic.
    #[must_use]
    pub fn row(&self, table: usize, id: Uuid) -> Option<&Row> {
        self.place(table, id).and_then(|p| self.tables[table].row(p))
    }
}
