//! Pure: what was spent within the service's sliding window.

use std::collections::VecDeque;

/// Length of the service's window, seconds.
///
/// Source: `adaptive-control.md` §2.1: limits hold over a sliding window of 300 s.
pub(super) const WINDOW_SECS: f64 = 300.0;

/// Amounts closer together than this share an entry, seconds: bounds memory at any request rate.
const GRAIN_SECS: f64 = 0.05;

/// Sum of amounts over the window, by the time they were booked (seconds since the origin).
#[derive(Debug, Default)]
pub(super) struct Window {
    entries: VecDeque<(f64, f64)>,
    sum: f64,
}

impl Window {
    /// Books an amount at `at`. Times do not go back.
    pub(super) fn add(&mut self, at: f64, amount: f64) {
        self.sum += amount;
        match self.entries.back_mut() {
            // The later time: what is released too late costs little, too early a throttle.
            Some(last) if at - last.0 < GRAIN_SECS => *last = (last.0.max(at), last.1 + amount),
            _ => self.entries.push_back((at, amount)),
        }
    }

    /// Forgets what has left the window at `now`, and returns what is in it.
    pub(super) fn sum(&mut self, now: f64) -> f64 {
        while let Some((at, amount)) = self.entries.front() {
            if now - at < WINDOW_SECS {
                break;
            }
            self.sum -= amount;
            self.entries.pop_front();
        }
        if self.entries.is_empty() {
            self.sum = 0.0;
        }
        self.sum
    }

    /// What of the present sum will still be in the window at `later`.
    pub(super) fn sum_at(&self, later: f64) -> f64 {
        let mut sum = self.sum;
        for (at, amount) in &self.entries {
            if later - at < WINDOW_SECS {
                break;
            }
            sum -= amount;
        }
        sum
    }

    /// Books a part of everything here in another window.
    pub(super) fn copy_into(&self, other: &mut Self, part: f64) {
        let mut all: Vec<(f64, f64)> = other.entries.drain(..).collect();
        all.extend(self.entries.iter().map(|(at, amount)| (*at, amount * part)));
        all.sort_by(|a, b| a.0.total_cmp(&b.0));
        other.sum = all.iter().map(|(_, amount)| amount).sum();
        other.entries = all.into();
    }

    /// When at most `target` of the present sum will be left.
    pub(super) fn falls_to(&self, target: f64) -> f64 {
        let mut sum = self.sum;
        for (at, amount) in &self.entries {
            sum -= amount;
            if sum <= target {
                return at + WINDOW_SECS;
            }
        }
        self.entries.back().map_or(0.0, |(at, _)| at + WINDOW_SECS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_leave_after_the_window() {
        let mut window = Window::default();
        window.add(0.0, 5.0);
        window.add(10.0, 7.0);
        assert_eq!(window.sum(10.0), 12.0);
        assert_eq!(window.sum_at(305.0), 7.0);
        assert_eq!(window.falls_to(7.0), 300.0);
        assert_eq!(window.falls_to(1.0), 310.0);
        assert_eq!(window.sum(301.0), 7.0);
        assert_eq!(window.sum(400.0), 0.0);
    }

    #[test]
    fn memory_is_bounded_by_the_grain() {
        let mut window = Window::default();
        for i in 0..100_000 {
            window.add(f64::from(i) * 0.001, 1.0);
        }
        assert!(window.entries.len() <= 2001, "{}", window.entries.len());
        assert_eq!(window.sum(100.0), 100_000.0);
    }
}
