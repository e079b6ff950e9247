//! What a run tells people: metrics, progress, logs.
//!
//! The meters are the only counters of a run: `/metrics`, `/status`, the progress line and the
//! summary all read them, so they cannot disagree.

pub mod log;
pub mod metrics;
pub mod progress;
pub mod waiting;
