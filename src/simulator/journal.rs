//! Pure: changes of the store with everything hanging on them (indexes, reference counts), and
//! their undoing.

use super::call::Refusal;
use super::keys::{enforced, key_text, shown};
use super::model::Model;
use super::refusals::{duplicate_id, duplicate_key};
use super::schema::{Storage, TableDef};
use super::store::{Row, Store};
use super::value::Value;
use uuid::Uuid;

/// How to take one change back.
#[derive(Debug)]
pub(super) enum Undo {
    /// A row was added.
    Inserted {
        /// Table.
        table: usize,
        /// Place in the table.
        place: usize,
    },
    /// Values were changed.
    Changed {
        /// Table.
        table: usize,
        /// Place in the table.
        place: usize,
        /// Version before.
        version: u64,
        /// Values before.
        before: Vec<(usize, Value)>,
    },
    /// A row was taken out.
    Removed {
        /// Table.
        table: usize,
        /// Place in the table.
        place: usize,
        /// The row.
        row: Row,
    },
}

impl Model {
    /// Adds a row whose values are complete; `values[0]` is its id.
    pub(super) fn insert(
        &mut self,
        table: usize,
        mut values: Vec<Value>,
    ) -> Result<usize, Refusal> {
        let def = &self.schema.tables[table];
        let Value::Guid(id) = values[0] else {
            return Err(duplicate_id());
        };
        if is_taken(def, &self.store, table, id, &values) {
            return Err(if def.storage == Storage::Elastic {
                super::elastic::conflict(def, id)
            } else {
                duplicate_id()
            });
        }
        check_keys(def, &self.store, table, None, |c| &values[c], None)?;
        self.version += 1;
        if let Some(column) = def.standing.version {
            values[column] = Value::Int(self.version.cast_signed());
        }
        let rows = &mut self.store.tables[table].rows;
        let place = rows.len();
        rows.push(Some(Row { id, version: self.version, values: values.into() }));
        attach(def, &mut self.store, table, place);
        self.journal.push(Undo::Inserted { table, place });
        Ok(place)
    }

    /// Replaces values of a row.
    pub(super) fn change(
        &mut self,
        table: usize,
        place: usize,
        mut changes: Vec<(usize, Value)>,
    ) -> Result<(), Refusal> {
        let def = &self.schema.tables[table];
        let Some(row) = self.store.tables[table].row(place) else { return Ok(()) };
        let new = |c: usize| {
            changes.iter().rev().find(|(at, _)| *at == c).map_or(&row.values[c], |(_, v)| v)
        };
        let touched: Vec<bool> = def
            .keys
            .iter()
            .map(|key| key.columns.iter().any(|c| changes.iter().any(|(at, _)| at == c)))
            .collect();
        if touched.contains(&true) {
            check_keys(def, &self.store, table, Some(place), new, Some(&touched))?;
        }
        self.version += 1;
        if let Some(column) = def.standing.version {
            changes.push((column, Value::Int(self.version.cast_signed())));
        }
        let version = self.version;
        if let Some(version) = swap(def, &mut self.store, table, place, version, &mut changes) {
            self.journal.push(Undo::Changed { table, place, version, before: changes });
        }
        Ok(())
    }

    /// Takes a row out.
    pub(super) fn remove(&mut self, table: usize, place: usize) {
        let def = &self.schema.tables[table];
        detach(def, &mut self.store, table, place);
        if let Some(row) = self.store.tables[table].rows[place].take() {
            if def.change_tracking {
                self.version += 1;
                self.store.tables[table].deleted.push(self.version, row.id);
            }
            self.journal.push(Undo::Removed { table, place, row });
        }
    }

    /// Undoes everything after `mark`, last first.
    pub(super) fn undo_to(&mut self, mark: usize) {
        while self.journal.len() > mark {
            match self.journal.pop() {
                Some(Undo::Inserted { table, place }) => {
                    detach(&self.schema.tables[table], &mut self.store, table, place);
                    let rows = &mut self.store.tables[table].rows;
                    if place + 1 == rows.len() {
                        rows.pop();
                    } else {
                        rows[place] = None;
                    }
                }
                Some(Undo::Changed { table, place, version, mut before }) => {
                    let def = &self.schema.tables[table];
                    // In reverse, so that a column given twice ends at its first value.
                    before.reverse();
                    swap(def, &mut self.store, table, place, version, &mut before);
                }
                Some(Undo::Removed { table, place, row }) => {
                    let def = &self.schema.tables[table];
                    if def.change_tracking {
                        self.store.tables[table].deleted.pop();
                    }
                    self.store.tables[table].rows[place] = Some(row);
                    attach(def, &mut self.store, table, place);
                }
                None => return,
            }
        }
    }
}

fn is_taken(def: &TableDef, store: &Store, table: usize, id: Uuid, values: &[Value]) -> bool {
    match def.standing.partition {
        Some(column) => match &values[column] {
            Value::Text(partition) => {
                store.tables[table].by_partition.contains_key(&(id, partition.clone()))
            }
            _ => false,
        },
        None => store.tables[table].by_id.contains_key(&id),
    }
}

fn check_keys<'v>(
    def: &'v TableDef,
    store: &Store,
    table: usize,
    except: Option<usize>,
    value: impl Fn(usize) -> &'v Value + Copy,
    only: Option<&[bool]>,
) -> Result<(), Refusal> {
    if def.storage == Storage::Elastic {
        return Ok(());
    }
    for (k, key) in def.keys.iter().enumerate() {
        if !enforced(key) || only.is_some_and(|only| !only[k]) {
            continue;
        }
        let Some(text) = key_text(key, value) else { continue };
        let Some(&holder) = store.tables[table].by_key[k].get(&text) else { continue };
        if Some(holder) == except {
            continue;
        }
        let Some(row) = store.tables[table].row(holder) else { continue };
        let columns: Vec<_> = key.columns.iter().map(|&c| &def.columns[c]).collect();
        let given = shown(def, key, &row.values);
        return Err(duplicate_key(&columns, &key.name, &given, row.id));
    }
    Ok(())
}

/// Puts a row into the indexes and counts its references.
fn attach(def: &TableDef, store: &mut Store, table: usize, place: usize) {
    let Store { tables, references } = store;
    let rows = &mut tables[table];
    let Some(row) = rows.rows[place].as_ref() else { return };
    rows.live += 1;
    if let (true, Value::Guid(one), Value::Guid(other)) =
        (def.is_intersect, &row.values[1], &row.values[2])
    {
        rows.by_pair.insert((*one, *other), place);
        *references.entry(*one).or_default() += 1;
        *references.entry(*other).or_default() += 1;
    }
    match def.standing.partition.map(|c| &row.values[c]) {
        Some(Value::Text(partition)) => {
            rows.by_partition.insert((row.id, partition.clone()), place);
        }
        _ => {
            rows.by_id.insert(row.id, place);
        }
    }
    for &column in &def.counted {
        count(references, &row.values[column], true);
    }
    if def.storage == Storage::Standard {
        for (k, key) in def.keys.iter().enumerate().filter(|(_, key)| enforced(key)) {
            if let Some(text) = key_text(key, |c| &row.values[c]) {
                rows.by_key[k].insert(text, place);
            }
        }
    }
}

/// Takes a row out of the indexes.
fn detach(def: &TableDef, store: &mut Store, table: usize, place: usize) {
    let Store { tables, references } = store;
    let rows = &mut tables[table];
    let Some(row) = rows.rows[place].as_ref() else { return };
    rows.live -= 1;
    if let (true, Value::Guid(one), Value::Guid(other)) =
        (def.is_intersect, &row.values[1], &row.values[2])
    {
        rows.by_pair.remove(&(*one, *other));
        count(references, &Value::Reference(0, *one), false);
        count(references, &Value::Reference(0, *other), false);
    }
    match def.standing.partition.map(|c| &row.values[c]) {
        Some(Value::Text(partition)) => {
            rows.by_partition.remove(&(row.id, partition.clone()));
        }
        _ => {
            rows.by_id.remove(&row.id);
        }
    }
    for &column in &def.counted {
        count(references, &row.values[column], false);
    }
    if def.storage == Storage::Standard {
        for (k, key) in def.keys.iter().enumerate().filter(|(_, key)| enforced(key)) {
            if let Some(text) = key_text(key, |c| &row.values[c]) {
                rows.by_key[k].remove(&text);
            }
        }
    }
}

/// Exchanges values of a row with `changes`, keeping indexes right; returns the version before.
fn swap(
    def: &TableDef,
    store: &mut Store,
    table: usize,
    place: usize,
    version: u64,
    changes: &mut [(usize, Value)],
) -> Option<u64> {
    let Store { tables, references } = store;
    let rows = &mut tables[table];
    let row = rows.rows[place].as_mut()?;
    let standard = def.storage == Storage::Standard;
    let touched: Vec<usize> = (0..def.keys.len())
        .filter(|&k| {
            let columns = &def.keys[k].columns;
            standard && enforced(&def.keys[k]) && changes.iter().any(|(c, _)| columns.contains(c))
        })
        .collect();
    for &k in &touched {
        if let Some(text) = key_text(&def.keys[k], |c| &row.values[c]) {
            rows.by_key[k].remove(&text);
        }
    }
    for (column, value) in changes {
        let counted = matches!(value, Value::Reference(..))
            || matches!(row.values[*column], Value::Reference(..));
        if counted && def.counted.contains(column) {
            count(references, &row.values[*column], false);
            count(references, value, true);
        }
        let new = std::mem::replace(value, Value::Null);
        *value = row.values.replace(*column, new);
    }
    for &k in &touched {
        if let Some(text) = key_text(&def.keys[k], |c| &row.values[c]) {
            rows.by_key[k].insert(text, place);
        }
    }
    Some(std::mem::replace(&mut row.version, version))
}

fn count(references: &mut super::schema::FastMap<Uuid, u32>, value: &Value, up: bool) {
    let Value::Reference(_, id) = value else { return };
    if up {
        *references.entry(*id).or_default() += 1;
    } else if let Some(n) = references.get_mut(id) {
        *n -= 1;
        if *n == 0 {
            references.remove(id);
        }
    }
}
