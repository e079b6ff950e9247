//! What goes on beside a load: the orders follow the wall clock, and what is counted for the
//! entitlement is kept.

use crate::cli::tuning_store::TuningStore;
use crate::config::job::Job;
use crate::config::orders::orders;
use crate::control::change::Names;
use crate::control::steering::Steering;
use crate::control::timed::Timed;
use crate::pipeline::run::plan::LoadPlan;
use crate::runtime::clock;
use crate::tuning::entitlement::{Entitlement, KeptCounts};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

/// How often counts are kept; a crash forgets no more than this.
const KEEP_EVERY: Duration = Duration::from_secs(30);

/// The steering of a run with the orders of its job; `users` are the identities' system users.
pub(super) fn steering(
    job: &Job,
    plans: &[Arc<LoadPlan>],
    users: &[String],
    store: &TuningStore,
) -> Steering {
    let classes: Vec<_> = plans.iter().map(|plan| plan.class).collect();
    let names = Names {
        loads: job.tables.iter().map(|t| t.name.clone()).collect(),
        identities: job.identities.iter().map(|i| i.name.clone()).collect(),
    };
    let entitlement = job.tuning.entitlement.map(|rule| {
        let mut counted = Entitlement::new(rule, users);
        match store.counts() {
            Ok(kept) => counted.kept(&BTreeMap::new(), &kept),
            Err(notice) => tracing::warn!("{notice}; counting begins anew"),
        }
        counted
    });
    Steering::new(names, orders(job, &classes, clock::wall_ms()), entitlement)
}

/// Tasks beside a load; they end with [`Self::end`], or when this is dropped.
pub(super) struct Following {
    steering: Steering,
    store: TuningStore,
    tasks: JoinSet<()>,
}

impl Following {
    /// Begins to follow.
    pub(super) fn begin(job: &Job, steering: &Steering, store: &TuningStore) -> Self {
        let mut timed = Timed::new(steering.clone(), job.tuning.schedule.clone());
        // Before the first request: a schedule may be closed, an entitlement used up.
        timed.step(clock::wall_ms());
        let mut tasks = JoinSet::new();
        tasks.spawn(timed.follow());
        if steering.entitlement().is_some() {
            let (steering, store) = (steering.clone(), store.clone());
            tasks.spawn(async move {
                loop {
                    tokio::time::sleep(KEEP_EVERY).await;
                    keep(&steering, &store).await;
                }
            });
        }
        Self { steering: steering.clone(), store: store.clone(), tasks }
    }

    /// Ends it, and keeps what was counted last.
    pub(super) async fn end(mut self) {
        self.tasks.shutdown().await;
        keep(&self.steering, &self.store).await;
    }
}

/// Adds what was counted to what all jobs have counted, and learns what the others have.
async fn keep(steering: &Steering, store: &TuningStore) {
    let Some(entitlement) = steering.entitlement() else { return };
    let fresh = entitlement.lock().fresh();
    let (saved, writer) = (fresh.clone(), store.clone());
    let written =
        tokio::task::spawn_blocking(move || writer.add_counts(&saved, clock::wall_ms())).await;
    let kept: KeptCounts = match written {
        Ok(Ok(kept)) => kept,
        Ok(Err(notice)) => {
            tracing::warn!("{notice}");
            return;
        }
        Err(error) => {
            tracing::warn!(%error, "counts of the entitlement were not kept");
            return;
        }
    };
    entitlement.lock().kept(&fresh, &kept);
}
