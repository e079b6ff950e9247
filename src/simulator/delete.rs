//! Pure: taking rows out, and what holds them.
//!
//! Source: `dataverse-web-api.md` §4.3, §10.3.

use super::call::{Answer, Call, Refusal};
use super::model::{Model, no_content};
use super::route::{Address, query_value};
use super::schema::{ColumnType, Storage};
use super::value::Value;
use super::write::refuse_intersect;

impl Model {
    /// `DELETE set(key)`.
    pub(super) fn delete(
        &mut self,
        (table, key): (usize, &str),
        call: &Call<'_>,
    ) -> Result<Answer, Refusal> {
        refuse_intersect(&self.schema.tables[table])?;
        let mut address = self.address(table, key)?;
        if let (true, Address::Id(id)) = (self.is_elastic(table), &address)
            && let Some(partition) = query_value(call.query, "partitionId")?
        {
            address = Address::Partition(*id, partition.trim_matches('\'').to_owned());
        }
        let place =
            self.locate(table, &address).ok_or_else(|| self.missing(table, &address, 404))?;
        self.check_delete_condition(table, place, call)?;
        self.delete_at(table, place)?;
        Ok(no_content(table, 1))
    }

    /// Deletes a row: refused while a restricting lookup holds it, other lookups are cleared.
    pub(super) fn delete_at(&mut self, table: usize, place: usize) -> Result<(), Refusal> {
        let Some(row) = self.store.tables[table].row(place) else { return Ok(()) };
        let id = row.id;
        let counted = self.schema.tables[table].messages.len() > 1;
        let held = !counted || self.store.references.contains_key(&id);
        if held && self.schema.tables[table].storage == Storage::Standard {
            for (from, column) in self.schema.tables[table].referenced_by.clone() {
                self.let_go((table, place), (from, column))?;
            }
            self.drop_pairs(table, id);
        }
        self.remove(table, place);
        Ok(())
    }

    fn let_go(
        &mut self,
        (table, place): (usize, usize),
        (from, column): (usize, usize),
    ) -> Result<(), Refusal> {
        let def = &self.schema.tables[from];
        if def.storage == Storage::Elastic {
            return Ok(());
        }
        let Some(row) = self.store.tables[table].row(place) else { return Ok(()) };
        let id = row.id;
        let wanted = Value::Reference(table, id);
        let holders: Vec<usize> = self.store.tables[from]
            .rows
            .iter()
            .enumerate()
            .filter(|(at, row)| {
                (from, *at) != (table, place)
                    && row.as_ref().is_some_and(|row| row.values[column] == wanted)
            })
            .map(|(at, _)| at)
            .collect();
        if holders.is_empty() {
            return Ok(());
        }
        let restricts = match &def.columns[column].kind {
            ColumnType::Lookup { targets, .. } => {
                targets.iter().any(|t| t.table_index == table && t.restrict_delete)
            }
            _ => false,
        };
        if restricts || def.must_have.contains(&column) {
            return Err(Refusal::new(
                405,
                0x8004_0227,
                format!(
                    "The {} with Id = {id} cannot be deleted because it is associated with {} \
                     rows of {} through '{}'.",
                    self.schema.tables[table].name,
                    holders.len(),
                    def.name,
                    def.columns[column].name
                ),
            ));
        }
        for holder in holders {
            self.change(from, holder, vec![(column, Value::Null)])?;
        }
        Ok(())
    }

    fn drop_pairs(&mut self, table: usize, id: uuid::Uuid) {
        for n in 0..self.schema.many_to_many.len() {
            let link = &self.schema.many_to_many[n];
            let intersect = link.intersect;
            let sides = link.tables.map(|t| t == table);
            let places: Vec<usize> = self.store.tables[intersect]
                .by_pair
                .iter()
                .filter(|((one, other), _)| (sides[0] && *one == id) || (sides[1] && *other == id))
                .map(|(_, &place)| place)
                .collect();
            for place in places {
                self.remove(intersect, place);
            }
        }
    }
}
