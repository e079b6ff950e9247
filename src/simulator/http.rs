//! One HTTP request: where it leads, its body, the answer's form; token endpoints.

use super::backend::Backend;
use super::control;
use super::data;
use super::face::Face;
use super::faults::{Action, Facts, Stage};
use super::reply::Reply;
use super::token::Asked;
use super::token::form::form;
use crate::runtime::clock;
use futures_util::stream;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Body as _, Bytes, Frame, Incoming};
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{HeaderMap, Method, Response, StatusCode};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use uuid::Uuid;

/// Body of an answer.
pub(super) type Body = UnsyncBoxBody<Bytes, Cut>;

/// The connection ends here, on purpose.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error("the connection is cut")]
pub(super) struct Cut;

/// A request body that was not read in full.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum BodyFailed {
    /// Larger than allowed.
    TooLarge,
    /// The client stopped sending.
    Broken,
}

/// Where the answer to a request comes from.
pub(super) async fn answer<B: Backend>(
    face: Arc<Face<B>>,
    local: bool,
    request: hyper::Request<Incoming>,
) -> Result<Response<Body>, Cut> {
    let url_chars = request.uri().path_and_query().map_or(0, |p| p.as_str().len());
    if url_chars > face.settings.http.url_chars_max {
        return Ok(response(Reply::html(414, "The request URL is too long.")));
    }
    let path = request.uri().path().to_owned();
    if path.starts_with("/_sim/") {
        return Ok(response(control::answer(&face, local, request).await));
    }
    if path == "/api/data" || path.starts_with("/api/data/") {
        return data::answer(face, request).await;
    }
    if path == "/metadata/identity/oauth2/token" {
        return token(&face, request, None).await;
    }
    let segments: Vec<&str> = path.trim_matches('/').split('/').collect();
    match segments.as_slice() {
        [tenant, "oauth2", "v2.0", "token"] | [tenant, "oauth2", "token"] => {
            let tenant = (*tenant).to_owned();
            token(&face, request, Some(tenant)).await
        }
        [tenant, "v2.0", ".well-known", "openid-configuration"]
        | [tenant, ".well-known", "openid-configuration"] => {
            let origin = origin_of(request.headers());
            Ok(response(Reply::with_body(200, "application/json", discovery(&origin, tenant))))
        }
        _ => Ok(response(Reply::html(404, "There is nothing at this address."))),
    }
}

/// Origin the client used.
pub(super) fn origin_of(headers: &HeaderMap) -> String {
    format!("http://{}", text(headers, "host").unwrap_or("localhost"))
}

/// A header as text.
pub(super) fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|v| v.to_str().ok())
}

/// Reads a request body of at most `most` bytes.
pub(super) async fn read_body(mut body: Incoming, most: usize) -> Result<Vec<u8>, BodyFailed> {
    let told = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if told > most {
        return Err(BodyFailed::TooLarge);
    }
    let mut out = Vec::with_capacity(told);
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame.map_err(|_| BodyFailed::Broken)?.into_data() {
            if out.len() + data.len() > most {
                return Err(BodyFailed::TooLarge);
            }
            out.extend_from_slice(&data);
        }
    }
    Ok(out)
}

/// Puts an answer on the wire.
pub(super) fn response(reply: Reply) -> Response<Body> {
    let length = reply.body.len();
    let (mut response, body) = bare(reply);
    if length > 0 {
        response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    let body = Full::new(Bytes::from(body)).map_err(|never| match never {}).boxed_unsync();
    response.map(|()| body)
}

fn bare(reply: Reply) -> (Response<()>, Vec<u8>) {
    let mut response = Response::new(());
    *response.status_mut() =
        StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    if let Some(kind) = reply.content_type
        && let Ok(value) = HeaderValue::from_str(&kind)
    {
        headers.insert(CONTENT_TYPE, value);
    }
    for (name, value) in reply.headers {
        let name = HeaderName::from_bytes(name.as_bytes());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(value.as_bytes())) {
            headers.append(name, value);
        }
    }
    (response, reply.body)
}

/// Sends the first `share` of the body of an answer, then cuts the connection.
pub(super) fn half(reply: Reply, share: f64) -> Response<Body> {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of a length"
    )]
    let sent = (reply.body.len() as f64 * share) as usize;
    let first = Bytes::copy_from_slice(reply.body.get(..sent).unwrap_or_default());
    let steps = VecDeque::from([
        (Duration::ZERO, Ok(first)),
        // The part sent has to leave the buffers before the connection goes.
        (Duration::from_millis(20), Err(Cut)),
    ]);
    dribbled(reply, steps)
}

/// Sends the body of an answer slowly.
pub(super) fn slow(reply: Reply, bytes_per_sec: u32) -> Response<Body> {
    let size = (bytes_per_sec as usize / 10).max(1);
    let pause = Duration::from_secs_f64(size as f64 / f64::from(bytes_per_sec));
    let steps = reply.body.chunks(size).map(|c| (pause, Ok(Bytes::copy_from_slice(c)))).collect();
    dribbled(reply, steps)
}

fn dribbled(reply: Reply, steps: VecDeque<(Duration, Result<Bytes, Cut>)>) -> Response<Body> {
    let length = reply.body.len();
    let (mut response, _) = bare(reply);
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
    let frames = stream::unfold(steps, |mut steps| async move {
        let (pause, step) = steps.pop_front()?;
        tokio::time::sleep(pause).await;
        Some((step.map(Frame::data), steps))
    });
    response.map(|()| StreamBody::new(frames).boxed_unsync())
}

/// A moment in HTTP's form.
pub(super) fn http_date(ms: i64) -> String {
    formatted(ms, "%a, %d %b %Y %H:%M:%S GMT")
}

fn formatted(ms: i64, format: &str) -> String {
    jiff::Timestamp::from_millisecond(ms)
        .map(|t| t.strftime(format).to_string())
        .unwrap_or_default()
}

fn discovery(origin: &str, tenant: &str) -> Vec<u8> {
    serde_json::json!({
        "token_endpoint": format!("{origin}/{tenant}/oauth2/v2.0/token"),
        "authorization_endpoint": format!("{origin}/{tenant}/oauth2/v2.0/authorize"),
        "issuer": format!("{origin}/{tenant}/v2.0"),
        "token_endpoint_auth_methods_supported":
            ["client_secret_post", "private_key_jwt", "client_secret_basic"],
    })
    .to_string()
    .into_bytes()
}

/// The token endpoint of `tenant`, or the managed-identity endpoint.
///
/// Source: `dataverse-web-api.md` §9.1, §9.2.
async fn token<B: Backend>(
    face: &Arc<Face<B>>,
    request: hyper::Request<Incoming>,
    tenant: Option<String>,
) -> Result<Response<Body>, Cut> {
    let (head, body) = request.into_parts();
    let Ok(body) = read_body(body, 64 << 10).await else {
        return Ok(response(Reply::html(413, "The body is too large.")));
    };
    let facts = Facts {
        method: head.method.as_str(),
        operation: "token",
        table: "",
        path: head.uri.path(),
        body: &body,
        user: "",
        since_start: face.since_start(),
    };
    if let Some(strike) = face.strike(Stage::Request, &facts) {
        match strike.action {
            Action::Status { .. } => {
                return Ok(response(data::scripted(face, &strike.action)));
            }
            Action::Delay { ms } => tokio::time::sleep(Duration::from_millis(ms)).await,
            Action::Hang { .. } => {
                face.stopped.cancelled().await;
                return Err(Cut);
            }
            _ => return Err(Cut),
        }
    }
    let origin = origin_of(&head.headers);
    let unique = Uuid::new_v4().to_string();
    let wanted = if tenant.is_some() { Method::POST } else { Method::GET };
    if head.method != wanted {
        return Ok(response(Reply::html(405, "Use the documented method.")));
    }
    let now_ms = clock::wall_ms();
    let fields = match tenant {
        Some(_) => form(&String::from_utf8_lossy(&body)),
        None => form(head.uri.query().unwrap_or("")),
    };
    let asked = Asked {
        tenant: tenant.as_deref().unwrap_or(""),
        form: &fields,
        authorization: text(&head.headers, "authorization"),
        origin: &origin,
        now_ms,
        unique: &unique,
    };
    let field = |name: &str| fields.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str());
    let outcome = if tenant.is_some() {
        face.tokens.lock().grant(&asked)
    } else if text(&head.headers, "metadata") != Some("true") {
        return Ok(response(managed_refused("Required metadata header not specified")));
    } else {
        match (field("resource"), field("api-version")) {
            (Some(resource), Some(_)) => {
                face.tokens.lock().managed(resource, field("client_id"), &asked)
            }
            _ => return Ok(response(managed_refused("resource and api-version are required"))),
        }
    };
    face.counters.lock().token(outcome.as_ref().ok().map(|g| g.user));
    let reply = match (outcome, tenant) {
        (Ok(granted), Some(_)) => Reply::with_body(200, "application/json", granted.body()),
        (Ok(granted), None) => {
            let client_id = face.settings.users[granted.user].client_id.to_string();
            Reply::with_body(200, "application/json", granted.managed_body(&client_id))
        }
        (Err(refusal), _) => {
            let time = formatted(now_ms, "%Y-%m-%d %H:%M:%SZ");
            Reply::with_body(refusal.status, "application/json", refusal.body(&time, &unique))
        }
    };
    Ok(response(reply.header("Cache-Control", "no-store, no-cache")))
}

fn managed_refused(text: &str) -> Reply {
    let body = serde_json::json!({ "error": "invalid_request", "error_description": text });
    Reply::with_body(400, "application/json", body.to_string().into_bytes())
}
