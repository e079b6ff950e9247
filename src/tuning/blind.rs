//! Pure: several counters behind one lane. Where servers cannot be told apart a request lands on any
//! of them, and the fullest one refuses first; what answers say tells how full it is.

use std::collections::VecDeque;

/// Answers looked back on, for each counter: so many that each of them has most likely spoken.
const ANSWERS_EACH: f64 = 5.0;
/// Longest that an answer counts, seconds.
const AGE_SECS_MAX: f64 = 60.0;
/// Requests of one's own from which on their distribution tells how many counters there are.
const REQUESTS_MIN: f64 = 40.0;
/// Most counters believed in.
const COUNTERS_MAX: f64 = 64.0;

/// What one answer said.
#[derive(Clone, Copy, Debug)]
struct Said {
    at: f64,
    remaining: f64,
    /// What this program had in its window then, over all counters.
    spent: f64,
}

/// What is known of counters that cannot be told apart.
#[derive(Debug, Default)]
pub(super) struct Blind {
    said: VecDeque<Said>,
    /// Fading mean of one counter's share of the requests, and its weight.
    share: f64,
    weight: f64,
}

impl Blind {
    /// A counter said that it has `said` requests, of `own` in all.
    pub(super) fn count(&mut self, own: f64, said: f64) {
        if own < REQUESTS_MIN || said < 1.0 {
            return;
        }
        self.weight = (self.weight + 1.0).min(60.0);
        self.share += (said / own - self.share) / self.weight;
    }

    /// Counters there are, once it can be told.
    pub(super) fn counters(&self) -> Option<f64> {
        (self.weight >= 16.0 && self.share > 0.0)
            .then(|| (1.0 / self.share + 0.35).floor().clamp(1.0, COUNTERS_MAX))
    }

    /// A counter said what is left on it.
    pub(super) fn note(&mut self, now: f64, remaining: f64, spent: f64, counters: f64) {
        self.said.push_back(Said { at: now, remaining, spent });
        let most = (ANSWERS_EACH * counters) as usize;
        while self.said.len() > most || self.said.front().is_some_and(|s| now - s.at > AGE_SECS_MAX)
        {
            self.said.pop_front();
        }
    }

    /// What is left on the fullest counter, when all together hold `spent` now.
    pub(super) fn room(&self, now: f64, spent: f64, counters: f64) -> Option<f64> {
        self.said
            .iter()
            .filter(|s| now - s.at <= AGE_SECS_MAX)
            .map(|s| s.remaining - (spent - s.spent) / counters)
            .min_by(f64::total_cmp)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_counted_by_their_share() {
        let mut blind = Blind::default();
        for i in 0..200 {
            // Every fourth request is counted here, give or take.
            let own = f64::from(i);
            blind.count(own, own / 4.0 + f64::from(i % 3) - 1.0);
        }
        assert_eq!(blind.counters(), Some(4.0));
    }

    #[test]
    fn the_fullest_counter_decides_and_is_forgotten_in_time() {
        let mut blind = Blind::default();
        for (at, remaining) in [(1.0, 400.0), (2.0, 30.0), (3.0, 500.0)] {
            blind.note(at, remaining, 1000.0, 4.0);
        }
        assert_eq!(blind.room(3.0, 1000.0, 4.0), Some(30.0));
        // 40 seconds left the window: ten of them on each counter.
        assert_eq!(blind.room(3.0, 960.0, 4.0), Some(40.0));
        assert_eq!(blind.room(100.0, 960.0, 4.0), None);
    }
}
