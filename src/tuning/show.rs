//! Pure: shows the governor's state.

use crate::tuning::governor::{Governor, index, secs};
use crate::tuning::view::{LaneView, Scope, TableView, View};
use crate::units::MonoTime;

impl Governor {
    /// What people see at `at`.
    #[must_use]
    pub fn view(&mut self, at: MonoTime) -> View {
        let now = secs(at);
        let share = self.orders.max_share;
        let bound = self.bound(now);
        let measured = self.tables.iter().any(|t| t.samples > 20);
        let mut lanes = Vec::with_capacity(self.lanes.len());
        for place in 0..self.lanes.len() {
            let lane = &mut self.lanes[place];
            lanes.push(LaneView {
                identity: index(lane.identity),
                server: lane.server,
                time_used_secs: lane.spent.sum(now),
                time_limit_secs: lane.limit() * share,
                requests_used: lane.sent.sum(now),
                requests_limit: lane.requests.value * lane.counters * share,
                in_flight: u32::try_from(lane.flights.len()).unwrap_or(u32::MAX),
                parallel_limit: lane.parallel,
                tokens_secs: lane.tokens,
                closed_secs: (lane.closed_until - now).max(0.0),
                closed_by: lane.closed_by.filter(|_| lane.closed_until > now),
                paused: self.orders.identities[lane.identity].paused,
            });
        }
        let spent: f64 = self.tables.iter_mut().map(|t| t.spent.sum(now)).sum();
        let tables = (0..self.tables.len())
            .map(|place| {
                let wanted = &self.orders.tables[place];
                let state = &mut self.tables[place];
                TableView {
                    batch_rows: state.rows.round() as u32,
                    batch_optimum: state.optimum.round() as u32,
                    batch_range: (wanted.batch.min, wanted.batch.max),
                    parallel_max: wanted.parallel.max,
                    in_flight: state.in_flight,
                    weight: wanted.weight,
                    share: if spent > 0.0 { state.spent.sum(now) / spent } else { 0.0 },
                    cost: state.fitted().map(|c| [c.a, c.b, c.d]),
                    predicted_over_actual: state.predicted_over_actual(),
                    rows_per_execution_second: if state.yield_secs > 0.0 {
                        state.yield_rows / state.yield_secs
                    } else {
                        0.0
                    },
                    bad_row_rate: state.bad_rate(),
                    hazard: state.hazard(),
                    samples: state.samples,
                    paused: wanted.paused,
                }
            })
            .collect();
        View {
            scope: self.scope,
            servers: if self.scope == Scope::Unknown { 0 } else { self.servers },
            parallel_target: self.cap(now),
            parallel_bound: bound,
            elasticity_parallel: measured.then_some(self.slope_parallel.value),
            elasticity_rows: measured.then_some(self.slope_rows.value),
            sprint: self.sprint,
            max_share: share,
            lanes,
            tables,
        }
    }
}
