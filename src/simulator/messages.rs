//! Pure: messages that close cases and opportunities.
//!
//! Source: `dataverse-web-api.md` §4.9.

use super::call::{Answer, Call, Refusal};
use super::create::state_lists;
use super::json::{Cursor, Json, JsonError};
use super::model::{Actor, Model, no_content};
use super::payload::Reader;
use super::refusals::{self, INVALID_ARGUMENT, STATE_STATUS, no_such_resource, payload};
use super::update::Wish;
use super::value::Value;
use uuid::Uuid;

/// One closing message.
struct Closing {
    /// Parameter that holds the activity.
    parameter: &'static str,
    /// Table of the activity.
    activity: &'static str,
    /// Lookup of the activity to the row that is closed.
    lookup: &'static str,
    /// Table of the row that is closed.
    table: &'static str,
    /// State it gets.
    state: i32,
}

impl Model {
    /// `POST Message` at the service root.
    pub(super) fn message(
        &mut self,
        actor: &Actor,
        name: &str,
        call: &Call<'_>,
    ) -> Result<Answer, Refusal> {
        let (parameter, activity, lookup, table, state) = match name {
            "CloseIncident" => {
                ("IncidentResolution", "incidentresolution", "incidentid", "incident", 1)
            }
            "WinOpportunity" => {
                ("OpportunityClose", "opportunityclose", "opportunityid", "opportunity", 1)
            }
            "LoseOpportunity" => {
                ("OpportunityClose", "opportunityclose", "opportunityid", "opportunity", 2)
            }
            "BulkDelete" => return self.bulk_delete(actor, call),
            "QualifyLead" => return Err(refusals::not_implemented(name)),
            _ => return Err(no_such_resource(name)),
        };
        self.close(actor, &Closing { parameter, activity, lookup, table, state }, call)
    }

    fn close(
        &mut self,
        actor: &Actor,
        closing: &Closing,
        call: &Call<'_>,
    ) -> Result<Answer, Refusal> {
        let bad = |rule: String| payload(closing.table, rule);
        let text = std::str::from_utf8(call.body).map_err(|e| bad(e.to_string()))?;
        let body = Cursor::whole(text).map_err(|e: JsonError| bad(e.to_string()))?;
        let Json::Object(members) = &body else {
            return Err(bad("An object of parameters is expected.".to_owned()));
        };
        let known = |name: &str| name == closing.parameter || name == "Status";
        if let Some((name, _)) = members.iter().find(|(name, _)| !known(name)) {
            return Err(bad(format!("'{name}' is not a parameter of this message.")));
        }
        let missing = |name: &str| {
            Refusal::new(400, INVALID_ARGUMENT, format!("The parameter '{name}' is missing."))
        };
        let part = body.get(closing.parameter).ok_or_else(|| missing(closing.parameter))?;
        let status = match body.get("Status") {
            Some(Json::Number(text)) => text.parse::<i32>().ok(),
            _ => None,
        };
        let status = status.ok_or_else(|| missing("Status"))?;
        let activities = self.table_index(closing.activity);
        let incoming = Reader::part(self, activities, part)?;
        let lookup = self.schema.tables[activities].column(closing.lookup);
        let target = incoming.changes.iter().find_map(|(c, value)| match value {
            Value::Reference(table, id) if Some(*c) == lookup => Some((*table, *id)),
            _ => None,
        });
        let (table, id) = target.ok_or_else(|| missing(closing.lookup))?;
        let Some(place) = self.store.place(table, id) else { return Ok(no_content(table, 0)) };
        let changes = self.closing_changes(closing, (table, place, id), status, actor)?;
        self.update(actor, table, place, changes, Wish::Message)?;
        let activity = self.create(actor, activities, incoming)?;
        let done = self.completed(activities);
        self.update(actor, activities, activity, done, Wish::Message)?;
        Ok(no_content(table, 2))
    }

    /// State and status of the closed row, if it may be closed.
    fn closing_changes(
        &self,
        closing: &Closing,
        (table, place, id): (usize, usize, Uuid),
        status: i32,
        actor: &Actor,
    ) -> Result<Vec<(usize, Value)>, Refusal> {
        let def = &self.schema.tables[table];
        let (Some(row), Some((state_at, states, status_at, reasons))) =
            (self.store.tables[table].row(place), state_lists(def))
        else {
            return Ok(Vec::new());
        };
        let case = closing.table == "incident";
        match (&row.values[state_at], case) {
            (Value::Int(0), _) => {}
            (Value::Int(1), true) => {
                return Err(Refusal::new(400, 0x8004_04cf, "The case has already been resolved."));
            }
            (_, true) => {
                return Err(Refusal::new(
                    400,
                    0x8004_4411,
                    "The incident has already been closed or cancelled.",
                ));
            }
            (_, false) => {
                return Err(Refusal::new(
                    400,
                    0x8004_0515,
                    "The opportunity has already been closed.",
                ));
            }
        }
        if case && self.has_open_task(table, id) {
            return Err(Refusal::new(
                400,
                0x8004_440a,
                "The case cannot be closed because it has open activities.",
            ));
        }
        let default = states.iter().find(|s| s.option.value == closing.state);
        let status = match default {
            Some(state) if status == -1 => state.default_status,
            _ => status,
        };
        if !reasons.iter().any(|r| r.option.value == status && r.state == closing.state) {
            return Err(Refusal::new(
                400,
                STATE_STATUS,
                format!(
                    "{status} is not a valid status code for state code {} on {} with Id {id}.",
                    default.map_or("", |s| s.invariant.as_str()),
                    def.name
                ),
            ));
        }
        let mut changes = vec![
            (state_at, Value::Int(i64::from(closing.state))),
            (status_at, Value::Int(i64::from(status))),
        ];
        if let Some(column) = def.column("actualclosedate") {
            let day = i32::try_from(actor.now.div_euclid(86_400_000)).unwrap_or(0);
            changes.push((column, Value::Day(day)));
        }
        Ok(changes)
    }

    fn has_open_task(&self, table: usize, id: Uuid) -> bool {
        let tasks = self.table_index("task");
        let def = &self.schema.tables[tasks];
        let (Some(regarding), Some(state)) = (def.column("regardingobjectid"), def.standing.state)
        else {
            return false;
        };
        self.store.references.contains_key(&id)
            && self.store.tables[tasks].iter().any(|row| {
                row.values[regarding] == Value::Reference(table, id)
                    && row.values[state] == Value::Int(0)
            })
    }

    fn completed(&self, table: usize) -> Vec<(usize, Value)> {
        let Some((state, states, status, _)) = state_lists(&self.schema.tables[table]) else {
            return Vec::new();
        };
        let done = states.iter().find(|s| s.option.value == 1);
        done.map_or_else(Vec::new, |done| {
            vec![(state, Value::Int(1)), (status, Value::Int(i64::from(done.default_status)))]
        })
    }
}
