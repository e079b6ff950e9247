//! The ledger's handle and its writer thread.

use crate::pipeline::ledger::fingerprint::{Belongs, BelongsElsewhere};
use crate::pipeline::ledger::record::LedgerRecord;
use crate::pipeline::ledger::recover::{Contradiction, Recovery};
use crate::record::projection::{LedgerPosition, MarkLog, Projection, ProjectionQueue, SinkMark};
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::sync::oneshot;

/// A job's ledger. Clones share it; the last one ends the writer and gives the lock back.
#[derive(Clone)]
pub struct Ledger {}

/// How a ledger is kept.
#[derive(Clone)]
pub struct LedgerOptions {
    /// Where projections go once their records are durable.
    pub projections: ProjectionQueue,
    /// Size of a segment, bytes.
    pub segment_bytes: u64,
}

/// Whether the ledger takes records.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum LedgerHealth {
    /// It does.
    Good,
    /// Intents wait until the disk has room again; outcomes are still written.
    NoSpace,
    /// Intents wait until the sink files have caught up; outcomes are still written.
    SinksBehind,
    /// A write or sync failed; nothing is taken any more. The next start reads the file again.
    Failed(LedgerFailed),
}

/// A write or sync failed, and nothing is taken any more (DV0406).
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the ledger cannot be written: {0}")]
pub struct LedgerFailed(Arc<str>);

/// Why a ledger is not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenRefused {
    /// DV0401: another process has it.
    #[error("{folder}: the ledger is in use by {holder}")]
    Locked {
        /// The ledger's folder.
        folder: PathBuf,
        /// Process, host and start of the holder.
        holder: String,
    },
    /// DV0402: it is of another job, organization or job file.
    #[error("{folder}: {difference}")]
    Elsewhere {
        /// The ledger's folder.
        folder: PathBuf,
        /// The first difference.
        difference: BelongsElsewhere,
    },
    /// DV0403: bytes in its midst are not what was written.
    #[error("{file}: damaged at byte {offset}: {detail}")]
    Damaged {
        /// The segment.
        file: PathBuf,
        /// Place in the segment.
        offset: u64,
        /// What is wrong.
        detail: String,
    },
    /// DV0403: its records contradict each other.
    #[error(
        "{file}: the record before byte {offset} contradicts the ones before it: {contradiction}"
    )]
    Contradiction {
        /// The segment.
        file: PathBuf,
        /// Place in the segment.
        offset: u64,
        /// What is wrong.
        contradiction: Contradiction,
    },
    /// DV0405: written by a newer version of the program.
    #[error("{file}: format {found} is newer than this program's {known}")]
    Newer {
        /// The segment.
        file: PathBuf,
        /// Format found.
        found: u32,
        /// Newest format this program reads.
        known: u32,
    },
    /// DV0406: files cannot be read or written.
    #[error("{path}: cannot {action}: {cause}")]
    Storage {
        /// The file or folder.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// Why it did not work.
        cause: io::Error,
    },
}

/// Resolves once the records appended are durable. Dropping it changes nothing.
#[derive(Debug)]
#[must_use = "records are durable only once the ticket says so"]
pub struct Ticket(oneshot::Receiver<Result<LedgerPosition, LedgerFailed>>);

impl Ledger {
    /// Takes the lock, reads the ledger in `folder` (making one if there is none), cuts off an
    /// unfinished write, and notes this start.
    ///
    /// # Errors
    /// See [`OpenRefused`].
    pub fn open(
        folder: &Path,
        belongs: &Belongs,
        options: LedgerOptions,
    ) -> Result<(Self, Recovery), OpenRefused> {
        todo!()
    }

    /// Appends records, all or none of which survive a crash; `projection` goes to the sinks once
    /// they are durable. Blocks the thread while more than `limits::LEDGER_QUEUE_BYTES` wait.
    pub fn append(&self, records: &[LedgerRecord], projection: Option<Projection>) -> Ticket {
        todo!()
    }

    /// As [`Ledger::append`], and waits for room without blocking the thread.
    pub async fn append_when_room(
        &self,
        records: &[LedgerRecord],
        projection: Option<Projection>,
    ) -> Ticket {
        todo!()
    }

    /// Whether it takes records.
    #[must_use]
    pub fn health(&self) -> LedgerHealth {
        todo!()
    }

    /// End of the last durable record.
    #[must_use]
    pub fn position(&self) -> LedgerPosition {
        todo!()
    }
}

impl Ticket {
    /// Blocks until the records are durable. Not for async code.
    ///
    /// # Errors
    /// When the ledger failed.
    pub fn wait(self) -> Result<LedgerPosition, LedgerFailed> {
        todo!()
    }
}

impl Future for Ticket {
    type Output = Result<LedgerPosition, LedgerFailed>;
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        todo!()
    }
}

impl MarkLog for Ledger {
    fn mark(&self, marks: Vec<SinkMark>) -> Result<(), String> {
        todo!()
    }
    fn mark_durably(&self, marks: Vec<SinkMark>) -> Result<(), String> {
        todo!()
    }
}

impl OpenRefused {
    /// Its page in `dvbulk explain`.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Locked { .. } => "DV0401",
            Self::Elsewhere { .. } => "DV0402",
            Self::Damaged { .. } | Self::Contradiction { .. } => "DV0403",
            Self::Newer { .. } => "DV0405",
            Self::Storage { .. } => "DV0406",
        }
    }
}
