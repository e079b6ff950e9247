//! The `/status` answer: what a run is doing, as data.

use crate::control::orders_status::OrdersStatus;
use crate::record::outcome::RowState;
use crate::record::throttle::Throttle;
use crate::telemetry::metrics::{Meters, RequestEnd};
use crate::units::MonoTime;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A run at one moment.
#[derive(Clone, Debug, Serialize, Deserialize)]
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
    /// Loads in job order.
    pub loads: Vec<LoadStatus>,
    /// Identities in job order.
    pub identities: Vec<IdentityStatus>,
    /// What is wanted of it; whoever takes the snapshot fills it in.
    #[serde(default)]
    pub orders: OrdersStatus,
}

/// A load at one moment.
#[derive(Clone, Debug, Serialize, Deserialize)]
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
}

/// An identity at one moment.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct IdentityStatus {
    /// Alias.
    pub name: String,
    /// 429s by kind of limit.
    pub throttles: BTreeMap<String, u64>,
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

/// Reads the meters.
#[must_use]
pub fn snapshot(meters: &Meters, facts: &RunFacts, state: &str, now: MonoTime) -> RunStatus {
    let elapsed_secs = now.saturating_since(facts.started).as_secs_f64();
    let loads = meters
        .loads()
        .iter()
        .enumerate()
        .map(|(index, load)| {
            let settled = load.settled_all();
            let before = facts.settled_before.get(index).copied().unwrap_or(0);
            let bytes = *load.source_bytes.lock();
            let waiting = load.waiting.lock();
            LoadStatus {
                name: load.name.clone(),
                read: load.read.get(),
                open: u64::try_from(load.open.get()).unwrap_or(0),
                rows: RowState::ALL
                    .iter()
                    .filter(|s| load.settled(**s) > 0)
                    .map(|s| (s.word().to_owned(), load.settled(*s)))
                    .collect(),
                rows_per_second: settled.saturating_sub(before) as f64 / elapsed_secs.max(0.001),
                requests: [
                    RequestEnd::Done,
                    RequestEnd::Throttled,
                    RequestEnd::Refused,
                    RequestEnd::NotApplied,
                    RequestEnd::InDoubt,
                    RequestEnd::Systemic,
                ]
                .iter()
                .map(|e| (e.word().to_owned(), load.requests(*e)))
                .collect(),
                in_flight: u64::try_from(load.in_flight.get()).unwrap_or(0),
                parallel: u64::try_from(load.parallel_limit.get()).unwrap_or(0),
                batch_rows: *load.batch_size.lock(),
                source_share: (bytes.total > 0)
                    .then(|| (bytes.read as f64 / bytes.total as f64).min(1.0)),
                waiting: waiting.word().to_owned(),
                reason: waiting.sentence(now),
            }
        })
        .collect();
    let identities = meters
        .identities()
        .iter()
        .map(|identity| IdentityStatus {
            name: identity.name.clone(),
            throttles: Throttle::ALL
                .iter()
                .map(|k| (k.word().to_owned(), identity.throttles(*k)))
                .collect(),
        })
        .collect();
    RunStatus {
        job: facts.job.clone(),
        environment: facts.environment.clone(),
        state: state.to_owned(),
        pid: std::process::id(),
        elapsed_secs,
        memory_taken_bytes: u64::try_from(meters.memory_taken.get()).unwrap_or(0),
        memory_budget_bytes: facts.memory_budget_bytes,
        loads,
        identities,
        orders: OrdersStatus::default(),
    }
}
