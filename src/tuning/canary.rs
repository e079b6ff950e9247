//! Pure: limits nobody tells. Without headers a limit is lowered by refusals alone; now and then one
//! lane tries whether more is allowed than believed.

use crate::tuning::governor::{Governor, TICK_SECS};
use crate::tuning::lane::{CANARY, Canary, TIME_LIMIT_SECS};

/// Seconds a higher limit must stand: what is enforced may lag behind.
const CANARY_HOLD_SECS: f64 = 40.0;

impl Governor {
    /// Without headers a limit that was lowered recovers slowly, and now and then one lane tries
    /// whether more is allowed than believed.
    pub(super) fn probe_limits(&mut self, now: f64) {
        if self.headers {
            return;
        }
        let passed = TICK_SECS;
        for lane in &mut self.lanes {
            if lane.quiet_secs(now) > 600.0 && lane.time.value < TIME_LIMIT_SECS {
                lane.time.value *= 1.0 + 0.015 * passed / 100.0;
            }
        }
        let Some(place) = self.lanes.iter().position(|l| l.canary.is_some()) else {
            if now >= self.canary_at {
                self.begin_canary(now);
            }
            return;
        };
        let lane = &mut self.lanes[place];
        let Some(mut canary) = lane.canary else { return };
        let tried = lane.limit();
        if lane.spent.sum(now) > 0.95 * tried {
            canary.held_since.get_or_insert(now);
        }
        lane.canary = Some(canary);
        let proved = canary.held_since.is_some_and(|since| now - since > CANARY_HOLD_SECS);
        if proved {
            lane.canary = None;
            let value = 0.99 * CANARY * lane.time.value;
            for lane in &mut self.lanes {
                lane.time.value = lane.time.value.max(value);
            }
            self.canary_at = now + 5.0;
        } else if now > canary.until {
            lane.canary = None;
            self.canary_at = now + 300.0;
        }
    }

    /// Only where the budget is what holds: else more of it proves nothing.
    pub(super) fn begin_canary(&mut self, now: f64) {
        let open = self
            .lanes
            .iter_mut()
            .find(|l| l.quiet_secs(now) > 240.0 && l.spent.sum_at(now) > 0.85 * l.time.value);
        match open {
            Some(lane) => {
                lane.canary = Some(Canary { until: now + 300.0, held_since: None });
                // What it wants to prove it spends at once.
                lane.tokens += (CANARY - 1.0) * lane.time.value;
            }
            None => self.canary_at = now + 10.0,
        }
    }
}
