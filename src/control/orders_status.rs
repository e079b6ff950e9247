//! The part of `/status` that says what is wanted of the run, by whom, and what changed.

use crate::control::steering::{ChangeMade, ScheduleNow, Steering, Who};
use crate::tuning::entitlement::{Entitlement, EntitlementState};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Orders in force.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct OrdersStatus {
    /// Share of the service's limits that may be used now, 0–1.
    pub max_share: f64,
    /// The schedule's entry in force, where there is a schedule.
    pub schedule: Option<ScheduleNow>,
    /// Loads in job order.
    pub loads: Vec<LoadOrdersStatus>,
    /// Identities in job order.
    pub identities: Vec<IdentityOrdersStatus>,
    /// Changes since the start of the run: `operator`, `schedule`, `entitlement`.
    pub changes: BTreeMap<String, u64>,
    /// The last changes, oldest first.
    pub recent: Vec<ChangeMade>,
}

/// Orders for a load.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct LoadOrdersStatus {
    /// Name.
    pub name: String,
    /// Least and most rows a request.
    pub batch: [u32; 2],
    /// Least and most requests at once.
    pub parallel: [u32; 2],
    /// Share of the execution seconds relative to the other loads.
    pub weight: f64,
    /// Paused by an operator, alone.
    pub paused: bool,
}

/// Orders for an identity.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct IdentityOrdersStatus {
    /// Alias.
    pub name: String,
    /// Paused by an operator, alone.
    pub paused: bool,
    /// Its 24-hour entitlement, where the job file has one.
    pub entitlement: Option<EntitlementStatus>,
}

/// A 24-hour entitlement.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct EntitlementStatus {
    /// Operations of the last 24 hours, of all jobs that count on this machine.
    pub used: u64,
    /// Operations allowed.
    pub limit: u64,
    /// `warn` or `stop`.
    pub policy: String,
    /// Whether nothing is sent because of it.
    pub stopped: bool,
    /// When it is used up at the rate of the last minutes, milliseconds since 1970; `None` when
    /// the rate leaves it standing.
    pub used_up_at_ms: Option<i64>,
    /// When a used-up one has room again, milliseconds since 1970.
    pub room_at_ms: Option<i64>,
}

/// Reads the orders at `wall_ms`, milliseconds since 1970.
#[must_use]
pub fn snapshot(steering: &Steering, wall_ms: i64) -> OrdersStatus {
    let orders = steering.orders().borrow().clone();
    let names = steering.names();
    let counted = steering.entitlement().map(|counted| counted.lock().clone());
    OrdersStatus {
        max_share: orders.max_share,
        schedule: steering.schedule(),
        loads: names
            .loads
            .iter()
            .zip(&orders.tables)
            .map(|(name, table)| LoadOrdersStatus {
                name: name.clone(),
                batch: [table.batch.min, table.batch.max],
                parallel: [table.parallel.min, table.parallel.max],
                weight: table.weight,
                paused: table.paused,
            })
            .collect(),
        identities: names
            .identities
            .iter()
            .zip(&orders.identities)
            .enumerate()
            .map(|(index, (name, identity))| IdentityOrdersStatus {
                name: name.clone(),
                paused: identity.paused,
                entitlement: counted.as_ref().map(|counted| {
                    let stopped = identity.entitlement_used_up;
                    entitlement(counted, index, stopped, wall_ms)
                }),
            })
            .collect(),
        changes: Who::ALL.iter().map(|w| (w.word().to_owned(), steering.changes(*w))).collect(),
        recent: steering.recent(),
    }
}

fn entitlement(
    counted: &Entitlement,
    index: usize,
    stopped: bool,
    wall_ms: i64,
) -> EntitlementStatus {
    let rule = counted.rule();
    let rate = counted.rate(index, wall_ms);
    EntitlementStatus {
        used: counted.used(index, wall_ms),
        limit: rule.per_identity,
        policy: rule.policy.word().to_owned(),
        stopped,
        used_up_at_ms: counted.forecast(index, wall_ms, rate),
        room_at_ms: match counted.state(index, wall_ms) {
            EntitlementState::UsedUp { until_ms } => Some(until_ms),
            EntitlementState::Ok | EntitlementState::Warn { .. } => None,
        },
    }
}
