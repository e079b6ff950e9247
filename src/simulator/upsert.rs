//! Pure: rows addressed by a key that may or may not exist yet.
//!
//! Source: `dataverse-web-api.md` §4.2.

use super::call::{Answer, Call, CallContext, Refusal};
use super::model::{Actor, Model, etag, utf8};
use super::payload::{Incoming, Reader};
use super::refusals::{self, INVALID_ARGUMENT, payload};
use super::route::Address;
use super::update::Wish;
use super::value::Value;
use super::write::refuse_intersect;

/// What `If-Match` and `If-None-Match` allow.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Condition {
    None,
    /// `If-Match: *`.
    MustExist,
    /// `If-Match: W/"123"`.
    Version(String),
    /// `If-None-Match: *`.
    MustNotExist,
}

fn condition(call: &Call<'_>) -> Condition {
    match (call.header("if-match"), call.header("if-none-match")) {
        (Some("*"), _) => Condition::MustExist,
        // `null` is what some clients send to keep caches away.
        (Some(tag), _) if tag != "null" && !tag.is_empty() => Condition::Version(tag.to_owned()),
        (_, Some("*")) => Condition::MustNotExist,
        _ => Condition::None,
    }
}

impl Model {
    /// `PATCH set(key)`.
    pub(super) fn patch(
        &mut self,
        ctx: &CallContext,
        actor: &Actor,
        (table, key): (usize, &str),
        call: &Call<'_>,
    ) -> Result<Answer, Refusal> {
        let def = &self.schema.tables[table];
        refuse_intersect(def)?;
        let address = self.address(table, key)?;
        let condition = condition(call);
        let place = self.locate(table, &address);
        let place = match (place, &condition) {
            (None, Condition::MustExist | Condition::Version(_)) => {
                return Err(self.missing(table, &address, 404));
            }
            (Some(place), _) => {
                self.check_condition(table, place, &condition)?;
                Some(place)
            }
            (None, _) => None,
        };
        let incoming = Reader::whole(self, table, utf8(def, call.body)?)?;
        if incoming.address.is_some() {
            return Err(payload(&def.set, "'@odata.id' is not valid in the body of one row."));
        }
        match place {
            Some(place) => {
                // An upsert of an elastic row replaces it; with If-Match it is an update.
                let replaces = self.is_elastic(table) && condition == Condition::None;
                self.update_addressed(actor, table, place, &address, incoming, replaces)?;
                self.answer_row(ctx, call, table, place, false)
            }
            None => {
                let place = self.create_addressed(actor, table, &address, incoming)?;
                self.answer_row(ctx, call, table, place, true)
            }
        }
    }

    /// Compares the row's version with what the client has seen.
    fn check_condition(
        &self,
        table: usize,
        place: usize,
        condition: &Condition,
    ) -> Result<(), Refusal> {
        let def = &self.schema.tables[table];
        let Some(row) = self.store.tables[table].row(place) else { return Ok(()) };
        match condition {
            Condition::None | Condition::MustExist => Ok(()),
            Condition::MustNotExist => Err(Refusal::new(
                412,
                refusals::DUPLICATE,
                "A record with matching key values already exists.",
            )),
            Condition::Version(given) => {
                let current = etag(def, row);
                let bare = |tag: &str| tag.trim_start_matches("W/").trim_matches('"').to_owned();
                if bare(given) == bare(&current) {
                    return Ok(());
                }
                Err(Refusal::new(
                    412,
                    0x8006_0882,
                    "The version of the existing record doesn't match the RowVersion property \
                     provided.",
                ))
            }
        }
    }

    /// Conditions of a delete.
    pub(super) fn check_delete_condition(
        &self,
        table: usize,
        place: usize,
        call: &Call<'_>,
    ) -> Result<(), Refusal> {
        match condition(call) {
            Condition::MustNotExist => Ok(()),
            condition => self.check_condition(table, place, &condition),
        }
    }

    /// Updates the row an address has led to.
    pub(super) fn update_addressed(
        &mut self,
        actor: &Actor,
        table: usize,
        place: usize,
        address: &Address,
        incoming: Incoming,
        replaces: bool,
    ) -> Result<(), Refusal> {
        let def = &self.schema.tables[table];
        let Some(row) = self.store.tables[table].row(place) else { return Ok(()) };
        if !incoming.nested.is_empty() {
            let rule = "Related rows are created together with a row, not with its update.";
            return Err(payload(&def.set, rule));
        }
        if incoming.id.is_some_and(|id| id != row.id) {
            return Err(Refusal::new(
                400,
                INVALID_ARGUMENT,
                "Entity Id must be the same as the value set in property bag.",
            ));
        }
        let mut changes = incoming.changes;
        if let Address::Key(key, _) = address {
            // Source: §4.2: key columns in the body are ignored when the row exists.
            changes.retain(|(c, _)| !def.keys[*key].columns.contains(c));
        }
        if let Some(partition) = def.standing.partition {
            let same = |(c, v): &(usize, Value)| *c == partition && *v == row.values[partition];
            changes.retain(|change| !same(change));
        }
        if replaces {
            changes = self.replacing(table, changes)?;
        }
        self.update(actor, table, place, changes, Wish::Client)
    }

    /// Creates the row an address has led nowhere for; values of the body win.
    pub(super) fn create_addressed(
        &mut self,
        actor: &Actor,
        table: usize,
        address: &Address,
        mut incoming: Incoming,
    ) -> Result<usize, Refusal> {
        let def = &self.schema.tables[table];
        match address {
            Address::Id(id) | Address::Partition(id, _) => {
                if incoming.id.is_some_and(|given| given != *id) {
                    return Err(Refusal::new(
                        400,
                        INVALID_ARGUMENT,
                        "Entity Id must be the same as the value set in property bag.",
                    ));
                }
                incoming.id = Some(*id);
            }
            Address::Key(_, values) => {
                for (column, value) in values {
                    if !incoming.changes.iter().any(|(c, _)| c == column) {
                        let value = self.key_reference(table, *column, value)?;
                        incoming.changes.push((*column, value));
                    }
                }
            }
        }
        if let (Address::Partition(_, partition), Some(column)) = (address, def.standing.partition)
            && !incoming.changes.iter().any(|(c, _)| *c == column)
        {
            incoming.changes.push((column, Value::Text(partition.as_str().into())));
        }
        self.create(actor, table, incoming)
    }

    /// A lookup in a key leads to a row that exists, of any of its targets.
    fn key_reference(&self, table: usize, column: usize, value: &Value) -> Result<Value, Refusal> {
        let Value::Reference(_, id) = value else { return Ok(value.clone()) };
        let super::schema::ColumnType::Lookup { targets, .. } =
            &self.schema.tables[table].columns[column].kind
        else {
            return Ok(value.clone());
        };
        targets
            .iter()
            .find(|t| self.store.row(t.table_index, *id).is_some())
            .map(|t| Value::Reference(t.table_index, *id))
            .ok_or_else(|| {
                refusals::row_missing(self.settings.bind_missing_status, &targets[0].table, *id)
            })
    }
}
