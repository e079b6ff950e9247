//! Reads what the loader needs to know of an environment, in few requests: one for all tables,
//! then per table one for its columns, one for each column type it has, and five small ones.

use crate::catalog::fingerprint::fingerprint;
use crate::catalog::model::{BulkMessages, Catalog, ColumnKind, Table, TableKind};
use crate::catalog::parse::{
    ColumnDetail, ColumnFacts, KeyFacts, LookupFacts, Page, Pieces, TableFacts,
};
use crate::client::attempt::{
    ApiReply, ApiRequest, IdentityId, TokenFailure, Transport, TransportFailure,
};
use crate::client::fault::Fault;
use crate::client::request::{self, BulkMessage};
use crate::client::response::is_success;
use crate::config::similar::closest;
use futures_util::future::try_join_all;
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// Most metadata requests at once.
const PARALLEL: usize = 4;
/// Most tries of one request.
const TRIES_MAX: u32 = 8;
/// Tries of a read that never got through: a name or address that is wrong stays wrong, and
/// somebody waits to be told.
const CONNECT_TRIES_MAX: u32 = 4;
/// First pause between tries when the service names none; doubled each time.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// Longest pause between tries.
///
/// Source: `dataverse-web-api.md` §1.2, §12 row 2: waits cover a window of five minutes.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// Why the environment cannot be read.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum FetchRefused {
    /// A table of the job is not there.
    #[error("table {table:?} is not in this environment{hint}; tables go by their logical name")]
    UnknownTable {
        /// The name.
        table: String,
        /// A likely name, as ` (did you mean "account"?)`, or nothing.
        hint: String,
    },
    /// A table is there, but the Web API does not give access to its rows.
    #[error("table {0:?} has no entity set or no primary id, so its rows cannot be loaded")]
    NotLoadable(String),
    /// No token can be had.
    #[error("reading {what}: {failure}; check the identity in the job file")]
    Token {
        /// What was read.
        what: String,
        /// Why.
        failure: TokenFailure,
    },
    /// The environment does not accept the token.
    #[error(
        "reading {what}: status 401: {message}; is the application user set up in this \
         environment, enabled, and is the url of the job right?"
    )]
    Unauthorized {
        /// What was read.
        what: String,
        /// What the service says.
        message: String,
    },
    /// No answer, in spite of several tries.
    #[error("reading {what}: {failure} ({tries} tries); check the url of the job and the network")]
    Unreachable {
        /// What was read.
        what: String,
        /// The last failure.
        failure: TransportFailure,
        /// Tries made.
        tries: u32,
    },
    /// The service is busy, in spite of several tries, or wants a longer wait than is sensible.
    #[error("reading {what}: status {status} after {tries} tries: {message}; try again later")]
    Busy {
        /// What was read.
        what: String,
        /// HTTP status.
        status: u16,
        /// What the service says.
        message: String,
        /// Tries made.
        tries: u32,
    },
    /// The service refuses.
    #[error(
        "reading {what}: status {status}: {message}; does the application user have a security \
         role that may read metadata?"
    )]
    Refused {
        /// What was read.
        what: String,
        /// HTTP status.
        status: u16,
        /// What the service says.
        message: String,
    },
    /// The answer is not what the Web API documents.
    #[error("reading {what}: unexpected answer: {detail}; is the url of the job a Dataverse one?")]
    Unreadable {
        /// What was read.
        what: String,
        /// What is wrong.
        detail: String,
    },
}

/// Who we are in which environment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WhoAmI {
    /// System user.
    pub user: Uuid,
    /// Its business unit.
    pub business_unit: Uuid,
    /// Organization.
    pub organization: Uuid,
    /// Unique name of the organization; `None` when we may not read it.
    pub unique_name: Option<String>,
    /// Version of the server; `None` when it does not tell.
    pub version: Option<String>,
    /// Recommended number of parallel requests.
    ///
    /// Source: `dataverse-web-api.md` §1.3.
    pub dop_hint: Option<u32>,
}

/// Asks the environment who we are and what it is called.
///
/// # Errors
/// [`FetchRefused`].
///
/// Source: `dataverse-web-api.md` §7.3.
pub async fn who_am_i<T: Transport>(
    transport: &T,
    identity: IdentityId,
    timeout: Duration,
) -> Result<WhoAmI, FetchRefused> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Answer {
        user_id: Uuid,
        business_unit_id: Uuid,
        organization_id: Uuid,
    }
    #[derive(Deserialize)]
    struct Organization {
        name: Option<String>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Version {
        version: Option<String>,
    }
    let asker = Asker { transport, identity, timeout };
    let reply = asker.ask("WhoAmI", request::who_am_i()).await?;
    let answer: Answer = read("WhoAmI", &reply)?;
    let what = "the organization's name";
    let unique_name = match optional(asker.ask(what, request::organization_name()).await)? {
        Some(reply) => read_page::<Organization>(what, &reply)?.pop().and_then(|o| o.name),
        None => None,
    };
    let what = "the server's version";
    let version = match optional(asker.ask(what, request::retrieve_version()).await)? {
        Some(reply) => read::<Version>(what, &reply)?.version,
        None => None,
    };
    Ok(WhoAmI {
        user: answer.user_id,
        business_unit: answer.business_unit_id,
        organization: answer.organization_id,
        unique_name,
        version,
        dop_hint: reply.headers.dop_hint,
    })
}

/// Reads the tables called `wanted` (logical names) whole, and of the tables their lookups lead
/// to the outline: entity set and primary id, without columns and keys. Name a table in `wanted`
/// to have those too, for instance when a lookup finds its rows by alternate key.
///
/// # Errors
/// [`FetchRefused`].
///
/// Source: `dataverse-web-api.md` §8, §2.6.
pub async fn fetch<T: Transport>(
    transport: &T,
    identity: IdentityId,
    wanted: &BTreeSet<String>,
    timeout: Duration,
) -> Result<Catalog, FetchRefused> {
    let asker = Asker { transport, identity, timeout };
    let what = "the list of tables";
    let all: Vec<TableFacts> = read_page(what, &asker.ask(what, request::tables()).await?)?;
    let by_name: BTreeMap<&str, &TableFacts> =
        all.iter().map(|t| (t.logical_name.as_str(), t)).collect();
    let entity_sets: BTreeMap<&str, &str> = all
        .iter()
        .filter_map(|t| Some((t.logical_name.as_str(), t.entity_set_name.as_deref()?)))
        .collect();
    let mut outlines = Vec::new();
    for name in wanted {
        let facts = by_name.get(name.as_str()).ok_or_else(|| FetchRefused::UnknownTable {
            table: name.clone(),
            hint: hint(name, &all),
        })?;
        let outline = facts.outline().ok_or_else(|| FetchRefused::NotLoadable(name.clone()))?;
        outlines.push(outline);
    }
    let mut tables: BTreeMap<String, Arc<Table>> = BTreeMap::new();
    for outline in outlines {
        let pieces = asker.pieces(outline).await?;
        let table = pieces.assemble(&entity_sets);
        tables.insert(table.logical_name.clone(), Arc::new(table));
    }
    let targets: BTreeSet<String> = tables
        .values()
        .flat_map(|t| t.columns.values())
        .filter_map(
            |c| if let ColumnKind::Lookup(targets) = &c.kind { Some(targets) } else { None },
        )
        .flatten()
        .map(|target| target.table.clone())
        .collect();
    for target in targets {
        if let Some(outline) = by_name.get(target.as_str()).and_then(|facts| facts.outline()) {
            tables.entry(target).or_insert_with(|| Arc::new(outline));
        }
    }
    let fingerprint = fingerprint(&tables);
    Ok(Catalog { tables, fingerprint })
}

/// A likely name for a table that is not there.
fn hint(wanted: &str, all: &[TableFacts]) -> String {
    let lower = wanted.to_lowercase();
    let by_set = all.iter().find(|t| t.entity_set_name.as_deref() == Some(lower.as_str()));
    by_set
        .map(|table| table.logical_name.as_str())
        .or_else(|| closest(wanted, all.iter().map(|t| t.logical_name.as_str())))
        .map_or_else(String::new, |name| format!(" (did you mean {name:?}?)"))
}

/// `None` in place of a refusal of something that can be done without.
fn optional(asked: Result<ApiReply, FetchRefused>) -> Result<Option<ApiReply>, FetchRefused> {
    match asked {
        Ok(reply) => Ok(Some(reply)),
        Err(FetchRefused::Refused { .. }) => Ok(None),
        Err(other) => Err(other),
    }
}

fn read<D: DeserializeOwned>(what: &str, reply: &ApiReply) -> Result<D, FetchRefused> {
    serde_json::from_slice(&reply.body).map_err(|e| unreadable(what, e.to_string()))
}

fn read_page<D: DeserializeOwned>(what: &str, reply: &ApiReply) -> Result<Vec<D>, FetchRefused> {
    let page: Page<D> = read(what, reply)?;
    match page.next {
        None => Ok(page.value),
        Some(_) => Err(unreadable(what, "it goes on on a second page".to_owned())),
    }
}

fn unreadable(what: &str, detail: String) -> FetchRefused {
    FetchRefused::Unreadable { what: what.to_owned(), detail }
}

struct Asker<'t, T> {
    transport: &'t T,
    identity: IdentityId,
    timeout: Duration,
}

impl<T: Transport> Asker<'_, T> {
    /// Everything about one table.
    async fn pieces(&self, outline: Table) -> Result<Pieces, FetchRefused> {
        let name = outline.logical_name.clone();
        let table = name.as_str();
        let what = format!("the columns of {table}");
        let reply = self.ask(&what, request::columns(table)).await?;
        let columns: Vec<ColumnFacts> = read_page(&what, &reply)?;
        let casts: BTreeMap<&str, &str> = columns.iter().filter_map(ColumnFacts::cast).collect();

        let mut questions: Vec<(String, ApiRequest)> = vec![
            (format!("the keys of {table}"), request::keys(table)),
            (format!("the lookups of {table}"), request::lookups(table)),
        ];
        questions.extend(casts.iter().map(|(cast, query)| {
            let what = format!("the {cast} columns of {table}");
            (what, request::columns_of_type(table, cast, query))
        }));
        let mut replies = self.ask_all(&questions).await?.into_iter().zip(&questions);
        let (mut keys, mut lookups, mut details) = (Vec::new(), Vec::new(), Vec::new());
        if let Some((reply, (what, _))) = replies.next() {
            keys = read_page::<KeyFacts>(what, &reply)?;
        }
        if let Some((reply, (what, _))) = replies.next() {
            lookups = read_page::<LookupFacts>(what, &reply)?;
        }
        for (reply, (what, _)) in replies {
            details.extend(read_page::<ColumnDetail>(what, &reply)?);
        }
        let messages = self.messages(table, outline.kind).await?;
        Ok(Pieces { outline, columns, details, keys, lookups, messages })
    }

    /// Which bulk messages a table takes. `UpsertMultiple` needs no filter of its own where both
    /// others have one; `DeleteMultiple` is for elastic tables alone.
    ///
    /// Source: `dataverse-web-api.md` §2.5, §2.6.
    async fn messages(&self, table: &str, kind: TableKind) -> Result<BulkMessages, FetchRefused> {
        let mut asked = vec![BulkMessage::Create, BulkMessage::Update];
        if kind == TableKind::Elastic {
            asked.push(BulkMessage::Delete);
        }
        let mut taken = self.takes(table, &asked).await?;
        if !(taken.contains(&BulkMessage::Create) && taken.contains(&BulkMessage::Update)) {
            taken.extend(self.takes(table, &[BulkMessage::Upsert]).await?);
        } else {
            taken.push(BulkMessage::Upsert);
        }
        Ok(BulkMessages {
            create: taken.contains(&BulkMessage::Create),
            update: taken.contains(&BulkMessage::Update),
            upsert: taken.contains(&BulkMessage::Upsert),
            delete: taken.contains(&BulkMessage::Delete),
        })
    }

    async fn takes(
        &self,
        table: &str,
        messages: &[BulkMessage],
    ) -> Result<Vec<BulkMessage>, FetchRefused> {
        let questions: Vec<(String, ApiRequest)> = messages
            .iter()
            .map(|message| {
                let what = format!("whether {table} takes {}", message.name());
                (what, request::message_filter(table, *message))
            })
            .collect();
        let replies = self.ask_all(&questions).await?;
        let mut taken = Vec::new();
        for ((reply, (what, _)), message) in replies.iter().zip(&questions).zip(messages) {
            if !read_page::<IgnoredAny>(what, reply)?.is_empty() {
                taken.push(*message);
            }
        }
        Ok(taken)
    }

    /// Asks several things, a few at once; answers in order.
    async fn ask_all(
        &self,
        questions: &[(String, ApiRequest)],
    ) -> Result<Vec<ApiReply>, FetchRefused> {
        let mut replies = Vec::with_capacity(questions.len());
        for group in questions.chunks(PARALLEL) {
            let mut asked = Vec::with_capacity(group.len());
            for (what, request) in group {
                asked.push(self.ask(what, request.clone()));
            }
            replies.extend(try_join_all(asked).await?);
        }
        Ok(replies)
    }

    /// Asks until there is an answer or no hope. Only reads come here, so trying again is safe.
    async fn ask(&self, what: &str, request: ApiRequest) -> Result<ApiReply, FetchRefused> {
        let mut pause = FIRST_PAUSE;
        let mut forgotten = false;
        let mut tries = 0;
        loop {
            tries += 1;
            let outcome =
                self.transport.attempt(self.identity, request.clone(), self.timeout).await;
            let wait = match outcome {
                Ok(reply) if is_success(reply.status) => return Ok(reply),
                Ok(reply) if reply.status == 401 && !forgotten => {
                    forgotten = true;
                    self.transport.forget_token(self.identity);
                    continue;
                }
                Ok(reply) => {
                    let asked_wait = reply.headers.retry_after;
                    let refusal = refusal(what, &reply, tries);
                    let hopeless = !matches!(refusal, FetchRefused::Busy { .. })
                        || asked_wait.is_some_and(|wait| wait > LONGEST_PAUSE);
                    if hopeless || tries >= TRIES_MAX {
                        return Err(refusal);
                    }
                    asked_wait
                }
                Err(TransportFailure::Token(failure @ TokenFailure::Refused(_))) => {
                    return Err(FetchRefused::Token { what: what.to_owned(), failure });
                }
                Err(failure) => {
                    let most = match failure {
                        TransportFailure::Connect(_) | TransportFailure::Token(_) => {
                            CONNECT_TRIES_MAX
                        }
                        _ => TRIES_MAX,
                    };
                    if tries >= most {
                        let what = what.to_owned();
                        return Err(FetchRefused::Unreachable { what, failure, tries });
                    }
                    tracing::warn!(what, %failure, tries, "no answer; trying again");
                    None
                }
            };
            tokio::time::sleep(wait.unwrap_or(pause)).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

fn refusal(what: &str, reply: &ApiReply, tries: u32) -> FetchRefused {
    let message = Fault::read(reply).message;
    let (what, status) = (what.to_owned(), reply.status);
    match status {
        401 => FetchRefused::Unauthorized { what, message },
        408 | 429 | 500 | 502..=504 => FetchRefused::Busy { what, status, message, tries },
        _ => FetchRefused::Refused { what, status, message },
    }
}

#[cfg(test)]
mod tests;
