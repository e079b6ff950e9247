//! Running operations against the model: single ones, batches, change sets, and the faults that
//! strike one operation.

use super::backend::Backend;
use super::batch::{self, Item, ItemReply, Part, PartReply, below_root};
use super::call::{Answer, Call, CallContext, Refusal, Verb};
use super::face::Face;
use super::faults::{Action, Facts, Stage, sql_error, sql_timeout};
use super::operation::subject;
use super::poison;
use super::reference::{self, Made, UnknownReference};
use super::reply::{Reply, real_wait, wants_annotations};
use super::schema::Schema;
use crate::runtime::clock;
use std::borrow::Cow;
use uuid::Uuid;

/// One authenticated request, read in full.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) verb: Verb,
    /// Below the service root, without query.
    pub(super) path: String,
    pub(super) query: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
    pub(super) origin: String,
    pub(super) user: usize,
    pub(super) server: u32,
}

impl Request {
    fn call(&self) -> Call<'_> {
        Call {
            verb: self.verb,
            path: &self.path,
            query: &self.query,
            headers: &self.headers,
            body: &self.body,
        }
    }
}

/// HTTP name of a method.
pub(super) fn method(verb: Verb) -> &'static str {
    match verb {
        Verb::Get => "GET",
        Verb::Post => "POST",
        Verb::Patch => "PATCH",
        Verb::Put => "PUT",
        Verb::Delete => "DELETE",
    }
}

impl<B: Backend> Face<B> {
    /// Runs a plain request.
    pub(super) fn run(&self, request: &Request) -> Reply {
        let call = request.call();
        let done = self.context(request, &request.headers).and_then(|ctx| {
            let mut backend = self.backend();
            self.operate(&mut backend, &ctx, &call, request.user)
        });
        match done {
            Ok(answer) => Reply::answer(answer),
            Err(refusal) => Reply::refusal(&refusal, wants_annotations(&request.headers)),
        }
    }

    /// Runs a batch.
    ///
    /// Source: `dataverse-web-api.md` §3.3.
    pub(super) fn run_batch(&self, request: &Request, items: &[Item]) -> Reply {
        let token = "odata.continue-on-error";
        let call = request.call();
        let go_on = call.prefers(token) || call.prefers("odata.continue-on-error=true");
        let (mut replies, mut rows, mut outer) = (Vec::with_capacity(items.len()), 0, 200);
        for item in items {
            let reply = match item {
                Item::Single(part) => {
                    let mut backend = self.backend();
                    let (reply, done, _) = self.part(&mut backend, request, part, &Made::new());
                    rows += done;
                    ItemReply::Single(reply)
                }
                Item::ChangeSet(parts) => {
                    let (replies, done) = self.change_set(request, parts);
                    rows += done;
                    ItemReply::ChangeSet(replies)
                }
            };
            let failed = match &reply {
                ItemReply::Single(one) => Some(one.status),
                ItemReply::ChangeSet(all) => all.iter().map(|r| r.status).max(),
            };
            replies.push(reply);
            if let Some(status) = failed.filter(|s| *s >= 400 && !go_on) {
                outer = status;
                break;
            }
        }
        let (content_type, body) = batch::write(&replies, &Uuid::new_v4().to_string());
        let content_type = Some(Cow::Owned(content_type));
        Reply { status: outer, headers: Vec::new(), content_type, body, rows }
    }

    /// All of a change set, or nothing and one answer: the failing part's. What it did to elastic
    /// tables before the failure stays; the model sees to that.
    ///
    /// Source: `dataverse-web-api.md` §3.2-§3.3, §6.
    fn change_set(&self, request: &Request, parts: &[Part]) -> (Vec<PartReply>, u64) {
        let mut backend = self.backend();
        let (mut replies, mut rows, mut made) = (Vec::with_capacity(parts.len()), 0, Made::new());
        backend.begin();
        for part in parts {
            let (reply, done, path) = self.part(&mut backend, request, part, &made);
            if reply.status >= 400 {
                backend.rollback();
                return (vec![reply], 0);
            }
            if let (Some(id), Some(path)) = (&part.content_id, path) {
                made.insert(id.clone(), path);
            }
            rows += done;
            replies.push(reply);
        }
        backend.commit();
        (replies, rows)
    }

    /// Runs one part: its answer, the rows done, and the path of the row it made or changed.
    fn part(
        &self,
        backend: &mut B,
        request: &Request,
        part: &Part,
        made: &Made,
    ) -> (PartReply, u64, Option<String>) {
        let (mut reply, path) = match self.run_part(backend, request, part, made) {
            Ok(done) => done,
            Err(reply) => (reply, None),
        };
        let url = below_root(&part.url).map_or(part.url.as_str(), |(path, _)| path);
        let operation = subject(part.verb, url).operation;
        self.counters.lock().batch_operation(operation, reply.rows, reply.status);
        let mut headers = vec![("OData-Version".to_owned(), "4.0".to_owned())];
        if reply.status >= 400 {
            headers.push(("REQ_ID".to_owned(), Uuid::new_v4().to_string()));
        }
        if let Some(kind) = &reply.content_type {
            headers.push(("Content-Type".to_owned(), kind.clone().into_owned()));
        }
        let location = reply.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case("odata-entityid"));
        if let Some((_, url)) = location
            && !reply.headers.iter().any(|(n, _)| n.eq_ignore_ascii_case("location"))
        {
            headers.push(("Location".to_owned(), url.clone()));
        }
        headers.extend(reply.headers.drain(..).map(|(n, v)| (n.into_owned(), v)));
        let content_id = part.content_id.clone();
        let rows = reply.rows;
        (PartReply { content_id, status: reply.status, headers, body: reply.body }, rows, path)
    }

    fn run_part(
        &self,
        backend: &mut B,
        request: &Request,
        part: &Part,
        made: &Made,
    ) -> Result<(Reply, Option<String>), Reply> {
        let annotations = wants_annotations(&part.headers);
        let refuse = |refusal: &Refusal| Reply::refusal(refusal, annotations);
        if self.settings.protection.count_batch_parts {
            self.count_part(request)?;
        }
        if part.url.len() > self.settings.http.batch_url_chars_max {
            return Err(refuse(&Refusal::new(414, 0x8006_0888, "The request URI is too long.")));
        }
        let unknown = |UnknownReference(id)| {
            let text = format!("Content-ID Reference: '{id}' does not exist in the batch context.");
            refuse(&Refusal::new(400, 0x8006_0888, text))
        };
        let url = reference::in_url(&part.url, made).map_err(unknown)?;
        let Some((path, query)) = below_root(&url) else {
            let text = format!("Resource not found for the segment '{url}'.");
            return Err(refuse(&Refusal::new(404, 0x8006_0888, text)));
        };
        let body = reference::in_body(&part.body, made, &request.origin).map_err(unknown)?;
        let body = body.as_deref().unwrap_or(&part.body);
        let call = Call { verb: part.verb, path, query, headers: &part.headers, body };
        let ctx = self.context(request, &part.headers).map_err(|r| refuse(&r))?;
        let answer = self.operate(backend, &ctx, &call, request.user).map_err(|r| refuse(&r))?;
        let row = row_path(backend.schema(), path, &answer);
        Ok((Reply::answer(answer), row))
    }

    /// Counts a part as a request of its own.
    ///
    /// Source: `dataverse-web-api.md` §12 row 7: silent; a setting.
    fn count_part(&self, request: &Request) -> Result<(), Reply> {
        match self.admit(request.user, request.server) {
            Ok(permit) => {
                self.complete(permit, std::time::Duration::ZERO);
                Ok(())
            }
            Err(throttle) => {
                let wait = real_wait(&throttle, self.settings.speed);
                Err(Reply::throttled(throttle.facet, wait, &self.settings.protection))
            }
        }
    }

    /// Runs one operation, unless a fault strikes it.
    fn operate(
        &self,
        backend: &mut B,
        ctx: &CallContext,
        call: &Call<'_>,
        user: usize,
    ) -> Result<Answer, Refusal> {
        let what = subject(call.verb, call.path);
        let facts = Facts {
            method: method(call.verb),
            operation: what.operation,
            table: what.table,
            path: call.path,
            body: call.body,
            user: &self.settings.users[user].name,
            since_start: self.since_start(),
        };
        let Some(strike) = self.strike(Stage::Operation, &facts) else {
            return backend.execute(ctx, call);
        };
        match strike.action {
            Action::SqlError { number } => Err(sql_error(number)),
            Action::SqlTimeout { applied } => {
                if strike.chance < applied {
                    backend.execute(ctx, call)?;
                }
                Err(sql_timeout())
            }
            Action::Poison { message } => {
                poison::refuse(backend, ctx, call, &message, &strike.text)
            }
            Action::WrongIds {} => backend.execute(ctx, call).map(wrong_ids),
            _ => backend.execute(ctx, call),
        }
    }

    /// Who calls, and for whom; a part's own headers come before those of the batch.
    ///
    /// Source: `dataverse-web-api.md` §5, §10.3.
    fn context(
        &self,
        request: &Request,
        headers: &[(String, String)],
    ) -> Result<CallContext, Refusal> {
        let user = &self.settings.users[request.user];
        let header = |name: &str| {
            let of = |list: &[(String, String)]| {
                list.iter()
                    .find(|(n, _)| n.eq_ignore_ascii_case(name))
                    .map(|(_, v)| v.trim().to_owned())
            };
            of(headers).or_else(|| of(&request.headers))
        };
        let id = |text: &str| {
            Uuid::parse_str(text).map_err(|_| {
                Refusal::new(400, 0x8004_0363, format!("'{text}' is not a valid GUID."))
            })
        };
        let acting = match (header("CallerObjectId"), header("MSCRMCallerID")) {
            (None, None) => None,
            (Some(object), _) => {
                let object = id(&object)?;
                let known = self.settings.users.iter().find(|u| u.object_id() == object);
                Some(known.map(|u| u.system_user_id).ok_or_else(|| {
                    let text = "The user is not a member of the organization.";
                    Refusal::new(403, 0x8007_2560, text)
                })?)
            }
            (None, Some(system_user)) => Some(id(&system_user)?),
        };
        if acting.is_some() && !user.may_impersonate {
            let text = format!(
                "User with id {} may not act on behalf of another user: prvActOnBehalfOfAnotherUser \
                 is missing.",
                user.system_user_id
            );
            return Err(Refusal::new(403, 0x8004_A110, text));
        }
        Ok(CallContext {
            caller: user.system_user_id,
            effective_user: acting.unwrap_or(user.system_user_id),
            now_ms: clock::wall_ms(),
            origin: request.origin.clone(),
        })
    }
}

/// Path of the row an operation made or changed, for `$1` references.
fn row_path(schema: &Schema, path: &str, answer: &Answer) -> Option<String> {
    let named = answer.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case("odata-entityid"));
    if let Some((_, url)) = named {
        return reference::path_of(url).map(str::to_owned);
    }
    let set = subject(Verb::Post, path).table;
    if answer.status == 201 {
        let table = schema.tables.get(*schema.by_set.get(set)?)?;
        let row: serde_json::Value = serde_json::from_slice(&answer.body).ok()?;
        let id = row.get(&table.columns.first()?.name)?.as_str()?;
        return Some(format!("{set}({id})"));
    }
    path.contains('(').then(|| path.to_owned())
}

/// Other ids than those of the rows, as many as there were.
fn wrong_ids(mut answer: Answer) -> Answer {
    if let Ok(serde_json::Value::Object(mut body)) = serde_json::from_slice(&answer.body)
        && let Some(serde_json::Value::Array(ids)) = body.get_mut("Ids")
    {
        for id in ids {
            *id = Uuid::new_v4().to_string().into();
        }
        answer.body = serde_json::Value::Object(body).to_string().into_bytes();
    }
    answer
}
