//! Pure: one sliding window: what is booked in it, who hears of it when, and its lock.

use super::Facet;
use super::foreign::Drip;
use crate::simulator::settings::{Lock, ProtectionSettings};
use crate::units::MonoTime;
use std::collections::VecDeque;
use std::time::Duration;

/// The window is kept in this many steps, so that memory stays bounded at any request rate.
const STEPS: u32 = 30_000;
/// What others spend is booked in this many steps a window.
const DRIPS: u32 = 300;
/// What is shown late moves this often in the time it is late.
const JUMPS: u32 = 4;
/// Most bookings somebody has not heard of yet; older ones are heard early.
const UNHEARD_MAX: usize = 100_000;

/// Lengths all windows have in common.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    span: Duration,
    step: Duration,
    drip: Duration,
    enforced_late: Duration,
    shown_late: Duration,
}

impl Shape {
    pub(super) fn new(rules: &ProtectionSettings) -> Self {
        let span = Duration::from_secs_f64(rules.window_secs);
        Self {
            span,
            step: span / STEPS,
            drip: span / DRIPS,
            enforced_late: Duration::from_secs_f64(rules.enforcement_lag_secs),
            shown_late: Duration::from_secs_f64(rules.headers_lag_secs),
        }
    }
}

/// Something spent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Booking {
    /// When it became known.
    pub(super) heard: MonoTime,
    /// What time it counts for.
    pub(super) at: MonoTime,
    pub(super) requests: u32,
    pub(super) busy: Duration,
}

#[derive(Debug)]
struct Step {
    at: MonoTime,
    requests: u32,
    busy: Duration,
}

/// Sums over the window.
#[derive(Debug, Default)]
struct Sums {
    steps: VecDeque<Step>,
    requests: u32,
    busy: Duration,
}

impl Sums {
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

    /// Adds to the step that holds the time; requests complete out of order, so it may lie back.
    fn book(&mut self, booking: Booking, step: Duration) {
        let Booking { at, requests, busy, .. } = booking;
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

    /// When the sums will have fallen below `requests` and `busy`, where those are limits at all;
    /// the end of the window if they never do.
    fn below(&self, requests: Option<u32>, busy: Option<Duration>, span: Duration) -> MonoTime {
        let (mut requests_left, mut busy_left) = (self.requests, self.busy);
        let mut free = MonoTime::ZERO;
        for step in &self.steps {
            requests_left -= step.requests;
            busy_left = busy_left.saturating_sub(step.busy);
            free = step.at + span;
            if requests.is_none_or(|most| requests_left < most)
                && busy.is_none_or(|most| busy_left < most)
            {
                break;
            }
        }
        free
    }
}

/// The sums as somebody sees them who hears late.
#[derive(Debug)]
struct Seen {
    late: Duration,
    jump: Duration,
    unheard: VecDeque<Booking>,
    sums: Sums,
}

impl Seen {
    fn new(late: Duration, jump: Duration) -> Self {
        Self { late, jump, unheard: VecDeque::new(), sums: Sums::default() }
    }

    fn book(&mut self, booking: Booking, step: Duration) {
        if self.late.is_zero() {
            self.sums.book(booking, step);
            return;
        }
        if self.unheard.len() >= UNHEARD_MAX
            && let Some(oldest) = self.unheard.pop_front()
        {
            self.sums.book(oldest, step);
        }
        self.unheard.push_back(booking);
    }

    fn look(&mut self, now: MonoTime, shape: &Shape) -> &Sums {
        let then = now - self.late;
        let into_jump = match self.jump.as_nanos() {
            0 => Duration::ZERO,
            jump => {
                let rest = then.since_origin().as_nanos() % jump;
                Duration::from_nanos(u64::try_from(rest).unwrap_or(u64::MAX))
            }
        };
        let then = then - into_jump;
        while let Some(first) = self.unheard.front().copied().filter(|first| first.heard <= then) {
            self.sums.book(first, shape.step);
            self.unheard.pop_front();
        }
        self.sums.expire(then, shape.span);
        &self.sums
    }
}

/// A limit that is exceeded.
#[derive(Clone, Copy, Debug)]
pub(super) struct Overrun {
    pub(super) facet: Facet,
    /// When the user may come back.
    pub(super) free: MonoTime,
    /// Added for offences before.
    pub(super) offence: Duration,
}

/// One window of one user.
#[derive(Debug)]
pub(super) struct Window {
    enforced: Seen,
    shown: Seen,
    pub(super) in_flight: u32,
    lock: Option<(MonoTime, Facet)>,
    /// Locks before this one, each within a window of the one before.
    offences: u32,
    /// Up to when others have spent.
    dripped: MonoTime,
    /// Part of a request others have spent.
    drip_part: f64,
}

impl Window {
    pub(super) fn new(shape: &Shape) -> Self {
        Self {
            enforced: Seen::new(shape.enforced_late, Duration::ZERO),
            shown: Seen::new(shape.shown_late, shape.shown_late / JUMPS),
            in_flight: 0,
            lock: None,
            offences: 0,
            dripped: MonoTime::ZERO,
            drip_part: 0.0,
        }
    }

    /// The lock that holds, and which limit it is about.
    pub(super) fn locked(&self, now: MonoTime) -> Option<(MonoTime, Facet)> {
        self.lock.filter(|(until, _)| now < *until)
    }

    pub(super) fn lock(&mut self, until: MonoTime, facet: Facet) {
        self.lock = Some((until, facet));
    }

    pub(super) fn book(&mut self, shape: &Shape, booking: Booking) {
        // What began before the window no longer counts.
        if booking.heard.saturating_since(booking.at) < shape.span {
            self.enforced.book(booking, shape.step);
            self.shown.book(booking, shape.step);
        }
    }

    /// What the headers count: requests and execution time.
    pub(super) fn shown(&mut self, now: MonoTime, shape: &Shape) -> (u32, Duration) {
        let sums = self.shown.look(now, shape);
        (sums.requests, sums.busy)
    }

    /// The limit that is exceeded, if one is. To be asked when no lock holds.
    pub(super) fn overrun(
        &mut self,
        now: MonoTime,
        shape: &Shape,
        rules: &ProtectionSettings,
    ) -> Option<Overrun> {
        let execution = Duration::from_secs_f64(rules.execution_secs_max);
        let requests_max = (rules.requests_max > 0).then_some(rules.requests_max);
        let busy_max = (!execution.is_zero()).then_some(execution);
        let sums = self.enforced.look(now, shape);
        let facet = if requests_max.is_some_and(|most| sums.requests >= most) {
            Facet::Requests
        } else if busy_max.is_some_and(|most| sums.busy >= most) {
            Facet::Execution
        } else {
            return None;
        };
        let (requests, busy) = match rules.lock {
            Lock::Lenient => (requests_max, busy_max),
            // As far below the limit as the sum is above it.
            Lock::Payback => (
                requests_max.map(|most| most - sums.requests.saturating_sub(most).min(most)),
                busy_max.map(|most| most.saturating_sub(sums.busy.saturating_sub(most))),
            ),
        };
        let free = sums.below(requests, busy, shape.span) + shape.enforced_late;
        let again = self.lock.is_some_and(|(until, _)| now.saturating_since(until) < shape.span);
        self.offences = if again { self.offences.saturating_add(1) } else { 0 };
        let offence = match rules.lock {
            Lock::Lenient => Duration::ZERO,
            Lock::Payback => {
                Duration::from_secs_f64(rules.repeat_secs).saturating_mul(self.offences)
            }
        };
        Some(Overrun { facet, free, offence })
    }

    /// Books what others have spent up to `now`. They are refused as well while a lock holds, and
    /// then spend nothing.
    pub(super) fn drip<'d>(
        &mut self,
        now: MonoTime,
        drips: impl Iterator<Item = &'d Drip> + Clone,
        shape: &Shape,
    ) {
        // What is older than all windows cannot matter.
        let memory = shape.span + shape.enforced_late.max(shape.shown_late);
        self.dripped = self.dripped.max(now - memory);
        while self.dripped + shape.drip <= now {
            let (from, to) = (self.dripped, self.dripped + shape.drip);
            self.dripped = to;
            if self.lock.is_some_and(|(until, _)| from < until) {
                continue;
            }
            let (mut busy, mut requests) = (0.0, self.drip_part);
            for drip in drips.clone() {
                let spent = drip.spent(from, to);
                busy += spent.0;
                requests += spent.1;
            }
            self.drip_part = requests.fract();
            if busy > 0.0 {
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "a float converts by saturation"
                )]
                let requests = requests as u32;
                let busy = Duration::try_from_secs_f64(busy).unwrap_or(Duration::MAX);
                self.book(shape, Booking { heard: to, at: to, requests, busy });
            }
        }
    }
}
