//! Meters of one identity.

use super::families::Families;
use super::names;
use crate::record::throttle::Throttle;
use parking_lot::Mutex;
use prometheus::{Counter, CounterVec, GaugeVec, IntCounter, IntCounterVec, IntGaugeVec};

/// Meters of one identity.
#[derive(Debug)]
pub struct IdentityMeters {
    /// Alias.
    pub name: String,
    throttles: Vec<IntCounter>,
    /// Seconds it was closed, milliseconds resolution.
    pub closed_seconds: Counter,
    /// Its 24-hour entitlement; `None` where the job file sets no budget.
    pub entitlement: Mutex<Option<EntitlementUse>>,
}

/// An identity's 24-hour entitlement at one moment.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct EntitlementUse {
    /// Operations within the last 24 hours.
    pub used: u64,
    /// The budget.
    pub limit: u64,
    /// Seconds until it is used up at the present rate; `None` when it never is.
    pub used_up_in_secs: Option<f64>,
}

impl IdentityMeters {
    /// Counts a 429.
    pub fn throttle(&self, kind: Throttle) {
        self.throttles[throttle_index(kind)].inc();
    }

    /// 429s of a kind.
    #[must_use]
    pub fn throttles(&self, kind: Throttle) -> u64 {
        self.throttles[throttle_index(kind)].get()
    }
}

const fn throttle_index(kind: Throttle) -> usize {
    match kind {
        Throttle::Requests => 0,
        Throttle::Time => 1,
        Throttle::Concurrency => 2,
        Throttle::Other => 3,
    }
}

/// Series of all identities.
#[derive(Debug)]
pub(super) struct IdentityFamilies {
    throttles: IntCounterVec,
    closed: CounterVec,
    entitlement_used: IntGaugeVec,
    entitlement_limit: IntGaugeVec,
    entitlement_left: GaugeVec,
}

impl IdentityFamilies {
    pub(super) fn new(families: &Families<'_>) -> Result<Self, prometheus::Error> {
        let of_identity = &["identity"];
        Ok(Self {
            throttles: families.counters(
                names::THROTTLES,
                "Answers with status 429.",
                &["identity", "limit"],
            )?,
            closed: families.real_counters(
                names::CLOSED_SECONDS,
                "Seconds an identity was closed by a throttle.",
                of_identity,
            )?,
            entitlement_used: families.gauges(
                names::ENTITLEMENT_USED,
                "Operations of an identity within the last 24 hours.",
                of_identity,
            )?,
            entitlement_limit: families.gauges(
                names::ENTITLEMENT_LIMIT,
                "Operations an identity may make within 24 hours by the job file.",
                of_identity,
            )?,
            entitlement_left: families.real_gauges(
                names::ENTITLEMENT_LEFT,
                "Seconds until an identity's entitlement is used up at the present rate.",
                of_identity,
            )?,
        })
    }

    pub(super) fn of(&self, name: &str) -> IdentityMeters {
        IdentityMeters {
            name: name.to_owned(),
            throttles: Throttle::ALL
                .iter()
                .map(|kind| self.throttles.with_label_values(&[name, kind.word()]))
                .collect(),
            closed_seconds: self.closed.with_label_values(&[name]),
            entitlement: Mutex::default(),
        }
    }

    /// Brings the gauges up to date.
    pub(super) fn refresh(&self, identities: &[IdentityMeters]) {
        self.entitlement_used.reset();
        self.entitlement_limit.reset();
        self.entitlement_left.reset();
        let whole = |operations| i64::try_from(operations).unwrap_or(i64::MAX);
        for identity in identities {
            let Some(told) = *identity.entitlement.lock() else { continue };
            let label = [identity.name.as_str()];
            self.entitlement_used.with_label_values(&label).set(whole(told.used));
            self.entitlement_limit.with_label_values(&label).set(whole(told.limit));
            if let Some(secs) = told.used_up_in_secs {
                self.entitlement_left.with_label_values(&label).set(secs);
            }
        }
    }
}
