//! Pure: one limit of a counter, that is believed and corrected by what answers say.

use crate::tuning::window::WINDOW_SECS;

/// Seconds between two marks of what was said.
const MARK_SECS: f64 = 6.0;

/// A limit that is believed, and corrected by what answers say.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limit {
    pub(super) value: f64,
    /// Largest remainder ever heard: the limit is at least that.
    pub(super) largest: f64,
    heard: u32,
    /// Answers in a row that said less than believed.
    less: u32,
    /// How fast it falls, a second, and when it was heard last.
    pub(super) falls: f64,
    pub(super) heard_at: f64,
    /// What was said a while ago: the slope is taken over more than the noise of a moment.
    marks: [(f64, f64); 2],
}

impl Limit {
    pub(super) fn new(value: f64) -> Self {
        Self {
            value,
            largest: 0.0,
            heard: 0,
            less: 0,
            falls: 0.0,
            heard_at: 0.0,
            marks: [(0.0, value); 2],
        }
    }

    /// What is believed at `now`: a limit that somebody else eats up goes on falling between
    /// answers.
    pub(super) fn at(&self, now: f64) -> f64 {
        let age = (now - self.heard_at).clamp(0.0, 20.0);
        (self.value - self.falls * age).max(0.25 * self.value)
    }

    /// An answer said that `remaining` was left when `used` was booked here.
    pub(super) fn hear(&mut self, used: f64, remaining: f64, now: f64) {
        self.largest = self.largest.max(remaining);
        self.heard = self.heard.saturating_add(1);
        // Nothing left says no more than that the limit lies below.
        let said = if remaining < 0.5 { 0.985 * used } else { used + remaining };
        // Less, again and again, is somebody else at work: follow at once.
        self.less = if said < 0.998 * self.value { self.less + 1 } else { 0 };
        let alpha = match (self.heard, self.less) {
            (_, 3..) => 0.8,
            (..=5, _) => 0.5,
            _ => 0.2,
        };
        if now - self.marks[1].0 > MARK_SECS {
            self.marks = [self.marks[1], (now, said)];
        }
        let (since, before) = self.marks[0];
        let passed = now - since;
        self.falls = if since > 0.0 && passed < 8.0 * MARK_SECS {
            ((before - said) / passed.max(1.0)).clamp(0.0, self.value / WINDOW_SECS)
        } else {
            0.0
        };
        self.heard_at = now;
        // Counters may be stale: a sum is believed only as far as something proves it.
        let most = self.value.max(self.largest);
        self.value = (self.value + alpha * (said - self.value)).clamp(1.0, most.max(1.0));
    }
}
