//! The `/status` answer: what a run is doing, as data. Fields are added, never renamed. What is not
//! known is null or an empty list, never a zero.

use crate::control::orders_status::OrdersStatus;
use crate::units::MonoTime;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A run at one moment.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct RunStatus {
    /// Job name.
    pub job: String,
    /// Environment URL.
    pub environment: String,
    /// `running`, `paused`, `draining`, `stopping`.
    pub state: String,
    /// Process id.
    pub pid: u32,
    /// Seconds since this process began the run.
    pub elapsed_secs: f64,
    /// Bytes of the record budget in use, and the budget.
    pub memory_taken_bytes: u64,
    /// The record budget.
    pub memory_budget_bytes: u64,
    /// Address of the page for people, if one is served.
    #[serde(default)]
    pub page: Option<String>,
    /// Rows of all loads settled a second over the last ten seconds.
    #[serde(default)]
    pub rows_per_second_now: Option<f64>,
    /// Seconds until all loads are done at the present rate, if every source is being read.
    #[serde(default)]
    pub eta_secs: Option<f64>,
    /// What the governor does; null before it has decided anything.
    #[serde(default)]
    pub tuning: Option<TuningStatus>,
    /// Loads in job order.
    pub loads: Vec<LoadStatus>,
    /// Identities in job order.
    pub identities: Vec<IdentityStatus>,
    /// What is wanted of it; whoever takes the snapshot fills it in.
    #[serde(default)]
    pub orders: OrdersStatus,
    /// Refused rows that came last, latest first.
    #[serde(default)]
    pub last_errors: Vec<RefusedStatus>,
    /// Rows of all loads settled lately.
    #[serde(default)]
    pub history: HistoryStatus,
}

/// The governor at one moment.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct TuningStatus {
    /// Where the service counts: `unknown`, `identity`, `server`.
    pub scope: String,
    /// Web servers that count separately, as far as seen; null when not known.
    pub servers: Option<u32>,
    /// Requests at once aimed at, over all loads.
    pub parallel_target: f64,
    /// What bounds it: `ramp`, `budget`, `knee`, `limit`, `operator`.
    pub parallel_bound: String,
    /// How much longer requests get, in per cent, when one per cent more are under way.
    pub elasticity_parallel: Option<f64>,
    /// The same for the rows in flight.
    pub elasticity_rows: Option<f64>,
    /// What is left fits into the window: limits are spent, not paced.
    pub sprint: bool,
    /// Share of the limits that may be used now, 0–1.
    pub max_share: f64,
}

/// A load at one moment.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct LoadStatus {
    /// Name.
    pub name: String,
    /// Rows read.
    pub read: u64,
    /// Rows read and not settled.
    pub open: u64,
    /// Rows by final state; states without rows are left out.
    pub rows: BTreeMap<String, u64>,
    /// Rows settled a second since this process began.
    pub rows_per_second: f64,
    /// Rows settled a second over the last ten seconds.
    #[serde(default)]
    pub rows_per_second_now: Option<f64>,
    /// Seconds until it is done at the present rate, if its source is being read.
    #[serde(default)]
    pub eta_secs: Option<f64>,
    /// Requests by how they ended.
    pub requests: BTreeMap<String, u64>,
    /// Requests in flight.
    pub in_flight: u64,
    /// Requests at once it may have.
    pub parallel: u64,
    /// Rows a request.
    pub batch_rows: u32,
    /// Share of the source read, 0–1, if known.
    pub source_share: Option<f64>,
    /// Word for what holds it.
    pub waiting: String,
    /// Sentence for what holds it.
    pub reason: String,
    /// What the governor does with it; null before it has decided anything.
    #[serde(default)]
    pub tuning: Option<LoadTuningStatus>,
    /// Rows settled in each bucket of [`RunStatus::history`].
    #[serde(default)]
    pub history: Vec<u64>,
}

/// What the governor does with a load.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct LoadTuningStatus {
    /// Rows a request that the fitted cost says are best.
    pub batch_optimum: u32,
    /// Least and most rows a request allowed.
    pub batch_range: [u32; 2],
    /// Most requests at once allowed.
    pub parallel_max: u32,
    /// Weight against the other loads.
    pub weight: f64,
    /// Share of the execution seconds of the last window, 0–1.
    pub share: f64,
    /// Fitted seconds of a request: fixed, per row, per row squared.
    pub cost: Option<[f64; 3]>,
    /// Duration predicted over duration measured; 1 is right.
    pub predicted_over_actual: f64,
    /// Rows written per execution second.
    pub rows_per_execution_second: f64,
    /// Share of rows that the service refuses, estimated, 0–1.
    pub bad_row_rate: f64,
    /// Passing failures per 100-row request, estimated.
    pub hazard: f64,
    /// Requests it learnt from.
    pub samples: u64,
    /// A person paused it.
    pub paused: bool,
}

/// An identity at one moment.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct IdentityStatus {
    /// Alias.
    pub name: String,
    /// 429s by kind of limit.
    pub throttles: BTreeMap<String, u64>,
    /// A person paused it; null before the governor has decided anything.
    #[serde(default)]
    pub paused: Option<bool>,
    /// Every one of its lanes is closed by a throttle; null before the governor has decided
    /// anything.
    #[serde(default)]
    pub closed: Option<bool>,
    /// What the service counts for it: one lane, or one for each web server.
    #[serde(default)]
    pub lanes: Vec<LaneStatus>,
}

/// One counter of the service.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct LaneStatus {
    /// Web server, numbered in the order of discovery, where counted apart.
    pub server: Option<u32>,
    /// Execution seconds in the window.
    pub time_used_secs: f64,
    /// Believed limit of them; 0 when not known.
    pub time_limit_secs: f64,
    /// Requests in the window.
    pub requests_used: f64,
    /// Believed limit of them; 0 when not known.
    pub requests_limit: f64,
    /// Requests under way.
    pub in_flight: u32,
    /// Believed limit of them; 0 when not known.
    pub parallel_limit: f64,
    /// Execution seconds that may be spent at once.
    pub tokens_secs: f64,
    /// Seconds until it opens after a throttle; 0 when open.
    pub closed_secs: f64,
    /// Kind of limit that closed it last.
    pub closed_by: Option<String>,
}

/// A refused row.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RefusedStatus {
    /// Name of the load.
    pub load: String,
    /// Code, as in the error file.
    pub code: String,
    /// Category, as in the error file.
    pub category: String,
    /// Key of the row; null for who may not read the error file.
    pub key: Option<String>,
    /// What was said; null for who may not read the error file.
    pub message: Option<String>,
}

/// Rows settled lately.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct HistoryStatus {
    /// Length of a bucket, seconds.
    pub bucket_secs: u64,
    /// Rows of each full bucket, oldest first; at most half an hour.
    pub rows: Vec<u64>,
}

impl LoadStatus {
    /// Rows in any final state.
    #[must_use]
    pub fn settled(&self) -> u64 {
        self.rows.values().sum()
    }

    /// Rows that stand in the error file.
    #[must_use]
    pub fn refused(&self) -> u64 {
        let bad = ["failed", "rejected", "duplicate_input", "ambiguous"];
        bad.iter().filter_map(|word| self.rows.get(*word)).sum()
    }
}

impl RunStatus {
    /// The same without what only the owner of the files may read: keys and messages of refused
    /// rows hold values of the source.
    #[must_use]
    pub fn for_strangers(mut self) -> Self {
        for row in &mut self.last_errors {
            row.key = None;
            row.message = None;
        }
        self
    }
}

/// What does not change during a run.
#[derive(Clone, Debug)]
pub struct RunFacts {
    /// Job name.
    pub job: String,
    /// Environment URL.
    pub environment: String,
    /// When the run began.
    pub started: MonoTime,
    /// Rows settled by earlier runs, per load: they do not count for the rate.
    pub settled_before: Vec<u64>,
    /// The record budget.
    pub memory_budget_bytes: u64,
}
