//! What is shown of settled rows once the ledger holds their outcome: lines for the sink files,
//! counts for people, and the memory to give back. It travels through the ledger writer, so
//! nothing is shown before it is durable and files follow the ledger's order.

use crate::limits::PROJECTION_QUEUE_BYTES;
use crate::record::key::TableId;
use crate::record::outcome::RowState;
use crate::record::refused::LatestRefused;
use parking_lot::{Condvar, Mutex};
use std::any::Any;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// What becomes visible when the records appended with it are durable.
#[derive(Default)]
pub struct Projection {
    /// Lines per table load.
    pub lines: Vec<TableLines>,
    /// Dropped after the lines were handed to the files (memory permits, chunk references).
    pub hold: Option<Box<dyn Any + Send>>,
}

/// Finished lines of one table load, in the file's own format, each ending with a line feed.
#[derive(Debug)]
pub struct TableLines {
    /// The load.
    pub table: TableId,
    /// Lines of the success file.
    pub success: Vec<u8>,
    /// Lines of the error file.
    pub errors: Vec<u8>,
    /// Rows by their new state.
    pub counts: Vec<(RowState, u64)>,
    /// The latest of the refused ones.
    pub refused: LatestRefused,
}

/// A place in the ledger: bytes of records before it since the job began. Grows, also over
/// segments and restarts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct LedgerPosition(pub u64);

/// How far the files of one load are known to hold what the ledger says. Everything of the load
/// at or before `up_to` stands, synced, within these lengths.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SinkMark {
    /// The load.
    pub table: TableId,
    /// Length of the success file, bytes.
    pub success_bytes: u64,
    /// Length of the error file, bytes.
    pub error_bytes: u64,
    /// Ledger position projected.
    pub up_to: LedgerPosition,
}

/// Where sinks leave their marks; the ledger.
pub trait MarkLog: Send + 'static {
    /// Appends marks; returns once they are queued, not once they are durable.
    ///
    /// # Errors
    /// The text of the ledger's failure when it takes no more records.
    fn mark(&self, marks: Vec<SinkMark>) -> Result<(), String>;

    /// As [`MarkLog::mark`], and waits until they are durable. Not for async code.
    ///
    /// # Errors
    /// The text of the ledger's failure.
    fn mark_durably(&self, marks: Vec<SinkMark>) -> Result<(), String>;
}

/// One thing on its way from the ledger writer to the sinks.
pub enum SinkWork {
    /// A projection whose records are durable up to `LedgerPosition`.
    Durable(LedgerPosition, Projection),
    /// Header of a load's error file, once known; used when that file is empty.
    ErrorHeader(TableId, Vec<u8>),
    /// The lines of earlier runs that a load's files lacked were written; marks may be set again.
    CaughtUp(TableId),
    /// Write, sync and mark everything before this, then answer.
    Flush(tokio::sync::oneshot::Sender<Result<Vec<SinkMark>, String>>),
    /// End.
    Stop,
}

/// The way from the ledger writer to the sinks, in ledger order. Pushing never blocks, since
/// outcomes must reach the ledger even when the sinks' disk is full; the bound is kept by
/// [`ProjectionQueue::is_behind`], at which the ledger takes no more intents, so that what can
/// still come is what is in flight.
#[derive(Clone, Default)]
pub struct ProjectionQueue(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    arrived: Condvar,
}

#[derive(Default)]
struct State {
    work: VecDeque<SinkWork>,
    /// Line bytes queued or taken and not yet written.
    bytes: usize,
}

impl ProjectionQueue {
    /// An empty queue.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds work at the end.
    pub fn push(&self, work: SinkWork) {
        let mut state = self.0.state.lock();
        state.bytes += work.line_bytes();
        state.work.push_back(work);
        drop(state);
        self.0.arrived.notify_one();
    }

    /// Adds several at once, in order.
    pub fn push_all(&self, works: impl Iterator<Item = SinkWork>) {
        let mut state = self.0.state.lock();
        for work in works {
            state.bytes += work.line_bytes();
            state.work.push_back(work);
        }
        drop(state);
        self.0.arrived.notify_one();
    }

    /// Takes the oldest, waiting at most `wait`. Its bytes count as queued until
    /// [`ProjectionQueue::written`] is told.
    #[must_use]
    pub fn pop(&self, wait: Duration) -> Option<SinkWork> {
        let mut state = self.0.state.lock();
        if state.work.is_empty() {
            self.0.arrived.wait_for(&mut state, wait);
        }
        state.work.pop_front()
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.state.lock().work.is_empty()
    }

    /// Says that `bytes` of lines taken were written.
    pub fn written(&self, bytes: usize) {
        let mut state = self.0.state.lock();
        state.bytes = state.bytes.saturating_sub(bytes);
    }

    /// Whether the sinks are so far behind that no new work should be begun.
    #[must_use]
    pub fn is_behind(&self) -> bool {
        self.0.state.lock().bytes > PROJECTION_QUEUE_BYTES
    }
}

impl SinkWork {
    /// Bytes of its lines.
    #[must_use]
    pub fn line_bytes(&self) -> usize {
        match self {
            Self::Durable(_, projection) => {
                projection.lines.iter().map(|l| l.success.len() + l.errors.len()).sum()
            }
            Self::ErrorHeader(..) | Self::CaughtUp(_) | Self::Flush(_) | Self::Stop => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(bytes: usize) -> SinkWork {
        let line = TableLines {
            table: TableId(0),
            success: vec![b'x'; bytes],
            errors: vec![],
            counts: vec![],
            refused: LatestRefused::default(),
        };
        SinkWork::Durable(LedgerPosition(1), Projection { lines: vec![line], hold: None })
    }

    #[test]
    fn queue_is_behind_until_the_bytes_are_written() {
        let queue = ProjectionQueue::new();
        queue.push(lines(PROJECTION_QUEUE_BYTES));
        assert!(!queue.is_behind());
        queue.push(lines(1));
        assert!(queue.is_behind());
        assert!(queue.pop(Duration::ZERO).is_some());
        assert!(queue.is_behind(), "taken is not written");
        queue.written(PROJECTION_QUEUE_BYTES);
        assert!(!queue.is_behind());
    }
}
