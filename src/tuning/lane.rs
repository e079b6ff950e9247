//! Pure: one counter of the service, that is an identity, or an identity on one web server where
//! these count apart: what was spent on it, what it is believed to allow, and when it is closed.

use crate::record::throttle::Throttle;
use crate::tuning::blind::Blind;
use crate::tuning::limit::Limit;
use crate::tuning::window::{WINDOW_SECS, Window};

/// Execution seconds a window and counter, until something better is known.
///
/// Source: `adaptive-control.md` §2.1.
pub(super) const TIME_LIMIT_SECS: f64 = 1200.0;
/// Requests a window and counter, until something better is known. Source: the same.
pub(super) const REQUESTS_LIMIT: f64 = 6000.0;
/// Requests at once; two less than documented, for what else the program asks. Source: the same.
pub(super) const PARALLEL_LIMIT: f64 = 50.0;
/// Longest time a lane stays closed, seconds. Source: `adaptive-control.md` §4.5.
const CLOSED_SECS_MAX: f64 = 320.0;
/// Wait after a throttle that names no time. Source: `dataverse-web-api.md` §1.2.
const RETRY_AFTER_ABSENT_SECS: f64 = 30.0;
/// Added to each wait, so that clocks and cut fractions cannot bring a request in too early.
const GUARD_SECS: f64 = 0.25;
/// Throttles closer together than this are one event, seconds.
const EVENT_SECS: f64 = 20.0;

/// By how much a canary tries more than believed.
pub(super) const CANARY: f64 = 1.25;

/// One lane's attempt at a higher limit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Canary {
    pub(super) until: f64,
    /// Since when as much is spent as it wants to prove.
    pub(super) held_since: Option<f64>,
}

/// A request under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flight {
    pub(super) id: u64,
    pub(super) sent: f64,
    pub(super) predicted: f64,
}

/// What is left of the sum of several counters that cannot be told apart.
///
/// Source: `adaptive-control.md` §4.2 says 6 %; here the fullest one is watched, and needs less.
const BLIND_MARGIN: f64 = 0.02;

/// One counter.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) identity: usize,
    pub(super) server: Option<u32>,
    pub(super) spent: Window,
    pub(super) sent: Window,
    pub(super) time: Limit,
    pub(super) requests: Limit,
    pub(super) parallel: f64,
    pub(super) tokens: f64,
    request_tokens: f64,
    refilled: f64,
    pub(super) flights: Vec<Flight>,
    pub(super) closed_until: f64,
    pub(super) closed_by: Option<Throttle>,
    last_sent: f64,
    last_throttle: f64,
    pub(super) throttles: u32,
    /// How often in a row the limit of time was met at about the same place.
    pub(super) met: u32,
    /// Tries a higher limit than believed.
    pub(super) canary: Option<Canary>,
    /// Counters it stands for when servers cannot be told apart, and what it knows of them.
    pub(super) counters: f64,
    pub(super) blind: Blind,
    pub(super) created: f64,
    /// Execution seconds used, as the last headers said.
    pub(super) time_said: Option<f64>,
    /// How many times its rate may be spent while it is open whether it stands for several.
    pub(super) lead: f64,
}

/// Why a lane takes no request now.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Refusal {
    Closed,
    Parallel,
    Time,
    Requests,
}

impl Lane {
    pub(super) fn new(identity: usize, server: Option<u32>, now: f64) -> Self {
        Self {
            identity,
            server,
            spent: Window::default(),
            sent: Window::default(),
            time: Limit::new(TIME_LIMIT_SECS),
            requests: Limit::new(REQUESTS_LIMIT),
            parallel: PARALLEL_LIMIT,
            tokens: 0.0,
            request_tokens: 60.0,
            refilled: now,
            flights: Vec::new(),
            closed_until: 0.0,
            closed_by: None,
            last_sent: f64::NEG_INFINITY,
            last_throttle: f64::NEG_INFINITY,
            throttles: 0,
            met: 0,
            canary: None,
            counters: 1.0,
            blind: Blind::default(),
            created: now,
            time_said: None,
            lead: 1.0,
        }
    }

    /// Execution seconds a second that it gives.
    pub(super) fn rate(&self, share: f64) -> f64 {
        self.limit() * self.lead * (1.0 - 0.015) * share / WINDOW_SECS
    }

    /// The limit it works with.
    pub(super) fn limit(&self) -> f64 {
        let tried = if self.canary.is_some() { CANARY } else { 1.0 };
        let blind = if self.counters > 1.0 {
            // Chance does not spread requests evenly over the servers.
            self.counters * (1.0 - BLIND_MARGIN)
        } else {
            1.0
        };
        self.time.value * tried * blind
    }

    /// The limit of one counter of those it stands for.
    pub(super) fn limit_of_a_counter(&self) -> f64 {
        self.limit() / self.counters
    }

    fn requests_limit(&self) -> f64 {
        self.requests.value * if self.counters > 1.0 { 0.94 * self.counters } else { 1.0 }
    }

    /// Requests at once, whole ones.
    pub(super) fn most_at_once(&self) -> f64 {
        f64::from(self.parallel as u32)
    }

    /// Whether as many are under way as may be.
    pub(super) fn is_full(&self) -> bool {
        self.flights.len() as f64 >= self.most_at_once().max(1.0)
    }

    /// Brings the tokens to `now`.
    pub(super) fn refill(&mut self, now: f64, typical_secs: f64, share: f64) {
        let passed = (now - self.refilled).max(0.0);
        self.refilled = now;
        let most = (4.0 * typical_secs).max(30.0);
        self.tokens = (self.tokens + passed * self.rate(share)).min(most);
        let request_rate = 0.98 * self.requests_limit() * share / WINDOW_SECS;
        self.request_tokens = (self.request_tokens + passed * request_rate).min(60.0);
    }

    /// Seconds by which requests under way run over what was charged for them.
    fn overdue(&self, now: f64) -> f64 {
        self.flights.iter().map(|f| (now - f.sent - 0.8 * f.predicted).max(0.0)).sum()
    }

    /// Whether a request of `predicted` seconds may go now; else why not, and when to ask again.
    /// `free` leaves out the tokens: what the window still gives may be spent at once.
    pub(super) fn allows(
        &mut self,
        now: f64,
        predicted: f64,
        share: f64,
        free: bool,
        deviation: f64,
        gap: f64,
    ) -> Result<(), (Refusal, f64)> {
        if self.closed_until > now {
            return Err((Refusal::Closed, self.closed_until));
        }
        if self.is_full() {
            return Err((Refusal::Parallel, f64::INFINITY));
        }
        if !free && self.request_tokens < 1.0 {
            let rate = (0.98 * self.requests_limit() * share / WINDOW_SECS).max(1e-6);
            return Err((Refusal::Requests, now + (1.0 - self.request_tokens) / rate));
        }
        let most = 0.985 * self.requests_limit() * share;
        if self.sent.sum(now) + 1.0 > most && !self.flights.is_empty() {
            return Err((Refusal::Requests, self.sent.falls_to(most - 1.0)));
        }
        let overdue = self.overdue(now);
        if !free && self.tokens <= overdue {
            let at = now + (overdue - self.tokens) / self.rate(share).max(1e-6);
            return Err((Refusal::Time, at));
        }
        let limit = self.limit() * share * (self.time.at(now) / self.time.value);
        let spent = self.spent.sum(now);
        // Near the limit one by one: a refusal is heard before the next one goes.
        let gap = gap.min(0.2 * predicted);
        if (spent > 0.97 * limit || self.time.falls > 0.2) && now < self.last_sent + gap {
            return Err((Refusal::Time, self.last_sent + gap));
        }
        let empty = self.flights.is_empty();
        let busy: f64 = self.flights.iter().map(|f| f.predicted).sum();
        // Requests under way differ from what was charged for them, long ones by more.
        let squares: f64 = self.flights.iter().map(|f| f.predicted * f.predicted).sum();
        let doubt = deviation * (squares + predicted * predicted).sqrt();
        let most = limit * (1.0 - 0.006) - 0.5 * doubt;
        let need = busy + overdue + predicted;
        let then = self.spent.sum_at(now + predicted);
        // One that is longer than the window allows goes alone.
        if !(empty && then < 1e-6) && then + need > most {
            let at = self.spent.falls_to(most - need) - predicted;
            return Err((Refusal::Time, at));
        }
        let longest = self.longest(now);
        if self.counters > 1.0
            && let Some(room) = self.blind.room(now, spent, self.counters)
            && room < busy / self.counters + 0.3 * predicted.max(longest)
        {
            // The fullest counter may be the one that gets it. Not all that could come together:
            // waiting for the worst case costs more than one refusal.
            return Err((Refusal::Time, now + 0.25));
        }
        // What somebody else may spend until the next answer.
        let most = 0.997 * limit - 4.0 * self.time.falls;
        if (!empty || spent > 0.5 * limit) && spent + longest > most {
            return Err((Refusal::Time, self.spent.falls_to(most - longest)));
        }
        Ok(())
    }

    /// Seconds of the longest request under way: it may be booked over there already.
    fn longest(&self, now: f64) -> f64 {
        let secs = |f: &Flight| (1.05 * (now - f.sent)).max(1.2 * f.predicted);
        self.flights.iter().map(secs).fold(0.0, f64::max)
    }

    /// Share of the limits that an empty request finds free; none when it would be refused.
    pub(super) fn room_for_a_ping(&mut self, now: f64) -> f64 {
        let limit = self.limit() * (self.time.at(now) / self.time.value);
        let spent = self.spent.sum(now) + self.longest(now);
        let time = 1.0 - spent / (0.997 * limit - 4.0 * self.time.falls).max(1.0);
        let requests = 1.0 - self.sent.sum(now) / (0.985 * self.requests_limit()).max(1.0);
        let parallel = 1.0 - self.flights.len() as f64 / (0.8 * self.parallel).max(1.0);
        if self.closed_until > now { 0.0 } else { time.min(requests).min(parallel).max(0.0) }
    }

    /// Takes a request.
    pub(super) fn send(&mut self, id: u64, now: f64, predicted: f64) {
        self.tokens -= predicted;
        self.request_tokens -= 1.0;
        self.last_sent = now;
        self.sent.add(now, 1.0);
        self.flights.push(Flight { id, sent: now, predicted });
    }

    /// Takes a request back from those under way; `actual` execution seconds are booked.
    pub(super) fn land(&mut self, id: u64, now: f64, actual: f64) {
        let Some(place) = self.flights.iter().position(|f| f.id == id) else { return };
        let flight = self.flights.swap_remove(place);
        self.tokens += flight.predicted - actual;
        if actual > 0.0 {
            self.spent.add(now, actual);
        }
    }

    /// Execution seconds the window still gives, requests under way counted.
    pub(super) fn credit(&mut self, now: f64, share: f64) -> f64 {
        if self.closed_until > now {
            return 0.0;
        }
        let busy: f64 = self.flights.iter().map(|f| f.predicted).sum();
        (0.99 * self.limit() * share - self.spent.sum(now) - busy).max(0.0)
    }

    /// Requests the window still gives.
    pub(super) fn requests_room(&mut self, now: f64, share: f64) -> f64 {
        (0.98 * self.requests_limit() * share - self.sent.sum(now)).max(0.0)
    }

    /// Where requests are shorter than this, their number is what runs out first.
    pub(super) fn secs_a_request(&self) -> f64 {
        self.limit() / self.requests_limit().max(1.0)
    }

    /// What an answer said is left.
    pub(super) fn hear(&mut self, now: f64, time: Option<f64>, requests: Option<f64>) {
        if let Some(remaining) = time {
            let spent = self.spent.sum(now);
            if self.counters > 1.0 {
                // Which counter spoke is not known: no less than the most that was ever left.
                self.time.value = self.time.value.max(remaining);
                self.blind.note(now, remaining, spent, self.counters);
            } else {
                self.time.hear(spent, remaining, now);
                let said = self.time.largest.max(self.time.value) - remaining;
                self.time_said = Some(said.max(0.0));
            }
        }
        if let Some(remaining) = requests {
            let used = self.sent.sum(now) / self.counters;
            self.requests.hear(used, remaining, now);
            let said = (self.requests.largest.max(self.requests.value) - remaining).max(0.0);
            self.blind.count(self.sent.sum(now), said);
        }
    }

    /// A 429. True when it is a new event and not the echo of one.
    pub(super) fn throttled(&mut self, kind: Throttle, retry_after: Option<f64>, now: f64) -> bool {
        let fresh = now - self.last_throttle > EVENT_SECS;
        if kind == Throttle::Concurrency {
            if fresh || now - self.last_throttle > 1.0 {
                let met = 0.95 * self.flights.len() as f64;
                self.parallel = met.max(1.0).min(self.parallel);
                self.last_throttle = now;
                self.throttles += 1;
            }
            // Others say that this wait is not meant for the other requests; it is obeyed all the
            // same, since it is rare once the limit is known, and who asked for it may count.
            let wait = retry_after.unwrap_or(1.0).clamp(0.0, CLOSED_SECS_MAX);
            self.close(now + wait + GUARD_SECS, kind);
            return fresh;
        }
        let wait = retry_after.unwrap_or(RETRY_AFTER_ABSENT_SECS).clamp(0.0, CLOSED_SECS_MAX);
        self.close(now + wait + GUARD_SECS, kind);
        self.tokens = self.tokens.min(0.0);
        if !fresh {
            return false;
        }
        self.last_throttle = now;
        self.throttles += 1;
        match kind {
            Throttle::Time => {
                // Never by more than half: somebody else, or an earlier run, may have spent it.
                let floor = (0.5 * self.time.value).max(1.0);
                let spent = self.spent.sum(now);
                // One of several counters was full: nothing is learnt of the limit of each.
                if self.canary.take().is_none() && self.counters <= 1.0 {
                    let before = self.time.value;
                    self.time.value = (0.98 * spent).min(0.995 * before).max(floor);
                    let same = self.time.value > 0.93 * before;
                    self.met = if same { self.met + 1 } else { 1 };
                }
            }
            Throttle::Requests => {
                let floor = (0.5 * self.requests.value).max(1.0);
                let sent = self.sent.sum(now);
                self.requests.value = (0.97 * sent).min(0.995 * self.requests.value).max(floor);
            }
            Throttle::Concurrency | Throttle::Other => {}
        }
        true
    }

    fn close(&mut self, until: f64, by: Throttle) {
        if until > self.closed_until {
            self.closed_until = until;
            self.closed_by = Some(by);
        }
    }

    /// Seconds since the last throttle, or since the lane exists.
    pub(super) fn quiet_secs(&self, now: f64) -> f64 {
        now - self.last_throttle.max(self.created)
    }
}
