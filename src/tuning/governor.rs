//! Pure: the one decider of an environment, over all loads and identities. Asked for every request;
//! told of every answer.

use crate::tuning::admission::{Admission, Cargo, Permit, Why};
use crate::tuning::ceiling::Ceiling;
use crate::tuning::choose::Candidate;
use crate::tuning::discovery::Found;
use crate::tuning::lane::Lane;
use crate::tuning::orders::{IdentityOrders, Orders};
use crate::tuning::parallel::Parallel;
use crate::tuning::resolve::Rescue;
use crate::tuning::scope::{CounterSaid, Lock, SEARCH_SECS};
use crate::tuning::slopes::{Slope, Slopes};
use crate::tuning::table::TableState;
use crate::tuning::view::Scope;
use crate::units::MonoTime;
use std::collections::VecDeque;
use std::time::Duration;

/// Seconds between two looks at what changes by time alone.
pub(super) const TICK_SECS: f64 = 0.25;
/// Most counters kept: servers come and go over days.
pub(super) const LANES_MAX: usize = 512;

#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    pub(super) id: u64,
    pub(super) table: usize,
    pub(super) lane: usize,
    pub(super) rows: f64,
    pub(super) cargo: Cargo,
    pub(super) at: f64,
    pub(super) predicted: f64,
    pub(super) tag: u32,
    /// Integrals at the send: requests at once, rows in flight, time.
    pub(super) parallel_sum: f64,
    pub(super) rows_sum: f64,
}

/// What the governor is built from.
#[derive(Clone, Debug)]
pub struct Beginning {
    /// For every load whether one bad row refuses a request.
    pub atomic: Vec<bool>,
    /// Rows of the first requests of each load, where the job names them.
    pub start_rows: Vec<Option<u32>>,
    /// What is wanted.
    pub orders: Orders,
    /// What discovery found.
    pub found: Found,
}

/// The decider.
#[derive(Debug)]
pub struct Governor {
    pub(super) orders: Orders,
    pub(super) ceilings: Vec<Option<Ceiling>>,
    pub(super) lanes: Vec<Lane>,
    pub(super) tables: Vec<TableState>,
    pub(super) sent: Vec<Sent>,
    next_id: u64,
    pub(super) parallel: Parallel,
    pub(super) slopes: Slopes,
    pub(super) slope_parallel: Slope,
    pub(super) slope_rows: Slope,
    pub(super) solved: u32,
    pub(super) scope: Scope,
    pub(super) servers: u32,
    /// Servers that answered lately, by number.
    pub(super) alive: Vec<bool>,
    pub(super) headers: bool,
    pub(super) latency: f64,
    pub(super) sprint: bool,
    pub(super) sprint_ceiling: f64,
    /// Rows wave all loads share, until when, and which way.
    rows_wave: f64,
    rows_wave_until: f64,
    rows_wave_up: bool,
    /// Integrals over time of requests at once and rows in flight.
    pub(super) now: f64,
    pub(super) parallel_sum: f64,
    pub(super) rows_sum: f64,
    pub(super) rows_in_flight: f64,
    pub(super) ticked: f64,
    pub(super) search_at: f64,
    pub(super) searches: u32,
    pub(super) searching: bool,
    pub(super) canary_at: f64,
    clock: f64,
    pub(super) refs: Vec<Option<f64>>,
    pub(super) warm: bool,
    /// Requests used as last said, by identity and server, while the scope is open.
    pub(super) counters_said: Vec<CounterSaid>,
    pub(super) began: f64,
    /// Recent locks: identity, when heard, when they end, servers that spoke of them.
    pub(super) locks: VecDeque<Lock>,
    /// Room for the lanes in the order of asking; empty between decisions.
    pub(super) order_of_lanes: Vec<Candidate>,
    /// Of the same moment, until something happens: the ceiling of open lanes; from how many
    /// seconds on no lane takes a request, and what was said then.
    pub(super) ceiling_known: Option<(f64, f64)>,
    refusal_known: Option<(f64, f64, Admission)>,
    turned: f64,
}

pub(super) fn secs(at: MonoTime) -> f64 {
    at.since_origin().as_secs_f64()
}

pub(super) fn point(secs: f64) -> MonoTime {
    MonoTime::from_origin(Duration::try_from_secs_f64(secs.max(0.0)).unwrap_or(Duration::MAX))
}

pub(super) fn index(identity: usize) -> u16 {
    u16::try_from(identity).unwrap_or(u16::MAX)
}

/// Whether a lane may send at all: its server is up and nobody stopped its identity.
pub(super) fn is_usable(alive: &[bool], wanted: &IdentityOrders, lane: &Lane) -> bool {
    lane.server.is_none_or(|s| alive.get(s as usize).copied().unwrap_or(false))
        && !wanted.paused
        && !wanted.entitlement_used_up
}

impl Governor {
    /// A governor that knows nothing but what discovery found.
    #[must_use]
    pub fn new(beginning: Beginning, now: MonoTime) -> Self {
        let Beginning { atomic, start_rows, orders, found } = beginning;
        let now = secs(now);
        let identities = orders.identities.len();
        let (lanes, scope) = Self::lanes(&found, identities, now);
        let start = (lanes.len() as f64).clamp(6.0, 12.0);
        let mut tables = atomic.iter().map(|atomic| TableState::new(*atomic)).collect::<Vec<_>>();
        for (place, table) in tables.iter_mut().enumerate() {
            let range = orders.tables.get(place).map_or((1, 1000), |o| (o.batch.min, o.batch.max));
            if let Some(Some(rows)) = start_rows.get(place) {
                table.rows = f64::from(*rows);
            }
            table.rows = table.rows.clamp(f64::from(range.0.max(1)), f64::from(range.1.max(1)));
        }
        let ceilings =
            orders.identities.iter().map(|i| i.requests_per_second.map(Ceiling::new)).collect();
        let slopes = Slopes::new(tables.len());
        let (slope_parallel, slope_rows) = slopes.solve();
        Self {
            refs: vec![None; tables.len()],
            ceilings,
            lanes,
            sent: Vec::new(),
            next_id: 1,
            parallel: Parallel::ramp(start, now),
            slopes,
            slope_parallel,
            slope_rows,
            solved: 0,
            scope,
            servers: found.servers,
            alive: vec![true; found.servers as usize],
            headers: found.headers,
            latency: found.latency_secs,
            sprint: false,
            sprint_ceiling: 0.0,
            rows_wave: 1.0,
            rows_wave_until: 0.0,
            rows_wave_up: false,
            now,
            parallel_sum: 0.0,
            rows_sum: 0.0,
            rows_in_flight: 0.0,
            ticked: f64::NEG_INFINITY,
            search_at: now + SEARCH_SECS,
            searches: 0,
            searching: false,
            canary_at: now + 240.0,
            clock: 0.0,
            warm: false,
            counters_said: Vec::new(),
            began: now,
            locks: VecDeque::new(),
            order_of_lanes: Vec::new(),
            ceiling_known: None,
            refusal_known: None,
            turned: f64::NEG_INFINITY,
            tables,
            orders,
        }
    }

    fn lanes(found: &Found, identities: usize, now: f64) -> (Vec<Lane>, Scope) {
        let per_server = match found.scope {
            Scope::Server => true,
            Scope::Identity => false,
            // Documented: servers count apart. With counters that stand still wait for proof.
            Scope::Unknown => found.servers > 1 && !found.headers,
        };
        if per_server {
            let lanes = (0..identities)
                .flat_map(|i| (0..found.servers).map(move |s| Lane::new(i, Some(s), now)))
                .take(LANES_MAX)
                .collect();
            return (lanes, Scope::Server);
        }
        let lanes = (0..identities).map(|i| Lane::new(i, None, now)).collect();
        (lanes, found.scope)
    }

    /// Obeys new orders from now on.
    pub fn order(&mut self, orders: Orders) {
        self.forget();
        for (i, identity) in orders.identities.iter().enumerate() {
            let before = self.orders.identities.get(i).and_then(|o| o.requests_per_second);
            if identity.requests_per_second != before
                && let Some(ceiling) = self.ceilings.get_mut(i)
            {
                *ceiling = identity.requests_per_second.map(Ceiling::new);
            }
        }
        self.orders = orders;
        for table in 0..self.tables.len() {
            let (low, high) = self.rows_range(table);
            self.tables[table].rows = self.tables[table].rows.clamp(low, high);
        }
    }

    /// Rows of a load that are not sent yet, when known: small ends are spread and hurried.
    pub fn left(&mut self, table: usize, rows: Option<u64>) {
        self.tables[table].left = rows.map(|r| r as f64);
    }

    /// Whether a load has something to send: those that have share by weight. True when that
    /// changed, and others may have their turn.
    pub fn wants(&mut self, table: usize, wants: bool) -> bool {
        let state = &mut self.tables[table];
        if wants && !state.wants {
            state.clock = state.clock.max(self.clock);
        }
        std::mem::replace(&mut state.wants, wants) != wants
    }

    pub(super) fn rows_range(&self, table: usize) -> (f64, f64) {
        let range = self.orders.tables[table].batch;
        (f64::from(range.min.max(1)), f64::from(range.max.max(range.min).max(1)))
    }

    /// Rows of the next batch of a load.
    pub fn batch_rows(&mut self, table: usize) -> u32 {
        let range = self.rows_range(table);
        let state = &mut self.tables[table];
        if self.parallel.is_ramping() && !self.warm {
            let rows = state.rows.clamp(range.0, range.1);
            let reserve = self.parallel.target.max(1.0);
            let left = state.left.map_or(rows, |l| (l / reserve).max(1.0));
            return rows.min(left.max(range.0)).round().max(1.0) as u32;
        }
        let reserve = self.parallel.target.max(1.0);
        state.next_rows(self.rows_wave, range, reserve)
    }

    /// How the good rows of a refused batch of `rows` are best saved.
    #[must_use]
    pub fn rescue(&self, table: usize, rows: u32) -> Rescue {
        self.tables[table].rescue(f64::from(rows))
    }

    /// May a request go now?
    pub fn admit(&mut self, table: usize, rows: u32, cargo: Cargo, at: MonoTime) -> Admission {
        let now = secs(at);
        self.advance(now);
        self.tick(now);
        let wanted = &self.orders.tables[table];
        if wanted.paused {
            return Admission::Wait(None, Why::Paused);
        }
        if self.orders.max_share <= 0.0 {
            return Admission::Wait(None, Why::Schedule);
        }
        if self.tables[table].in_flight >= wanted.parallel.max.max(1) {
            return Admission::Wait(None, Why::TableParallel);
        }
        let cap = self.cap(now);
        if self.sent.len() as f64 >= cap.floor().max(1.0) {
            return self.capped(now);
        }
        let rows_f = f64::from(rows);
        let predicted = match cargo {
            Cargo::Bulk => self.tables[table].predict(rows_f),
            Cargo::Apart => self.tables[table].predict_apart(rows_f),
            Cargo::Question => self.tables[table].predict_asking(),
        };
        if !self.has_turn(table, predicted) {
            return Admission::Wait(None, Why::Turn);
        }
        if let Some((when, least, wait)) = self.refusal_known
            && when == now
            && predicted >= least
        {
            return wait;
        }
        let deviation = self.tables[table].variance.sqrt();
        let lane = match self.pick(at, predicted, deviation) {
            Ok(lane) => lane,
            Err(wait) => {
                self.refusal_known = Some((now, predicted, wait));
                return wait;
            }
        };
        Admission::Go(self.send(table, lane, rows_f, cargo, predicted, now, cap))
    }

    #[expect(clippy::too_many_arguments, reason = "one call, right after the decision")]
    fn send(
        &mut self,
        table: usize,
        lane: usize,
        rows: f64,
        cargo: Cargo,
        predicted: f64,
        now: f64,
        cap: f64,
    ) -> Permit {
        let id = self.next_id;
        self.next_id += 1;
        self.refusal_known = None;
        self.lanes[lane].send(id, now, predicted);
        let capped = self.sent.len() as f64 + 1.0 >= cap.floor();
        let tag = if cargo == Cargo::Bulk { self.parallel.tag(capped) } else { 0 };
        let state = &mut self.tables[table];
        state.in_flight += 1;
        state.clock += predicted / self.orders.tables[table].weight.max(1e-3);
        self.sent.push(Sent {
            id,
            table,
            lane,
            rows,
            cargo,
            at: now,
            predicted,
            tag,
            parallel_sum: self.parallel_sum,
            rows_sum: self.rows_sum,
        });
        self.rows_in_flight += rows;
        let lane = &self.lanes[lane];
        Permit { id, identity: index(lane.identity), server: lane.server }
    }

    pub(super) fn usable(&self, lane: &Lane) -> bool {
        is_usable(&self.alive, &self.orders.identities[lane.identity], lane)
    }

    pub(super) fn typical_secs(&self) -> f64 {
        let mut sum = 0.0;
        let mut n = 0.0;
        for state in self.tables.iter().filter(|t| t.wants || t.in_flight > 0) {
            sum += state.typical_secs();
            n += 1.0;
        }
        if n > 0.0 { (sum / n).max(0.005) } else { 1.0 }
    }

    pub(super) fn advance(&mut self, now: f64) {
        let passed = (now - self.now).max(0.0);
        self.parallel_sum += passed * self.sent.len() as f64;
        self.rows_sum += passed * self.rows_in_flight;
        self.now = self.now.max(now);
    }

    /// Something happened: what was decided at this moment may be decided otherwise.
    pub(super) fn forget(&mut self) {
        self.ceiling_known = None;
        self.refusal_known = None;
    }

    pub(super) fn tick(&mut self, now: f64) {
        if now == self.turned {
            return;
        }
        self.turned = now;
        let share = self.orders.max_share;
        let typical = self.typical_secs();
        for lane in &mut self.lanes {
            lane.refill(now, typical, share);
            if self.sprint {
                // What the window gives is spent openly; nothing is owed afterwards.
                lane.tokens = lane.tokens.max(0.0);
            }
        }
        self.parallel.turn(now, typical);
        if now >= self.rows_wave_until {
            self.rows_wave_up = !self.rows_wave_up;
            self.rows_wave = if self.rows_wave_up { 1.2 } else { 0.83 };
            self.rows_wave_until = now + 2.0 * (1.5 * typical).clamp(2.0, 45.0);
        }
        if now - self.ticked < TICK_SECS {
            return;
        }
        self.ticked = now;
        self.parallel.watch(now, typical);
        let wanting = self.tables.iter().filter(|t| t.wants).map(|t| t.clock);
        self.clock = self.clock.max(wanting.fold(f64::INFINITY, f64::min).min(1e300));
        if self.clock >= 1e300 {
            self.clock = self.tables.iter().map(|t| t.clock).fold(0.0, f64::max);
        }
        self.plan_sprint(now);
        self.probe_limits(now);
        self.doubt_scope(now);
        self.drop_dead_lanes();
    }

    /// Requests under way.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.sent.len()
    }
}
