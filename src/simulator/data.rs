//! The way of one request to the data endpoint: token, scripted fault, service protection,
//! service time, model, answer.

use super::backend::Backend;
use super::batch::{self, Item, after_version};
use super::call::{Refusal, Verb};
use super::face::{Face, Running};
use super::faults::{Action, DEADLOCK, Facts, Stage, Strike, sql_error, sql_timeout};
use super::http::{self, Body, BodyFailed, Cut, http_date, read_body, response};
use super::latency::Work;
use super::limits::text::grouped;
use super::operate::{Request, method};
use super::operation::{batch_works, subject, work};
use super::reply::{JSON, Reply, real_wait, wants_annotations};
use super::stats::{Arrival, LoggedRequest, Refused};
use super::token::BearerRefused;
use crate::runtime::clock;
use hyper::body::Incoming;
use hyper::{HeaderMap, Response};
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

const COOKIE: &str = "ARRAffinity";

/// Counts the request out, however it ends.
struct Seen<B: Backend> {
    face: Arc<Face<B>>,
    arrival: Arrival,
    line: Option<LoggedRequest>,
}

impl<B: Backend> Drop for Seen<B> {
    fn drop(&mut self) {
        if let Some(mut line) = self.line.take() {
            let took = clock::now().saturating_since(self.arrival.at);
            line.took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
            tracing::debug!(
                user = self.arrival.user,
                server = line.server,
                method = line.method,
                operation = line.operation,
                table = line.table,
                status = line.status,
                rows = line.rows,
                took_ms = line.took_ms,
                "request"
            );
            self.face.counters.lock().depart(&self.arrival, line);
        }
    }
}

/// What a request asks for.
enum Job {
    Plain,
    Batch(Vec<Item>),
}

/// Answers one request.
pub(super) async fn answer<B: Backend>(
    face: Arc<Face<B>>,
    request: hyper::Request<Incoming>,
) -> Result<Response<Body>, Cut> {
    let (head, body) = request.into_parts();
    let origin = http::origin_of(&head.headers);
    let user = match authorized(&face, &head.headers, &origin) {
        Ok(user) => user,
        Err(reply) => {
            face.counters.lock().unauthorized();
            return Ok(response(reply));
        }
    };
    let path = head.uri.path().strip_prefix("/api/data/").and_then(after_version);
    let verb = match head.method.as_str() {
        "GET" => Some(Verb::Get),
        "POST" => Some(Verb::Post),
        "PATCH" => Some(Verb::Patch),
        "PUT" => Some(Verb::Put),
        "DELETE" => Some(Verb::Delete),
        _ => None,
    };
    let (Some(path), Some(verb)) = (path, verb) else {
        let status = if path.is_none() { 404 } else { 405 };
        return Ok(response(Reply::html(status, "The Web API answers below /api/data/v9.2/.")));
    };
    let cookie = cookie_server(&head.headers);
    let reached = face.reach(cookie);
    let headers = head
        .headers
        .iter()
        .map(|(n, v)| (n.as_str().to_owned(), String::from_utf8_lossy(v.as_bytes()).into_owned()))
        .collect();
    let body = match read_body(body, face.settings.http.body_bytes_max).await {
        Ok(body) => body,
        Err(BodyFailed::TooLarge) => {
            return Ok(response(Reply::html(413, "The request body is too large.")));
        }
        Err(BodyFailed::Broken) => return Err(Cut),
    };
    let request = Request {
        verb,
        path: path.to_owned(),
        query: head.uri.query().unwrap_or("").to_owned(),
        headers,
        body,
        origin,
        user,
        server: reached.server,
    };
    let seen = arrive(&face, &request, cookie.is_some());
    served(&face, request, seen).await
}

fn arrive<B: Backend>(face: &Arc<Face<B>>, request: &Request, cookie: bool) -> Seen<B> {
    let place = face.place(request.user, request.server);
    let arrival = face.counters.lock().arrive(clock::now(), place, cookie);
    let what = subject(request.verb, &request.path);
    let line = LoggedRequest {
        at_ms: u64::try_from(face.clock.uptime().as_millis()).unwrap_or(u64::MAX),
        at_virtual_secs: face.since_start().as_secs_f64(),
        took_ms: 0,
        user: String::new(),
        server: request.server,
        method: method(request.verb).to_owned(),
        operation: what.operation.to_owned(),
        table: what.table.to_owned(),
        body_bytes: request.body.len(),
        status: 0,
        rows: 0,
        inside_retry_after: false,
    };
    Seen { face: Arc::clone(face), arrival, line: Some(line) }
}

/// Who the bearer token stands for, and whether the organization takes it.
///
/// Source: `dataverse-web-api.md` §9.1, §9.3.
fn authorized<B: Backend>(
    face: &Face<B>,
    headers: &HeaderMap,
    origin: &str,
) -> Result<usize, Reply> {
    let bearer = http::text(headers, "authorization");
    let user = face.tokens.lock().recognize(bearer, origin, clock::wall_ms());
    let index = user.map_err(|why| unauthorized(why, origin, &face.settings.tenant))?;
    let user = &face.settings.users[index];
    let refuse = |code, text: &str| Err(Reply::refusal(&Refusal::new(403, code, text), false));
    if !user.member {
        return refuse(0x8007_2560, "The user is not a member of the organization.");
    }
    if user.disabled {
        return refuse(0x8004_A112, "The user representing this application is disabled.");
    }
    Ok(index)
}

fn unauthorized(why: BearerRefused, origin: &str, tenant: &str) -> Reply {
    let challenge = format!(
        "Bearer authorization_uri=\"{origin}/{tenant}/oauth2/authorize\", resource_id=\"{origin}/\"{}",
        if why == BearerRefused::Missing { "" } else { ", error=\"invalid_token\"" }
    );
    Reply { status: 401, ..Reply::default() }
        .header("WWW-Authenticate", challenge)
        .header("REQ_ID", Uuid::new_v4().to_string())
}

/// Server named by a returned affinity cookie.
fn cookie_server(headers: &HeaderMap) -> Option<u32> {
    headers
        .get_all(hyper::header::COOKIE)
        .iter()
        .filter_map(|v| v.to_str().ok())
        .flat_map(|v| v.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(name, _)| *name == COOKIE)
        .and_then(|(_, value)| value.strip_prefix("node-")?.parse().ok())
}

/// The way of a request from the script to the answer.
async fn served<B: Backend>(
    face: &Arc<Face<B>>,
    request: Request,
    mut seen: Seen<B>,
) -> Result<Response<Body>, Cut> {
    let (user, server) = (request.user, request.server);
    let finish = |seen: &mut Seen<B>, reply: &mut Reply| {
        stand(face, user, server, reply);
        if let Some(line) = &mut seen.line {
            line.status = reply.status;
            line.rows = reply.rows;
        }
    };
    let strike = struck(face, &request);
    match &strike {
        Some(Strike { action: Action::CutBefore {}, .. }) => return Err(Cut),
        Some(Strike { action: Action::Hang { apply: false }, .. }) => {
            face.stopped.cancelled().await;
            return Err(Cut);
        }
        Some(Strike { action: action @ Action::Status { apply: false, .. }, .. }) => {
            let mut reply = scripted(face, action);
            told(face, user, server, &reply);
            finish(&mut seen, &mut reply);
            return Ok(response(reply));
        }
        Some(Strike { action: Action::Delay { ms }, .. }) => {
            tokio::time::sleep(Duration::from_millis(*ms)).await;
        }
        _ => {}
    }
    let permit = match face.admit(user, server) {
        Ok(permit) => permit,
        Err(throttle) => {
            let wait = real_wait(&throttle, face.settings.speed);
            let mut reply = Reply::throttled(throttle.facet, wait, &face.settings.protection);
            let refused = Refused {
                place: face.place(user, server),
                facet: Some(throttle.facet),
                wait: retry_after(&reply),
                while_locked: throttle.while_throttled,
            };
            face.counters.lock().throttle(clock::now(), refused);
            finish(&mut seen, &mut reply);
            return Ok(response(reply));
        }
    };
    let job = match job(face, &request) {
        Ok(job) => job,
        Err(mut reply) => {
            face.complete(permit, Duration::ZERO);
            finish(&mut seen, &mut reply);
            return Ok(response(reply));
        }
    };
    let running = Running::begin(face, permit, user, server);
    if let Some(Strike {
        action: Action::CommitLater { delay_ms_min, delay_ms_max }, chance, ..
    }) = strike
    {
        #[expect(clippy::cast_precision_loss, reason = "delays are far below 2^52 ms")]
        let spread = (delay_ms_max - delay_ms_min) as f64 * chance;
        let delay = Duration::from_millis(delay_ms_min) + Duration::from_secs_f64(spread / 1000.0);
        tokio::spawn(worked(Arc::clone(face), running, request, job, delay));
        return Err(Cut);
    }
    let mut reply = if face.settings.latency.scale <= 0.0 {
        let mut running = running;
        let from = clock::now();
        let reply = execute(face, &request, &job);
        running.busy = clock::now().saturating_since(from);
        reply
    } else {
        // The server goes on when the client hangs up, so the work is a task of its own.
        let work = worked(Arc::clone(face), running, request, job, Duration::ZERO);
        match tokio::spawn(work).await {
            Ok(Some(reply)) => reply,
            Ok(None) | Err(_) => return Err(Cut),
        }
    };
    finish(&mut seen, &mut reply);
    let action = strike.map(|s| s.action);
    let cut = matches!(&action, Some(Action::CutAfter {} | Action::Hang { .. }))
        || matches!(&action, Some(Action::HalfBody { .. }) if reply.body.is_empty());
    if cut && let Some(line) = &mut seen.line {
        line.status = 0;
    }
    match action {
        Some(Action::Hang { .. }) => {
            face.stopped.cancelled().await;
            Err(Cut)
        }
        _ if cut => Err(Cut),
        Some(Action::HalfBody { share }) => Ok(http::half(reply, share)),
        Some(Action::SlowBody { bytes_per_sec }) => Ok(http::slow(reply, bytes_per_sec)),
        Some(action @ Action::Status { .. }) => {
            let mut reply = scripted(face, &action);
            told(face, user, server, &reply);
            finish(&mut seen, &mut reply);
            Ok(response(reply))
        }
        _ => Ok(response(reply)),
    }
}

fn struck<B: Backend>(face: &Face<B>, request: &Request) -> Option<Strike> {
    let what = subject(request.verb, &request.path);
    let path = if request.query.is_empty() {
        request.path.clone()
    } else {
        format!("{}?{}", request.path, request.query)
    };
    let facts = Facts {
        method: method(request.verb),
        operation: what.operation,
        table: what.table,
        path: &path,
        body: &request.body,
        user: &face.settings.users[request.user].name,
        since_start: face.since_start(),
    };
    face.strike(Stage::Request, &facts)
}

/// Reads what a request asks for, as far as its form goes.
fn job<B: Backend>(face: &Face<B>, request: &Request) -> Result<Job, Reply> {
    let kind = request
        .headers
        .iter()
        .find(|(n, _)| n == "content-type")
        .map_or("", |(_, v)| v.as_str())
        .to_owned();
    let unsupported = || {
        let text = format!(
            "A supported MIME type could not be found that matches the content type of the \
             request ('{kind}')."
        );
        Reply::refusal(&Refusal::new(415, 0x8006_088A, text), wants_annotations(&request.headers))
    };
    let lower = kind.to_ascii_lowercase();
    if subject(request.verb, &request.path).operation != "$batch" {
        let known = ["application/json", "application/octet-stream", "text/plain"];
        let named = known.iter().any(|k| lower.starts_with(k));
        return if request.body.is_empty() || named { Ok(Job::Plain) } else { Err(unsupported()) };
    }
    if request.verb != Verb::Post {
        return Err(Reply::html(405, "A batch is sent by POST."));
    }
    if lower.starts_with("application/json") {
        return Err(unsupported());
    }
    batch::read(&kind, &request.body, face.settings.http.batch_operations_max)
        .map(Job::Batch)
        .map_err(|why| Reply::batch_refused(&why))
}

/// What the request will cost.
fn works<B: Backend>(face: &Face<B>, request: &Request, job: &Job) -> Vec<Work> {
    let backend = face.backend();
    match job {
        Job::Plain => vec![work(backend.schema(), request.verb, &request.path, &request.body)],
        Job::Batch(items) => batch_works(backend.schema(), items),
    }
}

/// How the service time of a request ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum End {
    Done,
    TimedOut,
    Deadlocked,
}

/// Does the work after its service time and `delay`; `None` when the server stops before.
async fn worked<B: Backend>(
    face: Arc<Face<B>>,
    mut running: Running<B>,
    request: Request,
    job: Job,
    delay: Duration,
) -> Option<Reply> {
    let end = ended(&face, &mut running, &request, &job).await?;
    if !delay.is_zero() {
        tokio::select! {
            () = tokio::time::sleep(delay) => {}
            () = face.stopped.cancelled() => return None,
        }
    }
    let refuse = |refusal| Reply::refusal(&refusal, wants_annotations(&request.headers));
    Some(match end {
        End::Done => execute(&face, &request, &job),
        End::TimedOut => refuse(sql_timeout()),
        End::Deadlocked => refuse(sql_error(DEADLOCK)),
    })
}

/// Waits for the end of the service time and books it; `None` when the server stops before.
async fn ended<B: Backend>(
    face: &Face<B>,
    running: &mut Running<B>,
    request: &Request,
    job: &Job,
) -> Option<End> {
    if face.settings.latency.scale <= 0.0 {
        return Some(End::Done);
    }
    let works = works(face, request, job);
    let (left, deadlock) = face.work(&works, matches!(job, Job::Batch(_)));
    let left = tokio::select! {
        left = left => left.ok()?,
        () = face.stopped.cancelled() => return None,
    };
    running.busy = left.took;
    Some(match (left.done, deadlock) {
        (false, _) => {
            face.counters.lock().timeout();
            End::TimedOut
        }
        (true, true) => {
            face.counters.lock().deadlock();
            End::Deadlocked
        }
        (true, false) => End::Done,
    })
}

fn execute<B: Backend>(face: &Face<B>, request: &Request, job: &Job) -> Reply {
    match job {
        Job::Plain => face.run(request),
        Job::Batch(items) => face.run_batch(request, items),
    }
}

/// The answer a rule of the script gives.
pub(super) fn scripted<B: Backend>(face: &Face<B>, action: &Action) -> Reply {
    let Action::Status { status, retry_after, retry_after_date_secs, code, message, html, .. } =
        action
    else {
        return Reply::html(500, "no scripted answer");
    };
    let text = message.clone().unwrap_or_else(|| batch::reason(*status).to_owned());
    let mut reply = if *html {
        Reply::html(*status, &text)
    } else {
        let error = serde_json::json!({
            "error": { "code": code.clone().unwrap_or_default(), "message": text }
        });
        Reply::with_body(*status, JSON, error.to_string().into_bytes())
    };
    if let Some(value) = retry_after {
        reply = reply.header("Retry-After", value.clone());
    } else if let Some(secs) = retry_after_date_secs {
        let at = clock::wall_ms() + i64::from(*secs) * 1000;
        reply = reply.header("Retry-After", http_date(at));
    } else if *status == 503 && face.draw() < 0.5 {
        // Source: `dataverse-web-api.md` §12 row 39: present half the time.
        reply = reply.header("Retry-After", "5");
    }
    reply
}

/// Remembers what a scripted 429 told the user.
fn told<B: Backend>(face: &Face<B>, user: usize, server: u32, reply: &Reply) {
    if reply.status == 429 {
        let place = face.place(user, server);
        let wait = retry_after(reply);
        let refused = Refused { place, facet: None, wait, while_locked: false };
        face.counters.lock().throttle(clock::now(), refused);
    }
}

fn retry_after(reply: &Reply) -> Option<Duration> {
    let (_, value) = reply.headers.iter().find(|(n, _)| n == "Retry-After")?;
    Duration::try_from_secs_f64(value.parse().ok()?).ok()
}

/// Headers every answer of the data endpoint carries.
///
/// Source: `dataverse-web-api.md` §0.4, §13; `adaptive-control.md` §2.1 (X-Source).
fn stand<B: Backend>(face: &Face<B>, user: usize, server: u32, reply: &mut Reply) {
    let rules = &face.settings.protection;
    let id = Uuid::new_v4().to_string();
    let mut add = |name: &'static str, value: String| reply.headers.push((name.into(), value));
    add("OData-Version", "4.0".to_owned());
    add("Cache-Control", "no-cache".to_owned());
    add("x-ms-service-request-id", id.clone());
    add("REQ_ID", id.clone());
    add("AuthActivityId", id);
    if rules.server_token {
        add("X-Source", format!("0, node-{server}"));
        add("Set-Cookie", format!("{COOKIE}=node-{server}; Path=/; HttpOnly"));
    }
    if rules.dop_hint > 0 {
        add("x-ms-dop-hint", rules.dop_hint.to_string());
    }
    if rules.rate_headers {
        let left = face.remaining(user, server);
        if rules.requests_max > 0 {
            add("x-ms-ratelimit-burst-remaining-xrm-requests", left.requests.to_string());
        }
        if rules.execution_secs_max > 0.0 {
            let left = if rules.headers_real_secs {
                face.clock.real(left.execution)
            } else {
                left.execution
            };
            let secs = format!("{:.2}", left.as_secs_f64());
            add("x-ms-ratelimit-time-remaining-xrm-requests", grouped(&secs));
        }
    }
}
