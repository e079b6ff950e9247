//! Pure: what can be set of service times.

use super::SettingsRefused;
use super::{nonnegative, number};
use crate::simulator::schema::Weight;
use serde::Deserialize;

/// Uncontended seconds of one request with `n` rows: `a + b·n + d·n²`.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cost {
    /// Per request, seconds.
    pub a: f64,
    /// Per row, seconds.
    pub b: f64,
    /// Per row squared, seconds.
    pub d: f64,
}

/// How much slower requests get beside each other: `1 + σ(C−1) + κC(C−1)` with C at once.
#[derive(Clone, Copy, PartialEq, Default, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contention {
    /// σ.
    pub sigma: f64,
    /// κ.
    pub kappa: f64,
}

/// Contention among the requests at once in one table, by class of the table; none unless set.
#[derive(Clone, Copy, PartialEq, Default, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TableContention {
    /// Tables with few or no lookups.
    pub simple: Contention,
    /// Tables with some lookups.
    pub moderate: Contention,
    /// Microsoft's own tables with plug-ins.
    pub out_of_the_box: Contention,
    /// Tables with more than 100 columns or 20 lookups.
    pub complex: Contention,
    /// Elastic tables.
    pub elastic: Contention,
}

impl TableContention {
    /// Contention of a class.
    #[must_use]
    pub fn of(&self, weight: Weight) -> Contention {
        match weight {
            Weight::Simple => self.simple,
            Weight::Moderate => self.moderate,
            Weight::OutOfTheBox => self.out_of_the_box,
            Weight::Complex => self.complex,
            Weight::Elastic => self.elastic,
        }
    }
}

/// From `after_secs` on, requests that begin take `factor` times as long; the latest step holds.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DriftStep {
    /// Simulated seconds since the start.
    pub after_secs: f64,
    /// Factor on the time a request takes alone.
    #[serde(default = "one")]
    pub factor: f64,
    /// Factor on every κ: 4 halves the number of requests at once the database does best with.
    /// It holds for requests that run already.
    #[serde(default = "one")]
    pub kappa_factor: f64,
}

const fn one() -> f64 {
    1.0
}

/// Service time.
///
/// Source: `adaptive-control.md` §2.2, §6.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LatencySettings {
    /// All service times are multiplied by this; 0 answers at once.
    pub scale: f64,
    /// Tables with few or no lookups.
    pub simple: Cost,
    /// Tables with some lookups.
    pub moderate: Cost,
    /// Microsoft's own tables with plug-ins.
    pub out_of_the_box: Cost,
    /// Tables with more than 100 columns or 20 lookups.
    pub complex: Cost,
    /// Elastic tables.
    pub elastic: Cost,
    /// Requests that touch no table's rows, and reads.
    pub read: Cost,
    /// Contention `1 + σ(C−1) + κC(C−1)` with C requests at once: σ.
    pub contention_sigma: f64,
    /// Contention: κ.
    pub contention_kappa: f64,
    /// Contention among the requests of one table, on top of that of the database.
    pub table_contention: TableContention,
    /// Slow-down per row in flight of all other requests.
    pub rows_in_flight: f64,
    /// Expected deadlocks of a request of 100 rows beside ten others; they grow with
    /// `rows^1.5` and with the number of others. Operations of a `$batch` and elastic tables are
    /// spared.
    ///
    /// Source: `adaptive-control.md` §4.6.
    pub deadlock_hazard: f64,
    /// Sigma of the log-normal noise.
    pub noise_sigma: f64,
    /// Changes over time.
    pub drift: Vec<DriftStep>,
    /// A request that takes longer, simulated seconds, fails or goes on without its client.
    ///
    /// Source: `dataverse-web-api.md` §12 row 24.
    pub timeout_secs: f64,
    /// Share of these that fails with a SQL timeout and is rolled back; the rest completes.
    pub timeout_fails: f64,
}

impl Default for LatencySettings {
    fn default() -> Self {
        let cost = |a, b, d| Cost { a, b, d };
        Self {
            scale: 0.0,
            simple: cost(0.10, 0.006, 1e-6),
            moderate: cost(0.15, 0.020, 4e-6),
            out_of_the_box: cost(0.30, 0.060, 2e-5),
            complex: cost(0.40, 0.25, 1e-3),
            elastic: cost(0.10, 0.005, 0.0),
            read: cost(0.05, 0.0, 0.0),
            contention_sigma: 0.004,
            contention_kappa: 0.0004,
            table_contention: TableContention::default(),
            rows_in_flight: 0.0,
            deadlock_hazard: 0.0,
            noise_sigma: 0.3,
            drift: Vec::new(),
            timeout_secs: 120.0,
            timeout_fails: 0.5,
        }
    }
}

impl LatencySettings {
    /// Checks the rules the types do not hold.
    pub(super) fn check(&self) -> Result<(), SettingsRefused> {
        for (key, value) in [
            ("latency.scale", self.scale),
            ("latency.noise_sigma", self.noise_sigma),
            ("latency.contention_sigma", self.contention_sigma),
            ("latency.contention_kappa", self.contention_kappa),
            ("latency.rows_in_flight", self.rows_in_flight),
            ("latency.deadlock_hazard", self.deadlock_hazard),
            ("latency.timeout_secs", self.timeout_secs),
        ] {
            nonnegative(key, value)?;
        }
        let share = self.timeout_fails;
        number("latency.timeout_fails", share, (0.0..=1.0).contains(&share), "between 0 and 1")?;
        for (key, cost) in [
            ("latency.simple", self.simple),
            ("latency.moderate", self.moderate),
            ("latency.out_of_the_box", self.out_of_the_box),
            ("latency.complex", self.complex),
            ("latency.elastic", self.elastic),
            ("latency.read", self.read),
        ] {
            let least = cost.a.min(cost.b).min(cost.d);
            number(key, least, least >= 0.0, "a, b and d not below 0")?;
        }
        let tables = &self.table_contention;
        for (key, rule) in [
            ("latency.table_contention.simple", tables.simple),
            ("latency.table_contention.moderate", tables.moderate),
            ("latency.table_contention.out_of_the_box", tables.out_of_the_box),
            ("latency.table_contention.complex", tables.complex),
            ("latency.table_contention.elastic", tables.elastic),
        ] {
            for value in [rule.sigma, rule.kappa] {
                number(key, value, value >= 0.0, "sigma and kappa not below 0")?;
            }
        }
        for step in &self.drift {
            nonnegative("latency.drift.after_secs", step.after_secs)?;
            number("latency.drift.factor", step.factor, step.factor > 0.0, "a number above 0")?;
            nonnegative("latency.drift.kappa_factor", step.kappa_factor)?;
        }
        Ok(())
    }
}
