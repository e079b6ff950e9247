//! Pure: service protection in virtual time: three limits per user and web server.
//!
//! Source: `dataverse-web-api.md` §1.1-§1.2, §12 rows 1-7.

use super::settings::{ProtectionScope, ProtectionSettings};
use crate::units::MonoTime;
use std::collections::{HashMap, VecDeque};
use std::time::Duration;

/// The window is kept in this many steps, so that memory stays bounded at any request rate.
const STEPS: u32 = 30_000;

/// The three limits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Facet {
    /// Number of requests in the window.
    Requests,
    /// Combined execution time in the window.
    Execution,
    /// Requests at once.
    Concurrency,
}

impl Facet {
    /// Error code.
    #[must_use]
    pub fn code(self) -> u32 {
        match self {
            Self::Requests => 0x8007_2322,
            Self::Execution => 0x8007_2321,
            Self::Concurrency => 0x8007_2326,
        }
    }

    /// Name in statistics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Execution => "execution",
            Self::Concurrency => "concurrency",
        }
    }
}

/// Leave to run; give it back by [`Protection::complete`].
#[derive(Debug)]
#[must_use]
pub struct Permit {
    key: (usize, u32),
    start: MonoTime,
}

/// A refusal.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Throttle {
    /// Which limit.
    pub facet: Facet,
    /// How long to stay away, in virtual time.
    pub retry_after: Duration,
    /// Whether the request came while an earlier refusal still held.
    pub while_throttled: bool,
}

/// What is left in the window of the server that answered.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Remaining {
    /// Requests.
    pub requests: u32,
    /// Execution time.
    pub execution: Duration,
}

#[derive(Debug)]
struct Step {
    at: MonoTime,
    requests: u32,
    busy: Duration,
}

#[derive(Debug, Default)]
struct Window {
    steps: VecDeque<Step>,
    requests: u32,
    busy: Duration,
    in_flight: u32,
    blocked: Option<(MonoTime, Facet)>,
}

/// All windows.
#[derive(Debug)]
pub struct Protection {
    settings: ProtectionSettings,
    span: Duration,
    step: Duration,
    windows: HashMap<(usize, u32), Window>,
}

impl Protection {
    /// Empty windows.
    #[must_use]
    pub fn new(settings: ProtectionSettings) -> Self {
        let span = Duration::from_secs_f64(settings.window_secs);
        Self { settings, span, step: span / STEPS, windows: HashMap::new() }
    }

    /// Admits a request of `user` at `server`, or refuses it. `chance` in `0..1` picks the wait
    /// of the concurrency limit.
    ///
    /// # Errors
    /// A limit is exceeded, or an earlier refusal still holds.
    pub fn admit(
        &mut self,
        now: MonoTime,
        user: usize,
        server: u32,
        chance: f64,
    ) -> Result<Permit, Throttle> {
        let key = self.key(user, server);
        let (span, step, rules) = (self.span, self.step, &self.settings);
        let window = self.windows.entry(key).or_default();
        window.expire(now, span);
        if let Some((until, facet)) = window.blocked.filter(|(until, _)| now < *until) {
            let penalty = Duration::from_secs_f64(rules.penalty_secs);
            let wait = clamp(rules, until.saturating_since(now) + penalty);
            window.blocked = Some((now + wait, facet));
            return Err(Throttle { facet, retry_after: wait, while_throttled: true });
        }
        window.blocked = None;
        if rules.concurrent_max > 0 && window.in_flight >= rules.concurrent_max {
            let [low, high] = rules.concurrency_retry_secs;
            let wait = Duration::from_secs_f64((high - low).mul_add(chance, low));
            return Err(Throttle {
                facet: Facet::Concurrency,
                retry_after: clamp(rules, wait),
                while_throttled: false,
            });
        }
        if let Some((facet, free)) = window.over(rules, span) {
            let wait = clamp(rules, free.saturating_since(now));
            window.blocked = Some((now + wait, facet));
            return Err(Throttle { facet, retry_after: wait, while_throttled: false });
        }
        window.in_flight += 1;
        window.book(now, step, 1, Duration::ZERO);
        Ok(Permit { key, start: now })
    }

    /// Books the execution time of an admitted request, at its start.
    ///
    /// Source: `dataverse-web-api.md` §12 row 4: booked at completion.
    pub fn complete(&mut self, now: MonoTime, permit: Permit, busy: Duration) {
        let (span, step) = (self.span, self.step);
        if let Some(window) = self.windows.get_mut(&permit.key) {
            window.in_flight = window.in_flight.saturating_sub(1);
            if now.saturating_since(permit.start) < span {
                window.book(permit.start, step, 0, busy);
            }
            window.expire(now, span);
        }
    }

    /// What the headers of an answer say.
    #[must_use]
    pub fn remaining(&mut self, now: MonoTime, user: usize, server: u32) -> Remaining {
        let key = self.key(user, server);
        let span = self.span;
        let rules = &self.settings;
        let window = self.windows.entry(key).or_default();
        window.expire(now, span);
        Remaining {
            requests: rules.requests_max.saturating_sub(window.requests),
            execution: Duration::from_secs_f64(rules.execution_secs_max)
                .saturating_sub(window.busy),
        }
    }

    fn key(&self, user: usize, server: u32) -> (usize, u32) {
        match self.settings.scope {
            ProtectionScope::Server => (user, server),
            ProtectionScope::User => (user, 0),
        }
    }
}

/// At least one second, as the header has no smaller unit, and at most the longest wait.
fn clamp(rules: &ProtectionSettings, wait: Duration) -> Duration {
    let most = Duration::from_secs_f64(rules.retry_after_secs_max);
    let whole = if rules.fractional_retry_after {
        wait
    } else {
        Duration::from_secs_f64(wait.as_secs_f64().ceil())
    };
    whole.max(Duration::from_secs(1).min(most)).min(most)
}

impl Window {
    fn expire(&mut self, now: MonoTime, span: Duration) {
        while let Some(front) = self.steps.front() {
            if now.saturating_since(front.at) < span {
                break;
            }
            self.requests -= front.requests;
            self.busy = self.busy.saturating_sub(front.busy);
            self.steps.pop_front();
        }
    }

    /// Adds to the step that holds `at`; requests complete out of order, so it may lie back.
    fn book(&mut self, at: MonoTime, step: Duration, requests: u32, busy: Duration) {
        self.requests += requests;
        self.busy += busy;
        let place = self.steps.iter().rposition(|s| s.at <= at);
        if let Some(found) = place.and_then(|i| self.steps.get_mut(i))
            && at.saturating_since(found.at) < step
        {
            found.requests += requests;
            found.busy += busy;
            return;
        }
        self.steps.insert(place.map_or(0, |i| i + 1), Step { at, requests, busy });
    }

    /// The limit that is exceeded, and when the window will have fallen below it.
    fn over(&self, rules: &ProtectionSettings, span: Duration) -> Option<(Facet, MonoTime)> {
        let execution = Duration::from_secs_f64(rules.execution_secs_max);
        let (mut requests, mut busy) = (self.requests, self.busy);
        let facet = if rules.requests_max > 0 && requests >= rules.requests_max {
            Facet::Requests
        } else if !execution.is_zero() && busy >= execution {
            Facet::Execution
        } else {
            return None;
        };
        for step in &self.steps {
            requests -= step.requests;
            busy = busy.saturating_sub(step.busy);
            let requests_fit = rules.requests_max == 0 || requests < rules.requests_max;
            if requests_fit && (execution.is_zero() || busy < execution) {
                return Some((facet, step.at + span));
            }
        }
        None
    }
}

/// The text of a refusal.
///
/// Source: `dataverse-web-api.md` §1.1.
#[must_use]
pub fn message(facet: Facet, rules: &ProtectionSettings) -> String {
    let window = rules.window_secs;
    match facet {
        Facet::Requests => format!(
            "Number of requests exceeded the limit of {} over time window of {window} seconds.",
            rules.requests_max
        ),
        Facet::Execution => format!(
            "Combined execution time of incoming requests exceeded limit of {} milliseconds over \
             time window of {window} seconds. Decrease number of concurrent requests or reduce \
             the duration of requests and try again later.",
            grouped(&format!("{:.0}", rules.execution_secs_max * 1000.0))
        ),
        Facet::Concurrency => {
            format!("Number of concurrent requests exceeded the limit of {}.", rules.concurrent_max)
        }
    }
}

/// `1199.97` with thousands commas: `1,199.97`.
///
/// Source: `dataverse-web-api.md` §13.
#[must_use]
pub fn grouped(number: &str) -> String {
    let whole = number.find('.').unwrap_or(number.len());
    let mut out = String::with_capacity(number.len() + 4);
    for (i, c) in number.chars().enumerate() {
        if i > 0 && i < whole && (whole - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(secs: f64) -> MonoTime {
        MonoTime::from_origin(Duration::from_secs_f64(secs))
    }

    fn rules(requests: u32, execution: f64, concurrent: u32) -> Protection {
        Protection::new(ProtectionSettings {
            requests_max: requests,
            execution_secs_max: execution,
            concurrent_max: concurrent,
            ..ProtectionSettings::default()
        })
    }

    fn run(p: &mut Protection, start: f64, busy: f64) -> Result<(), Throttle> {
        let permit = p.admit(at(start), 0, 0, 0.0)?;
        p.complete(at(start + busy), permit, Duration::from_secs_f64(busy));
        Ok(())
    }

    #[test]
    fn requests_are_refused_until_the_first_leaves_the_window() {
        let mut p = rules(3, 0.0, 0);
        for s in 0..3 {
            run(&mut p, f64::from(s) * 10.0, 0.1).expect("fits");
        }
        let refusal = run(&mut p, 100.0, 0.1).expect_err("full");
        assert_eq!(refusal.facet, Facet::Requests);
        assert_eq!(refusal.retry_after, Duration::from_secs(200));
        run(&mut p, 300.0, 0.1).expect("the first has left");
    }

    #[test]
    fn execution_time_is_booked_at_completion() {
        let mut p = rules(0, 20.0, 0);
        let long = p.admit(at(0.0), 0, 0, 0.0).expect("fits");
        run(&mut p, 1.0, 15.0).expect("nothing booked yet");
        p.complete(at(20.0), long, Duration::from_secs(20));
        let refusal = run(&mut p, 21.0, 1.0).expect_err("35 s of 20 s");
        assert_eq!(
            (refusal.facet, refusal.retry_after),
            (Facet::Execution, Duration::from_secs(279))
        );
    }

    #[test]
    fn sending_while_throttled_lengthens_the_wait_up_to_the_clamp() {
        let mut p = rules(1, 0.0, 0);
        run(&mut p, 0.0, 0.1).expect("fits");
        assert_eq!(run(&mut p, 290.0, 0.1).expect_err("full").retry_after.as_secs(), 10);
        let again = run(&mut p, 295.0, 0.1).expect_err("still throttled");
        assert!(again.while_throttled);
        assert_eq!(again.retry_after.as_secs(), 7);
        assert!(run(&mut p, 301.0, 0.1).is_err(), "the window is empty, the penalty holds");
        for _ in 0..1000 {
            let wait = run(&mut p, 301.0, 0.1).expect_err("throttled").retry_after;
            assert!(wait <= Duration::from_secs(300));
        }
        run(&mut p, 602.0, 0.1).expect("the longest wait is over");
    }

    #[test]
    fn a_client_that_waits_as_told_gets_in() {
        let mut p = rules(2, 0.0, 0);
        run(&mut p, 0.3, 0.1).expect("fits");
        run(&mut p, 0.4, 0.1).expect("fits");
        let wait = run(&mut p, 7.77, 0.1).expect_err("full").retry_after;
        run(&mut p, 7.77 + wait.as_secs_f64(), 0.1).expect("waited");
    }

    #[test]
    fn concurrency_acts_at_once_and_only_at_once() {
        let mut p = rules(0, 0.0, 2);
        let one = p.admit(at(0.0), 0, 0, 0.0).expect("fits");
        let _two = p.admit(at(0.0), 0, 0, 0.0).expect("fits");
        let refusal = p.admit(at(0.0), 0, 0, 0.999).expect_err("two run");
        assert_eq!(refusal.facet, Facet::Concurrency);
        assert_eq!(refusal.retry_after.as_secs(), 5);
        p.complete(at(0.1), one, Duration::from_millis(100));
        assert!(p.admit(at(0.1), 0, 0, 0.0).is_ok());
    }

    #[test]
    fn users_and_servers_count_apart_unless_told_otherwise() {
        let mut p = rules(1, 0.0, 0);
        for (user, server) in [(0, 0), (0, 1), (1, 0)] {
            assert!(p.admit(at(0.0), user, server, 0.0).is_ok());
        }
        p.settings.scope = ProtectionScope::User;
        assert!(p.admit(at(1.0), 0, 1, 0.0).is_err());
    }

    #[test]
    fn numbers_carry_thousands_commas() {
        assert_eq!(grouped("1200.00"), "1,200.00");
        assert_eq!(grouped("1200000"), "1,200,000");
        assert_eq!(grouped("12.5"), "12.5");
        let text = message(Facet::Execution, &ProtectionSettings::default());
        assert!(text.contains("1,200,000 milliseconds over time window of 300 seconds"));
    }

    proptest! {
        #[test]
        fn the_window_never_holds_more_than_the_limit(
            gaps in prop::collection::vec(0.0_f64..40.0, 1..200), limit in 1_u32..8,
        ) {
            let mut p = rules(limit, 0.0, 0);
            let (mut now, mut admitted) = (0.0, Vec::new());
            for gap in gaps {
                now += gap;
                if run(&mut p, now, 0.0).is_ok() {
                    admitted.push(now);
                }
                let inside = admitted.iter().filter(|t| now - **t < 299.98).count();
                prop_assert!(inside <= limit as usize);
            }
        }
    }
}
