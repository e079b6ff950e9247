//! Pure: one request and what came of it.

pub use crate::record::key::IdentityId;
use bytes::Bytes;
use std::time::Duration;

/// HTTP method.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Method {
    /// Read.
    Get,
    /// Create, actions, batches.
    Post,
    /// Update, upsert.
    Patch,
    /// Delete.
    Delete,
}

/// One request, ready to be sent as often as needed; cloning is cheap.
#[derive(Clone, Debug)]
pub struct ApiRequest {
    /// Method.
    pub method: Method,
    /// Relative to `{origin}/api/data/v9.2/`, percent-encoded, with its query.
    pub path: String,
    /// Beyond the standing ones, which the transport adds.
    pub headers: Vec<(&'static str, String)>,
    /// Body and its content type.
    pub body: Option<(String, Bytes)>,
}

/// A complete answer.
#[derive(Clone, Debug)]
pub struct ApiReply {
    /// HTTP status.
    pub status: u16,
    /// Headers the loader looks at.
    pub headers: ReplyHeaders,
    /// Body, whole, at most `limits::REPLY_BYTES_MAX`.
    pub body: Bytes,
}

/// Answer headers the loader looks at, parsed leniently: absurd values count as absent.
///
/// Source: `dataverse-web-api.md` §0.4, §13.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ReplyHeaders {
    /// `Retry-After`: seconds (fractions allowed) or an HTTP date, as a duration from the answer.
    pub retry_after: Option<Duration>,
    /// `x-ms-ratelimit-burst-remaining-xrm-requests`.
    pub requests_remaining: Option<f64>,
    /// `x-ms-ratelimit-time-remaining-xrm-requests`, seconds.
    pub time_remaining_secs: Option<f64>,
    /// `x-ms-dop-hint`.
    pub dop_hint: Option<u32>,
    /// `x-ms-service-request-id` or `REQ_ID`.
    pub service_request_id: Option<String>,
    /// `Content-Type`.
    pub content_type: Option<String>,
    /// `OData-EntityId`.
    pub entity_id: Option<String>,
    /// `X-Source`, its last part: the web server that answered.
    pub source: Option<String>,
    /// The affinity cookie that was set, as a `Cookie` header that leads back to the same server.
    pub affinity: Option<String>,
}

/// Why there is no complete answer. The one question that matters afterwards is whether the
/// server can have acted: see [`TransportFailure::surely_not_sent`].
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TransportFailure {
    /// No token could be had; nothing was sent.
    #[error("no token: {0}")]
    Token(TokenFailure),
    /// Name resolution, connection or TLS failed; nothing was sent.
    #[error("cannot connect: {0}")]
    Connect(String),
    /// The time for the attempt ran out after the request began to leave.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    /// The connection broke after the request began to leave.
    #[error("connection lost: {0}")]
    Broken(String),
    /// Status and headers came, the body did not (whole); the status is kept.
    #[error("answer {status} cut off: {detail}")]
    BodyCut {
        /// HTTP status received.
        status: u16,
        /// What happened.
        detail: String,
    },
}

/// Why a token could not be had.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TokenFailure {
    /// Configuration: wrong secret, unknown application, unreadable file. Retrying cannot help.
    #[error("{0}")]
    Refused(String),
    /// The token service did not answer; retrying may help.
    #[error("{0}")]
    Unreachable(String),
}

impl TransportFailure {
    /// True when no byte of the request can have reached the service.
    #[must_use]
    pub const fn surely_not_sent(&self) -> bool {
        matches!(self, Self::Token(_) | Self::Connect(_))
    }
}

/// What the pipeline and the catalog send requests through: the real wire, or a double in tests.
pub trait Transport: Send + Sync + 'static {
    /// Makes one attempt with one identity. Never retries, never follows redirects.
    fn attempt(
        &self,
        identity: IdentityId,
        request: ApiRequest,
        timeout: Duration,
    ) -> impl Future<Output = Result<ApiReply, TransportFailure>> + Send;

    /// Forgets the identity's token after a 401, so that the next attempt asks for a new one.
    fn forget_token(&self, identity: IdentityId);
}
