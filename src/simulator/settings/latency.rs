//! Pure: what can be set of service times.

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

/// From `after_secs` on, service times are `factor` times as long.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DriftStep {
    /// Simulated seconds since the start.
    pub after_secs: f64,
    /// Factor.
    pub factor: f64,
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
    /// Slow-down per row in flight of all other requests.
    pub rows_in_flight: f64,
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
            rows_in_flight: 0.0,
            noise_sigma: 0.3,
            drift: Vec::new(),
            timeout_secs: 120.0,
            timeout_fails: 0.5,
        }
    }
}
