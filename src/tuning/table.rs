//! Pure: what is known of one load's requests, and how many rows its next one carries.

use crate::tuning::cost::{Cost, Fit};
use crate::tuning::learned::LearnedTable;
use crate::tuning::resolve::{Odds, Rescue};
use crate::tuning::slopes::Slope;
use crate::tuning::window::Window;

/// Rows of the first requests of a load nothing is known of.
///
/// Source: `adaptive-control.md` §4.6: starting at 100 costs 1 %, at 300 up to half of an hour.
const ROWS_START: f64 = 10.0;
/// Longest request aimed at, two deviations out: a third of the service's 120 s. Seconds.
const TAIL_SECS_MAX: f64 = 40.0;
/// Longest request while learning, seconds: short ones teach faster.
const LEARN_SECS_MAX: f64 = 10.0;
/// Requests it takes to learn.
const LEARN_SAMPLES: u64 = 120;
/// Seconds a size stays cut after the service's time limit was met.
const CUT_SECS: f64 = 900.0;

/// One load.
#[derive(Debug)]
pub(super) struct TableState {
    fit: Fit,
    cost: Cost,
    /// Present level of durations over the fit, fading within about 30 requests.
    level: f64,
    /// The same as ratio of sums: what budgets are charged by.
    sums: (f64, f64),
    pub(super) variance: f64,
    pub(super) samples: u64,
    /// Rows aimed at.
    pub(super) rows: f64,
    /// Rows the fit says are best.
    pub(super) optimum: f64,
    settled: bool,
    evidence: u32,
    wave_step: u32,
    /// Fading passing failures, and requests of 100 rows they fell on.
    failures: (f64, f64),
    bad: f64,
    clean: f64,
    pub(super) batch_ratio: f64,
    pub(super) atomic: bool,
    /// Seconds a request uses up of its count.
    pub(super) least: f64,
    cut: Option<(f64, f64)>,
    /// Seconds of the requests that only ask.
    asking_secs: f64,
    /// Execution seconds of the window.
    pub(super) spent: Window,
    /// Fading rows and execution seconds of successes.
    pub(super) yield_rows: f64,
    pub(super) yield_secs: f64,
    /// Rows that are left, when known.
    pub(super) left: Option<f64>,
    pub(super) in_flight: u32,
    pub(super) clock: f64,
    pub(super) wants: bool,
}

impl TableState {
    pub(super) fn new(atomic: bool) -> Self {
        Self {
            fit: Fit::new(),
            cost: Cost { a: 0.2, b: 0.03, d: 0.0 },
            level: 1.0,
            sums: (0.0, 0.0),
            variance: 0.09,
            samples: 0,
            rows: ROWS_START,
            optimum: ROWS_START,
            settled: false,
            evidence: 0,
            wave_step: 0,
            failures: (0.0, 0.0),
            bad: 0.0,
            clean: 0.0,
            batch_ratio: 1.3,
            atomic,
            least: 0.2,
            cut: None,
            asking_secs: 0.1,
            spent: Window::default(),
            yield_rows: 0.0,
            yield_secs: 0.0,
            left: None,
            in_flight: 0,
            clock: 0.0,
            wants: false,
        }
    }

    /// Begins from what an earlier run found; `trust` between 0 and 1 fades with age.
    pub(super) fn recall(&mut self, known: &LearnedTable, trust: f64) {
        let [a, b, d] = known.cost;
        let cost = Cost { a, b, d };
        if !(a >= 0.0 && b >= 0.0 && d >= 0.0 && cost.secs(1.0) > 0.0 && cost.secs(1e3).is_finite())
        {
            return;
        }
        self.cost = cost;
        self.rows = known.batch_rows.clamp(1.0, 1000.0);
        self.optimum = self.rows;
        let weight = 100.0 * trust;
        for factor in [0.25, 0.5, 1.0, 2.0] {
            let rows = (self.rows * factor).max(1.0);
            self.fit.add(rows, cost.secs(rows), cost.secs(rows), weight / 4.0);
        }
        self.variance = known.variance.clamp(0.005, 2.0);
        self.failures = (known.hazard.clamp(0.0, 10.0) * 20.0 * trust, 20.0 * trust);
        let rows = 2000.0 * trust;
        self.bad = rows * known.bad_row_rate.clamp(0.0, 1.0);
        self.clean = rows - self.bad;
        self.batch_ratio = known.batch_ratio.clamp(0.2, 10.0);
        self.samples = LEARN_SAMPLES;
        self.settled = true;
    }

    pub(super) fn bad_rate(&self) -> f64 {
        self.bad / (self.bad + self.clean + 500.0)
    }

    /// Seconds by the fit, at the present level.
    pub(super) fn cost_now(&self) -> Cost {
        let level = self.level;
        Cost { a: self.cost.a * level, b: self.cost.b * level, d: self.cost.d * level }
    }

    pub(super) fn odds(&self) -> Odds {
        Odds {
            cost: self.cost_now(),
            bad: self.bad_rate(),
            hazard: self.hazard(),
            batch_ratio: self.batch_ratio,
            atomic: self.atomic,
            least: self.least,
        }
    }

    /// Seconds to charge a budget with.
    pub(super) fn predict(&self, rows: f64) -> f64 {
        let ratio = if self.sums.1 > 0.0 { self.sums.0 / self.sums.1 } else { 1.0 };
        (self.cost.secs(rows) * self.level * ratio.clamp(0.5, 2.0)).max(0.002)
    }

    pub(super) fn predict_apart(&self, rows: f64) -> f64 {
        let ratio = if self.sums.1 > 0.0 { self.sums.0 / self.sums.1 } else { 1.0 };
        (self.odds().apart(rows) * ratio.clamp(0.5, 2.0)).max(0.002)
    }

    pub(super) fn predict_asking(&self) -> f64 {
        self.asking_secs
    }

    pub(super) fn predicted_over_actual(&self) -> f64 {
        if self.sums.0 > 0.0 { self.sums.1 / self.sums.0 } else { 1.0 }
    }

    /// Seconds of a typical request.
    pub(super) fn typical_secs(&self) -> f64 {
        self.predict(self.rows)
    }

    /// Seconds of a row in requests of the size that is to be expected soon: learning begins with
    /// short ones, whose rows are dearer.
    pub(super) fn secs_a_row(&self) -> f64 {
        let grown = if self.settled { self.rows } else { (4.0 * self.rows).min(100.0) };
        let rows = grown.max(self.rows).max(1.0);
        self.predict(rows) / rows
    }

    /// Only asked, nothing written.
    pub(super) fn asked(&mut self, secs: f64) {
        self.asking_secs += 0.1 * (secs - self.asking_secs);
    }

    /// A `$batch` of `rows` took `secs`.
    pub(super) fn apart_done(&mut self, rows: f64, secs: f64) {
        if rows < 2.0 {
            return;
        }
        let cost = self.cost_now();
        let ratio = (secs - cost.a) / (cost.b.max(cost.a * 0.02) * rows);
        if ratio.is_finite() {
            self.batch_ratio += 0.15 * (ratio.clamp(0.2, 10.0) - self.batch_ratio);
        }
    }

    /// A bulk message of `rows` went well within `secs`.
    pub(super) fn done(&mut self, rows: f64, secs: f64) {
        let fitted = self.cost.secs(rows).max(1e-4);
        let secs = secs.max(1e-3);
        // One stray answer must not bend the curve.
        let clipped = secs.min(6.0 * fitted * self.level.max(0.05)).max(secs.min(fitted * 0.02));
        let first = self.samples == 0 && self.fit.weight == 0.0;
        if first {
            self.level = 1.0;
            self.cost = Cost { a: 0.25 * secs, b: 0.75 * secs / rows.max(1.0), d: 0.0 };
            self.fit.add(rows, secs, secs, 1.0);
        } else {
            let ratio = clipped / fitted;
            let before = self.level;
            let gain =
                if self.samples < 30 { 1.0 / (self.samples as f64 + 2.0) } else { 1.0 / 30.0 };
            self.level += gain * (ratio - self.level);
            self.fit.add(rows, clipped / before, fitted, 1.0);
            let off = (clipped / (fitted * before)).ln();
            self.variance += (off * off - self.variance) / 60.0;
            let charged = fitted * before;
            self.sums = (0.98 * self.sums.0 + secs, 0.98 * self.sums.1 + charged);
        }
        self.samples += 1;
        if (self.samples < 200 || self.samples.is_multiple_of(4))
            && let Some(cost) = self.fit.solve()
        {
            self.cost = cost;
        }
        self.yield_rows = 0.98 * self.yield_rows + rows;
        self.yield_secs = 0.98 * self.yield_secs + secs;
        self.exposed(rows, 0.0);
        if rows >= 0.7 * self.rows {
            self.evidence += 1;
        }
    }

    /// Execution seconds that bought no rows.
    pub(super) fn wasted(&mut self, secs: f64) {
        self.yield_secs += secs;
    }

    /// A request failed in passing, nothing applied.
    pub(super) fn passing(&mut self, rows: f64) {
        self.exposed(rows, 1.0);
    }

    fn exposed(&mut self, rows: f64, failed: f64) {
        let (failures, exposure) = self.failures;
        self.failures = (0.998 * failures + failed, 0.998 * exposure + (rows / 100.0).powf(1.5));
    }

    /// Passing failures per request of 100 rows.
    pub(super) fn hazard(&self) -> f64 {
        self.failures.0 / (self.failures.1 + 3.0)
    }

    /// The service's time limit was met.
    pub(super) fn timed_out(&mut self, rows: f64, now: f64) {
        let most = (0.6 * rows).max(1.0);
        self.cut = Some((most, now + CUT_SECS));
        self.rows = self.rows.min(most);
    }

    /// Rows came to their end: taken, or refused for what is in them.
    pub(super) fn settled(&mut self, good: f64, bad: f64) {
        // About fifty bad rows, or twenty thousand good ones, are remembered.
        let keep = (1.0 - (good + bad) / 20_000.0 - bad / 200.0).clamp(0.5, 1.0);
        self.good_bad(keep, good, bad);
    }

    fn good_bad(&mut self, keep: f64, good: f64, bad: f64) {
        self.clean = keep * self.clean + good;
        self.bad = keep * self.bad + bad;
    }

    pub(super) fn rescue(&self, rows: f64) -> Rescue {
        self.odds().rescue(rows)
    }

    /// Rows of the next request, waves included. `wave` is the one all loads share, `reserve` how
    /// many requests rows are wanted for at the end of a load.
    pub(super) fn next_rows(&mut self, wave: f64, range: (f64, f64), reserve: f64) -> u32 {
        self.wave_step = self.wave_step.wrapping_add(1);
        let step = self.wave_step % 8;
        let wide = self.samples < 150 || (self.wave_step / 16).is_multiple_of(4);
        let own = match (step, wide) {
            (1, _) | (5, false) => 0.75,
            (3, _) | (7, false) => 1.3,
            (5, true) => 0.45,
            (7, true) => 1.9,
            _ => 1.0,
        };
        let mut rows = self.rows * own * wave;
        if let Some(left) = self.left {
            rows = rows.min((left / reserve.max(1.0)).max(self.rows * 0.2).max(1.0));
        }
        let rows = rows.clamp(range.0.max(1.0), range.1.max(1.0));
        if let Some((most, _)) = self.cut {
            return rows.min(most.max(range.0)).round() as u32;
        }
        rows.round() as u32
    }

    /// Moves the size towards the best one. The limits are what a counter's window gives, seconds,
    /// the seconds a request uses up of its count, and 1 where chance picks the counter: the fewer
    /// requests, the less evenly it fills them.
    pub(super) fn resize(
        &mut self,
        now: f64,
        elsewhere: Slope,
        (time_limit, least, blind): (f64, f64, f64),
        range: (f64, f64),
        hold: bool,
    ) {
        if self.cut.is_some_and(|(_, until)| now > until) {
            self.cut = None;
        }
        let needed = if self.settled { 24 } else { 8 };
        if hold || self.samples < 12 || self.evidence < needed {
            return;
        }
        self.evidence = 0;
        self.least = least;
        let odds = self.odds();
        let deviation = self.variance.sqrt();
        let pull = (elsewhere.value - 0.6 * elsewhere.error).max(0.0);
        let n0 = self.rows;
        let price = |n: f64| {
            let t = odds.cost.secs(n);
            odds.settle(n).max(least) / n
                * (1.0 + 0.8 * t / time_limit + blind * (t / time_limit).sqrt() + 0.0001 * n)
                * (n / n0).powf(pull)
        };
        let allowed = |n: f64| {
            let t = odds.cost.secs(n);
            t * (2.0 * deviation).exp() < TAIL_SECS_MAX
                && (self.samples >= LEARN_SAMPLES || t < LEARN_SECS_MAX)
                && self.cut.is_none_or(|(most, _)| n <= most)
        };
        let (low, high) = ((n0 / 2.0).max(range.0), (n0 * 2.0).min(range.1).max(range.0));
        let mut sizes = Vec::with_capacity(24);
        let mut n = low.max(1.0);
        while n < high {
            sizes.push(n);
            n = (n * 1.08).max(n + 0.5);
        }
        sizes.push(high);
        let mut least = f64::INFINITY;
        for n in &sizes {
            if allowed(*n) {
                least = least.min(price(*n));
            }
        }
        let best = sizes
            .iter()
            .copied()
            .find(|n| allowed(*n) && price(*n) <= least * 1.006)
            .unwrap_or(sizes[0]);
        self.optimum = best;
        let distance = (best / n0).ln();
        if self.settled {
            self.rows = n0 * (0.25 * distance).exp();
            if distance.abs() > 0.5 {
                self.settled = false;
            }
        } else {
            self.rows = best;
            self.settled = distance.abs() < 0.1 && self.samples > 60;
        }
        self.rows = self.rows.clamp(range.0.max(1.0), range.1.max(1.0));
    }

    pub(super) fn fitted(&self) -> Option<Cost> {
        (self.samples > 0).then(|| self.cost_now())
    }
}
