//! Pure: how many requests at once over all lanes. First a ramp in steps of half, each judged by a
//! whole cohort of requests; then small waves up and down, whose echo in the durations says whether
//! more would help.

use crate::tuning::slopes::Slope;

/// Elasticity aimed at: at 1 more requests at once add nothing.
const AIM: f64 = 0.92;
/// Step of the ramp, and of one that is in a hurry, while it is low.
const RAMP_STEP: f64 = 1.5;
const RAMP_STEP_HURRY: f64 = 2.0;
/// Height up to which a ramp hurries, and where it ends: what is left is little, and better spent
/// on finding the batch size.
const HURRY_LOW: f64 = 12.0;
const HURRY_TOP: f64 = 24.0;

/// The requests sent at one height of the ramp.
#[derive(Clone, Debug)]
struct Cohort {
    number: u32,
    size: u32,
    /// Sent while this height was not yet reached.
    filling: u32,
    sent: u32,
    back: u32,
    began: f64,
    /// Sums over successful ones: count, y, y², ln C̄.
    n: f64,
    y: f64,
    yy: f64,
    ln_c: f64,
    /// Requests that met the cap.
    capped: u32,
}

impl Cohort {
    fn new(number: u32, target: f64, now: f64) -> Self {
        let size = target.max(14.0) as u32;
        Self {
            number,
            size,
            filling: 0,
            sent: 0,
            back: 0,
            began: now,
            n: 0.0,
            y: 0.0,
            yy: 0.0,
            ln_c: 0.0,
            capped: 0,
        }
    }
    fn mean(&self) -> f64 {
        self.y / self.n.max(1.0)
    }
    fn mean_ln_c(&self) -> f64 {
        self.ln_c / self.n.max(1.0)
    }
    /// Variance of the mean.
    fn spread(&self) -> f64 {
        let n = self.n.max(2.0);
        ((self.yy / n - (self.y / n).powi(2)).max(0.01)) / n
    }
}

#[derive(Clone, Debug)]
enum Mode {
    Ramp { cohort: Cohort, before: Option<Cohort>, previous: f64 },
    Steady,
}

/// The controller.
#[derive(Debug)]
pub(super) struct Parallel {
    /// Requests at once aimed at.
    pub(super) target: f64,
    mode: Mode,
    /// Factor of the present wave.
    wave: f64,
    wave_until: f64,
    wave_up: bool,
    /// Since the last step of the steady law.
    since: f64,
    sends: u32,
    capped: u32,
    near: bool,
    /// What is left is small: the ramp takes larger steps.
    pub(super) hurry: bool,
}

impl Parallel {
    pub(super) fn ramp(start: f64, now: f64) -> Self {
        let cohort = Cohort::new(1, start, now);
        let mode = Mode::Ramp { cohort, before: None, previous: start };
        Self { mode, ..Self::steady(start) }
    }

    pub(super) fn steady(start: f64) -> Self {
        Self {
            target: start,
            mode: Mode::Steady,
            wave: 1.0,
            wave_until: 0.0,
            wave_up: false,
            since: 0.0,
            sends: 0,
            capped: 0,
            near: false,
            hurry: false,
        }
    }

    pub(super) fn is_ramping(&self) -> bool {
        matches!(self.mode, Mode::Ramp { .. })
    }

    /// Number of the cohort to tag a request with; 0 outside the ramp or when it is full.
    pub(super) fn tag(&mut self, capped: bool) -> u32 {
        self.sends += 1;
        self.capped += u32::from(capped);
        match &mut self.mode {
            Mode::Ramp { cohort, .. } if cohort.sent < cohort.size => {
                // Those that fill up to the height were not sent at it.
                if cohort.sent == 0 && !capped && f64::from(cohort.filling) < 1.5 * self.target {
                    cohort.filling += 1;
                    return 0;
                }
                cohort.sent += 1;
                cohort.capped += u32::from(capped);
                cohort.number
            }
            _ => 0,
        }
    }

    /// The cap at this moment.
    pub(super) fn cap(&self, ceiling: f64) -> f64 {
        let wave = if self.is_ramping() { 1.0 } else { self.wave };
        (self.target * wave).min(ceiling).max(1.0)
    }

    /// Turns the wave when its phase is over.
    pub(super) fn turn(&mut self, now: f64, typical_secs: f64) {
        if self.is_ramping() || now < self.wave_until {
            return;
        }
        self.wave_up = !self.wave_up;
        self.wave = match (self.wave_up, self.near) {
            (true, false) => 1.18,
            (false, false) => 0.84,
            (true, true) => 1.11,
            (false, true) => 0.90,
        };
        self.wave_until = now + (1.5 * typical_secs).clamp(2.0, 45.0);
    }

    /// A tagged request is back; `sample` is its (relative ln seconds, ln C̄) when it was a success.
    pub(super) fn back(
        &mut self,
        tag: u32,
        sample: Option<(f64, f64)>,
        now: f64,
        ceiling: f64,
        pooled: Slope,
    ) {
        let Mode::Ramp { cohort, before, previous } = &mut self.mode else { return };
        if tag == cohort.number {
            cohort.back += 1;
            if let Some((y, ln_c)) = sample {
                cohort.n += 1.0;
                cohort.y += y;
                cohort.yy += y * y;
                cohort.ln_c += ln_c;
            }
        }
        if cohort.back < cohort.size {
            return;
        }
        let mut end = false;
        if cohort.n < 6.0 {
            end = cohort.capped * 2 < cohort.size; // starved or all failed: no verdict
        } else if let Some(before) = before.as_ref() {
            let span = cohort.mean_ln_c() - before.mean_ln_c();
            if span > 0.05 {
                let e = (cohort.mean() - before.mean()) / span;
                let se = (cohort.spread() + before.spread()).sqrt() / span;
                if e - 0.8 * se > 0.75 || (e > 0.9 && pooled.value > 0.85) {
                    self.target = *previous;
                    end = true;
                }
            }
        }
        end |= self.target >= ceiling || cohort.capped * 2 < cohort.size;
        end |= self.hurry && self.target >= HURRY_TOP;
        if end {
            self.mode = Mode::Steady;
            self.since = 0.0;
            return;
        }
        let number = cohort.number + 1;
        let done = cohort.clone();
        let last = self.target;
        let low = self.target < HURRY_LOW;
        let step = if self.hurry && low { RAMP_STEP_HURRY } else { RAMP_STEP };
        self.target = (self.target * step).min(ceiling.max(1.0));
        let cohort = Cohort::new(number, self.target, now);
        self.mode = Mode::Ramp { cohort, before: Some(done), previous: last };
    }

    /// Ends a ramp that starves; called by and by.
    pub(super) fn watch(&mut self, now: f64, typical_secs: f64) {
        if let Mode::Ramp { cohort, .. } = &self.mode
            && now - cohort.began > 15.0 + 12.0 * typical_secs
        {
            self.mode = Mode::Steady;
            self.since = 0.0;
        }
    }

    /// One more success; now and then the law takes a step.
    pub(super) fn step(&mut self, slope: Slope, ceiling: f64) {
        if self.is_ramping() {
            return;
        }
        self.since += 1.0;
        if self.since < (1.5 * self.target).max(40.0) {
            return;
        }
        let was_capped = self.sends > 0 && f64::from(self.capped) > 0.35 * f64::from(self.sends);
        let n = self.since;
        self.since = 0.0;
        self.sends = 0;
        self.capped = 0;
        let raw = AIM - slope.value;
        let dead = 0.6 * slope.error;
        let g = raw.signum() * (raw.abs() - dead).max(0.0);
        self.near = raw.abs() < 0.15;
        let mut change = (0.35 * (n / 100.0) * g).clamp(-0.25, 0.25);
        if change > 0.0 && !was_capped {
            change = 0.0;
        }
        if slope.value + slope.error < 0.7 && was_capped {
            change = change.max(1.2_f64.ln());
        }
        self.target = (self.target * change.exp()).clamp(1.0, ceiling.max(1.0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn climb(elasticity: f64, ceiling: f64) -> f64 {
        let mut parallel = Parallel::ramp(4.0, 0.0);
        let pooled = Slope { value: elasticity, error: 0.05 };
        for i in 0..4000 {
            let tag = parallel.tag(true);
            let c = parallel.cap(ceiling);
            let wobble = [0.05, -0.05, 0.0][i % 3];
            parallel.back(tag, Some((elasticity * c.ln() + wobble, c.ln())), 0.0, ceiling, pooled);
            if !parallel.is_ramping() {
                break;
            }
        }
        assert!(!parallel.is_ramping());
        parallel.target
    }

    #[test]
    fn the_ramp_reaches_the_ceiling_when_nothing_holds_it() {
        assert_eq!(climb(0.1, 40.0), 40.0);
    }

    #[test]
    fn the_ramp_stops_where_more_adds_nothing_and_goes_a_step_back() {
        assert!(climb(1.2, 40.0) < 7.0);
    }

    #[test]
    fn a_starved_ramp_ends() {
        let mut parallel = Parallel::ramp(4.0, 0.0);
        parallel.tag(true);
        parallel.watch(10.0, 1.0);
        assert!(parallel.is_ramping());
        parallel.watch(100.0, 1.0);
        assert!(!parallel.is_ramping());
    }

    #[test]
    fn the_target_grows_only_when_it_was_met() {
        let slope = Slope { value: 0.2, error: 0.05 };
        let mut parallel = Parallel::steady(10.0);
        for _ in 0..200 {
            parallel.tag(false);
            parallel.step(slope, 100.0);
        }
        assert_eq!(parallel.target, 10.0);
        for _ in 0..200 {
            parallel.tag(true);
            parallel.step(slope, 100.0);
        }
        assert!(parallel.target > 11.0);
    }
}
