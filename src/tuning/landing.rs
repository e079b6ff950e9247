//! Pure: what an answer changes: what is booked where, and what is learnt.

use crate::record::throttle::Throttle;
use crate::tuning::admission::{Cargo, Landing, Outcome, Permit};
use crate::tuning::governor::{Governor, Sent, secs};
use crate::tuning::lane::{Lane, TIME_LIMIT_SECS};
use crate::tuning::view::Scope;
use crate::units::MonoTime;
use std::time::Duration;

impl Governor {
    /// A request is back.
    pub fn landed(&mut self, permit: Permit, landing: Landing, at: MonoTime) {
        let now = secs(at);
        self.advance(now);
        self.forget();
        let Some(place) = self.sent.iter().position(|s| s.id == permit.id) else { return };
        let sent = self.sent.swap_remove(place);
        self.rows_in_flight = (self.rows_in_flight - sent.rows).max(0.0);
        let round_trip = (now - sent.at).max(0.0);
        let busy = (round_trip - self.latency).max(0.2 * round_trip);
        let actual = match landing.outcome {
            Outcome::Throttled { .. } => 0.0,
            _ => busy,
        };
        let booked = self.book(&sent, permit, landing, actual, now);
        let state = &mut self.tables[sent.table];
        state.in_flight = state.in_flight.saturating_sub(1);
        let weight = self.orders.tables[sent.table].weight.max(1e-3);
        state.clock += (actual - sent.predicted) / weight;
        if actual > 0.0 {
            state.spent.add(now, actual);
        }
        let rows = sent.rows;
        match (landing.outcome, sent.cargo) {
            (Outcome::Done, Cargo::Bulk) => self.learn(&sent, round_trip, busy, now),
            (Outcome::Done, Cargo::Apart) => state.apart_done(rows, busy),
            (Outcome::Done, Cargo::Question) => state.asked(busy),
            (Outcome::Passing, _) => {
                state.passing(rows);
                state.wasted(busy);
            }
            (Outcome::TimedOut, _) => state.timed_out(rows, now),
            (Outcome::Refused, _) => state.wasted(busy),
            (Outcome::Lost, _) => {}
            (Outcome::Throttled { kind, retry_after }, _) => {
                self.throttled(booked, kind, retry_after.map(|d| d.as_secs_f64()), now);
            }
        }
        if sent.tag > 0 && !(landing.outcome == Outcome::Done && sent.cargo == Cargo::Bulk) {
            let ceiling = self.ceiling(now);
            self.parallel.back(sent.tag, None, now, ceiling, self.slope_parallel);
        }
    }

    /// Books a request where it was counted; returns that lane.
    fn book(
        &mut self,
        sent: &Sent,
        permit: Permit,
        landing: Landing,
        actual: f64,
        now: f64,
    ) -> usize {
        let mut lane = sent.lane;
        if let (Some(meant), Some(answered)) = (permit.server, landing.server)
            && meant != answered
        {
            // The cookie does not hold: that server is gone, or the request was moved.
            self.lanes[lane].land(sent.id, now, 0.0);
            self.seen(answered, now);
            self.lost(meant);
            let identity = usize::from(permit.identity);
            let other = self
                .lanes
                .iter()
                .position(|l| l.identity == identity && l.server == Some(answered));
            lane = other.unwrap_or(lane);
            self.lanes[lane].sent.add(now, 1.0);
            self.lanes[lane].tokens -= actual;
            if actual > 0.0 {
                self.lanes[lane].spent.add(now, actual);
            }
        } else {
            self.lanes[lane].land(sent.id, now, actual);
            if let (None, Some(server)) = (permit.server, landing.server) {
                self.note_server(server);
            }
        }
        let (time, requests) = (landing.time_remaining_secs, landing.requests_remaining);
        if time.is_some() || requests.is_some() {
            self.headers = true;
            self.lanes[lane].hear(now, time, requests);
            self.note_counter(usize::from(permit.identity), landing.server, lane, now);
        }
        lane
    }

    /// A request that was admitted did not leave.
    pub fn cancel(&mut self, permit: Permit, at: MonoTime) {
        let now = secs(at);
        self.advance(now);
        self.forget();
        let Some(place) = self.sent.iter().position(|s| s.id == permit.id) else { return };
        let sent = self.sent.swap_remove(place);
        self.rows_in_flight = (self.rows_in_flight - sent.rows).max(0.0);
        self.lanes[sent.lane].land(sent.id, now, 0.0);
        let state = &mut self.tables[sent.table];
        state.in_flight = state.in_flight.saturating_sub(1);
        let weight = self.orders.tables[sent.table].weight.max(1e-3);
        state.clock -= sent.predicted / weight;
        if sent.tag > 0 {
            let ceiling = self.ceiling(now);
            self.parallel.back(sent.tag, None, now, ceiling, self.slope_parallel);
        }
    }

    /// One operation within a request that is back was refused by a limit.
    pub fn refused_within(
        &mut self,
        permit: Permit,
        kind: Throttle,
        retry_after: Option<Duration>,
        at: MonoTime,
    ) {
        self.forget();
        let identity = usize::from(permit.identity);
        let mine = |l: &Lane| l.identity == identity && l.server == permit.server;
        if let Some(lane) = self.lanes.iter().position(mine) {
            self.throttled(lane, kind, retry_after.map(|d| d.as_secs_f64()), secs(at));
        }
    }

    /// Rows that came to their end: taken, or refused for what is in them.
    pub fn settled(&mut self, table: usize, good: u64, bad: u64) {
        self.tables[table].settled(good as f64, bad as f64);
    }

    fn learn(&mut self, sent: &Sent, round_trip: f64, busy: f64, now: f64) {
        let state = &mut self.tables[sent.table];
        state.done(sent.rows, busy);
        let y = busy.max(1e-3).ln();
        let reference = *self.refs[sent.table].get_or_insert(y);
        let life = round_trip.max(1e-6);
        let mean_parallel = ((self.parallel_sum - sent.parallel_sum) / life).max(1.0);
        let mean_rows = ((self.rows_sum - sent.rows_sum) / life / mean_parallel).max(1.0);
        let x = [mean_parallel.ln(), mean_rows.ln(), sent.rows.max(1.0).ln()];
        self.slopes.add(sent.table, x, y, self.sent.len() as f64 + 1.0);
        self.solved += 1;
        if self.solved >= 8 {
            self.solved = 0;
            (self.slope_parallel, self.slope_rows) = self.slopes.solve();
        }
        let ceiling = self.ceiling(now);
        if sent.tag > 0 {
            let sample = Some((y - reference, x[0]));
            self.parallel.back(sent.tag, sample, now, ceiling, self.slope_parallel);
        }
        self.parallel.step(self.slope_parallel, ceiling);
        let hold = self.parallel.is_ramping();
        let range = self.rows_range(sent.table);
        let limit = self.lanes.first().map_or(TIME_LIMIT_SECS, Lane::limit_of_a_counter);
        let least = self.lanes.first().map_or(0.2, Lane::secs_a_request);
        let blind = f64::from(u8::from(self.lanes.first().is_some_and(|l| l.counters > 1.0)));
        self.tables[sent.table].resize(now, self.slope_rows, (limit, least, blind), range, hold);
    }

    fn throttled(&mut self, lane: usize, kind: Throttle, wait: Option<f64>, now: f64) {
        let canary = self.lanes[lane].canary.is_some();
        let fresh = self.lanes[lane].throttled(kind, wait, now);
        if fresh && kind == Throttle::Time && !self.headers {
            self.limit_met(lane, canary, now);
        }
        if self.scope == Scope::Server
            && kind != Throttle::Concurrency
            && let Some(wait) = wait
        {
            self.suspect_shared_counter(lane, now + wait, now);
        }
    }
}
