//! Pure: what somebody else spends of a user's limits.

use crate::simulator::settings::{ForeignLoad, ProtectionSettings};
use crate::units::MonoTime;
use std::time::Duration;

/// A steady spending.
#[derive(Debug)]
pub(super) struct Drip {
    from: MonoTime,
    until: Option<MonoTime>,
    /// Execution seconds a second.
    busy_rate: f64,
    /// Requests a second.
    request_rate: f64,
}

impl Drip {
    pub(super) fn new(load: &ForeignLoad, rules: &ProtectionSettings) -> Self {
        let at = |secs: f64| {
            let since = Duration::try_from_secs_f64(secs.max(0.0)).unwrap_or(Duration::MAX);
            MonoTime::from_origin(since)
        };
        let busy_rate = load.share * rules.execution_secs_max / rules.window_secs;
        Self {
            from: at(load.after_secs),
            until: load.until_secs.map(at),
            busy_rate,
            request_rate: busy_rate / load.request_secs,
        }
    }

    /// Execution seconds and requests between two times.
    pub(super) fn spent(&self, from: MonoTime, to: MonoTime) -> (f64, f64) {
        let to = self.until.map_or(to, |until| until.min(to));
        let secs = to.saturating_since(from.max(self.from)).as_secs_f64();
        (self.busy_rate * secs, self.request_rate * secs)
    }
}
