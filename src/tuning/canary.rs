//! Pure: limits nobody tells. Without headers a limit is lowered by refusals alone; now and then one
//! lane tries whether more is allowed than believed.

use crate::tuning::governor::{Governor, TICK_SECS};
use crate::tuning::lane::{CANARY, Canary, TIME_LIMIT_SECS};

/// Seconds a higher limit must stand: what is enforced may lag behind.
const CANARY_HOLD_SECS: f64 = 40.0;
/// Seconds after which a limit that was met once may have been raised; each time it is met again
/// at the same place the wait doubles.
const RECOVER_SECS: f64 = 600.0;
/// Longest such wait, and the wait after a canary that was refused. Seconds.
const STILL_SECS: f64 = 3600.0;

impl Governor {
    /// Without headers a limit that was lowered recovers slowly, and now and then one lane tries
    /// whether more is allowed than believed.
    pub(super) fn probe_limits(&mut self, now: f64) {
        if self.headers {
            return;
        }
        let passed = TICK_SECS;
        for lane in &mut self.lanes {
            let wait = RECOVER_SECS * f64::from(1_u32 << lane.met.saturating_sub(1).min(8));
            if lane.quiet_secs(now) > wait.min(STILL_SECS) && lane.time.value < TIME_LIMIT_SECS {
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

    /// Nobody tells the limits, and a lane met one.
    pub(super) fn limit_met(&mut self, lane: usize, canary: bool, now: f64) {
        let spent = self.lanes[lane].spent.sum(now);
        if canary {
            // Refused at what it had spent: the limit lies just below.
            let value = 0.97 * spent;
            for lane in &mut self.lanes {
                lane.time.value = lane.time.value.max(value.min(CANARY * lane.time.value));
            }
            self.canary_at = now + STILL_SECS;
            return;
        }
        let value = self.lanes[lane].time.value;
        // What one lane met is believed of all, when it is much less.
        for other in &mut self.lanes {
            if value < 0.9 * other.time.value {
                other.time.value = value / 0.98;
            }
        }
        self.canary_at = self.canary_at.max(now + RECOVER_SECS);
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
