//! Pure: making a row together with the rows its body holds, all or nothing.
//!
//! Source: `dataverse-web-api.md` §4.1.

use super::call::Refusal;
use super::create::id_at;
use super::model::{Actor, Model};
use super::payload::{Incoming, Nested};
use super::refusals::payload;
use super::schema::CollectionDef;
use super::value::Value;

impl Model {
    /// Makes the rows that lookups lead to, then the row, then the rows of its collections.
    pub(super) fn create_with_related(
        &mut self,
        actor: &Actor,
        table: usize,
        mut incoming: Incoming,
    ) -> Result<usize, Refusal> {
        let mut collections = Vec::new();
        for nested in std::mem::take(&mut incoming.nested) {
            match nested {
                Nested::Target(column, target, row) => {
                    let place = self.create(actor, target, row)?;
                    let id = id_at(self, target, place);
                    incoming.changes.push((column, Value::Reference(target, id)));
                }
                Nested::Collection(collection, rows) => collections.push((collection, rows)),
            }
        }
        let place = self.create_alone(actor, table, incoming)?;
        for (collection, rows) in collections {
            for row in rows {
                self.create_member(actor, (table, place), collection, row)?;
            }
        }
        Ok(place)
    }

    /// Makes one row of a collection of the row at `place`.
    fn create_member(
        &mut self,
        actor: &Actor,
        (table, place): (usize, usize),
        collection: CollectionDef,
        mut row: Incoming,
    ) -> Result<(), Refusal> {
        match collection {
            CollectionDef::OneToMany { table: from, column } => {
                if row.changes.iter().any(|(c, _)| *c == column) {
                    let def = &self.schema.tables[from];
                    let name = &def.columns[column].name;
                    return Err(payload(
                        &def.set,
                        format!("'{name}' follows from the collection the row is given in."),
                    ));
                }
                let id = id_at(self, table, place);
                row.changes.push((column, Value::Reference(table, id)));
                self.create(actor, from, row).map(|_| ())
            }
            CollectionDef::ManyToMany { relationship, side } => {
                let other = self.schema.many_to_many[relationship].tables[1 - side];
                let made = self.create(actor, other, row)?;
                let id = id_at(self, other, made);
                self.add(actor, (table, place), collection, (other, id))
            }
        }
    }
}
