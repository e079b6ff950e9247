//! Reads over a small world: two accounts, three contacts, an elastic row.

mod aggregates;
mod any_text;
mod filters;
mod pages;
mod rows;

use super::*;
use crate::simulator::call::{RefusalCode, Verb};
use crate::simulator::keys as keys_of_rows;
use crate::simulator::value::Value;
use uuid::Uuid;

/// A small environment.
pub(crate) struct Small {
    pub(crate) model: Model,
    pub(crate) ctx: CallContext,
}

pub(crate) fn id(n: u128) -> Uuid {
    Uuid::from_u128(n)
}

impl Small {
    pub(crate) fn new() -> Self {
        let model = Model::new(EnvironmentSettings::default());
        let user_id = model.settings.application_users[0].id;
        let mut small = Self {
            model,
            ctx: CallContext {
                caller: user_id,
                effective_user: user_id,
                now_ms: 1_709_208_000_000,
                origin: "http://127.0.0.1:4711".into(),
            },
        };
        let user = small.model.schema.by_name["systemuser"];
        let contact = small.model.schema.by_name["contact"];
        let account = small.model.schema.by_name["account"];
        let text = |t: &str| Value::Text(t.into());
        for (n, name, revenue, number) in
            [(1, "Ärger & Söhne", 12_500_000, "A-1"), (2, "beta", 0, "A-2")]
        {
            small.insert(
                "account",
                n,
                &[
                    ("name", text(name)),
                    ("revenue", Value::Money(revenue)),
                    ("accountnumber", text(number)),
                    ("primarycontactid", Value::Reference(contact, id(11))),
                    ("ownerid", Value::Reference(user, user_id)),
                    ("statecode", Value::Int(0)),
                    ("createdon", Value::Time(1_700_000_000_000 + 86_400_000 * n as i64)),
                ],
            );
        }
        for (n, name, parent) in [(11, "O'Neil", 1), (12, "Ünal", 1), (13, "zed", 2)] {
            small.insert(
                "contact",
                n,
                &[
                    ("lastname", text(name)),
                    ("fullname", text(name)),
                    ("parentcustomerid", Value::Reference(account, id(parent))),
                    ("donotemail", Value::Bool(n == 12)),
                ],
            );
        }
        small
    }

    pub(crate) fn insert(&mut self, table: &str, n: u128, values: &[(&str, Value)]) {
        let t = self.model.schema.by_name[table];
        let def = &self.model.schema.tables[t];
        let mut row = Row {
            id: id(n),
            version: 100 + n as u64,
            values: vec![Value::Null; def.columns.len()].into(),
        };
        row.values[0] = Value::Guid(id(n));
        for (name, value) in values {
            row.values[def.by_column[*name]] = value.clone();
        }
        let rows = &mut self.model.store.tables[t];
        let place = rows.rows.len();
        match def.standing.partition {
            None => {
                rows.by_id.insert(row.id, place);
            }
            Some(partition) => {
                let key = match &row.values[partition] {
                    Value::Text(text) => text.clone(),
                    _ => row.id.to_string().into(),
                };
                rows.by_partition.insert((row.id, key), place);
            }
        }
        for (key, index) in def.keys.iter().zip(&mut rows.by_key) {
            if let Some(text) = keys_of_rows::key_text(key, |c| &row.values[c]) {
                index.insert(text, place);
            }
        }
        rows.rows.push(Some(row));
        rows.live += 1;
    }

    pub(crate) fn try_get(&self, url: &str, headers: &[(&str, &str)]) -> Result<Answer, Refusal> {
        let (path, query) = url.split_once('?').unwrap_or((url, ""));
        let headers: Vec<_> =
            headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        let call = Call { verb: Verb::Get, path, query, headers: &headers, body: b"" };
        read(&self.model, &self.ctx, &call)
    }

    pub(crate) fn get_with(&self, url: &str, headers: &[(&str, &str)]) -> serde_json::Value {
        let answer = self.try_get(url, headers).unwrap_or_else(|r| panic!("{url}: {r:?}"));
        assert_eq!(answer.status, 200, "{url}");
        serde_json::from_slice(&answer.body).unwrap_or_else(|e| panic!("{url}: {e}"))
    }

    pub(crate) fn get(&self, url: &str) -> serde_json::Value {
        self.get_with(url, &[])
    }

    /// Values of one property of every row of a collection.
    pub(crate) fn column(&self, url: &str, property: &str) -> Vec<String> {
        let body = self.get(url);
        let rows = body["value"].as_array().unwrap_or_else(|| panic!("{url}: {body}"));
        rows.iter()
            .map(|row| match &row[property] {
                serde_json::Value::String(text) => text.clone(),
                other => other.to_string(),
            })
            .collect()
    }

    pub(crate) fn refused(&self, url: &str) -> (u16, u32) {
        let refusal = match self.try_get(url, &[]) {
            Err(refusal) => refusal,
            Ok(answer) => panic!("{url}: {}", String::from_utf8_lossy(&answer.body)),
        };
        match refusal.code {
            RefusalCode::Hex(code) => (refusal.status, code),
            RefusalCode::Text(text) => panic!("{url}: {text}"),
        }
    }
}
