//! Pure: takes up what an earlier run learnt, and gives what the next one may.

use crate::tuning::governor::Governor;
use crate::tuning::learned::{Learned, LearnedEnvironment, LearnedTable, RequestKind, VERSION};
use crate::tuning::parallel::Parallel;
use crate::tuning::view::Scope;

/// Samples below which a load's figures are not worth keeping.
const SAMPLES_MIN: u64 = 40;
/// Milliseconds of a week: trust halves with each.
const WEEK_MS: f64 = 7.0 * 86_400_000.0;

impl Governor {
    /// Begins from `learned`; `kinds` are the loads' requests in job order. Returns how many loads
    /// were known.
    pub fn recall(&mut self, learned: &Learned, kinds: &[RequestKind], wall_ms: i64) -> usize {
        let trust = |saved_ms: i64| {
            let age = (wall_ms.saturating_sub(saved_ms)).max(0) as f64;
            0.5_f64.powf(age / WEEK_MS).clamp(0.01, 1.0)
        };
        let mut known = 0;
        for (place, kind) in kinds.iter().enumerate() {
            let Some(found) = learned.tables.iter().find(|t| t.kind == *kind) else { continue };
            let Some(state) = self.tables.get_mut(place) else { continue };
            state.recall(found, trust(found.saved_ms));
            known += 1;
        }
        if let Some(environment) = &learned.environment
            && known > 0
        {
            self.recall_environment(environment, known == kinds.len());
        }
        let orders = self.orders.clone();
        self.order(orders);
        known
    }

    fn recall_environment(&mut self, known: &LearnedEnvironment, all_tables: bool) {
        let sane = |v: f64, low: f64, high: f64| v.is_finite().then(|| v.clamp(low, high));
        for lane in &mut self.lanes {
            // With headers the truth is heard within a few answers; without it is all there is.
            if let Some(limit) = sane(known.time_limit_secs, 30.0, 100_000.0) {
                lane.time.value = limit;
            }
            if let Some(limit) = sane(known.requests_limit, 100.0, 1_000_000.0) {
                lane.requests.value = limit;
            }
            if let Some(limit) = sane(known.parallel_limit, 4.0, 500.0) {
                lane.parallel = limit;
            }
        }
        let identities = self.orders.identities.len() as f64;
        let per_identity = f64::from(known.identities.max(1));
        let (Some(parallel), Some(e_parallel), Some(e_rows)) = (
            sane(known.parallel, 1.0, 4096.0),
            sane(known.elasticity_parallel, 0.0, 1.5),
            sane(known.elasticity_rows, 0.0, 1.5),
        ) else {
            return;
        };
        self.slopes.presume(e_parallel, e_rows);
        (self.slope_parallel, self.slope_rows) = self.slopes.solve();
        // The height holds for the same loads; for others it is felt for anew.
        if all_tables {
            self.warm = true;
            let start = if identities > per_identity && e_parallel < 0.8 {
                parallel * identities / per_identity
            } else {
                parallel
            };
            self.parallel = Parallel::steady(start);
        }
    }

    /// What is worth keeping; `kinds` in job order.
    #[must_use]
    pub fn learned(
        &self,
        organization: &str,
        url: &str,
        kinds: &[RequestKind],
        wall_ms: i64,
    ) -> Learned {
        let tables = self
            .tables
            .iter()
            .zip(kinds)
            .filter(|(state, _)| state.samples >= SAMPLES_MIN)
            .filter_map(|(state, kind)| {
                let cost = state.fitted()?;
                Some(LearnedTable {
                    kind: kind.clone(),
                    batch_rows: state.rows,
                    cost: [cost.a, cost.b, cost.d],
                    variance: state.variance,
                    hazard: state.hazard(),
                    bad_row_rate: state.bad_rate(),
                    batch_ratio: state.batch_ratio,
                    samples: state.samples,
                    saved_ms: wall_ms,
                })
            })
            .collect::<Vec<_>>();
        let environment = (!tables.is_empty() && !self.lanes.is_empty()).then(|| {
            let n = self.lanes.len() as f64;
            LearnedEnvironment {
                scope: self.scope.word().to_owned(),
                servers: if self.scope == Scope::Unknown { 0 } else { self.servers },
                time_limit_secs: self.lanes.iter().map(|l| l.time.value).sum::<f64>() / n,
                requests_limit: self.lanes.iter().map(|l| l.requests.value).sum::<f64>() / n,
                parallel_limit: self.lanes.iter().map(|l| l.parallel).sum::<f64>() / n,
                identities: u32::try_from(self.orders.identities.len()).unwrap_or(u32::MAX),
                parallel: self.parallel.target,
                elasticity_parallel: self.slope_parallel.value,
                elasticity_rows: self.slope_rows.value,
                latency_secs: self.latency,
            }
        });
        Learned {
            version: VERSION,
            organization: organization.to_owned(),
            url: url.to_owned(),
            saved_ms: wall_ms,
            environment,
            tables,
        }
    }
}
