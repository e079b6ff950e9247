//! Pure: what can be set of service protection.

use super::{SettingsRefused, nonnegative, number, refused};
use serde::Deserialize;
use std::collections::HashSet;

/// Most web servers: what is counted by server stays bounded.
const SERVERS_MAX: u32 = 1000;

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

/// How long a user stays away who has overrun a window.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Lock {
    /// Until the overrun is paid back: the window has fallen as far below its limit as it was
    /// above. Repeated offences add to it.
    ///
    /// Source: `adaptive-control.md` §6.
    Payback,
    /// Until the window fits again.
    Lenient,
}

/// Where a request without a cookie that holds goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Routing {
    /// To one server after the other.
    ///
    /// Source: `dataverse-web-api.md` §12 row 6.
    RoundRobin,
    /// To any.
    Random,
    /// To the one with the fewest connections busy; among several, to any of them.
    LeastConnections,
}

/// Service protection.
///
/// Source: `dataverse-web-api.md` §1.1, §12 rows 1-9.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ProtectionSettings {
    /// Web servers behind the address.
    pub servers: u32,
    /// Where a request without a cookie that holds goes.
    pub routing: Routing,
    /// Whether a returned affinity cookie leads to its server as long as that is there.
    pub cookies_hold: bool,
    /// Whether `Set-Cookie` and `X-Source` name the server.
    pub server_token: bool,
    /// What the windows count by.
    pub scope: ProtectionScope,
    /// How long a user stays away who has overrun a window.
    pub lock: Lock,
    /// Added to the wait by each lock that follows another within a window, simulated seconds;
    /// with `lock = "payback"` alone.
    pub repeat_secs: f64,
    /// Requests and execution time act on the limits this late, simulated seconds.
    pub enforcement_lag_secs: f64,
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
    /// What remains is told as it was this long ago, simulated seconds. It moves in jumps, four in
    /// that time.
    ///
    /// Source: `adaptive-control.md` §2.1: jumps of 500 to 700 requests were seen.
    pub headers_lag_secs: f64,
    /// Factor on what the headers say remains; 1 is the truth.
    pub headers_factor: f64,
    /// Whether the header tells the remaining time in real seconds instead of simulated ones, for
    /// clients that measure requests with a clock of their own at a `speed` other than 1.
    pub headers_real_secs: bool,
    /// `x-ms-dop-hint`; 0 leaves it out.
    pub dop_hint: u32,
    /// Whether each operation of a batch counts as a request and can be refused by itself.
    pub count_batch_parts: bool,
}

impl Default for ProtectionSettings {
    fn default() -> Self {
        Self {
            servers: 1,
            routing: Routing::RoundRobin,
            cookies_hold: true,
            server_token: true,
            scope: ProtectionScope::Server,
            lock: Lock::Payback,
            repeat_secs: 5.0,
            enforcement_lag_secs: 0.0,
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
            headers_lag_secs: 0.0,
            headers_factor: 1.0,
            headers_real_secs: false,
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

    /// Checks the rules the types do not hold.
    pub(super) fn check(&self) -> Result<(), SettingsRefused> {
        for (key, value) in [
            ("protection.execution_secs_max", self.execution_secs_max),
            ("protection.penalty_secs", self.penalty_secs),
            ("protection.repeat_secs", self.repeat_secs),
            ("protection.headers_factor", self.headers_factor),
            ("protection.concurrency_retry_secs[0]", self.concurrency_retry_secs[0]),
        ] {
            nonnegative(key, value)?;
        }
        for (key, value) in [
            ("protection.window_secs", self.window_secs),
            ("protection.retry_after_secs_max", self.retry_after_secs_max),
        ] {
            number(key, value, value > 0.0, "a number above 0")?;
        }
        let window = self.window_secs;
        for (key, value) in [
            ("protection.headers_lag_secs", self.headers_lag_secs),
            ("protection.enforcement_lag_secs", self.enforcement_lag_secs),
        ] {
            number(key, value, (0.0..=window).contains(&value), "from 0 to window_secs")?;
        }
        let [low, high] = self.concurrency_retry_secs;
        number("protection.concurrency_retry_secs[1]", high, high >= low, "not below the first")?;
        servers("protection.servers", self.servers)
    }
}

/// From `after_secs` on there are so many web servers.
#[derive(Clone, Copy, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServersChange {
    /// Simulated seconds since the start.
    pub after_secs: f64,
    /// Web servers. Those that go take their windows with them; those that come are new ones.
    pub servers: u32,
}

impl ServersChange {
    /// Checks the rules the types do not hold.
    pub(super) fn check(&self) -> Result<(), SettingsRefused> {
        nonnegative("servers_change.after_secs", self.after_secs)?;
        servers("servers_change.servers", self.servers)
    }
}

/// Somebody else who works under one of the users and spends of its limits.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ForeignLoad {
    /// Name of the user.
    pub user: String,
    /// Share of the execution time of each window it spends, steadily.
    pub share: f64,
    /// Execution time of one of its requests, simulated seconds: how many requests it is.
    #[serde(default = "one_second")]
    pub request_secs: f64,
    /// From this simulated second on.
    #[serde(default)]
    pub after_secs: f64,
    /// Up to this simulated second; to the end when absent.
    #[serde(default)]
    pub until_secs: Option<f64>,
}

const fn one_second() -> f64 {
    1.0
}

impl ForeignLoad {
    /// Checks the rules the types do not hold; `users` are the names there are.
    pub(super) fn check(&self, users: &HashSet<&String>) -> Result<(), SettingsRefused> {
        if !users.contains(&self.user) {
            return Err(refused("foreign.user", &self.user, "the name of one of the users"));
        }
        let share = self.share;
        number("foreign.share", share, (0.0..=1.0).contains(&share), "between 0 and 1")?;
        number(
            "foreign.request_secs",
            self.request_secs,
            self.request_secs >= 0.001,
            "at least 0.001",
        )?;
        nonnegative("foreign.after_secs", self.after_secs)?;
        match self.until_secs {
            Some(until) => {
                number("foreign.until_secs", until, until > self.after_secs, "above after_secs")
            }
            None => Ok(()),
        }
    }
}

fn servers(key: &'static str, servers: u32) -> Result<(), SettingsRefused> {
    if (1..=SERVERS_MAX).contains(&servers) {
        return Ok(());
    }
    Err(refused(key, &servers.to_string(), "at least 1 and at most 1000"))
}
