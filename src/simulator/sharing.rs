//! Pure: requests that share a database. What is left of each shrinks the more slowly the more
//! run beside it, and that changes while it runs.
//!
//! A request alone takes exactly its work. Beside others its work shrinks at the rate
//! `1 / (f(C) · f_t(C_t) · g(N))`: `f` for all requests at once, `f_t` for those of the same table,
//! `g` for the rows in flight elsewhere. Between two events the rates are constant, so every end is
//! computed, not approximated: how late somebody looks does not change when a request has ended.
//!
//! Source: `adaptive-control.md` §2.2, §6 (processor sharing).

use super::latency::drift_step;
use super::schema::{FastMap, Weight};
use super::settings::{Contention, LatencySettings};
use crate::units::MonoTime;
use std::time::Duration;

/// What is left counts as nothing below this, seconds: times are whole nanoseconds.
const NOTHING_SECS: f64 = 1e-9;

/// One request, as far as others feel it.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Share {
    /// Time it takes alone.
    pub work: Duration,
    /// Table most of its rows go to, with its class.
    pub table: Option<(usize, Weight)>,
    /// Rows it holds while it runs.
    pub rows: u64,
    /// It is ended after this time, done or not.
    pub limit: Option<Duration>,
}

/// A request that has left.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Left {
    /// As given to [`Sharing::arrive`].
    pub id: u64,
    /// When.
    pub at: MonoTime,
    /// Time since its arrival.
    pub took: Duration,
    /// Whether its work was done; otherwise its limit ended it.
    pub done: bool,
    /// What it was.
    pub share: Share,
}

#[derive(Debug)]
struct Running {
    id: u64,
    since: MonoTime,
    left_secs: f64,
    until: Option<MonoTime>,
    share: Share,
}

/// Who runs beside whom.
#[derive(Debug)]
struct Crowd {
    settings: LatencySettings,
    /// Factor on κ by now.
    kappa_factor: f64,
    requests: u32,
    rows: u64,
    by_table: FastMap<usize, u32>,
}

/// All requests that run.
#[derive(Debug)]
pub struct Sharing {
    now: MonoTime,
    crowd: Crowd,
    running: Vec<Running>,
    left: Vec<Left>,
}

impl Sharing {
    /// Nothing runs.
    #[must_use]
    pub fn new(settings: LatencySettings) -> Self {
        let mut crowd = Crowd {
            settings,
            kappa_factor: 1.0,
            requests: 0,
            rows: 0,
            by_table: FastMap::default(),
        };
        crowd.at(MonoTime::ZERO);
        Self { now: MonoTime::ZERO, crowd, running: Vec::new(), left: Vec::new() }
    }

    /// Requests that run.
    #[must_use]
    pub fn requests(&self) -> u32 {
        self.crowd.requests
    }

    /// A request begins to run. Whoever has left until then comes out of the next
    /// [`Sharing::advance`].
    pub fn arrive(&mut self, now: MonoTime, id: u64, share: Share) {
        self.go_on(now);
        self.crowd.enter(&share);
        self.running.push(Running {
            id,
            since: self.now,
            left_secs: share.work.as_secs_f64(),
            until: share.limit.map(|limit| self.now + limit),
            share,
        });
        self.take_out();
    }

    /// When the next one leaves or the rates change, if nobody arrives before.
    #[must_use]
    pub fn next_event(&self) -> Option<MonoTime> {
        let end = |running: &Running| {
            let done = self.now + secs(running.left_secs * self.crowd.slow_down(&running.share));
            running.until.map_or(done, |until| done.min(until))
        };
        let next = self.running.iter().map(end).min()?;
        let change = self.crowd.next_change(self.now);
        Some(change.map_or(next, |at| at.min(next)))
    }

    /// Goes on to `now`; gives back who has left, in that order.
    pub fn advance(&mut self, now: MonoTime) -> Vec<Left> {
        self.go_on(now);
        std::mem::take(&mut self.left)
    }

    fn go_on(&mut self, to: MonoTime) {
        while self.now < to {
            let next = self.next_event().map_or(to, |at| at.min(to));
            let passed = next.saturating_since(self.now).as_secs_f64();
            for running in &mut self.running {
                running.left_secs -= passed / self.crowd.slow_down(&running.share);
            }
            self.now = next;
            self.crowd.at(next);
            self.take_out();
        }
    }

    /// Takes out who is done or at its limit. Who goes at the same moment goes in order of arrival.
    fn take_out(&mut self) {
        let (now, crowd) = (self.now, &self.crowd);
        let first = self.left.len();
        let left = &mut self.left;
        self.running.retain(|running| {
            let rest = running.left_secs * crowd.slow_down(&running.share);
            let done = rest <= NOTHING_SECS;
            if !done && running.until.is_none_or(|until| until > now) {
                return true;
            }
            let took = now.saturating_since(running.since);
            left.push(Left { id: running.id, at: now, took, done, share: running.share });
            false
        });
        for gone in self.left.iter().skip(first) {
            self.crowd.leave(&gone.share);
        }
    }
}

impl Crowd {
    fn enter(&mut self, share: &Share) {
        self.requests += 1;
        self.rows += share.rows;
        if let Some((table, _)) = share.table {
            *self.by_table.entry(table).or_default() += 1;
        }
    }

    fn leave(&mut self, share: &Share) {
        self.requests -= 1;
        self.rows -= share.rows;
        if let Some((table, _)) = share.table
            && let Some(count) = self.by_table.get_mut(&table)
        {
            *count -= 1;
        }
    }

    /// How many times as long as alone one of those that run takes now.
    fn slow_down(&self, share: &Share) -> f64 {
        let settings = &self.settings;
        let database =
            Contention { sigma: settings.contention_sigma, kappa: settings.contention_kappa };
        let table = share.table.map_or(1.0, |(table, weight)| {
            let beside = self.by_table.get(&table).copied().unwrap_or(0);
            self.contention(settings.table_contention.of(weight), beside)
        });
        #[expect(clippy::cast_precision_loss, reason = "rows in flight stay far below 2^52")]
        let elsewhere = self.rows.saturating_sub(share.rows) as f64;
        self.contention(database, self.requests)
            * table
            * settings.rows_in_flight.mul_add(elsewhere, 1.0)
    }

    /// `1 + σ(C−1) + κC(C−1)`.
    fn contention(&self, rule: Contention, requests: u32) -> f64 {
        let count = f64::from(requests.max(1));
        let others = count - 1.0;
        let kappa = rule.kappa * self.kappa_factor;
        kappa.mul_add(count * others, rule.sigma.mul_add(others, 1.0))
    }

    /// Lets the changes over time up to `now` hold.
    fn at(&mut self, now: MonoTime) {
        let step = drift_step(&self.settings, now.since_origin());
        self.kappa_factor = step.map_or(1.0, |step| step.kappa_factor);
    }

    fn next_change(&self, now: MonoTime) -> Option<MonoTime> {
        let times = self.settings.drift.iter().map(|s| MonoTime::from_origin(secs(s.after_secs)));
        times.filter(|at| *at > now).min()
    }
}

fn secs(secs: f64) -> Duration {
    Duration::try_from_secs_f64(secs.max(0.0)).unwrap_or(Duration::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulator::settings::DriftStep;
    use proptest::prelude::*;

    fn at(secs: f64) -> MonoTime {
        MonoTime::from_origin(Duration::from_secs_f64(secs))
    }

    fn rules(sigma: f64, kappa: f64, rows: f64) -> LatencySettings {
        LatencySettings {
            contention_sigma: sigma,
            contention_kappa: kappa,
            rows_in_flight: rows,
            ..LatencySettings::default()
        }
    }

    fn share(work: f64) -> Share {
        Share { work: Duration::from_secs_f64(work), table: None, rows: 0, limit: None }
    }

    fn ends(sharing: &mut Sharing) -> Vec<(u64, f64)> {
        let all = sharing.advance(at(1e6));
        all.iter().map(|l| (l.id, l.at.since_origin().as_secs_f64())).collect()
    }

    fn close(got: &[(u64, f64)], want: &[(u64, f64)]) {
        let same = got.len() == want.len()
            && got.iter().zip(want).all(|(g, w)| g.0 == w.0 && (g.1 - w.1).abs() < 1e-6);
        assert!(same, "{got:?} is not {want:?}");
    }

    #[test]
    fn alone_a_request_takes_its_work() {
        let mut sharing = Sharing::new(rules(0.5, 0.5, 0.5));
        sharing.arrive(at(3.0), 7, share(2.5));
        assert_eq!(sharing.next_event(), Some(at(5.5)));
        assert_eq!(sharing.advance(at(5.4)), []);
        let left = sharing.advance(at(9.0));
        assert_eq!((left[0].at, left[0].took), (at(5.5), Duration::from_secs_f64(2.5)));
        assert!(left[0].done && sharing.next_event().is_none());
    }

    #[test]
    fn who_runs_beside_is_felt_only_as_long_as_both_run() {
        // Two at once run at half the speed: 1 + 1·(2−1).
        let mut sharing = Sharing::new(rules(1.0, 0.0, 0.0));
        sharing.arrive(at(0.0), 1, share(3.0));
        sharing.arrive(at(1.0), 2, share(1.0));
        // From 1 to 3 both run: the second is done, the first has 3 − 1 − 1 left.
        close(&ends(&mut sharing), &[(2, 3.0), (1, 4.0)]);
    }

    #[test]
    fn the_same_table_slows_its_own_requests_only() {
        let mut settings = rules(0.0, 0.0, 0.0);
        settings.table_contention.simple = Contention { sigma: 1.0, kappa: 0.0 };
        let mut sharing = Sharing::new(settings);
        for (id, table) in [(1, 4), (2, 4), (3, 5)] {
            sharing.arrive(
                at(0.0),
                id,
                Share { table: Some((table, Weight::Simple)), ..share(1.0) },
            );
        }
        close(&ends(&mut sharing), &[(3, 1.0), (1, 2.0), (2, 2.0)]);
    }

    #[test]
    fn rows_in_flight_slow_the_others_but_not_their_own_request() {
        let mut sharing = Sharing::new(rules(0.0, 0.0, 0.01));
        sharing.arrive(at(0.0), 1, Share { rows: 100, ..share(10.0) });
        sharing.arrive(at(0.0), 2, share(1.0));
        close(&ends(&mut sharing), &[(2, 2.0), (1, 10.0)]);
    }

    #[test]
    fn a_limit_ends_what_is_not_done() {
        let mut sharing = Sharing::new(rules(0.0, 0.0, 0.0));
        let limit = Some(Duration::from_secs(5));
        sharing.arrive(at(1.0), 1, Share { limit, ..share(6.0) });
        sharing.arrive(at(1.0), 2, Share { limit, ..share(5.0) });
        let left = sharing.advance(at(20.0));
        let ends: Vec<_> = left.iter().map(|l| (l.id, l.at, l.done)).collect();
        assert_eq!(ends, [(1, at(6.0), false), (2, at(6.0), true)]);
    }

    #[test]
    fn the_knee_can_move_while_requests_run() {
        let mut settings = rules(0.0, 0.5, 0.0);
        // Two at once: 1 + 0.5·2 = 2, from second 2 on 1 + 1.5·2 = 4.
        settings.drift = vec![DriftStep { after_secs: 2.0, factor: 1.0, kappa_factor: 3.0 }];
        let mut sharing = Sharing::new(settings);
        sharing.arrive(at(0.0), 1, share(2.0));
        sharing.arrive(at(0.0), 2, share(2.0));
        close(&ends(&mut sharing), &[(1, 6.0), (2, 6.0)]);
    }

    /// Requests a second with `count` clients that each send the next request at once.
    fn throughput(settings: LatencySettings, count: u64) -> f64 {
        let mut sharing = Sharing::new(settings);
        for id in 0..count {
            // Not all in step.
            sharing.arrive(at(0.01 * id as f64), id, share(1.0));
        }
        let (mut done, end) = (0_u32, at(2000.0));
        while let Some(next) = sharing.next_event().filter(|next| *next < end) {
            for left in sharing.advance(next) {
                done += u32::from(left.at > at(500.0));
                sharing.arrive(left.at, left.id, share(1.0));
            }
        }
        f64::from(done) / 1500.0
    }

    #[test]
    fn throughput_peaks_at_the_knee_and_then_falls() {
        // √((1 − σ)/κ) = √(0.96/0.015) = 8.
        let rate = |count: u64| throughput(rules(0.04, 0.015, 0.0), count);
        let usl = |c: f64| c / (0.015 * c).mul_add(c - 1.0, 0.04f64.mul_add(c - 1.0, 1.0));
        for count in [1, 4, 8, 16, 32] {
            let (got, want) = (rate(count), usl(count as f64));
            assert!((got / want - 1.0).abs() < 0.01, "{count} at once: {got}, not {want}");
        }
        assert!(rate(8) > rate(7) && rate(8) > rate(9) && rate(32) < rate(16));
    }

    #[derive(Clone, Debug)]
    struct Ask {
        gap: f64,
        work: f64,
        rows: u64,
    }

    fn asks() -> impl Strategy<Value = Vec<Ask>> {
        let one = (0.0_f64..2.0, 0.001_f64..5.0, 0_u64..200);
        prop::collection::vec(one.prop_map(|(gap, work, rows)| Ask { gap, work, rows }), 1..40)
    }

    /// Ends by id, looked at every `look` seconds.
    fn run(settings: &LatencySettings, asks: &[Ask], look: f64) -> Vec<Left> {
        let mut sharing = Sharing::new(settings.clone());
        let (mut now, mut left) = (0.0, Vec::new());
        for (id, ask) in asks.iter().enumerate() {
            let next = now + ask.gap;
            while now + look < next {
                now += look;
                left.extend(sharing.advance(at(now)));
            }
            now = next;
            sharing.arrive(at(now), id as u64, Share { rows: ask.rows, ..share(ask.work) });
        }
        left.extend(sharing.advance(at(1e6)));
        left.sort_by_key(|l| l.id);
        left
    }

    proptest! {
        /// What each request got at the rates of all moments of its life is its work.
        #[test]
        fn work_is_conserved(
            asks in asks(), sigma in 0.0_f64..0.5, kappa in 0.0_f64..0.1, rows in 0.0_f64..1e-3,
        ) {
            let left = run(&rules(sigma, kappa, rows), &asks, f64::INFINITY);
            prop_assert_eq!(left.len(), asks.len());
            let span = |l: &Left| {
                let end = l.at.since_origin().as_secs_f64();
                (end - l.took.as_secs_f64(), end)
            };
            let mut marks: Vec<f64> = left.iter().flat_map(|l| [span(l).0, span(l).1]).collect();
            marks.sort_by(f64::total_cmp);
            let mut got = vec![0.0; asks.len()];
            for pair in marks.windows(2) {
                let middle = f64::midpoint(pair[0], pair[1]);
                let inside: Vec<_> =
                    left.iter().filter(|l| span(l).0 < middle && middle < span(l).1).collect();
                let c = inside.len() as f64;
                let all: u64 = inside.iter().map(|l| l.share.rows).sum();
                for l in &inside {
                    let f = 1.0 + sigma * (c - 1.0) + kappa * c * (c - 1.0);
                    let g = 1.0 + rows * (all - l.share.rows) as f64;
                    got[l.id as usize] += (pair[1] - pair[0]) / (f * g);
                }
            }
            for (got, ask) in got.iter().zip(&asks) {
                prop_assert!((got - ask.work).abs() < 1e-5, "{} of {}", got, ask.work);
            }
        }

        /// How often and how late somebody looks changes no end.
        #[test]
        fn looking_changes_nothing(asks in asks(), look in 0.01_f64..3.0) {
            let settings = rules(0.02, 0.01, 3e-4);
            let (seldom, often) =
                (run(&settings, &asks, f64::INFINITY), run(&settings, &asks, look));
            for (a, b) in seldom.iter().zip(&often) {
                let gap = a.at.since_origin().as_secs_f64() - b.at.since_origin().as_secs_f64();
                prop_assert!(a.id == b.id && gap.abs() < 1e-5, "{:?} and {:?}", a, b);
            }
        }

        /// Without contention nobody feels anybody.
        #[test]
        fn without_contention_every_request_takes_its_work(asks in asks()) {
            for (left, ask) in run(&rules(0.0, 0.0, 0.0), &asks, f64::INFINITY).iter().zip(&asks) {
                prop_assert!((left.took.as_secs_f64() - ask.work).abs() < 1e-6);
            }
        }
    }
}
