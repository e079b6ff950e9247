//! Pure: what is kept between runs, so that the next one starts where this one ended. What only
//! holds for the moment (closed gates, tokens) is not in it.

use serde::{Deserialize, Serialize};

/// Version of the form; another version is ignored with a notice.
pub const VERSION: u32 = 1;

/// What was learnt about one environment.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Learned {
    /// [`VERSION`].
    pub version: u32,
    /// Organization id the figures belong to.
    pub organization: String,
    /// Origin of the environment.
    pub url: String,
    /// Wall clock of the last change, milliseconds since 1970.
    pub saved_ms: i64,
    /// What holds for all tables.
    pub environment: Option<LearnedEnvironment>,
    /// By table, operation, columns and bypass options.
    pub tables: Vec<LearnedTable>,
}

/// What holds for all tables of an environment.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LearnedEnvironment {
    /// `unknown`, `identity`, `server`.
    pub scope: String,
    /// Web servers that count separately, 0 when not known.
    pub servers: u32,
    /// Execution seconds a window and counter.
    pub time_limit_secs: f64,
    /// Requests a window and counter.
    pub requests_limit: f64,
    /// Requests at once a counter.
    pub parallel_limit: f64,
    /// Identities that took part: requests at once belong to this number.
    pub identities: u32,
    /// Requests at once aimed at.
    pub parallel: f64,
    /// Elasticity of the duration by requests at once.
    pub elasticity_parallel: f64,
    /// Elasticity of the duration by rows in flight.
    pub elasticity_rows: f64,
    /// Least round trip seen, seconds.
    pub latency_secs: f64,
}

/// What was learnt about one kind of request.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LearnedTable {
    /// What the figures belong to.
    pub kind: RequestKind,
    /// Rows a request.
    pub batch_rows: f64,
    /// Seconds of a request: fixed, per row, per row squared.
    pub cost: [f64; 3],
    /// Variance of the logarithm of measured over fitted.
    pub variance: f64,
    /// Passing failures per 100-row request.
    pub hazard: f64,
    /// Share of rows refused.
    pub bad_row_rate: f64,
    /// Cost of a row in a `$batch` over its cost in a bulk message.
    pub batch_ratio: f64,
    /// Requests it was learnt from.
    pub samples: u64,
    /// Wall clock of the last sample, milliseconds since 1970.
    pub saved_ms: i64,
}

/// Requests that cost alike.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RequestKind {
    /// Logical name of the target table.
    pub table: String,
    /// `create`, `update`, `upsert`, `delete`.
    pub operation: String,
    /// Hash of the target columns, hexadecimal.
    pub columns: String,
    /// Bypass options in force, e.g. `sync+flows`; empty when none.
    pub bypass: String,
}
