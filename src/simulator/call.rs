//! Pure: one request to the model without its transport, and the answer.

use uuid::Uuid;

/// HTTP method of one operation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verb {
    /// Read.
    Get,
    /// Create or call.
    Post,
    /// Update or upsert.
    Patch,
    /// Set one property or reference.
    Put,
    /// Delete or clear.
    Delete,
}

/// Who calls and when. Virtual time and ids come from the caller, so a run is repeatable.
#[derive(Clone, Debug)]
pub struct CallContext {
    /// System user of the application that sent the request.
    pub caller: Uuid,
    /// System user the request acts for (`MSCRMCallerID`, `CallerObjectId`), else the caller.
    pub effective_user: Uuid,
    /// Wall-clock milliseconds since 1970, UTC.
    pub now_ms: i64,
    /// Origin the client used, e.g. `http://127.0.0.1:4711`; goes into links.
    pub origin: String,
}

/// One operation: a plain request, or one part of a batch.
#[derive(Clone, Debug)]
pub struct Call<'a> {
    /// Method.
    pub verb: Verb,
    /// Path below the service root, still percent-encoded, without query: `accounts(…)`.
    pub path: &'a str,
    /// Query text after `?`, still percent-encoded.
    pub query: &'a str,
    /// Request headers; names compare without case.
    pub headers: &'a [(String, String)],
    /// Body; empty when there is none.
    pub body: &'a [u8],
}

impl Call<'_> {
    /// First header called `name`, trimmed.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.trim())
    }

    /// Whether any `Prefer` header holds `token` (compared without case, quotes kept).
    #[must_use]
    pub fn prefers(&self, token: &str) -> bool {
        self.headers
            .iter()
            .filter(|(n, _)| n.eq_ignore_ascii_case("prefer"))
            .flat_map(|(_, v)| v.split(','))
            .any(|p| p.trim().eq_ignore_ascii_case(token))
    }
}

/// The answer to one operation.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Headers beyond the standing ones.
    pub headers: Vec<(&'static str, String)>,
    /// Content type of the body.
    pub content_type: Option<&'static str>,
    /// Body.
    pub body: Vec<u8>,
    /// Rows written or read, for the service-time model.
    pub rows: u32,
    /// Index of the table touched, for the service-time model.
    pub table: Option<usize>,
}

/// A refusal.
///
/// Source: `dataverse-web-api.md` §10.1.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refusal {
    /// HTTP status.
    pub status: u16,
    /// Code as unsigned 32-bit, or another text (elastic: "409").
    pub code: RefusalCode,
    /// Message.
    pub message: String,
    /// Annotations, given only when the client asks for them: name after
    /// `@Microsoft.PowerApps.CDS.`, value.
    pub annotations: Vec<(String, String)>,
}

/// The `code` of a refusal.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RefusalCode {
    /// Printed as `0x…`, eight lower-case digits.
    Hex(u32),
    /// Printed as it is (`""`, `0x0`, `409`).
    Text(String),
}

impl Refusal {
    /// A refusal with a hexadecimal code.
    #[must_use]
    pub fn new(status: u16, code: u32, message: impl Into<String>) -> Self {
        Self {
            status,
            code: RefusalCode::Hex(code),
            message: message.into(),
            annotations: Vec::new(),
        }
    }

    /// Adds an annotation.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.annotations.push((name.to_owned(), value.into()));
        self
    }
}
