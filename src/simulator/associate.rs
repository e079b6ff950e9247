//! Pure: `$ref`: links between rows, one by one.
//!
//! Source: `dataverse-web-api.md` §4.6.

use super::call::{Answer, Call, Refusal, Verb};
use super::json::{Cursor, Json};
use super::model::{Actor, Model, no_content, utf8, verb_name};
use super::refusals::{self, bad_url, method_not_allowed, no_such_resource, payload};
use super::route::{Address, Segment, query_value};
use super::schema::{CollectionDef, ColumnType};
use super::update::Wish;
use super::validate::not_json;
use super::value::Value;
use uuid::Uuid;

impl Model {
    /// `POST | PUT | DELETE set(key)/nav/$ref`.
    pub(super) fn reference_call(
        &mut self,
        actor: &Actor,
        (table, key): (usize, &str),
        navigation: &Segment,
        call: &Call<'_>,
    ) -> Result<Answer, Refusal> {
        let address = self.address(table, key)?;
        let place =
            self.locate(table, &address).ok_or_else(|| self.missing(table, &address, 404))?;
        let def = &self.schema.tables[table];
        let single = def.by_navigation.get(&navigation.name).map(|&(column, _)| column);
        let collection = def.collections.get(&navigation.name).copied();
        match (call.verb, single, collection) {
            (Verb::Put, Some(column), _) if navigation.key.is_none() => {
                let (target, id) = self.body_target(table, call)?;
                self.set_single(actor, (table, place), column, &navigation.name, (target, id))?;
            }
            (Verb::Delete, Some(column), _) if navigation.key.is_none() => {
                self.clear_single(actor, (table, place), column, &navigation.name)?;
            }
            (Verb::Post, _, Some(collection)) if navigation.key.is_none() => {
                let other = self.body_target(table, call)?;
                self.add(actor, (table, place), collection, other)?;
            }
            (Verb::Delete, _, Some(collection)) => {
                let other = self.other_row(table, collection, navigation, call)?;
                self.take_out(actor, (table, place), collection, other)?;
            }
            (_, None, None) => return Err(no_such_resource(&navigation.name)),
            _ => return Err(method_not_allowed(verb_name(call.verb))),
        }
        Ok(no_content(table, 1))
    }

    /// The row named by `@odata.id` in the body; it must exist.
    fn body_target(&self, table: usize, call: &Call<'_>) -> Result<(usize, Uuid), Refusal> {
        let def = &self.schema.tables[table];
        let json = Cursor::whole(utf8(def, call.body)?).map_err(|e| not_json(def, e))?;
        let Json::Object(members) = &json else {
            return Err(payload(&def.set, "An object with '@odata.id' is expected."));
        };
        if let Some((name, _)) = members.iter().find(|(name, _)| !name.starts_with('@')) {
            return Err(payload(&def.set, format!("'{name}' is not valid in a reference.")));
        }
        let url = json.get("@odata.id").and_then(Json::text);
        let url = url.ok_or_else(|| payload(&def.set, "'@odata.id' is missing."))?;
        self.existing(url)
    }

    fn existing(&self, url: &str) -> Result<(usize, Uuid), Refusal> {
        let (table, address) = self.reference(url)?;
        let status = self.settings.bind_key_missing_status;
        let missing = || self.missing(table, &address, status);
        let place = self.locate(table, &address).ok_or_else(missing)?;
        let row = self.store.tables[table].row(place).ok_or_else(missing)?;
        Ok((table, row.id))
    }

    fn set_single(
        &mut self,
        actor: &Actor,
        (table, place): (usize, usize),
        column: usize,
        navigation: &str,
        (target, id): (usize, Uuid),
    ) -> Result<(), Refusal> {
        let fits = match &self.schema.tables[table].columns[column].kind {
            ColumnType::Lookup { targets, .. } => {
                targets.iter().any(|t| t.table_index == target && t.navigation == navigation)
            }
            _ => false,
        };
        if !fits {
            return Err(payload(
                &self.schema.tables[table].set,
                format!(
                    "'{}' cannot be referenced through '{navigation}'.",
                    self.schema.tables[target].name
                ),
            ));
        }
        let changes = vec![(column, Value::Reference(target, id))];
        self.update(actor, table, place, changes, Wish::Client)
    }

    fn clear_single(
        &mut self,
        actor: &Actor,
        (table, place): (usize, usize),
        column: usize,
        navigation: &str,
    ) -> Result<(), Refusal> {
        let def = &self.schema.tables[table];
        let current = self.store.tables[table].row(place).map(|row| row.values[column].clone());
        let ColumnType::Lookup { targets, .. } = &def.columns[column].kind else { return Ok(()) };
        let held = targets.iter().any(|t| {
            t.navigation == navigation
                && matches!(current, Some(Value::Reference(held, _)) if held == t.table_index)
        });
        if Some(column) == def.standing.owner {
            return Err(Refusal::new(400, 0x8004_0229, "The owner of a row cannot be cleared."));
        }
        if !held {
            return Ok(());
        }
        self.update(actor, table, place, vec![(column, Value::Null)], Wish::Client)
    }

    pub(super) fn add(
        &mut self,
        actor: &Actor,
        (table, place): (usize, usize),
        collection: CollectionDef,
        (other_table, other): (usize, Uuid),
    ) -> Result<(), Refusal> {
        let id = super::create::id_at(self, table, place);
        match collection {
            CollectionDef::OneToMany { table: from, column } => {
                self.must_be(table, from, other_table)?;
                let Some(child) = self.store.place(from, other) else { return Ok(()) };
                let changes = vec![(column, Value::Reference(table, id))];
                self.update(actor, from, child, changes, Wish::Client)
            }
            CollectionDef::ManyToMany { relationship, side } => {
                let link = &self.schema.many_to_many[relationship];
                self.must_be(table, link.tables[1 - side], other_table)?;
                let pair = if side == 0 { (id, other) } else { (other, id) };
                let intersect = link.intersect;
                if self.store.tables[intersect].by_pair.contains_key(&pair) {
                    return Err(refusals::duplicate_id());
                }
                let row = self.new_id();
                let mut values = vec![Value::Null; self.schema.tables[intersect].columns.len()];
                values[0] = Value::Guid(row);
                values[1] = Value::Guid(pair.0);
                values[2] = Value::Guid(pair.1);
                self.insert(intersect, values).map(|_| ())
            }
        }
    }

    fn must_be(&self, table: usize, expected: usize, given: usize) -> Result<(), Refusal> {
        if expected == given {
            return Ok(());
        }
        Err(payload(
            &self.schema.tables[table].set,
            format!(
                "A row of '{}' is expected, not of '{}'.",
                self.schema.tables[expected].name, self.schema.tables[given].name
            ),
        ))
    }

    /// The other row of a removal: `nav(id)/$ref` or `nav/$ref?$id=url`.
    fn other_row(
        &self,
        table: usize,
        collection: CollectionDef,
        navigation: &Segment,
        call: &Call<'_>,
    ) -> Result<(usize, Uuid), Refusal> {
        let other = match collection {
            CollectionDef::OneToMany { table, .. } => table,
            CollectionDef::ManyToMany { relationship, side } => {
                self.schema.many_to_many[relationship].tables[1 - side]
            }
        };
        if let Some(key) = &navigation.key {
            let address = self.address(other, key)?;
            let status = self.settings.bind_key_missing_status;
            return match (&address, self.locate(other, &address)) {
                (Address::Id(id), Some(_)) => Ok((other, *id)),
                (_, Some(place)) => Ok((other, super::create::id_at(self, other, place))),
                (_, None) => Err(self.missing(other, &address, status)),
            };
        }
        match query_value(call.query, "$id")? {
            Some(url) => {
                let found = self.existing(&url)?;
                self.must_be(table, other, found.0)?;
                Ok(found)
            }
            None => Err(bad_url("Which row to take out of the collection is not said.")),
        }
    }

    fn take_out(
        &mut self,
        actor: &Actor,
        (table, place): (usize, usize),
        collection: CollectionDef,
        (other_table, other): (usize, Uuid),
    ) -> Result<(), Refusal> {
        let id = super::create::id_at(self, table, place);
        let not_linked = || {
            Refusal::new(
                404,
                refusals::NOT_FOUND,
                format!("The rows {id} and {other} are not associated."),
            )
        };
        match collection {
            CollectionDef::OneToMany { column, .. } => {
                let child = self.store.place(other_table, other).ok_or_else(not_linked)?;
                let row = self.store.tables[other_table].row(child).ok_or_else(not_linked)?;
                if row.values[column] != Value::Reference(table, id) {
                    return Err(not_linked());
                }
                let changes = vec![(column, Value::Null)];
                self.update(actor, other_table, child, changes, Wish::Client)
            }
            CollectionDef::ManyToMany { relationship, side } => {
                let pair = if side == 0 { (id, other) } else { (other, id) };
                let intersect = self.schema.many_to_many[relationship].intersect;
                let place = self.store.tables[intersect].by_pair.get(&pair).copied();
                self.remove(intersect, place.ok_or_else(not_linked)?);
                Ok(())
            }
        }
    }
}
