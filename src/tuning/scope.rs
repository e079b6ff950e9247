//! Pure: where the service counts, and which servers answer: what the governor knows of both changes
//! while it works.

use crate::tuning::governor::{Governor, LANES_MAX, index, secs};
use crate::tuning::lane::{Lane, TIME_LIMIT_SECS};
use crate::tuning::parallel::Parallel;
use crate::tuning::view::Scope;
use crate::units::MonoTime;

/// Seconds between two searches for servers that came.
pub(super) const SEARCH_SECS: f64 = 10.0;

impl Governor {
    /// All servers refusing one identity until the same moment, with what one counter allows spent
    /// on them together, are one counter.
    pub(super) fn suspect_shared_counter(&mut self, identity: usize, now: f64) {
        let mine = || self.lanes.iter().filter(|l| l.identity == identity && self.usable(l));
        let lanes = mine().count();
        let closed: Vec<f64> =
            mine().map(|l| l.closed_until).filter(|until| *until > now).collect();
        let total: f64 = mine().map(|l| l.spent.sum_at(now)).sum();
        let first = closed.iter().copied().fold(f64::INFINITY, f64::min);
        let last = closed.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let one = (0.8..1.3).contains(&(total / TIME_LIMIT_SECS));
        if lanes < 2 || closed.len() != lanes || last - first > 0.7 || !one {
            return;
        }
        // Once may be chance.
        if self.suspected.is_some_and(|before| now - before > 60.0) {
            self.rebuild(Scope::Identity, now);
        } else {
            self.suspected.get_or_insert(now);
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
        if self.scope == Scope::Unknown && self.ratios.len() >= 4 {
            self.ratios.sort_by(f64::total_cmp);
            let ratio = self.ratios[self.ratios.len() / 2];
            self.ratios.clear();
            if ratio > f64::from(self.servers.max(1)).sqrt().min(1.6) {
                self.rebuild(Scope::Server, now);
            } else {
                self.scope = Scope::Identity;
            }
        }
    }

    /// A counter that moved was right at that moment, however late it is otherwise.
    pub(super) fn note_counter(
        &mut self,
        identity: usize,
        server: Option<u32>,
        lane: usize,
        now: f64,
    ) {
        if self.scope != Scope::Unknown {
            return;
        }
        let (Some(server), Some(said)) = (server, self.lanes[lane].requests_said) else { return };
        let own = self.lanes[lane].sent.sum(now) - self.lanes[lane].flights.len() as f64;
        let key = (identity, server);
        if let Some((_, last)) = self.counters_said.iter_mut().find(|(k, _)| *k == key) {
            let (before, own_before) = std::mem::replace(last, (said, own));
            // It moved since this server answered last: recently, or it may be old news by now.
            let fresh = said != before && own - own_before <= 0.15 * own;
            if fresh && own > 60.0 && said > 5.0 && self.ratios.len() < 64 {
                self.ratios.push(own / said);
            }
        } else if self.counters_said.len() < LANES_MAX {
            self.counters_said.push((key, (said, own)));
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
