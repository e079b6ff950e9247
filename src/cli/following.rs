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
use crate::tuning::entitlement::Entitlement;
use crate::tuning::learned::Learned;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

/// How often what was learnt is kept.
const LEARN_EVERY: Duration = Duration::from_secs(60);
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

/// Gives what is worth keeping at a wall-clock time, milliseconds since 1970.
pub(super) type Learn = Arc<dyn Fn(i64) -> Learned + Send + Sync>;

/// Tasks beside a load; they end with [`Self::end`], or when this is dropped.
pub(super) struct Following {
    steering: Steering,
    store: TuningStore,
    tasks: JoinSet<()>,
    learn: Option<Learn>,
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
                let mut told = false;
                loop {
                    tokio::time::sleep(KEEP_EVERY).await;
                    if let Err(why) = keep(&steering, &store).await
                        && !std::mem::replace(&mut told, true)
                    {
                        tracing::warn!("{why}");
                    }
                }
            });
        }
        Self { steering: steering.clone(), store: store.clone(), tasks, learn: None }
    }

    /// Keeps what is learnt, now and then and at the end.
    pub(super) fn remember(&mut self, learn: Learn) {
        self.learn = Some(Arc::clone(&learn));
        let store = self.store.clone();
        self.tasks.spawn(async move {
            let mut told = false;
            loop {
                tokio::time::sleep(LEARN_EVERY).await;
                if let Err(why) = save(&learn, &store).await
                    && !std::mem::replace(&mut told, true)
                {
                    tracing::warn!("{why}");
                }
            }
        });
    }

    /// Ends it, and keeps what was counted last.
    pub(super) async fn end(mut self) {
        self.tasks.shutdown().await;
        if let Some(learn) = &self.learn
            && let Err(why) = save(learn, &self.store).await
        {
            tracing::warn!("{why}");
        }
        if let Err(why) = keep(&self.steering, &self.store).await {
            tracing::warn!("{why}");
        }
    }
}

async fn save(learn: &Learn, store: &TuningStore) -> Result<(), String> {
    let wall_ms = clock::wall_ms();
    let learned = learn(wall_ms);
    if learned.tables.is_empty() {
        return Ok(());
    }
    let store = store.clone();
    let saved = tokio::task::spawn_blocking(move || store.save(learned, wall_ms)).await;
    saved.map_err(|e| e.to_string())?.map_err(|notice| notice.to_string())
}

/// Adds what was counted to what all jobs have counted, and learns what the others have.
async fn keep(steering: &Steering, store: &TuningStore) -> Result<(), String> {
    let Some(entitlement) = steering.entitlement() else { return Ok(()) };
    let fresh = entitlement.lock().fresh();
    let (saved, writer) = (fresh.clone(), store.clone());
    let written =
        tokio::task::spawn_blocking(move || writer.add_counts(&saved, clock::wall_ms())).await;
    let kept = written.map_err(|e| e.to_string())?.map_err(|notice| notice.to_string())?;
    entitlement.lock().kept(&fresh, &kept);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tuning::entitlement::{EntitlementRule, Policy};
    use crate::tuning::orders::{IdentityOrders, Orders};
    use uuid::Uuid;

    fn counting() -> Steering {
        let identities = vec!["app-1".to_owned()];
        let order =
            IdentityOrders { paused: false, requests_per_second: None, entitlement_used_up: false };
        let orders = Orders { tables: Vec::new(), identities: vec![order], max_share: 1.0 };
        let rule = EntitlementRule { per_identity: 1000, policy: Policy::Stop };
        let counted = Entitlement::new(rule, &["user".to_owned()]);
        Steering::new(Names { loads: Vec::new(), identities }, orders, Some(counted))
    }

    #[tokio::test]
    async fn two_loads_of_one_user_learn_each_others_counts() {
        let folder = tempfile::tempdir().unwrap();
        let store = TuningStore::new(folder.path(), Uuid::from_u128(7), "https://a.example");
        let (a, b) = (counting(), counting());
        let now = clock::wall_ms();
        a.note_operations(0, 600, now);
        b.note_operations(0, 500, now);
        keep(&a, &store).await.unwrap();
        keep(&b, &store).await.unwrap();
        let used = |s: &Steering| s.entitlement().map(|e| e.lock().used(0, now));
        assert_eq!((used(&a), used(&b)), (Some(600), Some(1100)));
        keep(&a, &store).await.unwrap();
        keep(&a, &store).await.unwrap();
        assert_eq!(used(&a), Some(1100), "counted once, however often it is kept");
    }

    #[tokio::test]
    async fn counts_that_cannot_be_kept_are_not_lost() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("file"), "").unwrap();
        let place = folder.path().join("file");
        let store = TuningStore::new(&place, Uuid::from_u128(7), "https://a.example");
        let a = counting();
        a.note_operations(0, 600, clock::wall_ms());
        assert!(keep(&a, &store).await.unwrap_err().starts_with("DV0510: "));
        let store = TuningStore::new(folder.path(), Uuid::from_u128(7), "https://a.example");
        keep(&a, &store).await.unwrap();
        assert_eq!(store.counts().unwrap().users["user"].values().sum::<u64>(), 600);
    }
}
