//! Pure: what can be set of service protection.

use serde::Deserialize;

/// What the windows of service protection count by.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProtectionScope {
    /// Each web server counts by itself, as documented.
    Server,
    /// One counter per user over all servers, as seen on one environment.
    ///
    /// Source: `adaptive-control.md` §2.1.
    User,
}

/// How codes of throttling answers are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CodeFormat {
    /// `0x80072321`.
    Hex,
    /// `-2147015903`.
    Decimal,
}

/// Service protection.
///
/// Source: `dataverse-web-api.md` §1.1, §12 rows 1-9.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ProtectionSettings {
    /// Web servers behind the address.
    pub servers: u32,
    /// What the windows count by.
    pub scope: ProtectionScope,
    /// Sliding window, simulated seconds.
    pub window_secs: f64,
    /// Requests per window; 0 switches this limit off.
    pub requests_max: u32,
    /// Execution time per window, simulated seconds; 0 switches this limit off.
    pub execution_secs_max: f64,
    /// Requests at once; 0 switches this limit off.
    pub concurrent_max: u32,
    /// Added to the wait by each request sent while throttled, simulated seconds.
    pub penalty_secs: f64,
    /// Longest `Retry-After`, simulated seconds.
    pub retry_after_secs_max: f64,
    /// Shortest and longest `Retry-After` of the concurrency limit, simulated seconds.
    pub concurrency_retry_secs: [f64; 2],
    /// Whether `Retry-After` carries a fraction, as once seen (`34.226`).
    pub fractional_retry_after: bool,
    /// How codes are written.
    pub code_format: CodeFormat,
    /// Whether the answers carry the remaining requests and time.
    pub rate_headers: bool,
    /// `x-ms-dop-hint`; 0 leaves it out.
    pub dop_hint: u32,
    /// Whether each operation of a batch counts as a request and can be refused by itself.
    pub count_batch_parts: bool,
}

impl Default for ProtectionSettings {
    fn default() -> Self {
        Self {
            servers: 1,
            scope: ProtectionScope::Server,
            window_secs: 300.0,
            requests_max: 6000,
            execution_secs_max: 1200.0,
            concurrent_max: 52,
            penalty_secs: 2.0,
            retry_after_secs_max: 300.0,
            concurrency_retry_secs: [1.0, 5.0],
            fractional_retry_after: false,
            code_format: CodeFormat::Hex,
            rate_headers: true,
            dop_hint: 5,
            count_batch_parts: false,
        }
    }
}

impl ProtectionSettings {
    /// No limit at all.
    #[must_use]
    pub fn off() -> Self {
        Self { requests_max: 0, execution_secs_max: 0.0, concurrent_max: 0, ..Self::default() }
    }
}
