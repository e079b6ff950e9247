//! One counter of the service: what was used within the window, and for how long it refuses.

use crate::world::{Limit, WINDOW, World};
use std::collections::VecDeque;

/// Amounts within the window.
#[derive(Default, Debug)]
pub(crate) struct Sum {
    entries: VecDeque<(f64, f64)>,
    sum: f64,
}

impl Sum {
    pub(crate) fn add(&mut self, now: f64, amount: f64) {
        self.entries.push_back((now, amount));
        self.sum += amount;
    }
    pub(crate) fn at(&mut self, now: f64) -> f64 {
        while self.entries.front().is_some_and(|(at, _)| now - at >= WINDOW) {
            let (_, amount) = self.entries.pop_front().expect("looked");
            self.sum -= amount;
        }
        self.sum
    }
    /// The sum as known `lag` seconds late.
    pub(crate) fn lagged(&mut self, now: f64, lag: f64) -> f64 {
        let mut sum = self.at(now);
        for (at, amount) in self.entries.iter().rev() {
            if now - at >= lag {
                break;
            }
            sum -= amount;
        }
        sum
    }
    pub(crate) fn falls_below(&self, target: f64) -> f64 {
        let mut sum = self.sum;
        for (at, amount) in &self.entries {
            sum -= amount;
            if sum < target {
                return at + WINDOW;
            }
        }
        self.entries.back().map_or(0.0, |(at, _)| at + WINDOW)
    }
}

/// The counter of a user, or of a user on one server.
#[derive(Default, Debug)]
pub(crate) struct Counter {
    pub(crate) time: Sum,
    pub(crate) requests: Sum,
    pub(crate) in_flight: usize,
    locked: Option<(f64, Limit)>,
    offences: f64,
    last_offence: f64,
    pub(crate) shown: Option<(f64, f64, f64)>,
}

impl Counter {
    /// Which limit refuses a request of `user` at `now`, and for how many seconds; `spread` is
    /// chance between 0 and 1.
    pub(crate) fn refuses(
        &mut self,
        world: &World,
        user: usize,
        now: f64,
        spread: f64,
    ) -> Option<(Limit, f64)> {
        if let Some((until, limit)) = self.locked {
            if now < until {
                return Some((limit, until - now));
            }
            self.locked = None;
        }
        if self.in_flight >= world.concurrent {
            return Some((Limit::Concurrency, 1.0 + 9.0 * spread));
        }
        let checks = [(Limit::Time, world.users[user]), (Limit::Requests, world.requests_limit)];
        for (limit, most) in checks {
            let sum = if limit == Limit::Time { &mut self.time } else { &mut self.requests };
            if sum.lagged(now, world.enforcement_lag) < most {
                continue;
            }
            let over = sum.at(now) - most;
            let mut until = sum.falls_below(most);
            if !world.lenient {
                // What was overrun is paid back at the rate at which the limit gives it.
                until += over / most * WINDOW;
            }
            if now - self.last_offence > WINDOW {
                self.offences = 0.0;
            }
            if !world.lenient {
                until += 5.0 * self.offences;
            }
            self.offences += 1.0;
            self.last_offence = now;
            let wait = (until - now).max(1.0);
            self.locked = Some((now + wait, limit));
            return Some((limit, wait));
        }
        None
    }
}
