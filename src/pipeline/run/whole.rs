//! All lanes of a job, from the first row to the last line.

use crate::catalog::model::Catalog;
use crate::client::attempt::Transport;
use crate::config::job::TableLoad;
use crate::control::steering::Wish;
use crate::pipeline::ledger::record::LedgerRecord;
use crate::pipeline::ledger::recover::LoadRecovery;
use crate::pipeline::run::feed::{self, Feed};
use crate::pipeline::run::lane::Lane;
pub use crate::pipeline::run::lane::{LaneEnd, LaneFailed};
use crate::pipeline::run::plan::LoadPlan;
use crate::pipeline::run::shared::Shared;
use crate::pipeline::run::staged::{SharedStaged, Staged};
use crate::pipeline::run::tend::tend;
use crate::pipeline::sink::file::Sinks;
use crate::record::key::PartitionId;
use crate::record::outcome::RowState;
use parking_lot::RwLock;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// How often the memory gauge is read.
const GAUGE: Duration = Duration::from_millis(500);

/// How each load of a run ended, in job order, and what went wrong besides.
#[derive(Debug)]
pub struct RunEnd {
    /// By load.
    pub loads: Vec<Result<LaneEnd, LaneFailed>>,
    /// What is remembered of each load's rows.
    pub staged: Vec<SharedStaged>,
    /// Why the files are incomplete, if they are.
    pub sinks: Option<String>,
}

impl RunEnd {
    /// Whether every row of every load is settled.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.sinks.is_none() && self.loads.iter().all(|l| matches!(l, Ok(LaneEnd::Done)))
    }
}

/// Runs all loads side by side; a load whose rows refer to another's waits for it by itself.
/// Returns when all lanes ended and the files hold what the ledger says.
pub async fn run<T: Transport>(
    shared: Arc<Shared<T>>,
    plans: Vec<Arc<LoadPlan>>,
    catalog: Arc<Catalog>,
    recovery: Vec<LoadRecovery>,
    sinks: &Sinks,
    seed: u64,
) -> RunEnd {
    let staged: Vec<SharedStaged> =
        plans.iter().zip(&recovery).map(|(plan, known)| remember(plan, known)).collect();
    let idles: Vec<watch::Sender<bool>> = plans.iter().map(|_| watch::Sender::new(false)).collect();
    for (plan, known) in plans.iter().zip(&recovery) {
        count_known(&shared, plan, known);
    }
    let loads: Arc<[TableLoad]> = plans.iter().map(|plan| plan.spec.clone()).collect();
    let mut lanes = JoinSet::new();
    let mut ends: Vec<Option<Result<LaneEnd, LaneFailed>>> = plans.iter().map(|_| None).collect();
    for (index, (plan, known)) in plans.iter().zip(recovery).enumerate() {
        let parents = plan
            .parents
            .iter()
            .map(|parent| {
                let parent = usize::from(parent.0);
                (Arc::clone(&staged[parent]), idles[parent].subscribe())
            })
            .collect();
        let feed = Feed {
            plan: Arc::clone(plan),
            staged: Arc::clone(&staged[index]),
            loads: Arc::clone(&loads),
            catalog: Arc::clone(&catalog),
            partitions: known.partitions.clone(),
            needed: needed(&known),
            parents,
            budget: shared.budget.clone(),
            steering: shared.steering.clone(),
            meters: Arc::clone(&shared.meters),
            watch: shared.settings.watch,
        };
        match feed::start(feed) {
            Ok(inflow) => {
                let lane = Lane::new(
                    Arc::clone(&shared),
                    Arc::clone(plan),
                    Arc::clone(&staged[index]),
                    known,
                    inflow,
                    idles[index].clone(),
                    seed ^ index as u64,
                );
                lanes.spawn(async move { (index, lane.run().await) });
            }
            Err(error) => {
                ends[index] = Some(Err(LaneFailed::Source(format!("no thread: {error}"))));
            }
        }
    }
    let tending = tokio::spawn(tend(Arc::clone(&shared)));
    let mut gauge = tokio::time::interval(GAUGE);
    loop {
        tokio::select! {
            ended = lanes.join_next() => match ended {
                Some(Ok((index, end))) => {
                    note(&shared, &plans[index], &end);
                    ends[index] = Some(end);
                }
                Some(Err(error)) => {
                    tracing::error!(%error, "a lane ended with a panic");
                    stop(&shared);
                }
                None => break,
            },
            _ = gauge.tick() => {
                let taken = i64::try_from(shared.budget.taken()).unwrap_or(i64::MAX);
                shared.meters.memory_taken.set(taken);
            }
        }
    }
    tending.abort();
    shared.budget.close();
    let sinks = show_all(&shared, sinks).await.err();
    let loads = ends
        .into_iter()
        .map(|end| {
            end.unwrap_or_else(|| {
                Err(LaneFailed::Invariant {
                    code: "DV0499",
                    detail: "the lane ended with a panic; its open rows stay in doubt".to_owned(),
                })
            })
        })
        .collect();
    let end = RunEnd { loads, staged, sinks };
    if end.is_complete() {
        close(&shared, &end.staged).await;
    }
    end
}

/// Waits until every outcome is durable and every line behind it is in the files.
async fn show_all<T: Transport>(shared: &Shared<T>, sinks: &Sinks) -> Result<(), String> {
    // Outcomes are appended and not waited for; an append after them all is durable after them,
    // and their projections are queued before its ticket is released.
    shared.ledger.append(&[], None).await.map_err(|error| error.to_string())?;
    sinks.flush_and_mark().await.map_err(|error| error.to_string())?;
    Ok(())
}

/// Files without which a batch in doubt or a line that is missing cannot be made again.
fn needed(known: &LoadRecovery) -> BTreeSet<PartitionId> {
    let in_doubt = known.unsettled.iter().flat_map(|batch| batch.rows.runs());
    let unshown = known.unprojected.keys().map(|row| row.partition());
    in_doubt.map(|run| run.first.partition()).chain(unshown).collect()
}

fn remember(plan: &LoadPlan, known: &LoadRecovery) -> SharedStaged {
    let mut staged = Staged::new(plan.spec.ids.clone(), plan.pinned, known.states.clone());
    staged.ids.extend(known.server_ids.iter());
    Arc::new(RwLock::new(staged))
}

/// Rows of earlier runs count from the start, so that the accounts are right even if this run ends
/// before it has read their files again; rows whose lines are written again are settled when they
/// are.
fn count_known<T: Transport>(shared: &Shared<T>, plan: &LoadPlan, known: &LoadRecovery) {
    let meters = shared.meters.load(plan.table);
    let read = known.states.settled() + known.states.pending();
    meters.read.inc_by(read);
    meters.open.add(i64::try_from(read).unwrap_or(i64::MAX));
    for state in RowState::ALL {
        let unshown = known.unprojected.values().filter(|u| u.state == state).count() as u64;
        let shown = known.states.count(state).saturating_sub(unshown);
        meters.settle(state, shown);
    }
}

fn note<T: Transport>(shared: &Shared<T>, plan: &LoadPlan, end: &Result<LaneEnd, LaneFailed>) {
    let load = plan.spec.name.as_str();
    match end {
        Ok(LaneEnd::Done) => tracing::info!(load, "every row is settled"),
        Ok(LaneEnd::Stopped { .. }) => tracing::info!(load, "stopped before its end; resumable"),
        Ok(LaneEnd::Paused(why)) => {
            tracing::error!(load, why, "ended while paused; resumable");
            stop(shared);
        }
        Err(error) => {
            tracing::error!(load, %error, "cannot go on");
            stop(shared);
        }
    }
}

fn stop<T: Transport>(shared: &Shared<T>) {
    if shared.steering.wish(Wish::Stop).is_err() {
        tracing::debug!("the run is stopping already");
    }
}

async fn close<T: Transport>(shared: &Shared<T>, staged: &[SharedStaged]) {
    let totals = staged
        .iter()
        .map(|staged| {
            let staged = staged.read();
            RowState::ALL
                .into_iter()
                .map(|state| (state, staged.states.count(state)))
                .filter(|(_, rows)| *rows > 0)
                .collect()
        })
        .collect();
    let closed = shared.ledger.append(&[LedgerRecord::Close { totals }], None).await;
    if let Err(error) = closed {
        tracing::error!(%error, "the job is complete, and its ledger could not be closed");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::ledger::ranges::OrdinalRanges;
    use crate::pipeline::ledger::recover::{Unprojected, UnsettledBatch};
    use crate::record::key::{BatchId, Ordinal};
    use crate::record::outcome::Operation;

    #[test]
    fn a_file_with_rows_in_doubt_or_lines_to_show_is_needed_again() {
        let row = |partition| Ordinal::new(PartitionId(partition), 7);
        let mut known = LoadRecovery::default();
        assert!(needed(&known).is_empty());
        known.unsettled.push(UnsettledBatch {
            batch: BatchId(1),
            rows: OrdinalRanges::from_ascending([row(1), row(3)]).expect("ascending"),
            operation: Operation::Create,
            parent: None,
            payload_hash: 0,
        });
        let shown = Unprojected {
            state: RowState::Created,
            batch: None,
            at_ms: None,
            attempts: 1,
            fault: None,
            id: None,
        };
        known.unprojected.insert(row(4), shown);
        assert_eq!(needed(&known), [1, 3, 4].map(PartitionId).into());
    }
}
