//! Pure: what can be set of the transport.

use serde::Deserialize;

/// Transport limits.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HttpSettings {
    /// Largest body, bytes; more is answered 413.
    ///
    /// Source: `dataverse-web-api.md` §12 row 23: no number is published.
    pub body_bytes_max: usize,
    /// Longest URL, characters; more is answered 414.
    ///
    /// Source: `dataverse-web-api.md` §1.5.
    pub url_chars_max: usize,
    /// Longest URL inside a batch, characters.
    ///
    /// Source: `dataverse-web-api.md` §12 row 22.
    pub batch_url_chars_max: usize,
    /// Most operations of one `$batch`.
    ///
    /// Source: `dataverse-web-api.md` §1.5.
    pub batch_operations_max: usize,
    /// Most connections at once; more wait to be accepted.
    pub connections_max: usize,
    /// Idle connections are closed after this time, real seconds.
    ///
    /// Source: `dataverse-web-api.md` §1.5: the load balancer cuts at about 230-240 s.
    pub idle_secs: u64,
    /// Requests kept in the log of `/_sim/requests`.
    pub request_log_max: usize,
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self {
            body_bytes_max: 128 << 20,
            url_chars_max: 32_768,
            batch_url_chars_max: 65_536,
            batch_operations_max: 1000,
            connections_max: 4096,
            idle_secs: 235,
            request_log_max: 10_000,
        }
    }
}
