//! Pure: whose turn it is, which lane takes a request, and how many there may be at once.

use crate::record::throttle::Throttle;
use crate::tuning::admission::{Admission, Why};
use crate::tuning::governor::{Governor, index, is_usable, point, secs};
use crate::tuning::lane::{Lane, Refusal};
use crate::tuning::view::Bound;
use crate::units::MonoTime;
use std::cmp::Ordering;
use std::collections::BinaryHeap;

/// A lane that may take a request: the higher the score, the sooner it is asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate {
    score: f64,
    place: usize,
}

impl Ord for Candidate {
    fn cmp(&self, other: &Self) -> Ordering {
        self.score.total_cmp(&other.score).then(other.place.cmp(&self.place))
    }
}

impl PartialOrd for Candidate {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Candidate {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Candidate {}

impl Governor {
    pub(super) fn has_turn(&self, table: usize, predicted: f64) -> bool {
        if self.sent.is_empty() {
            // Nobody's landing would wake it, whatever the others do with their turn.
            return true;
        }
        let state = &self.tables[table];
        let weight = self.orders.tables[table].weight.max(1e-3);
        let lead = 2.0 * predicted / weight;
        self.tables.iter().enumerate().all(|(other, o)| {
            let wanted = &self.orders.tables[other];
            other == table
                || !o.wants
                || wanted.paused
                || o.in_flight >= wanted.parallel.max.max(1)
                || state.clock <= o.clock + lead
        })
    }

    /// The lane with most to spend that takes a request of `predicted` seconds.
    pub(super) fn pick(
        &mut self,
        at: MonoTime,
        predicted: f64,
        deviation: f64,
    ) -> Result<usize, Admission> {
        let now = secs(at);
        let share = self.orders.max_share;
        let mut order = std::mem::take(&mut self.order_of_lanes);
        order.clear();
        let mut barred = None;
        let mut usable = false;
        let mut first: Option<(Refusal, f64, usize)> = None;
        for (place, lane) in self.lanes.iter_mut().enumerate() {
            let wanted = &self.orders.identities[lane.identity];
            if !is_usable(&self.alive, wanted, lane) {
                if wanted.entitlement_used_up && !wanted.paused {
                    barred = Some(lane.identity);
                }
                continue;
            }
            usable = true;
            // Most that cannot are told apart by a look.
            let rate = lane.rate(share).max(1e-6);
            let until = if lane.closed_until > now {
                Some((Refusal::Closed, lane.closed_until))
            } else if lane.is_full() {
                Some((Refusal::Parallel, f64::INFINITY))
            } else if !self.sprint && lane.tokens <= 0.0 {
                Some((Refusal::Time, now - lane.tokens / rate))
            } else {
                None
            };
            if let Some((refusal, until)) = until {
                if first.is_none_or(|(_, least, _)| until < least) {
                    first = Some((refusal, until, place));
                }
                continue;
            }
            let spent = lane.spent.sum(now) / lane.limit();
            let score = if self.sprint {
                -(lane.flights.len() as f64 + 1.0) / lane.parallel.max(1.0) - spent
            } else {
                // Seconds of its budget saved up; full ones by what their window holds.
                lane.tokens / rate - spent
            };
            order.push(Candidate { score, place });
        }
        if !usable {
            self.order_of_lanes = order;
            let why = barred
                .map_or(Why::Paused, |identity| Why::Entitlement { identity: index(identity) });
            return Err(Admission::Wait(None, why));
        }
        // Nearly always one of the first takes it: no need to sort them all.
        let mut heap = BinaryHeap::from(order);
        let picked = self.first_that_takes(&mut heap, first, at, predicted, deviation);
        self.order_of_lanes = heap.into_vec();
        picked
    }

    fn first_that_takes(
        &mut self,
        heap: &mut BinaryHeap<Candidate>,
        mut first: Option<(Refusal, f64, usize)>,
        at: MonoTime,
        predicted: f64,
        deviation: f64,
    ) -> Result<usize, Admission> {
        let now = secs(at);
        let share = self.orders.max_share;
        let gap = 1.2 * self.latency + 0.01;
        let mut slowed: Option<(MonoTime, usize)> = None;
        while let Some(Candidate { place, .. }) = heap.pop() {
            let lane = &mut self.lanes[place];
            match lane.allows(now, predicted, share, self.sprint, deviation, gap) {
                Ok(()) => {}
                Err((refusal, until)) => {
                    if first.is_none_or(|(_, least, _)| until < least) {
                        first = Some((refusal, until, place));
                    }
                    continue;
                }
            }
            let identity = lane.identity;
            // An identity that may not yet must not hold the others.
            match self.ceilings.get(identity).and_then(Option::as_ref).map(|c| c.take(at)) {
                None | Some(Ok(())) => return Ok(place),
                Some(Err(until)) => {
                    if slowed.is_none_or(|(least, _)| until < least) {
                        slowed = Some((until, identity));
                    }
                }
            }
        }
        match slowed {
            Some((until, identity)) => {
                let other = first.map_or(f64::INFINITY, |(_, until, _)| until.max(now + 0.002));
                let until = if other < secs(until) { point(other) } else { until };
                Err(Admission::Wait(Some(until), Why::Ceiling { identity: index(identity) }))
            }
            None => Err(self.refused(first, now)),
        }
    }

    pub(super) fn refused(&mut self, first: Option<(Refusal, f64, usize)>, now: f64) -> Admission {
        let Some((refusal, until, place)) = first else {
            return Admission::Wait(None, Why::Paused);
        };
        let lane = &mut self.lanes[place];
        let identity = index(lane.identity);
        let why = match refusal {
            Refusal::Closed => Why::Throttled {
                identity,
                kind: lane.closed_by.unwrap_or(Throttle::Other),
                until: point(lane.closed_until),
            },
            Refusal::Parallel => Why::Concurrency { identity, limit: lane.parallel as u32 },
            Refusal::Time => Why::Window {
                identity,
                kind: Throttle::Time,
                used: lane.spent.sum(now),
                limit: lane.time.value,
            },
            Refusal::Requests => Why::Window {
                identity,
                kind: Throttle::Requests,
                used: lane.sent.sum(now),
                limit: lane.requests.value,
            },
        };
        // Not at once again, and not so late that a changed limit goes unnoticed.
        let until = until.is_finite().then(|| point(until.clamp(now + 0.002, now + 5.0)));
        Admission::Wait(until, why)
    }

    pub(super) fn capped(&mut self, now: f64) -> Admission {
        let why = match self.bound(now) {
            Bound::Ramp => Why::Learning,
            Bound::Knee => Why::Knee,
            Bound::Limit => {
                let lane = &self.lanes[0];
                Why::Concurrency { identity: index(lane.identity), limit: lane.parallel as u32 }
            }
            Bound::Budget | Bound::Operator => {
                let usable = (0..self.lanes.len()).find(|p| self.usable(&self.lanes[*p]));
                let lane = &mut self.lanes[usable.unwrap_or(0)];
                Why::Window {
                    identity: index(lane.identity),
                    kind: Throttle::Time,
                    used: lane.spent.sum(now),
                    limit: lane.time.value,
                }
            }
        };
        Admission::Wait(None, why)
    }

    /// What bounds the requests at once.
    pub(super) fn bound(&self, now: f64) -> Bound {
        let ceiling = self.ceiling(now);
        if self.parallel.is_ramping() {
            Bound::Ramp
        } else if self.parallel.target < 0.95 * ceiling {
            Bound::Knee
        } else if ceiling >= self.limit_of_requests_at_once(now) - 0.5 {
            Bound::Limit
        } else if self.orders.max_share < 1.0 {
            Bound::Operator
        } else {
            Bound::Budget
        }
    }

    pub(super) fn limit_of_requests_at_once(&self, now: f64) -> f64 {
        let open = self.lanes.iter().filter(|l| self.usable(l) && l.closed_until <= now);
        open.map(Lane::most_at_once).sum::<f64>().max(1.0)
    }

    /// Requests at once that the lanes' budgets can feed.
    pub(super) fn ceiling(&self, now: f64) -> f64 {
        if self.sprint {
            return self.sprint_ceiling.min(self.limit_of_requests_at_once(now));
        }
        let share = self.orders.max_share;
        let mut rate = 0.0;
        let mut most = 0.0;
        for lane in self.lanes.iter().filter(|l| self.usable(l)) {
            rate += lane.rate(share);
            most += lane.most_at_once();
        }
        let typical = self.typical_secs();
        (1.25 * rate * (1.0 + self.latency / typical) + 2.0).min(most.max(1.0))
    }

    /// The cap at this moment: closed lanes lower it, and not the target.
    pub(super) fn cap(&mut self, now: f64) -> f64 {
        if let Some((at, ceiling)) = self.ceiling_known
            && at == now
        {
            return self.parallel.cap(ceiling);
        }
        let ceiling = self.open_ceiling(now);
        self.ceiling_known = Some((now, ceiling));
        self.parallel.cap(ceiling)
    }

    fn open_ceiling(&self, now: f64) -> f64 {
        let mut open = 0.0;
        let mut all = 0.0;
        for lane in self.lanes.iter().filter(|l| self.usable(l)) {
            all += 1.0;
            open += f64::from(u8::from(lane.closed_until <= now));
        }
        let ceiling = self.ceiling(now);
        let part = if all > 0.0 { open / all } else { 1.0 };
        (ceiling * part).max(1.0)
    }
}
