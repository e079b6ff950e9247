//! Pure: what bad rows cost. A bulk message is refused as a whole for one bad row; the good ones
//! are then saved either by single operations in one `$batch` or by smaller messages.

use crate::limits::BATCH_OPERATIONS_MAX;
use crate::tuning::cost::Cost;

/// Share of a request's time that is spent before a bad row refuses it.
///
/// Source: `adaptive-control.md` §4.6.
const REFUSED_SHARE: f64 = 0.7;
/// Parts a refused batch may be split into.
const PARTS: [u32; 4] = [2, 3, 5, 8];
/// How deep splitting is thought through; below, `$batch` is assumed.
const DEPTH: u32 = 2;

/// How the good rows of a refused batch are saved.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rescue {
    /// Single operations in one `$batch`.
    Apart,
    /// This many smaller bulk messages.
    Split(u32),
}

/// What is known of a table's rows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Odds {
    pub(super) cost: Cost,
    /// Share of rows refused.
    pub(super) bad: f64,
    /// Passing failures per request of 100 rows.
    pub(super) hazard: f64,
    /// Cost of a row in `$batch` over its cost in a bulk message.
    pub(super) batch_ratio: f64,
    /// Whether one bad row refuses all.
    pub(super) atomic: bool,
    /// Seconds a request uses up at least: its number is limited as well as its time.
    pub(super) least: f64,
}

impl Odds {
    /// Seconds of a `$batch` of `rows`.
    pub(super) fn apart(&self, rows: f64) -> f64 {
        // More operations than one `$batch` takes need several.
        let requests = (rows / BATCH_OPERATIONS_MAX as f64).ceil().max(1.0);
        let row = self.batch_ratio * self.cost.b.max(self.cost.a * 0.02);
        (requests * self.cost.a + row * rows).max(requests * self.least)
    }

    /// Seconds of a bulk message of `rows`.
    fn bulk(&self, rows: f64) -> f64 {
        self.cost.secs(rows).max(self.least)
    }

    fn any_bad(&self, rows: f64) -> f64 {
        if self.bad <= 0.0 { 0.0 } else { -(rows * (-self.bad).ln_1p()).exp_m1() }
    }

    /// Expected seconds to settle `rows` fresh rows sent as one bulk message.
    pub(super) fn settle(&self, rows: f64) -> f64 {
        let t = self.bulk(rows);
        let p = self.passing(rows);
        let t = t * (1.0 + 0.65 * p / (1.0 - p));
        let any = self.any_bad(rows);
        if !self.atomic || any < 1e-4 {
            return t;
        }
        (1.0 - any) * t + any * (REFUSED_SHARE * t + self.rescue_secs(rows, DEPTH).1)
    }

    /// Probability that a request of `rows` fails in passing.
    pub(super) fn passing(&self, rows: f64) -> f64 {
        (-(-self.hazard * (rows / 100.0).powf(1.5)).exp_m1()).clamp(0.0, 0.9)
    }

    /// The cheapest way to save the good rows of a refused batch.
    pub(super) fn rescue(&self, rows: f64) -> Rescue {
        let known = Self { bad: self.bad.max(0.3 / rows.max(1.0)), ..*self };
        known.rescue_secs(rows, DEPTH).0
    }

    /// The same with its expected seconds.
    fn rescue_secs(&self, rows: f64, depth: u32) -> (Rescue, f64) {
        let mut best = (Rescue::Apart, self.apart(rows));
        if depth == 0 || rows < 4.0 {
            return best;
        }
        let any = self.any_bad(rows).max(1e-9);
        for parts in PARTS {
            let k = f64::from(parts);
            let piece = rows / k;
            if piece < 2.0 {
                continue;
            }
            let t = self.bulk(piece);
            let bad = (self.any_bad(piece) / any).clamp(1.0 / k, 1.0);
            let rest = self.rescue_secs(piece, depth - 1).1;
            let secs = k * ((1.0 - bad) * t + bad * (REFUSED_SHARE * t + rest));
            if secs < best.1 {
                best = (Rescue::Split(parts), secs);
            }
        }
        best
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn odds(bad: f64) -> Odds {
        let cost = Cost { a: 0.3, b: 0.06, d: 2e-5 };
        Odds { cost, bad, hazard: 0.0, batch_ratio: 1.3, atomic: true, least: 0.0 }
    }

    fn best_size(odds: Odds) -> f64 {
        let sizes = (1..400).map(f64::from);
        sizes.min_by(|a, b| (odds.settle(*a) / a).total_cmp(&(odds.settle(*b) / b))).expect("some")
    }

    #[test]
    fn the_more_bad_rows_the_smaller_the_best_batch() {
        let (clean, some, many) =
            (best_size(odds(0.0)), best_size(odds(0.003)), best_size(odds(0.02)));
        assert!(clean > 2.0 * some && some > many, "{clean} {some} {many}");
    }

    #[test]
    fn a_lone_bad_row_in_a_large_batch_of_a_table_with_dear_singles_is_cornered_by_splitting() {
        let mut dear = odds(0.001);
        dear.batch_ratio = 4.0;
        assert!(matches!(dear.rescue(200.0), Rescue::Split(_)));
        assert_eq!(odds(0.2).rescue(10.0), Rescue::Apart);
        assert_eq!(odds(0.2).rescue(1.0), Rescue::Apart);
    }

    #[test]
    fn partial_success_makes_bad_rows_free() {
        let mut elastic = odds(0.2);
        elastic.atomic = false;
        assert_eq!(elastic.settle(100.0), elastic.cost.secs(100.0));
    }
}
