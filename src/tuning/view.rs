//! Pure: what people see of the governor at one moment: the progress line, `/status`, metrics.

use crate::record::throttle::Throttle;

/// Where the service counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Scope {
    /// Not known yet, or no signal tells; the documented one is assumed.
    #[default]
    Unknown,
    /// One counter per identity.
    Identity,
    /// One counter per identity and web server.
    Server,
}

impl Scope {
    /// Word for labels and JSON.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Identity => "identity",
            Self::Server => "server",
        }
    }
}

/// What bounds the requests at once over all loads.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Bound {
    /// Still feeling its way up.
    #[default]
    Ramp,
    /// Execution seconds come back no faster.
    Budget,
    /// More at once would make each request slower by as much.
    Knee,
    /// The service's own limit of requests at once.
    Limit,
    /// A person or a schedule.
    Operator,
}

impl Bound {
    /// Word for labels and JSON.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Ramp => "ramp",
            Self::Budget => "budget",
            Self::Knee => "knee",
            Self::Limit => "limit",
            Self::Operator => "operator",
        }
    }
    /// All of them, for metrics.
    pub const ALL: [Self; 5] = [Self::Ramp, Self::Budget, Self::Knee, Self::Limit, Self::Operator];
}

/// The governor at one moment.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct View {
    /// Where the service counts.
    pub scope: Scope,
    /// Web servers that count separately, as far as seen; 0 when not known.
    pub servers: u32,
    /// Requests at once aimed at, over all loads.
    pub parallel_target: f64,
    /// What bounds it.
    pub parallel_bound: Bound,
    /// How much longer requests get, in per cent, when one per cent more are under way; the
    /// optimum lies at 1. `None` before it was measured.
    pub elasticity_parallel: Option<f64>,
    /// The same for the rows in flight.
    pub elasticity_rows: Option<f64>,
    /// What is left fits into what the window still gives: limits are spent, not paced.
    pub sprint: bool,
    /// Share of the limits that may be used now.
    pub max_share: f64,
    /// By identity and, where counted apart, server; in no particular order.
    pub lanes: Vec<LaneView>,
    /// By load, in job order.
    pub tables: Vec<TableView>,
}

/// One counter of the service.
#[derive(Clone, PartialEq, Debug)]
pub struct LaneView {
    /// Identity, in job order.
    pub identity: u16,
    /// Web server, numbered in the order of discovery, where counted apart.
    pub server: Option<u32>,
    /// Execution seconds in the window.
    pub time_used_secs: f64,
    /// Believed limit of them.
    pub time_limit_secs: f64,
    /// Requests in the window.
    pub requests_used: f64,
    /// Believed limit of them.
    pub requests_limit: f64,
    /// Requests under way.
    pub in_flight: u32,
    /// Believed limit of them.
    pub parallel_limit: f64,
    /// Execution seconds that may be spent at once.
    pub tokens_secs: f64,
    /// Seconds until it opens after a throttle; 0 when open.
    pub closed_secs: f64,
    /// What closed it last.
    pub closed_by: Option<Throttle>,
    /// A person paused its identity.
    pub paused: bool,
}

/// One load.
#[derive(Clone, PartialEq, Debug)]
pub struct TableView {
    /// Rows a request at present.
    pub batch_rows: u32,
    /// Rows a request that the fitted cost says are best.
    pub batch_optimum: u32,
    /// Least and most rows a request allowed.
    pub batch_range: (u32, u32),
    /// Most requests at once allowed.
    pub parallel_max: u32,
    /// Requests under way.
    pub in_flight: u32,
    /// Its weight.
    pub weight: f64,
    /// Its share of all execution seconds of the last window, 0–1.
    pub share: f64,
    /// Fitted seconds of a request: fixed, per row, per row squared; at the present level.
    pub cost: Option<[f64; 3]>,
    /// Duration predicted over duration measured, smoothed; 1 is right.
    pub predicted_over_actual: f64,
    /// Rows written per execution second, smoothed.
    pub rows_per_execution_second: f64,
    /// Share of rows that the service refuses, estimated.
    pub bad_row_rate: f64,
    /// Passing failures per 100-row request, estimated.
    pub hazard: f64,
    /// Requests it learnt from.
    pub samples: u64,
    /// A person paused it.
    pub paused: bool,
}
