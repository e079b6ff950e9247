//! Pure: from the records of a ledger to what a start of the program needs to know.

use crate::pipeline::ledger::fingerprint::FileFingerprint;
use crate::pipeline::ledger::ranges::{OrdinalRanges, OrdinalRun};
use crate::pipeline::ledger::record::{
    Intent, LedgerRecord, OpenRecord, Outcome, PartitionRecord, RowFail,
};
use crate::pipeline::ledger::states::{IllegalMove, RowStates, Standing};
use crate::record::key::{BatchId, Ordinal, PartitionId, TableId};
use crate::record::outcome::{Operation, RowFault, RowState};
use crate::record::projection::{LedgerPosition, SinkMark};
use hashbrown::HashMap;
use std::collections::{BTreeMap, VecDeque};
use uuid::Uuid;

/// What a start of the program needs to know.
#[derive(Clone, Debug, Default)]
pub struct Recovery {
    /// Number of this start, from 1.
    pub epoch: u32,
    /// Number of the next batch.
    pub next_batch: u64,
    /// Per table load, in job order.
    pub loads: Vec<LoadRecovery>,
    /// Pauses that were not lifted: the load (all when `None`) and why.
    pub paused: Vec<(Option<TableId>, String)>,
    /// Totals, when the job was closed and nothing was begun since.
    pub closed: Option<Vec<Vec<(RowState, u64)>>>,
    /// Bytes of an unfinished write that were cut off; never promised to anybody.
    pub cut_bytes: u64,
}

/// What is known of one load.
#[derive(Clone, Debug, Default)]
pub struct LoadRecovery {
    /// Source files seen; the index is the [`PartitionId`].
    pub partitions: Vec<PartitionInfo>,
    /// States of all rows.
    pub states: RowStates,
    /// Batches with an intent and no outcome, ascending; each may have been sent.
    pub unsettled: Vec<UnsettledBatch>,
    /// Ids Dataverse chose.
    pub server_ids: ServerIds,
    /// Rows whose lines may be missing from the sink files: to be found again in the source by
    /// ordinal and written again. Holds rows of the success and error files only.
    pub unprojected: HashMap<Ordinal, Unprojected>,
    /// Last mark of the sink files.
    pub sink: Option<SinkMark>,
}

/// A source file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PartitionInfo {
    /// Where it is.
    pub path: String,
    /// What it held when first seen.
    pub fingerprint: FileFingerprint,
    /// Records it holds, when it was read to its end.
    pub records: Option<u64>,
}

/// A batch with an intent and no outcome.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UnsettledBatch {
    /// Its number.
    pub batch: BatchId,
    /// Its rows, in the order they were sent.
    pub rows: OrdinalRanges,
    /// What it does.
    pub operation: Operation,
    /// The batch it was split from.
    pub parent: Option<BatchId>,
    /// Hash of the body sent.
    pub payload_hash: u64,
}

/// A settled row whose line may be missing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unprojected {
    /// What it is.
    pub state: RowState,
    /// The batch that settled it; `None` when it was never sent.
    pub batch: Option<BatchId>,
    /// When, milliseconds since 1970, UTC; `None` when it was never sent.
    pub at_ms: Option<i64>,
    /// Requests it took part in.
    pub attempts: u32,
    /// Why it was refused.
    pub fault: Option<RowFault>,
    /// Id Dataverse chose.
    pub id: Option<Uuid>,
}

/// Ids Dataverse chose, by row: 16 bytes a row.
#[derive(Clone, Debug, Default)]
pub struct ServerIds {
    runs: Vec<(OrdinalRun, usize)>,
    ids: Vec<Uuid>,
}

impl ServerIds {
    /// The id of `row`.
    #[must_use]
    pub fn get(&self, row: Ordinal) -> Option<Uuid> {
        let after = self.runs.partition_point(|(run, _)| run.first <= row);
        let (run, start) = self.runs.get(after.checked_sub(1)?)?;
        let offset = row.bits() - run.first.bits();
        if offset >= u64::from(run.count) {
            return None;
        }
        self.ids.get(start + usize::try_from(offset).ok()?).copied().filter(|id| !id.is_nil())
    }

    /// All rows with their ids, ascending.
    pub fn iter(&self) -> impl Iterator<Item = (Ordinal, Uuid)> + '_ {
        self.runs
            .iter()
            .flat_map(|(run, start)| run.rows().zip(self.ids[*start..].iter().copied()))
            .filter(|(_, id)| !id.is_nil())
    }

    fn add(&mut self, rows: &OrdinalRanges, ids: &[Uuid]) {
        let mut start = self.ids.len();
        for run in rows.runs() {
            self.runs.push((*run, start));
            start += run.count as usize;
        }
        self.ids.extend_from_slice(ids);
    }
}

/// The records contradict each other: a fault of the program, or a damage no check sum saw.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Contradiction {
    /// A row would be settled twice.
    #[error("{0}")]
    Move(#[from] IllegalMove),
    /// The first record is something else, or comes again.
    #[error("the record that says what the ledger belongs to is missing or comes twice")]
    Open,
    /// A load the job does not have.
    #[error("table load {0} of {1}")]
    Load(u16, usize),
    /// A source file out of turn.
    #[error("source file {0} of a load that has {1}")]
    Partition(u32, usize),
    /// An intent for a batch that is open, or rows of a batch that is open.
    #[error("batch {0} begins while it, or another batch with its rows, is open")]
    BatchOpen(u64),
    /// An outcome or a split of a batch that is not open.
    #[error("batch {0} ends without being open")]
    BatchUnknown(u64),
    /// States or ids do not cover the rows of a batch.
    #[error("batch {batch} has {rows} rows, and its outcome speaks of {told}")]
    RowCount {
        /// The batch.
        batch: u64,
        /// Rows it has.
        rows: u64,
        /// Rows the outcome speaks of.
        told: u64,
    },
    /// A split without its children.
    #[error("batch {0} was split, and its child {1} is missing")]
    ChildMissing(u64, u64),
    /// Starts are numbered wrongly.
    #[error("start {found} follows start {last}")]
    Epoch {
        /// Number before.
        last: u32,
        /// Number found.
        found: u32,
    },
    /// A row failed without being refused.
    #[error("row {0:?} is recorded as refused with state {1:?}")]
    FailState(Ordinal, RowState),
}

/// Takes records in ledger order.
#[derive(Debug, Default)]
pub struct Replay {
    open: Option<Box<OpenRecord>>,
    epoch: u32,
    next_batch: u64,
    loads: Vec<LoadReplay>,
    batches: BTreeMap<BatchId, Intent>,
    awaited: HashMap<BatchId, BatchId>,
    paused: Vec<(Option<TableId>, String)>,
    closed: Option<Vec<Vec<(RowState, u64)>>>,
}

#[derive(Debug, Default)]
struct LoadReplay {
    kept: LoadRecovery,
    settled: VecDeque<(LedgerPosition, SettledRows)>,
    faults: VecDeque<(LedgerPosition, RowFail)>,
}

#[derive(Debug)]
struct SettledRows {
    rows: OrdinalRanges,
    row: Unprojected,
}

impl Replay {
    /// Before the first record.
    #[must_use]
    pub fn new() -> Self {
        Self { next_batch: 1, ..Self::default() }
    }

    /// The ledger's first record, once seen.
    #[must_use]
    pub fn opened(&self) -> Option<&OpenRecord> {
        self.open.as_deref()
    }

    /// Number of the last start; 0 before the first.
    #[must_use]
    pub const fn epoch(&self) -> u32 {
        self.epoch
    }

    /// Takes the next record, which ends at `position`.
    ///
    /// # Errors
    /// When it contradicts those before.
    pub fn apply(
        &mut self,
        position: LedgerPosition,
        record: LedgerRecord,
    ) -> Result<(), Contradiction> {
        if self.open.is_none() != matches!(record, LedgerRecord::Open(_)) {
            return Err(Contradiction::Open);
        }
        match record {
            LedgerRecord::Open(open) => {
                self.loads.resize_with(open.belongs.loads.len(), LoadReplay::default);
                self.open = Some(open);
            }
            LedgerRecord::Epoch(start) => {
                if start.epoch != self.epoch.saturating_add(1) {
                    return Err(Contradiction::Epoch { last: self.epoch, found: start.epoch });
                }
                self.epoch = start.epoch;
            }
            LedgerRecord::Partition(partition) => self.partition(*partition)?,
            LedgerRecord::PartitionEnd { table, partition, records } => {
                let known = &mut self.load(table)?.kept.partitions;
                let count = known.len();
                known
                    .get_mut(partition.0 as usize)
                    .ok_or(Contradiction::Partition(partition.0, count))?
                    .records = Some(records);
            }
            LedgerRecord::Intent(intent) => self.intent(intent)?,
            LedgerRecord::Outcome(outcome) => self.outcome(position, *outcome)?,
            LedgerRecord::RowFail(fail) => self.row_fail(position, *fail)?,
            LedgerRecord::Split { batch, children } => {
                self.batches.remove(&batch).ok_or(Contradiction::BatchUnknown(batch.0))?;
                self.awaited.extend(children.into_iter().map(|child| (child, batch)));
            }
            LedgerRecord::Skip { table, rows, state } => self.skip(position, table, rows, state)?,
            LedgerRecord::SinkMark(mark) => self.load(mark.table)?.mark(mark),
            LedgerRecord::Pause { table, reason } => {
                self.paused.retain(|(t, _)| *t != table);
                self.paused.push((table, reason));
            }
            LedgerRecord::Resume { table, .. } => {
                self.paused.retain(|(t, _)| table.is_some() && *t != table);
            }
            LedgerRecord::Close { totals } => self.closed = Some(totals),
        }
        Ok(())
    }

    /// Ends the replay.
    ///
    /// # Errors
    /// When something announced never came.
    pub fn finish(mut self) -> Result<Recovery, Contradiction> {
        if let Some((child, parent)) = self.awaited.iter().next() {
            return Err(Contradiction::ChildMissing(parent.0, child.0));
        }
        for (batch, intent) in self.batches {
            self.loads[usize::from(intent.table.0)].kept.unsettled.push(UnsettledBatch {
                batch,
                rows: intent.rows,
                operation: intent.operation,
                parent: intent.parent,
                payload_hash: intent.payload_hash,
            });
        }
        Ok(Recovery {
            epoch: self.epoch,
            next_batch: self.next_batch,
            loads: self.loads.into_iter().map(LoadReplay::finish).collect(),
            paused: self.paused,
            closed: self.closed,
            cut_bytes: 0,
        })
    }

    fn load(&mut self, table: TableId) -> Result<&mut LoadReplay, Contradiction> {
        let count = self.loads.len();
        self.loads.get_mut(usize::from(table.0)).ok_or(Contradiction::Load(table.0, count))
    }

    fn partition(&mut self, record: PartitionRecord) -> Result<(), Contradiction> {
        self.closed = None;
        let known = &mut self.load(record.table)?.kept.partitions;
        if record.partition.0 as usize != known.len() {
            return Err(Contradiction::Partition(record.partition.0, known.len()));
        }
        let PartitionRecord { path, fingerprint, .. } = record;
        known.push(PartitionInfo { path, fingerprint, records: None });
        Ok(())
    }

    fn intent(&mut self, intent: Intent) -> Result<(), Contradiction> {
        self.closed = None;
        self.next_batch = self.next_batch.max(intent.batch.0.saturating_add(1));
        let is_child = intent.parent.is_some();
        self.awaited.remove(&intent.batch);
        if self.batches.contains_key(&intent.batch) {
            return Err(Contradiction::BatchOpen(intent.batch.0));
        }
        let load = &mut self.load(intent.table)?.kept;
        for run in intent.rows.runs() {
            let PartitionId(partition) = run.first.partition();
            if partition as usize >= load.partitions.len() {
                return Err(Contradiction::Partition(partition, load.partitions.len()));
            }
            if !is_child && run.rows().any(|row| load.states.get(row) == Standing::Pending) {
                return Err(Contradiction::BatchOpen(intent.batch.0));
            }
            load.states.set_run(*run, Standing::Pending)?;
        }
        self.batches.insert(intent.batch, intent);
        Ok(())
    }

    fn outcome(&mut self, at: LedgerPosition, outcome: Outcome) -> Result<(), Contradiction> {
        let BatchId(batch) = outcome.batch;
        let intent =
            self.batches.remove(&outcome.batch).ok_or(Contradiction::BatchUnknown(batch))?;
        let rows = intent.rows.len();
        let check = |told: u64| {
            if told == rows { Ok(()) } else { Err(Contradiction::RowCount { batch, rows, told }) }
        };
        check(outcome.states.iter().map(|(_, count)| u64::from(*count)).sum())?;
        let ids = outcome.server_ids.unwrap_or_default();
        let load = self.load(intent.table)?;
        if !ids.is_empty() {
            check(ids.len() as u64)?;
            load.kept.server_ids.add(&intent.rows, &ids);
        }
        let mut left = intent.rows;
        for (state, count) in outcome.states {
            let rows = left.take_front(u64::from(count));
            let row = Unprojected {
                state,
                batch: Some(outcome.batch),
                at_ms: Some(outcome.at_ms),
                attempts: outcome.attempts,
                fault: None,
                id: None,
            };
            load.settle(at, rows, row)?;
        }
        Ok(())
    }

    fn row_fail(&mut self, at: LedgerPosition, fail: RowFail) -> Result<(), Contradiction> {
        if !fail.state.is_bad() {
            return Err(Contradiction::FailState(fail.row, fail.state));
        }
        let load = self.load(fail.table)?;
        if fail.batch.is_none() {
            let mut rows = OrdinalRanges::default();
            let run = OrdinalRun { first: fail.row, count: 1 };
            rows.push(run).map_err(|_| Contradiction::FailState(fail.row, fail.state))?;
            let row = Unprojected {
                state: fail.state,
                batch: None,
                at_ms: None,
                attempts: fail.attempts,
                fault: None,
                id: None,
            };
            load.settle(at, rows, row)?;
        }
        load.faults.push_back((at, fail));
        Ok(())
    }

    fn skip(
        &mut self,
        at: LedgerPosition,
        table: TableId,
        rows: OrdinalRanges,
        state: RowState,
    ) -> Result<(), Contradiction> {
        let row =
            Unprojected { state, batch: None, at_ms: None, attempts: 0, fault: None, id: None };
        self.load(table)?.settle(at, rows, row)
    }
}

impl LoadReplay {
    fn settle(
        &mut self,
        at: LedgerPosition,
        rows: OrdinalRanges,
        row: Unprojected,
    ) -> Result<(), Contradiction> {
        for run in rows.runs() {
            self.kept.states.set_run(*run, Standing::Settled(row.state))?;
        }
        if row.state.is_good() || row.state.is_bad() {
            self.settled.push_back((at, SettledRows { rows, row }));
        }
        Ok(())
    }

    fn mark(&mut self, mark: SinkMark) {
        while self.settled.front().is_some_and(|(at, _)| *at <= mark.up_to) {
            self.settled.pop_front();
        }
        while self.faults.front().is_some_and(|(at, _)| *at <= mark.up_to) {
            self.faults.pop_front();
        }
        self.kept.sink = Some(mark);
    }

    fn finish(mut self) -> LoadRecovery {
        self.kept.server_ids.runs.sort_unstable_by_key(|(run, _)| run.first);
        for (_, SettledRows { rows, row }) in self.settled {
            for ordinal in rows.iter() {
                let id = self.kept.server_ids.get(ordinal);
                self.kept.unprojected.insert(ordinal, Unprojected { id, ..row.clone() });
            }
        }
        for (_, fail) in self.faults {
            if let Some(row) = self.kept.unprojected.get_mut(&fail.row) {
                row.fault = Some(fail.fault);
                row.attempts = fail.attempts;
            }
        }
        self.kept
    }
}
