//! Pure: service protection in virtual time: three limits per user and web server.
//!
//! Source: `dataverse-web-api.md` §1.1-§1.2, §12 rows 1-7.

mod foreign;
pub mod text;
mod window;

use super::settings::{ForeignLoad, ProtectionScope, ProtectionSettings, UserSettings};
use crate::units::MonoTime;
use foreign::Drip;
use std::collections::HashMap;
use std::time::Duration;
use window::{Booking, Shape, Window};

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

/// All windows.
#[derive(Debug)]
pub struct Protection {
    settings: ProtectionSettings,
    shape: Shape,
    /// What others spend, by user.
    drips: Vec<(usize, Drip)>,
    windows: HashMap<(usize, u32), Window>,
}

impl Protection {
    /// Empty windows, into which `foreign` drips; users count in the order of `users`.
    #[must_use]
    pub fn new(
        settings: ProtectionSettings,
        foreign: &[ForeignLoad],
        users: &[UserSettings],
    ) -> Self {
        let drip = |load: &ForeignLoad| {
            let user = users.iter().position(|user| user.name == load.user)?;
            Some((user, Drip::new(load, &settings)))
        };
        let drips = foreign.iter().filter_map(drip).collect();
        Self { shape: Shape::new(&settings), drips, settings, windows: HashMap::new() }
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
        let window = touch(&mut self.windows, &self.drips, &self.shape, now, key);
        let rules = &self.settings;
        if let Some((until, facet)) = window.locked(now) {
            let penalty = Duration::from_secs_f64(rules.penalty_secs);
            let wait = clamp(rules, until.saturating_since(now) + penalty);
            window.lock(now + wait, facet);
            return Err(Throttle { facet, retry_after: wait, while_throttled: true });
        }
        if rules.concurrent_max > 0 && window.in_flight >= rules.concurrent_max {
            let [low, high] = rules.concurrency_retry_secs;
            let wait = Duration::from_secs_f64((high - low).mul_add(chance, low));
            return Err(Throttle {
                facet: Facet::Concurrency,
                retry_after: clamp(rules, wait),
                while_throttled: false,
            });
        }
        if let Some(overrun) = window.overrun(now, &self.shape, rules) {
            let wait = clamp(rules, overrun.free.saturating_since(now) + overrun.offence);
            window.lock(now + wait, overrun.facet);
            return Err(Throttle {
                facet: overrun.facet,
                retry_after: wait,
                while_throttled: false,
            });
        }
        window.in_flight += 1;
        window
            .book(&self.shape, Booking { heard: now, at: now, requests: 1, busy: Duration::ZERO });
        Ok(Permit { key, start: now })
    }

    /// Books the execution time of an admitted request, at its start.
    ///
    /// Source: `dataverse-web-api.md` §12 row 4: booked at completion.
    pub fn complete(&mut self, now: MonoTime, permit: Permit, busy: Duration) {
        // The server may be gone, and its window with it.
        if !self.windows.contains_key(&permit.key) {
            return;
        }
        let window = touch(&mut self.windows, &self.drips, &self.shape, now, permit.key);
        window.in_flight = window.in_flight.saturating_sub(1);
        let booking = Booking { heard: now, at: permit.start, requests: 0, busy };
        window.book(&self.shape, booking);
    }

    /// What the headers of an answer say.
    #[must_use]
    pub fn remaining(&mut self, now: MonoTime, user: usize, server: u32) -> Remaining {
        let key = self.key(user, server);
        let window = touch(&mut self.windows, &self.drips, &self.shape, now, key);
        let rules = &self.settings;
        let (requests, busy) = window.shown(now, &self.shape);
        let execution = Duration::from_secs_f64(rules.execution_secs_max).saturating_sub(busy);
        let requests = f64::from(rules.requests_max.saturating_sub(requests));
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a float converts by saturation"
        )]
        let requests = (requests * rules.headers_factor) as u32;
        Remaining { requests, execution: execution.mul_f64(rules.headers_factor) }
    }

    /// Only `servers` are there: the windows of others vanish, unless all share one.
    pub fn keep_servers(&mut self, servers: &[u32]) {
        if self.settings.scope == ProtectionScope::Server {
            self.windows.retain(|(_, server), _| servers.contains(server));
        }
    }

    /// The counter a request of any user at `server` counts in.
    #[must_use]
    pub fn counter(&self, server: u32) -> u32 {
        match self.settings.scope {
            ProtectionScope::Server => server,
            ProtectionScope::User => 0,
        }
    }

    fn key(&self, user: usize, server: u32) -> (usize, u32) {
        (user, self.counter(server))
    }
}

/// The window of `key`, with what others have spent in it up to now.
fn touch<'w>(
    windows: &'w mut HashMap<(usize, u32), Window>,
    drips: &[(usize, Drip)],
    shape: &Shape,
    now: MonoTime,
    key: (usize, u32),
) -> &'w mut Window {
    let window = windows.entry(key).or_insert_with(|| Window::new(shape));
    let of_user = drips.iter().filter(|(user, _)| *user == key.0).map(|(_, drip)| drip);
    if of_user.clone().next().is_some() {
        window.drip(now, of_user, shape);
    }
    window
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulator::settings::Lock;
    use proptest::prelude::*;

    fn at(secs: f64) -> MonoTime {
        MonoTime::from_origin(Duration::from_secs_f64(secs))
    }

    fn settings(requests: u32, execution: f64, concurrent: u32) -> ProtectionSettings {
        ProtectionSettings {
            requests_max: requests,
            execution_secs_max: execution,
            concurrent_max: concurrent,
            ..ProtectionSettings::default()
        }
    }

    fn over(settings: ProtectionSettings) -> Protection {
        Protection::new(settings, &[], &[])
    }

    fn rules(requests: u32, execution: f64, concurrent: u32) -> Protection {
        over(settings(requests, execution, concurrent))
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
    fn execution_time_is_booked_at_completion_and_the_overrun_paid_back() {
        for (lock, wait) in [(Lock::Lenient, 279), (Lock::Payback, 280)] {
            let mut p = over(ProtectionSettings { lock, ..settings(0, 20.0, 0) });
            let long = p.admit(at(0.0), 0, 0, 0.0).expect("fits");
            run(&mut p, 1.0, 15.0).expect("nothing booked yet");
            p.complete(at(20.0), long, Duration::from_secs(20));
            let refusal = run(&mut p, 21.0, 1.0).expect_err("35 s of 20 s");
            // Below 20 s when the first leaves, below 20 − 15 s when the second does.
            assert_eq!(
                (refusal.facet, refusal.retry_after),
                (Facet::Execution, Duration::from_secs(wait))
            );
        }
    }

    #[test]
    fn repeated_offences_lengthen_the_lock_until_a_window_passes_without() {
        let wait = |lock| {
            let mut p = over(ProtectionSettings { lock, ..settings(0, 20.0, 0) });
            let mut waits = Vec::new();
            let mut now = 0.0;
            for _ in 0..3 {
                run(&mut p, now, 20.0).expect("the window is empty");
                let wait = run(&mut p, now + 20.0, 1.0).expect_err("full").retry_after;
                waits.push(wait.as_secs());
                now += 20.0 + wait.as_secs_f64();
            }
            now += 301.0;
            run(&mut p, now, 20.0).expect("the window is empty");
            waits.push(run(&mut p, now + 20.0, 1.0).expect_err("full").retry_after.as_secs());
            waits
        };
        assert_eq!(wait(Lock::Payback), [280, 285, 290, 280]);
        assert_eq!(wait(Lock::Lenient), [280; 4]);
    }

    #[test]
    fn headers_tell_what_was_and_move_in_jumps() {
        let late = ProtectionSettings { headers_lag_secs: 20.0, ..settings(100, 1200.0, 0) };
        let mut p = over(late);
        for second in 0..60 {
            run(&mut p, f64::from(second), 0.5).expect("fits");
        }
        // At 59.5 those up to 39.5 are old enough; the last jump was at 35.
        let left = p.remaining(at(59.5), 0, 0);
        assert_eq!((left.requests, left.execution), (64, Duration::from_secs_f64(1182.5)));
        assert_eq!(p.remaining(at(59.99), 0, 0), left, "no jump between");
        assert_eq!(p.remaining(at(60.0), 0, 0).requests, 59);
        assert_eq!(p.remaining(at(80.0), 0, 0).requests, 40);
        // The requests of 0 to 20 have left the window for whoever looks 20 s back.
        assert_eq!(p.remaining(at(340.0), 0, 0).requests, 61);
    }

    #[test]
    fn headers_can_tell_less_or_more_than_there_is() {
        let mut p = over(ProtectionSettings { headers_factor: 2.5, ..settings(100, 1200.0, 0) });
        run(&mut p, 0.0, 200.0).expect("fits");
        let left = p.remaining(at(200.0), 0, 0);
        assert_eq!((left.requests, left.execution), (247, Duration::from_secs(2500)));
    }

    #[test]
    fn limits_that_act_late_let_more_through_and_hold_longer() {
        let late = ProtectionSettings { enforcement_lag_secs: 30.0, ..settings(10, 0.0, 0) };
        let mut p = over(late);
        let admitted =
            (0..40).take_while(|second| run(&mut p, f64::from(*second), 0.1).is_ok()).count();
        // The tenth, of second 9, acts at second 39.
        assert_eq!(admitted, 39);
        let refusal = p.admit(at(39.5), 0, 0, 0.0).expect_err("locked");
        assert!(refusal.while_throttled);
        // Nothing above ten has been heard of: one has to leave, which is heard 30 s late.
        let mut p = over(ProtectionSettings {
            enforcement_lag_secs: 30.0,
            penalty_secs: 0.0,
            retry_after_secs_max: 1000.0,
            ..settings(10, 0.0, 0)
        });
        for second in 0..39 {
            run(&mut p, f64::from(second), 0.1).expect("nothing acts yet");
        }
        assert_eq!(run(&mut p, 39.0, 0.1).expect_err("ten").retry_after.as_secs(), 291);
    }

    fn foreign(share: f64, after_secs: f64, until_secs: Option<f64>) -> Protection {
        let users = [UserSettings::numbered(1), UserSettings::numbered(2)];
        let user = users[1].name.clone();
        let load = ForeignLoad { user, share, request_secs: 2.0, after_secs, until_secs };
        Protection::new(settings(6000, 1200.0, 0), &[load], &users)
    }

    #[test]
    fn others_spend_of_the_windows_of_their_user() {
        let mut p = foreign(0.4, 100.0, Some(500.0));
        let mut left = |secs, user| {
            let left = p.remaining(at(secs), user, 3);
            (left.execution.as_secs_f64().round(), left.requests)
        };
        assert_eq!(left(100.0, 1), (1200.0, 6000));
        // 40 % of 1200 s a window are 1.6 s a second, 0.8 requests.
        assert_eq!(left(200.0, 1), (1040.0, 5920));
        assert_eq!(left(200.0, 0), (1200.0, 6000), "not theirs");
        assert_eq!(left(450.0, 1), (720.0, 5760), "a whole window of it");
        assert_eq!(left(650.0, 1), (960.0, 5880), "over since 500");
        assert_eq!(left(5000.0, 1), (1200.0, 6000));
    }

    #[test]
    fn a_lock_holds_others_as_well() {
        let mut p = foreign(1.0, 0.0, None);
        let refusal = p.admit(at(300.0), 1, 0, 0.0).expect_err("they have spent it all");
        assert_eq!((refusal.facet, refusal.retry_after.as_secs()), (Facet::Execution, 1));
        // Then 4 s a second leave the window, and as many come again.
        let left = p.remaining(at(301.0), 1, 0).execution;
        assert!((left.as_secs_f64() - 4.0).abs() < 0.1, "{left:?}");
    }

    #[test]
    fn servers_that_go_take_their_windows_with_them() {
        let mut p = rules(1, 0.0, 0);
        let on_two = p.admit(at(0.0), 0, 2, 0.0).expect("fits");
        assert!(p.admit(at(0.0), 0, 1, 0.0).is_ok());
        p.keep_servers(&[0, 1]);
        p.complete(at(1.0), on_two, Duration::from_secs(1));
        assert!(p.admit(at(1.0), 0, 1, 0.0).is_err(), "still there");
        assert!(p.admit(at(1.0), 0, 2, 0.0).is_ok(), "nobody remembers");
        p.settings.scope = ProtectionScope::User;
        assert!(p.admit(at(2.0), 1, 7, 0.0).is_ok());
        p.keep_servers(&[1]);
        assert!(p.admit(at(3.0), 1, 1, 0.0).is_err(), "one counter over all servers");
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
