//! Pure: bulk messages.
//!
//! Source: `dataverse-web-api.md` §2.

use super::call::{Answer, Call, Refusal};
use super::create::id_at;
use super::json::Cursor;
use super::model::{Actor, Model, utf8};
use super::payload::{Incoming, Reader};
use super::refusals::{self, payload};
use super::schema::TableDef;
use super::validate::not_json;
use super::write::JSON;
use std::fmt::Write as _;
use uuid::Uuid;

impl Model {
    /// Runs a bulk message.
    pub(super) fn bulk(
        &mut self,
        actor: &Actor,
        table: usize,
        message: &str,
        call: &Call<'_>,
    ) -> Result<Answer, Refusal> {
        let def = &self.schema.tables[table];
        let body = utf8(def, call.body)?;
        match message {
            "CreateMultiple" => self.create_multiple(actor, table, body),
            _ => Err(refusals::no_such_resource(&format!("Microsoft.Dynamics.CRM.{message}"))),
        }
    }

    fn create_multiple(
        &mut self,
        actor: &Actor,
        table: usize,
        body: &str,
    ) -> Result<Answer, Refusal> {
        let mut ids: Vec<Uuid> = Vec::new();
        self.each_target(table, body, |model, incoming| {
            let place = model.create(actor, table, incoming)?;
            ids.push(id_at(model, table, place));
            Ok(())
        })?;
        Ok(ids_answer(actor, table, &ids))
    }

    /// Reads the items one by one and hands each over before the next is read.
    fn each_target(
        &mut self,
        table: usize,
        body: &str,
        mut apply: impl FnMut(&mut Self, Incoming) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        let mut cursor = Cursor::new(body);
        let mut reader = Reader::new(self, table);
        open_targets(&self.schema.tables[table], &mut cursor)?;
        let mut first = true;
        loop {
            let def = &self.schema.tables[table];
            if !cursor.next_item(&mut first).map_err(|e| not_json(def, e))? {
                break;
            }
            let incoming = reader.row(self, &mut cursor)?;
            if !incoming.typed {
                return Err(payload(&def.set, "Every item of 'Targets' wants '@odata.type'."));
            }
            apply(self, incoming)?;
        }
        close_targets(&self.schema.tables[table], &mut cursor)
    }
}

fn open_targets(def: &TableDef, cursor: &mut Cursor<'_>) -> Result<(), Refusal> {
    cursor.open_object().map_err(|e| not_json(def, e))?;
    let mut first = true;
    match cursor.next_key(&mut first).map_err(|e| not_json(def, e))? {
        Some(name) if name == "Targets" => cursor.open_array().map_err(|e| not_json(def, e)),
        Some(name) => Err(payload(
            &def.set,
            format!("The parameter '{name}' in the request payload is not a valid parameter."),
        )),
        None => Err(payload(&def.set, "The parameter 'Targets' is missing.")),
    }
}

fn close_targets(def: &TableDef, cursor: &mut Cursor<'_>) -> Result<(), Refusal> {
    let mut first = false;
    match cursor.next_key(&mut first).map_err(|e| not_json(def, e))? {
        None => cursor.finish().map_err(|e| not_json(def, e)),
        Some(name) => Err(payload(
            &def.set,
            format!("The parameter '{name}' in the request payload is not a valid parameter."),
        )),
    }
}

fn ids_answer(actor: &Actor, table: usize, ids: &[Uuid]) -> Answer {
    let mut body = String::with_capacity(160 + ids.len() * 39);
    let context = "$metadata#Microsoft.Dynamics.CRM.CreateMultipleResponse";
    let written =
        write!(body, "{{\"@odata.context\":\"{}/api/data/v9.2/{context}\",\"Ids\":[", actor.origin);
    debug_assert!(written.is_ok(), "writing to a string cannot fail");
    let mut buffer = Uuid::encode_buffer();
    for (at, id) in ids.iter().enumerate() {
        body.push_str(if at == 0 { "\"" } else { ",\"" });
        body.push_str(id.hyphenated().encode_lower(&mut buffer));
        body.push('"');
    }
    body.push_str("]}");
    Answer {
        status: 200,
        content_type: Some(JSON),
        body: body.into_bytes(),
        rows: u32::try_from(ids.len()).unwrap_or(u32::MAX),
        table: Some(table),
        ..Answer::default()
    }
}
