//! Pure: what the ledger says, one value a frame.

use crate::pipeline::ledger::fingerprint::{Belongs, FileFingerprint};
use crate::pipeline::ledger::ranges::OrdinalRanges;
use crate::record::key::{BatchId, Ordinal, PartitionId, TableId};
use crate::record::outcome::{Operation, RowFault, RowState};
use crate::record::projection::SinkMark;
use uuid::Uuid;

/// One record of the ledger.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum LedgerRecord {
    /// First record: what the ledger belongs to.
    Open(Box<OpenRecord>),
    /// A start of the program.
    Epoch(Box<EpochRecord>),
    /// A source file was seen; durable before any intent of its rows.
    Partition(Box<PartitionRecord>),
    /// A source file was read to its end.
    PartitionEnd {
        /// The load.
        table: TableId,
        /// The file.
        partition: PartitionId,
        /// Records it holds.
        records: u64,
    },
    /// A batch is about to be sent; durable before its first byte leaves.
    Intent(Intent),
    /// What became of a batch.
    Outcome(Box<Outcome>),
    /// Why one row was refused, by Dataverse (`batch` names the batch whose outcome says
    /// [`RowState::Failed`] for it) or by us (`batch` is `None`, and this settles the row).
    RowFail(Box<RowFail>),
    /// A batch was taken apart; its children's intents stand in the same append, after this.
    Split {
        /// The batch.
        batch: BatchId,
        /// What it became.
        children: Vec<BatchId>,
    },
    /// Rows that are settled without being sent: filtered, existing, cancelled.
    Skip {
        /// The load.
        table: TableId,
        /// The rows.
        rows: OrdinalRanges,
        /// What they are.
        state: RowState,
    },
    /// How far the sink files of one load have come.
    SinkMark(SinkMark),
    /// A load (or all of them) rests.
    Pause {
        /// The load; all when `None`.
        table: Option<TableId>,
        /// Why.
        reason: String,
    },
    /// A load (or all of them) goes on.
    Resume {
        /// The load; all when `None`.
        table: Option<TableId>,
        /// Why.
        reason: String,
    },
    /// The job is complete.
    Close {
        /// Rows by state, per load in job order.
        totals: Vec<Vec<(RowState, u64)>>,
    },
}

/// The first record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OpenRecord {
    /// Format of the records.
    pub format: u32,
    /// What the ledger belongs to.
    pub belongs: Belongs,
    /// Program version that began it.
    pub program: String,
    /// When, milliseconds since 1970, UTC.
    pub at_ms: i64,
}

/// One start of the program.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EpochRecord {
    /// Number, from 1.
    pub epoch: u32,
    /// Process id.
    pub pid: u32,
    /// Host name.
    pub host: String,
    /// Boot id of the machine, where it has one.
    pub boot_id: String,
    /// When, milliseconds since 1970, UTC.
    pub at_ms: i64,
}

/// A source file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PartitionRecord {
    /// The load.
    pub table: TableId,
    /// Its number within the load.
    pub partition: PartitionId,
    /// Where it is.
    pub path: String,
    /// What it held when first seen.
    pub fingerprint: FileFingerprint,
}

/// A batch that is about to be sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Intent {
    /// Its number, greater than any before.
    pub batch: BatchId,
    /// The batch it was split from.
    pub parent: Option<BatchId>,
    /// The load.
    pub table: TableId,
    /// What it does.
    pub operation: Operation,
    /// Its rows, in the order they are sent.
    pub rows: OrdinalRanges,
    /// Hash of the body sent, to notice that a restart makes another one.
    pub payload_hash: u64,
}

/// What became of a batch.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Outcome {
    /// The batch.
    pub batch: BatchId,
    /// When, milliseconds since 1970, UTC.
    pub at_ms: i64,
    /// Requests it took.
    pub attempts: u32,
    /// The service's name for the last request.
    pub service_request_id: Option<String>,
    /// From the first byte sent to the last received, milliseconds.
    pub duration_ms: u32,
    /// States of its rows in the intent's order, as runs; mostly one.
    pub states: Vec<(RowState, u32)>,
    /// Ids in the intent's order, where Dataverse chose them; nil for a row without.
    pub server_ids: Option<Vec<Uuid>>,
}

/// Why one row was refused.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RowFail {
    /// The load.
    pub table: TableId,
    /// The row.
    pub row: Ordinal,
    /// What it is: rejected, duplicate or failed.
    pub state: RowState,
    /// Why.
    pub fault: RowFault,
    /// Requests it took part in.
    pub attempts: u32,
    /// The batch; `None` when the row was never sent.
    pub batch: Option<BatchId>,
}
