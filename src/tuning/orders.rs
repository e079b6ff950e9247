//! Pure: what people and the job file want of the governor. It obeys within one decision.

use std::num::NonZeroU32;

/// Least and most of a tuned number; equal when it is fixed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Range {
    /// Never less; at least 1.
    pub min: u32,
    /// Never more; at least `min`.
    pub max: u32,
}

/// What is wanted of one table load.
#[derive(Clone, PartialEq, Debug)]
pub struct TableOrders {
    /// Rows a request.
    pub batch: Range,
    /// Requests at once of this load. `min` is not a promise, it keeps the tuner from going below.
    pub parallel: Range,
    /// Share of the execution seconds relative to the other loads; greater than 0.
    pub weight: f64,
    /// Sends nothing new.
    pub paused: bool,
}

/// What is wanted of one identity.
#[derive(Clone, PartialEq, Debug)]
pub struct IdentityOrders {
    /// Sends nothing new through it.
    pub paused: bool,
    /// Most requests a second through it.
    pub requests_per_second: Option<NonZeroU32>,
    /// Its 24-hour entitlement is used up and the policy says stop.
    pub entitlement_used_up: bool,
}

/// Everything that is wanted; loads and identities in job order.
#[derive(Clone, PartialEq, Debug)]
pub struct Orders {
    /// By load.
    pub tables: Vec<TableOrders>,
    /// By identity.
    pub identities: Vec<IdentityOrders>,
    /// Share of what the service's limits allow that may be used now, above 0 and at most 1: a
    /// schedule lowers it in business hours. 0 means that the schedule is closed.
    pub max_share: f64,
}
