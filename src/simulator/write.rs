//! Pure: writes, from path and method to the operation.

use super::call::{Answer, Call, CallContext, Refusal, Verb};
use super::create::id_at;
use super::json::Cursor;
use super::model::{Actor, Model, entity_url, no_content, utf8, verb_name};
use super::payload::Reader;
use super::refusals::{self, method_not_allowed, no_such_resource, not_implemented, payload};
use super::route::{Segment, query_value, segments};
use super::schema::{ColumnType, Property, Storage, TableDef};
use super::update::Wish;
use super::validate::{convert, not_json};
use super::value::Value;
use super::{elastic, query};

/// Content type of JSON answers.
pub(super) const JSON: &str = "application/json; odata.metadata=minimal";

impl Model {
    pub(super) fn write(
        &mut self,
        ctx: &CallContext,
        actor: &Actor,
        call: &Call<'_>,
    ) -> Result<Answer, Refusal> {
        let parts = segments(call.path)?;
        let first = &parts[0];
        let keyed = first.key.as_deref();
        match (call.verb, keyed, &parts[1..]) {
            (Verb::Post, None, []) if !self.schema.by_set.contains_key(&first.name) => {
                self.message(actor, &first.name, call)
            }
            (Verb::Post, None, []) => {
                self.create_one(ctx, actor, self.table_of_set(&first.name)?, call)
            }
            (Verb::Post, None, [Segment { name, key: None }]) => {
                let table = self.table_of_set(&first.name)?;
                match name.strip_prefix("Microsoft.Dynamics.CRM.") {
                    Some(message) => self.bulk(actor, table, message, call),
                    None => Err(no_such_resource(name)),
                }
            }
            (_, None, _) => {
                self.table_of_set(&first.name)?;
                Err(method_not_allowed(verb_name(call.verb)))
            }
            (verb, Some(key), rest) => {
                let row = (self.table_of_set(&first.name)?, key);
                match (verb, rest) {
                    (Verb::Patch, []) => self.patch(ctx, actor, row, call),
                    (Verb::Delete, []) => self.delete(row, call),
                    (_, [navigation, Segment { name, key: None }]) if name == "$ref" => {
                        self.reference_call(actor, row, navigation, call)
                    }
                    (Verb::Put | Verb::Delete, [Segment { name, key: None }]) => {
                        self.property(actor, row, name, call)
                    }
                    (Verb::Patch, [Segment { name, key: None }]) => self.file_column(row.0, name),
                    (Verb::Post, [Segment { name, .. }]) => {
                        Err(not_implemented(format!("Creating a row through '{name}'")))
                    }
                    _ => Err(method_not_allowed(verb_name(verb))),
                }
            }
        }
    }

    /// `PUT set(key)/column` with `{"value":…}`, `DELETE set(key)/column`.
    ///
    /// Source: `dataverse-web-api.md` §4.2.
    fn property(
        &mut self,
        actor: &Actor,
        (table, key): (usize, &str),
        name: &str,
        call: &Call<'_>,
    ) -> Result<Answer, Refusal> {
        let def = &self.schema.tables[table];
        let Some(Property::Column(column)) = def.by_property.get(name).copied() else {
            return Err(no_such_resource(name));
        };
        let address = self.address(table, key)?;
        let place =
            self.locate(table, &address).ok_or_else(|| self.missing(table, &address, 404))?;
        self.check_delete_condition(table, place, call)?;
        let value = if call.verb == Verb::Put {
            let json = Cursor::whole(utf8(def, call.body)?).map_err(|e| not_json(def, e))?;
            let value = json
                .get("value")
                .ok_or_else(|| payload(&def.set, "The property 'value' is missing."))?;
            convert(def, &def.columns[column], value, &self.settings)?
        } else {
            Value::Null
        };
        if !def.columns[column].for_update {
            return Err(refusals::not_writable(&def.columns[column], false));
        }
        self.update(actor, table, place, vec![(column, value)], Wish::Client)?;
        Ok(no_content(table, 1))
    }

    fn file_column(&self, table: usize, name: &str) -> Result<Answer, Refusal> {
        let def = &self.schema.tables[table];
        match def.column(name).map(|c| &def.columns[c].kind) {
            Some(ColumnType::File | ColumnType::Image) => {
                Err(not_implemented("Uploading the content of a file or image column"))
            }
            Some(_) => Err(method_not_allowed("PATCH")),
            None => Err(no_such_resource(name)),
        }
    }

    fn create_one(
        &mut self,
        ctx: &CallContext,
        actor: &Actor,
        table: usize,
        call: &Call<'_>,
    ) -> Result<Answer, Refusal> {
        let def = &self.schema.tables[table];
        refuse_intersect(def)?;
        let incoming = Reader::whole(self, table, utf8(def, call.body)?)?;
        if incoming.address.is_some() {
            return Err(payload(&def.set, "'@odata.id' is not valid for create."));
        }
        let place = self.create(actor, table, incoming)?;
        self.answer_row(ctx, call, table, place, true)
    }

    /// 204 with the row's address, or the row itself if the client wants it.
    ///
    /// Source: `dataverse-web-api.md` §4.1, §4.2.
    pub(super) fn answer_row(
        &self,
        ctx: &CallContext,
        call: &Call<'_>,
        table: usize,
        place: usize,
        created: bool,
    ) -> Result<Answer, Refusal> {
        let def = &self.schema.tables[table];
        let mut answer = Answer { rows: 1, table: Some(table), ..Answer::default() };
        if def.storage == Storage::Elastic {
            answer.headers.push(("x-ms-session-token", elastic::session_token(self.version)));
        }
        if call.prefers("return=representation") {
            let Some(row) = self.store.tables[table].row(place) else { return Ok(answer) };
            let select = query_value(call.query, "$select")?;
            let annotations = wants_annotations(call);
            answer.status = if created { 201 } else { 200 };
            answer.content_type = Some(JSON);
            answer.headers.push(("Preference-Applied", "return=representation".to_owned()));
            answer.headers.push(("ETag", super::model::etag(def, row)));
            answer.body = query::represent(self, ctx, def, row, select.as_deref(), annotations);
            return Ok(answer);
        }
        answer.status = 204;
        let url = if created || !call.path.contains('=') {
            match elastic::partition_of(self, table, place) {
                Some(partition) => {
                    elastic::entity_url(&ctx.origin, def, self, table, place, &partition)
                }
                None => entity_url(&ctx.origin, def, id_at(self, table, place)),
            }
        } else {
            format!("{}/api/data/v9.2/{}", ctx.origin, call.path.trim_start_matches('/'))
        };
        if created && call.verb == Verb::Post {
            answer.headers.push(("Location", url.clone()));
        }
        answer.headers.push(("OData-EntityId", url));
        Ok(answer)
    }
}

/// Whether the client wants annotations of rows.
pub(super) fn wants_annotations(call: &Call<'_>) -> bool {
    call.headers.iter().any(|(name, value)| {
        name.eq_ignore_ascii_case("prefer") && value.contains("odata.include-annotations")
    })
}

/// Intersect tables are written by associate alone.
///
/// Source: `dataverse-web-api.md` §4.6.
pub(super) fn refuse_intersect(def: &TableDef) -> Result<(), Refusal> {
    if def.is_intersect {
        return Err(Refusal::new(
            400,
            super::refusals::INVALID_ARGUMENT,
            format!("The 'Create' method does not support entities of type '{}'.", def.name),
        ));
    }
    Ok(())
}
