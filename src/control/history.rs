//! Pure: how many rows were settled in the last half hour, as people see it: the rate of the last
//! seconds and a curve of buckets, for the run and for each load.

use crate::limits::{HISTORY_BUCKET_SECS, HISTORY_BUCKETS_MAX};
use crate::telemetry::progress::Rate;
use crate::units::MonoTime;
use std::collections::VecDeque;
use std::time::Duration;

/// Rows settled, by load, over the last half hour.
#[derive(Debug)]
pub struct History {
    started: MonoTime,
    loads: Vec<Curve>,
    /// Buckets that are full.
    full: u64,
    /// Whether the rate rests on two looks at least.
    is_measured: bool,
}

/// One load.
#[derive(Debug, Default)]
struct Curve {
    rate: Rate,
    rows_per_second: f64,
    /// Rows settled when the present bucket began.
    settled_before: u64,
    settled: u64,
    /// Rows of full buckets, oldest first.
    buckets: VecDeque<u64>,
}

impl History {
    /// Begins at `started` with rows that count for no bucket, by load.
    #[must_use]
    pub fn new(started: MonoTime, settled: &[u64]) -> Self {
        let loads = settled
            .iter()
            .map(|rows| {
                let mut curve = Curve { settled_before: *rows, settled: *rows, ..Curve::default() };
                curve.rate.note(started, *rows);
                curve
            })
            .collect();
        Self { started, loads, full: 0, is_measured: false }
    }

    /// Notes how many rows of each load are settled at `now`. Called about once a second; if it
    /// was not for longer than a bucket, all rows since stand in the bucket that was under way.
    pub fn note(&mut self, now: MonoTime, settled: &[u64]) {
        let bucket = Duration::from_secs(HISTORY_BUCKET_SECS).as_nanos();
        let full = (now.saturating_since(self.started).as_nanos() / bucket) as u64;
        let done = full.saturating_sub(self.full);
        for (curve, rows) in self.loads.iter_mut().zip(settled) {
            curve.rows_per_second = curve.rate.note(now, *rows);
            curve.settled = *rows;
            for _ in 0..done.min(HISTORY_BUCKETS_MAX as u64) {
                curve.buckets.push_back(curve.settled.saturating_sub(curve.settled_before));
                curve.settled_before = curve.settled;
                if curve.buckets.len() > HISTORY_BUCKETS_MAX {
                    curve.buckets.pop_front();
                }
            }
        }
        self.full = self.full.max(full);
        self.is_measured = true;
    }

    /// Rows a second of a load over the last ten seconds; `None` before it was looked at.
    #[must_use]
    pub fn rows_per_second(&self, load: usize) -> Option<f64> {
        self.loads.get(load).filter(|_| self.is_measured).map(|curve| curve.rows_per_second)
    }

    /// Rows a second of all loads over the last ten seconds; `None` before they were looked at.
    #[must_use]
    pub fn rows_per_second_all(&self) -> Option<f64> {
        self.is_measured.then(|| self.loads.iter().map(|curve| curve.rows_per_second).sum())
    }

    /// Rows of a load in each full bucket, oldest first.
    #[must_use]
    pub fn buckets(&self, load: usize) -> Vec<u64> {
        self.loads.get(load).map_or_else(Vec::new, |curve| curve.buckets.iter().copied().collect())
    }

    /// Rows of all loads in each full bucket, oldest first.
    #[must_use]
    pub fn buckets_all(&self) -> Vec<u64> {
        let mut all = Vec::new();
        for curve in &self.loads {
            all.resize(curve.buckets.len(), 0);
            for (sum, rows) in all.iter_mut().zip(&curve.buckets) {
                *sum += rows;
            }
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: f64) -> MonoTime {
        MonoTime::from_origin(Duration::from_secs_f64(secs))
    }

    #[test]
    fn rows_stand_in_the_bucket_in_which_they_were_seen() {
        let mut history = History::new(at(100.0), &[1000, 0]);
        assert_eq!(history.rows_per_second(0), None, "nothing was looked at");
        assert!(history.buckets_all().is_empty());
        for second in 1..=12 {
            history.note(at(100.0 + f64::from(second)), &[1000 + 10 * second as u64, 7]);
        }
        assert_eq!(history.buckets(0), [50, 50]);
        assert_eq!(history.buckets(1), [7, 0]);
        assert_eq!(history.buckets_all(), [57, 50]);
        assert_eq!(history.rows_per_second(0), Some(10.0));
        assert_eq!(history.rows_per_second_all(), Some(10.0));
        assert!(history.buckets(2).is_empty(), "there is no such load");
    }

    #[test]
    fn a_gap_leaves_empty_buckets_and_the_curve_stays_bounded() {
        let mut history = History::new(at(0.0), &[0]);
        history.note(at(16.0), &[9]);
        assert_eq!(history.buckets(0), [9, 0, 0]);
        history.note(at(1e7), &[10]);
        assert_eq!(history.buckets(0).len(), HISTORY_BUCKETS_MAX);
        assert_eq!(history.buckets(0)[0], 1);
        history.note(at(5.0), &[10]);
        assert_eq!(history.buckets(0).len(), HISTORY_BUCKETS_MAX, "time that goes back is ignored");
    }
}
