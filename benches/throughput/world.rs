//! What an environment is made of, and the words in which it is asked and answers. Source of every
//! law: `adaptive-control.md` §2, §6.

/// Length of the sliding window, seconds.
pub(crate) const WINDOW: f64 = 300.0;

/// Uncontended seconds of a request, and how requests of one table slow each other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Class {
    pub(crate) a: f64,
    pub(crate) b: f64,
    pub(crate) d: f64,
    pub(crate) sigma: f64,
    pub(crate) kappa: f64,
}

impl Class {
    pub(crate) fn secs(&self, n: f64) -> f64 {
        self.a + self.b * n + self.d * n * n
    }
}

pub(crate) const SIMPLE: Class = Class { a: 0.10, b: 0.006, d: 1e-6, sigma: 0.0, kappa: 0.0 };
pub(crate) const MODERATE: Class = Class { a: 0.15, b: 0.020, d: 4e-6, sigma: 0.0, kappa: 0.0 };
pub(crate) const OOB: Class = Class { a: 0.30, b: 0.060, d: 2e-5, sigma: 0.0, kappa: 0.0 };
pub(crate) const COMPLEX: Class = Class { a: 0.40, b: 0.25, d: 1e-3, sigma: 0.0, kappa: 0.0 };

/// One table to load.
#[derive(Clone, Debug)]
pub(crate) struct TableSpec {
    pub(crate) class: Class,
    /// Rows; `None` never ends.
    pub(crate) rows: Option<u64>,
    pub(crate) bad: f64,
    pub(crate) hazard: f64,
    pub(crate) weight: f64,
    /// (from second, factor) on durations of this table.
    pub(crate) drift: Vec<(f64, f64)>,
    /// Cost of a row in `$batch` over a bulk row.
    pub(crate) batch_ratio: f64,
    /// Guidance of seed 004: batch × threads.
    pub(crate) guidance: (u32, u32),
}

#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Headers {
    None,
    Fresh,
    /// Shown as they were at the last refresh, this many seconds apart.
    Stale(f64),
}

/// One environment and what happens to it.
#[derive(Clone, Debug)]
pub(crate) struct World {
    pub(crate) name: &'static str,
    pub(crate) tables: Vec<TableSpec>,
    pub(crate) servers: Vec<(f64, u32)>,
    /// Execution-seconds limit of each user.
    pub(crate) users: Vec<f64>,
    pub(crate) requests_limit: f64,
    pub(crate) concurrent: usize,
    /// One counter a user over all servers.
    pub(crate) shared: bool,
    pub(crate) tokens: bool,
    pub(crate) headers: Headers,
    pub(crate) enforcement_lag: f64,
    pub(crate) lenient: bool,
    pub(crate) latency: f64,
    pub(crate) noise: f64,
    pub(crate) sigma: f64,
    /// (from second, κ).
    pub(crate) kappa: Vec<(f64, f64)>,
    /// Slow-down per row in flight.
    pub(crate) lock: f64,
    /// Share of every limit that somebody else spends, from, until.
    pub(crate) foreign: Option<(f64, f64, f64)>,
    /// Hint of the environment, as the service would give it.
    pub(crate) hint: u32,
}

pub(crate) fn at(steps: &[(f64, f64)], now: f64) -> f64 {
    steps.iter().rev().find(|(from, _)| *from <= now).map_or(1.0, |(_, v)| *v)
}

impl World {
    pub(crate) fn servers_at(&self, now: f64) -> u32 {
        self.servers.iter().rev().find(|(from, _)| *from <= now).map_or(1, |(_, v)| *v)
    }
    pub(crate) fn f(&self, now: f64, c: f64) -> f64 {
        1.0 + self.sigma * (c - 1.0) + at(&self.kappa, now) * c * (c - 1.0)
    }
}

/// What a request is made of.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Cargo {
    Bulk,
    Apart,
    Ping,
}

#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Limit {
    Time,
    Requests,
    Concurrency,
}

#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum End {
    Done,
    Refused,
    Passing,
    TimedOut,
    Throttled(Limit, f64),
}

/// An answer as it reaches the client.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer {
    pub(crate) tag: u64,
    pub(crate) end: End,
    pub(crate) server: Option<u32>,
    pub(crate) time_left: Option<f64>,
    pub(crate) requests_left: Option<f64>,
}
