//! Pure: rows and their unique keys.

use super::schema::FastMap;
use super::value::Value;
use std::collections::VecDeque;
use uuid::Uuid;

/// One row.
#[derive(Clone, Debug)]
pub struct Row {
    /// Primary key.
    pub id: Uuid,
    /// Row version; grows with every change in the whole store.
    pub version: u64,
    /// Values by column index.
    pub values: RowValues,
}

static NULL: Value = Value::Null;

/// Values of a row by column index. Columns without value take no room: tables have many more
/// columns than rows have values, and memory the machine has to hand out is what a fast loader
/// waits for.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct RowValues {
    /// Columns that are kept, ascending.
    columns: Vec<u16>,
    values: Vec<Value>,
}

impl RowValues {
    /// Value of a column; null if it has none.
    #[must_use]
    pub fn get(&self, column: usize) -> Option<&Value> {
        Some(&self[column])
    }

    /// Columns that have a value, ascending, with it.
    pub fn iter(&self) -> impl Iterator<Item = (usize, &Value)> {
        let columns = self.columns.iter().map(|&c| usize::from(c));
        columns.zip(&self.values).filter(|(_, value)| **value != Value::Null)
    }

    /// All values of a table of `width` columns, in their order.
    #[must_use]
    pub fn to_dense(&self, width: usize) -> Vec<Value> {
        let mut out = vec![Value::Null; width];
        for (column, value) in self.iter() {
            out[column] = value.clone();
        }
        out
    }

    fn find(&self, column: usize) -> Result<usize, usize> {
        self.columns.binary_search_by(|&c| usize::from(c).cmp(&column))
    }

    /// Puts a value and gives back the one before.
    pub fn replace(&mut self, column: usize, value: Value) -> Value {
        match self.find(column) {
            Ok(at) => std::mem::replace(&mut self.values[at], value),
            Err(_) if value == Value::Null => value,
            Err(_) => {
                self[column] = value;
                Value::Null
            }
        }
    }
}

impl From<Vec<Value>> for RowValues {
    fn from(dense: Vec<Value>) -> Self {
        let kept = dense.iter().filter(|value| !matches!(value, Value::Null)).count();
        let mut out = Self { columns: Vec::with_capacity(kept), values: Vec::with_capacity(kept) };
        for (column, value) in (0u16..).zip(dense) {
            if !matches!(value, Value::Null) {
                out.columns.push(column);
                out.values.push(value);
            }
        }
        out
    }
}

impl std::ops::Index<usize> for RowValues {
    type Output = Value;

    fn index(&self, column: usize) -> &Value {
        self.find(column).map_or(&NULL, |at| &self.values[at])
    }
}

impl std::ops::IndexMut<usize> for RowValues {
    fn index_mut(&mut self, column: usize) -> &mut Value {
        let at = self.find(column).unwrap_or_else(|at| {
            self.columns.insert(at, u16::try_from(column).unwrap_or(u16::MAX));
            self.values.insert(at, Value::Null);
            at
        });
        &mut self.values[at]
    }
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
    /// What was deleted, for change tracking.
    pub deleted: Deletions,
}

/// Most deletions a table remembers.
const DELETIONS_MAX: usize = 1 << 20;

/// Deleted rows of a table with change tracking, oldest first.
#[derive(Debug, Default)]
pub struct Deletions {
    log: VecDeque<(u64, Uuid)>,
    /// Version of the newest deletion that has been forgotten.
    pub forgotten: u64,
}

impl Deletions {
    /// Remembers a deletion.
    pub(super) fn push(&mut self, version: u64, id: Uuid) {
        if self.log.len() == DELETIONS_MAX
            && let Some((oldest, _)) = self.log.pop_front()
        {
            self.forgotten = oldest;
        }
        self.log.push_back((version, id));
    }

    /// Takes the latest deletion back.
    pub(super) fn pop(&mut self) {
        self.log.pop_back();
    }

    /// Version and id of what was deleted after `version`.
    pub fn after(&self, version: u64) -> impl Iterator<Item = (u64, Uuid)> {
        let start = self.log.partition_point(|(at, _)| *at <= version);
        self.log.range(start..).copied()
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn sparse_rows_behave_like_dense_ones(
            start in prop::collection::vec(prop::option::of(any::<i64>()), 12),
            steps in prop::collection::vec((0usize..12, prop::option::of(any::<i64>())), 0..20),
        ) {
            let value = |n: Option<i64>| n.map_or(Value::Null, Value::Int);
            let mut dense: Vec<Value> = start.into_iter().map(value).collect();
            let mut sparse = RowValues::from(dense.clone());
            for (column, new) in steps {
                let before = std::mem::replace(&mut dense[column], value(new));
                prop_assert_eq!(sparse.replace(column, value(new)), before);
                prop_assert_eq!(&sparse.to_dense(12), &dense);
            }
            for (column, expected) in dense.iter().enumerate() {
                prop_assert_eq!(&sparse[column], expected);
            }
        }
    }
}
