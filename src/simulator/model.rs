//! Pure: the environment as one deterministic machine: a call goes in, an answer or a refusal
//! comes out. Time comes with the call, ids from a seed.

use super::bulk_delete::Job;
use super::call::{Answer, Call, CallContext, Refusal, Verb};
use super::environment::EnvironmentSettings;
use super::journal::Undo;
use super::refusals;
use super::schema::{Schema, Storage, TableDef};
use super::store::{Row, Store, TableRows};
use super::value::Value;
use super::{define, query, seed};
use uuid::Uuid;

pub use super::refusals::refusal_body;

/// A local Dataverse without transport.
#[derive(Debug)]
pub struct Model {
    /// Tables.
    pub schema: Schema,
    /// Rows.
    pub store: Store,
    /// What the run set.
    pub settings: EnvironmentSettings,
    pub(super) journal: Vec<Undo>,
    pub(super) change_set: bool,
    pub(super) version: u64,
    pub(super) numbers: u64,
    pub(super) users: usize,
    pub(super) units: usize,
    pub(super) currencies: usize,
    pub(super) jobs: Vec<Job>,
    ids: u64,
}

/// Who acts, and when; looked up once per call.
#[derive(Clone, Debug)]
pub(super) struct Actor {
    /// Effective user.
    pub(super) user: Uuid,
    /// The caller, when he acts for another.
    pub(super) behalf: Option<Uuid>,
    /// Business unit of the effective user.
    pub(super) unit: Uuid,
    /// Milliseconds since 1970, whole seconds.
    pub(super) now: i64,
    /// Origin for links.
    pub(super) origin: String,
}

impl Model {
    /// The ready set of tables with the rows of a fresh environment.
    #[must_use]
    pub fn new(settings: EnvironmentSettings) -> Self {
        Self::with_schema(define::ready_set(), settings)
    }

    /// An environment of other tables; they must include the administrative ones.
    #[must_use]
    pub fn with_schema(schema: Schema, settings: EnvironmentSettings) -> Self {
        let tables = schema
            .tables
            .iter()
            .map(|table| TableRows {
                by_key: table.keys.iter().map(|_| Default::default()).collect(),
                ..TableRows::default()
            })
            .collect();
        let index = |name: &str| schema.by_name.get(name).copied().unwrap_or(0);
        let (users, units) = (index("systemuser"), index("businessunit"));
        let currencies = index("transactioncurrency");
        let mut model = Self {
            users,
            units,
            currencies,
            jobs: Vec::new(),
            store: Store { tables, ..Store::default() },
            ids: settings.seed,
            schema,
            settings,
            journal: Vec::new(),
            change_set: false,
            version: 1_000_000,
            numbers: 1000,
        };
        seed::plant(&mut model);
        model.journal.clear();
        model
    }

    /// Runs one operation, all or nothing (bulk messages on elastic tables: row by row).
    ///
    /// # Errors
    /// What Dataverse would refuse.
    pub fn execute(&mut self, ctx: &CallContext, call: &Call<'_>) -> Result<Answer, Refusal> {
        let actor = self.actor(ctx)?;
        self.run_jobs(ctx);
        if call.verb == Verb::Get {
            return query::read(self, ctx, call);
        }
        let mark = self.journal.len();
        let result = self.write(ctx, &actor, call);
        match &result {
            Err(_) => self.undo_to(mark),
            // On elastic tables a change set is not atomic: what is done stays.
            Ok(answer) if answer.table.is_some_and(|t| self.is_elastic(t)) => {
                self.journal.truncate(mark);
            }
            Ok(_) if !self.change_set => self.journal.clear(),
            Ok(_) => {}
        }
        result
    }

    /// Starts a change set.
    pub fn begin(&mut self) {
        self.journal.clear();
        self.change_set = true;
    }

    /// Ends a change set; its changes stay.
    pub fn commit(&mut self) {
        self.journal.clear();
        self.change_set = false;
    }

    /// Ends a change set; its changes to standard tables are undone.
    ///
    /// Source: `dataverse-web-api.md` §3.2: on elastic tables it is not atomic.
    pub fn rollback(&mut self) {
        self.undo_to(0);
        self.change_set = false;
    }

    fn actor(&self, ctx: &CallContext) -> Result<Actor, Refusal> {
        let users = self.users;
        for (user, acts_for) in [(ctx.caller, false), (ctx.effective_user, true)] {
            let Some(row) = self.store.row(users, user) else {
                return Err(if acts_for && ctx.caller != ctx.effective_user {
                    Refusal::new(
                        403,
                        0x8004_a110,
                        format!("SystemUser With Id = {user} cannot be acted for: it is unknown."),
                    )
                } else {
                    Refusal::new(403, 0x8007_2560, "The user is not a member of the organization.")
                });
            };
            if self.user_disabled(row) {
                return Err(Refusal::new(
                    403,
                    0x8004_a112,
                    format!("The user with SystemUserId={user} is disabled."),
                ));
            }
        }
        let unit = self
            .store
            .row(users, ctx.effective_user)
            .and_then(|row| self.unit_of(users, row))
            .unwrap_or(self.settings.business_unit);
        Ok(Actor {
            user: ctx.effective_user,
            behalf: (ctx.caller != ctx.effective_user).then_some(ctx.caller),
            unit,
            now: ctx.now_ms.div_euclid(1000) * 1000,
            origin: ctx.origin.clone(),
        })
    }

    pub(super) fn user_disabled(&self, row: &Row) -> bool {
        let users = self.users;
        let column = self.schema.tables[users].column("isdisabled");
        column.is_some_and(|c| row.values[c] == Value::Bool(true))
    }

    /// Business unit of a user or team.
    pub(super) fn unit_of(&self, table: usize, row: &Row) -> Option<Uuid> {
        let column = self.schema.tables[table].column("businessunitid")?;
        match row.values[column] {
            Value::Reference(_, id) => Some(id),
            _ => None,
        }
    }

    /// Index of a table that every environment has.
    pub(super) fn table_index(&self, name: &str) -> usize {
        self.schema.by_name.get(name).copied().unwrap_or(0)
    }

    /// A fresh id; the same run makes the same ones.
    pub(super) fn new_id(&mut self) -> Uuid {
        let mut half = || {
            self.ids = self.ids.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = self.ids;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        };
        uuid::Builder::from_random_bytes(
            ((u128::from(half()) << 64) | u128::from(half())).to_be_bytes(),
        )
        .into_uuid()
    }

    pub(super) fn is_elastic(&self, table: usize) -> bool {
        self.schema.tables[table].storage == Storage::Elastic
    }
}

/// The row's entity tag as `@odata.etag` and `If-Match` show it.
///
/// Source: `dataverse-web-api.md` §4.2, §13: elastic tables have GUID-like text.
#[must_use]
pub fn etag(table: &TableDef, row: &Row) -> String {
    match table.storage {
        Storage::Standard => format!("W/\"{}\"", row.version),
        Storage::Elastic => {
            let high =
                u128::from(row.version).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
            format!("\"{}\"", Uuid::from_u128(high))
        }
    }
}

/// Address of a row, as `OData-EntityId` shows it.
#[must_use]
pub fn entity_url(origin: &str, table: &TableDef, id: Uuid) -> String {
    format!("{origin}/api/data/v9.2/{}({id})", table.set)
}

/// Text of the method, for messages.
pub(super) fn verb_name(verb: Verb) -> &'static str {
    match verb {
        Verb::Get => "GET",
        Verb::Post => "POST",
        Verb::Patch => "PATCH",
        Verb::Put => "PUT",
        Verb::Delete => "DELETE",
    }
}

/// 204 without body.
pub(super) fn no_content(table: usize, rows: u32) -> Answer {
    Answer { status: 204, rows, table: Some(table), ..Answer::default() }
}

pub(super) fn utf8<'a>(table: &TableDef, body: &'a [u8]) -> Result<&'a str, Refusal> {
    std::str::from_utf8(body)
        .map_err(|e| refusals::payload(&table.set, format!("The body is not UTF-8: {e}.")))
}
