//! Pure: where the service counts, and which servers answer: what the governor knows of both changes
//! while it works.

use crate::tuning::governor::{Governor, LANES_MAX, index, secs};
use crate::tuning::lane::{Lane, TIME_LIMIT_SECS};
use crate::tuning::parallel::Parallel;
use crate::tuning::view::Scope;
use crate::units::MonoTime;

/// Ends of a wait closer together than this are one lock: waits come in whole seconds.
const SAME_LOCK_SECS: f64 = 1.1;
/// Locks remembered.
const LOCKS_KEPT: usize = 64;
/// Seconds within which refusals of many servers belong together.
const REFUSED_TOGETHER_SECS: f64 = 30.0;
/// Seconds until the load runs evenly enough to judge counters by it.
const SETTLE_SECS: f64 = 15.0;
/// Seconds until counters that are shown late have moved enough.
const DOUBT_SECS: f64 = 50.0;
/// Most times its rate that a lane spends while it is open whether it stands for several servers.
const LEAD_MAX: f64 = 1.7;

/// A wait that servers asked an identity for.
#[derive(Clone, Debug)]
pub(super) struct Lock {
    identity: usize,
    heard: f64,
    end: f64,
    servers: Vec<u32>,
}

/// Execution seconds of an identity: what was spent, and what one server said, when it changed what
/// it said for the first time and for the last. Only then it is known to be news.
#[derive(Clone, Copy, Debug)]
pub(super) struct CounterSaid {
    identity: usize,
    server: u32,
    said: f64,
    first: Option<(f64, f64)>,
    last: (f64, f64),
}

impl CounterSaid {
    /// By how much both grew: what was spent, and what it said.
    fn growth(&self) -> Option<(f64, f64)> {
        let (own, said) = self.first?;
        (self.last.1 - said > 10.0).then_some((self.last.0 - own, self.last.1 - said))
    }
}

/// Seconds between two searches for servers that came.
pub(super) const SEARCH_SECS: f64 = 10.0;

impl Governor {
    /// A lane is refused until `end`. Servers that refuse an identity until the same moment, lock
    /// after lock, or nearly all of them within moments with little spent on each, are one counter,
    /// whatever was found at the start.
    pub(super) fn suspect_shared_counter(&mut self, lane: usize, end: f64, now: f64) {
        let (identity, Some(server)) = (self.lanes[lane].identity, self.lanes[lane].server) else {
            return;
        };
        let same = |l: &Lock| l.identity == identity && (l.end - end).abs() < SAME_LOCK_SECS;
        match self.locks.iter_mut().find(|lock| same(lock)) {
            Some(lock) if lock.servers.contains(&server) => lock.heard = now,
            Some(lock) => {
                lock.heard = now;
                lock.servers.push(server);
            }
            None => {
                if self.locks.len() >= LOCKS_KEPT {
                    self.locks.pop_front();
                }
                self.locks.push_back(Lock { identity, heard: now, end, servers: vec![server] });
            }
        }
        let mine = || self.locks.iter().rev().filter(|lock| lock.identity == identity);
        let together = mine().take(4).filter(|lock| lock.servers.len() >= 2).count();
        let mut refusing: Vec<u32> = mine()
            .take_while(|lock| now - lock.heard < REFUSED_TOGETHER_SECS)
            .flat_map(|lock| lock.servers.iter().copied())
            .collect();
        refusing.sort_unstable();
        refusing.dedup();
        let lanes = || self.lanes.iter().filter(|l| l.identity == identity && self.usable(l));
        let little = lanes().all(|l| l.spent.sum_at(now) < 0.4 * TIME_LIMIT_SECS);
        let nearly_all = refusing.len() >= 3 && 3 * refusing.len() >= 2 * lanes().count();
        if together >= 3 || (nearly_all && little) {
            self.locks.clear();
            self.rebuild(Scope::Identity, now);
        }
    }

    /// Turns to lanes of another scope; what is under way is charged to the new ones.
    pub(super) fn rebuild(&mut self, scope: Scope, now: f64) {
        let identities = self.orders.identities.len();
        let mut lanes: Vec<Lane> = match scope {
            Scope::Server => (0..identities)
                .flat_map(|i| {
                    let alive = self.alive.iter().enumerate().filter(|(_, alive)| **alive);
                    alive.map(move |(s, _)| Lane::new(i, u32::try_from(s).ok(), now))
                })
                .take(LANES_MAX)
                .collect(),
            Scope::Identity | Scope::Unknown => {
                (0..identities).map(|i| Lane::new(i, None, now)).collect()
            }
        };
        for lane in &mut lanes {
            let old: Vec<&Lane> =
                self.lanes.iter().filter(|l| l.identity == lane.identity).collect();
            let parts = if lane.server.is_some() { self.servers.max(1) } else { 1 };
            for o in &old {
                o.spent.copy_into(&mut lane.spent, 1.0 / f64::from(parts));
                o.sent.copy_into(&mut lane.sent, 1.0 / f64::from(parts));
                lane.closed_until = lane.closed_until.max(o.closed_until);
                lane.closed_by = lane.closed_by.or(o.closed_by);
            }
        }
        for sent in &mut self.sent {
            let identity = self.lanes[sent.lane].identity;
            if let Some(place) = lanes.iter().position(|l| l.identity == identity) {
                lanes[place].send(sent.id, sent.at, sent.predicted);
                sent.lane = place;
            }
        }
        self.lanes = lanes;
        self.scope = scope;
        self.ticked = f64::NEG_INFINITY;
    }

    pub(super) fn note_server(&mut self, server: u32) {
        let place = server as usize;
        if place >= self.alive.len() && place < LANES_MAX {
            self.alive.resize(place + 1, false);
        }
        if let Some(alive) = self.alive.get_mut(place) {
            *alive = true;
        }
        self.servers = u32::try_from(self.alive.iter().filter(|a| **a).count()).unwrap_or(0);
    }

    /// A server was seen; where servers count apart it gets its lanes.
    pub(super) fn seen(&mut self, server: u32, now: f64) {
        let was_alive = self.alive.get(server as usize).copied().unwrap_or(false);
        self.note_server(server);
        if self.scope != Scope::Server {
            return;
        }
        if !was_alive {
            self.search_at = now + 0.5;
            self.searches = 0;
        }
        for identity in 0..self.orders.identities.len() {
            let known =
                self.lanes.iter().any(|l| l.identity == identity && l.server == Some(server));
            if !known && self.lanes.len() < LANES_MAX {
                let mut lane = Lane::new(identity, Some(server), now);
                if let Some(peer) = self.lanes.iter().find(|l| l.identity == identity) {
                    (lane.time, lane.requests, lane.parallel) =
                        (peer.time, peer.requests, peer.parallel);
                }
                self.lanes.push(lane);
            }
        }
    }

    /// A server does not answer to its cookie any more. The last one is kept, whatever is heard:
    /// without any nobody could send, or search.
    pub(super) fn lost(&mut self, server: u32) {
        let alive = |s: u32| self.alive.get(s as usize).copied().unwrap_or(false);
        let others = |l: &Lane| l.server.is_some_and(|s| s != server && alive(s));
        let all = 0..self.orders.identities.len();
        if !all.into_iter().all(|i| self.lanes.iter().any(|l| l.identity == i && others(l))) {
            return;
        }
        if let Some(alive) = self.alive.get_mut(server as usize) {
            *alive = false;
        }
        self.servers = u32::try_from(self.alive.iter().filter(|a| **a).count()).unwrap_or(0);
    }

    /// The identity through which to look for servers that came, if it is time: one empty request
    /// without cookie, whose answer goes to [`Governor::found`].
    pub fn search(&mut self, at: MonoTime) -> Option<u16> {
        let now = secs(at);
        if self.scope != Scope::Server || self.searching || now < self.search_at {
            return None;
        }
        // It may land on any server: none of the identity's lanes may be closed or full, or these
        // searches would be the throttles.
        let mut best: Option<(f64, usize)> = None;
        for identity in 0..self.orders.identities.len() {
            let mut room: Option<f64> = None;
            for place in 0..self.lanes.len() {
                if self.lanes[place].identity == identity && self.usable(&self.lanes[place]) {
                    let here = self.lanes[place].room_for_a_ping(now);
                    room = Some(room.map_or(here, |least| least.min(here)));
                }
            }
            if let Some(room) = room.filter(|r| *r > 0.0)
                && best.is_none_or(|(most, _)| room > most)
            {
                best = Some((room, identity));
            }
        }
        let (_, identity) = best?;
        self.searching = true;
        Some(index(identity))
    }

    /// What a search brought; `None` when it failed.
    pub fn found(&mut self, server: Option<u32>, at: MonoTime) {
        let now = secs(at);
        self.forget();
        self.searching = false;
        self.searches += 1;
        let burst = self.searches < 4 * self.servers.max(1) + 4;
        self.search_at = now + if burst { 1.0 } else { SEARCH_SECS };
        if let Some(server) = server {
            self.seen(server, now);
        }
    }

    /// Where counters stood still at the start, or servers cannot be told apart, the load itself
    /// tells: what headers say was used, against what was sent.
    pub(super) fn doubt_scope(&mut self, now: f64) {
        if self.scope == Scope::Server || !self.headers {
            return;
        }
        if self.alive.len() < 2 {
            if self.scope == Scope::Unknown && self.alive.is_empty() {
                let before: f64 = self.lanes.iter().map(|l| l.counters).sum();
                for lane in &mut self.lanes {
                    lane.counters = lane.blind.counters().unwrap_or(lane.counters);
                }
                let after: f64 = self.lanes.iter().map(|l| l.counters).sum();
                if after > 1.4 * before && !self.parallel.is_ramping() && !self.warm {
                    // There is more to climb than it seemed.
                    self.parallel = Parallel::ramp(self.parallel.target, now);
                }
            }
            return;
        }
        if self.scope != Scope::Unknown {
            return;
        }
        let lead = f64::from(self.servers.max(1)).min(LEAD_MAX);
        let growth = || self.counters_said.iter().filter_map(CounterSaid::growth);
        let (own, said) = growth().fold((0.0, 0.0), |sum, g| (sum.0 + g.0, sum.1 + g.1));
        if growth().count() >= 2 && now - self.began > DOUBT_SECS {
            // All together: which server chance prefers makes no difference then.
            let ratio = own / said;
            if ratio > f64::from(self.servers.max(1)).sqrt().min(1.6) {
                self.counters_said.clear();
                return self.rebuild(Scope::Server, now);
            }
            if ratio < 1.2 {
                self.counters_said.clear();
                self.scope = Scope::Identity;
            }
        }
        // Until it is known, what the window gives at first is spent as if there were several.
        let lead = if self.scope == Scope::Unknown { lead } else { 1.0 };
        for lane in &mut self.lanes {
            lane.lead = lead;
        }
    }

    /// What a counter said of the execution seconds of an identity. Said late, it still grows as fast
    /// as what it counts.
    pub(super) fn note_counter(
        &mut self,
        identity: usize,
        server: Option<u32>,
        lane: usize,
        now: f64,
    ) {
        if self.scope != Scope::Unknown || now - self.began < SETTLE_SECS {
            return;
        }
        let (Some(server), Some(said)) = (server, self.lanes[lane].time_said) else { return };
        let own = self.lanes[lane].spent.sum(now);
        let mine = |c: &CounterSaid| (c.identity, c.server) == (identity, server);
        if let Some(counter) = self.counters_said.iter_mut().find(|c| mine(c)) {
            if counter.said != said {
                counter.said = said;
                counter.last = (own, said);
                counter.first.get_or_insert((own, said));
            }
        } else if self.counters_said.len() < LANES_MAX {
            let last = (own, said);
            self.counters_said.push(CounterSaid { identity, server, said, first: None, last });
        }
    }

    pub(super) fn drop_dead_lanes(&mut self) {
        let dead: Vec<usize> = (0..self.lanes.len())
            .filter(|p| {
                let lane = &self.lanes[*p];
                lane.flights.is_empty()
                    && lane
                        .server
                        .is_some_and(|s| !self.alive.get(s as usize).copied().unwrap_or(false))
            })
            .collect();
        if dead.len() == self.lanes.len() {
            return; // keep something to come back to
        }
        for place in dead.into_iter().rev() {
            self.lanes.swap_remove(place);
            let moved = self.lanes.len();
            for sent in &mut self.sent {
                if sent.lane == moved {
                    sent.lane = place;
                }
            }
        }
    }
}
