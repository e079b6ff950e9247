//! Pure: bulk messages.
//!
//! Source: `dataverse-web-api.md` §2.

use super::call::{Answer, Call, Refusal};
use super::create::id_at;
use super::elastic;
use super::environment::RepeatedTarget;
use super::json::Cursor;
use super::model::{Actor, Model, no_content, utf8};
use super::payload::{Incoming, Reader};
use super::refusals::{self, payload};
use super::route::Address;
use super::schema::{FastMap, Storage, TableDef};
use super::validate::not_json;
use super::value::Value;
use super::write::JSON;
use uuid::Uuid;

/// A bulk message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Message {
    Create,
    Update,
    Upsert,
    Delete,
}

/// Rows already named in one request.
type Named = FastMap<(Uuid, Box<str>), ()>;

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
        let kind = match message {
            "CreateMultiple" => Message::Create,
            "UpdateMultiple" => Message::Update,
            "UpsertMultiple" => Message::Upsert,
            "DeleteMultiple" => Message::Delete,
            _ => {
                let name = format!("Microsoft.Dynamics.CRM.{message}");
                return Err(refusals::no_such_resource(&name));
            }
        };
        if kind == Message::Delete && def.storage == Storage::Standard {
            return Err(refusals::not_implemented("DeleteMultiple"));
        }
        if !def.messages.iter().any(|offered| offered == message) {
            return Err(self.unsupported(table, message));
        }
        if def.storage == Storage::Elastic {
            return self.elastic_bulk(actor, table, kind, body);
        }
        let mut ids: Vec<Uuid> = Vec::new();
        let mut named = Named::default();
        self.each_target(table, body, |model, incoming| {
            let incoming = incoming.whole()?;
            ids.push(model.target(actor, table, kind, incoming, &mut named)?);
            Ok(())
        })?;
        Ok(bulk_answer(actor, table, kind, &ids))
    }

    /// The texts seen where a table does not offer a message.
    ///
    /// Source: `dataverse-web-api.md` §2.6, §12 row 19.
    fn unsupported(&self, table: usize, message: &str) -> Refusal {
        let name = &self.schema.tables[table].name;
        let text = if name == "team" {
            format!("{message} is not enabled on the entity {name}.")
        } else {
            format!("The '{message}' method does not support entities of type '{name}'.")
        };
        Refusal::new(400, self.settings.unsupported_message_code, text)
    }

    /// Applies one item; returns the id of its row.
    fn target(
        &mut self,
        actor: &Actor,
        table: usize,
        kind: Message,
        incoming: Incoming,
        named: &mut Named,
    ) -> Result<Uuid, Refusal> {
        match kind {
            Message::Create => {
                if incoming.address.is_some() {
                    let set = &self.schema.tables[table].set;
                    return Err(payload(set, "'@odata.id' is not valid for create."));
                }
                let place = self.create(actor, table, incoming)?;
                Ok(id_at(self, table, place))
            }
            Message::Update => self.update_target(actor, table, incoming, named),
            Message::Upsert => self.upsert_target(actor, table, incoming, named),
            Message::Delete => {
                let (address, _) = self.item_address(table, &incoming)?;
                let place = self.locate(table, &address);
                let place = place.ok_or_else(|| self.missing(table, &address, 404))?;
                let id = id_at(self, table, place);
                self.delete_at(table, place)?;
                Ok(id)
            }
        }
    }

    fn update_target(
        &mut self,
        actor: &Actor,
        table: usize,
        incoming: Incoming,
        named: &mut Named,
    ) -> Result<Uuid, Refusal> {
        let (address, id) = self.item_address(table, &incoming)?;
        let def = &self.schema.tables[table];
        let Some(id) = id else {
            let rule = "An item of UpdateMultiple is identified by its primary key.";
            return Err(payload(&def.set, rule));
        };
        if self.repeated(&address, id, self.settings.repeated_update, named)? {
            return Ok(id);
        }
        let Some(place) = self.locate(table, &address) else {
            let text = format!("{} With Ids = {id} Do Not Exist", def.display_name);
            return Err(Refusal::new(404, refusals::NOT_FOUND, text));
        };
        self.update_addressed(actor, table, place, &address, incoming, false)?;
        Ok(id)
    }

    fn upsert_target(
        &mut self,
        actor: &Actor,
        table: usize,
        incoming: Incoming,
        named: &mut Named,
    ) -> Result<Uuid, Refusal> {
        let (address, _) = self.item_address(table, &incoming)?;
        if let Some(place) = self.locate(table, &address) {
            let id = id_at(self, table, place);
            if self.repeated(&address, id, self.settings.repeated_upsert, named)? {
                return Ok(id);
            }
            let replaces = self.is_elastic(table);
            self.update_addressed(actor, table, place, &address, incoming, replaces)?;
            return Ok(id);
        }
        if let Address::Key(key, _) = &address {
            // Source: `dataverse-web-api.md` §2.4, §12 row 11.
            let columns = &self.schema.tables[table].keys[*key].columns;
            if incoming.changes.iter().any(|(c, _)| columns.contains(c)) {
                let text = "An unexpected error occurred.";
                return Err(Refusal::new(400, refusals::UNEXPECTED, text));
            }
        }
        let place = self.create_addressed(actor, table, &address, incoming)?;
        let id = id_at(self, table, place);
        self.repeated(&address, id, RepeatedTarget::LastWins, named)?;
        Ok(id)
    }

    /// Whether an item is skipped because its row has been named before.
    fn repeated(
        &self,
        address: &Address,
        id: Uuid,
        rule: RepeatedTarget,
        named: &mut Named,
    ) -> Result<bool, Refusal> {
        let partition: Box<str> = match address {
            Address::Partition(_, partition) => partition.as_str().into(),
            _ => "".into(),
        };
        if named.insert((id, partition), ()).is_none() {
            return Ok(false);
        }
        match rule {
            RepeatedTarget::FirstWins => Ok(true),
            RepeatedTarget::LastWins => Ok(false),
            RepeatedTarget::Refuse => Err(Refusal::new(
                400,
                refusals::UNEXPECTED,
                "The same row is given more than once in Targets.",
            )),
        }
    }

    /// The row an item means, and its id if that is how it is named.
    fn item_address(
        &self,
        table: usize,
        incoming: &Incoming,
    ) -> Result<(Address, Option<Uuid>), Refusal> {
        let def = &self.schema.tables[table];
        let partition = def.standing.partition.and_then(|column| {
            incoming.changes.iter().find_map(|(c, value)| match value {
                Value::Text(text) if *c == column => Some(text.to_string()),
                _ => None,
            })
        });
        let address = match (&incoming.address, incoming.id) {
            (None, None) => {
                return Err(payload(
                    &def.set,
                    "An item wants its primary key or '@odata.id' with a key.",
                ));
            }
            (None, Some(id)) => match partition {
                Some(partition) => Address::Partition(id, partition),
                None => Address::Id(id),
            },
            (Some(url), id) => {
                let (named, address) = self.reference(url)?;
                if named != table {
                    return Err(payload(&def.set, "All items are rows of one table."));
                }
                let same = match &address {
                    Address::Id(given) | Address::Partition(given, _) => {
                        id.is_none_or(|id| id == *given)
                    }
                    Address::Key(..) => id.is_none(),
                };
                if !same {
                    return Err(payload(
                        &def.set,
                        "The primary key and '@odata.id' name different rows.",
                    ));
                }
                match (address, partition) {
                    (Address::Id(id), Some(partition)) => Address::Partition(id, partition),
                    (address, _) => address,
                }
            }
        };
        let id = match &address {
            Address::Id(id) | Address::Partition(id, _) => Some(*id),
            Address::Key(..) => None,
        };
        Ok((address, id))
    }

    /// Elastic tables: each item succeeds or fails for itself.
    ///
    /// Source: `dataverse-web-api.md` §2.7, §12 row 16.
    fn elastic_bulk(
        &mut self,
        actor: &Actor,
        table: usize,
        kind: Message,
        body: &str,
    ) -> Result<Answer, Refusal> {
        // What cannot be read refuses the whole request before anything is written.
        let mut items = Vec::new();
        self.each_target(table, body, |_, incoming| {
            items.push(incoming);
            Ok(())
        })?;
        let mut ids = Vec::with_capacity(items.len());
        let mut named = Named::default();
        let mut states = Vec::new();
        let mut failed: Vec<(u16, String)> = Vec::new();
        for (index, incoming) in items.into_iter().enumerate() {
            let mark = self.journal.len();
            let given = incoming.id;
            let applied = incoming
                .whole()
                .and_then(|incoming| self.target(actor, table, kind, incoming, &mut named));
            match applied {
                Ok(id) => {
                    self.journal.truncate(mark);
                    ids.push(id);
                    if self.settings.elastic_lists_all {
                        let status = if kind == Message::Create { 201 } else { 200 };
                        states.push((index, id, status));
                    }
                }
                Err(refusal) => {
                    self.undo_to(mark);
                    states.push((index, given.unwrap_or_default(), refusal.status));
                    failed.push((refusal.status, refusal.message));
                }
            }
        }
        if failed.is_empty() {
            let mut answer = bulk_answer(actor, table, kind, &ids);
            if kind != Message::Delete {
                let token = elastic::session_token(self.version);
                answer.headers.push(("x-ms-session-token", token));
            }
            return Ok(answer);
        }
        Err(elastic::partial_failure(&failed, &states))
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

fn bulk_answer(actor: &Actor, table: usize, kind: Message, ids: &[Uuid]) -> Answer {
    let rows = u32::try_from(ids.len()).unwrap_or(u32::MAX);
    if kind != Message::Create {
        return no_content(table, rows);
    }
    let mut body = String::with_capacity(160 + ids.len() * 39);
    body.push_str("{\"@odata.context\":\"");
    body.push_str(&actor.origin);
    body.push_str(
        "/api/data/v9.2/$metadata#Microsoft.Dynamics.CRM.CreateMultipleResponse\",\"Ids\":[",
    );
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
        rows,
        table: Some(table),
        ..Answer::default()
    }
}
