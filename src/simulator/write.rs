//! Pure: writes, from path and method to the operation.

use super::call::{Answer, Call, CallContext, Refusal, Verb};
use super::create::id_at;
use super::model::{Actor, Model, entity_url, utf8, verb_name};
use super::payload::Reader;
use super::refusals::{method_not_allowed, no_such_resource, payload};
use super::route::{Segment, query_value, segments};
use super::schema::TableDef;
use super::{elastic, read_side};

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
        match (call.verb, &parts[1..]) {
            (Verb::Post, []) if first.key.is_none() => {
                let table = self.table_of_set(&first.name)?;
                self.create_one(ctx, actor, table, call)
            }
            (Verb::Post, [Segment { name, key: None }]) if first.key.is_none() => {
                let table = self.table_of_set(&first.name)?;
                match name.strip_prefix("Microsoft.Dynamics.CRM.") {
                    Some(message) => self.bulk(actor, table, message, call),
                    None => Err(no_such_resource(name)),
                }
            }
            _ => Err(method_not_allowed(verb_name(call.verb))),
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
        if def.storage == super::schema::Storage::Elastic {
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
            answer.body = read_side::represent(self, ctx, def, row, select.as_deref(), annotations);
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
