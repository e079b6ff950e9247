//! The only reader of clocks. Everyone else is told the time, so deciders run in virtual time.
#![expect(clippy::disallowed_methods, reason = "this is the one place that reads clocks")]

use crate::units::MonoTime;
use std::sync::OnceLock;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

static ORIGIN: OnceLock<Instant> = OnceLock::new();

/// Now on the process's monotonic clock.
#[must_use]
pub fn now() -> MonoTime {
    MonoTime::from_origin(ORIGIN.get_or_init(Instant::now).elapsed())
}

/// Now on the wall clock: milliseconds since 1970, UTC.
#[must_use]
pub fn wall_ms() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX))
}
