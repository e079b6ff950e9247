//! The sink thread and its files.

use crate::config::job::SinkFormat;
use crate::record::key::TableId;
use crate::record::outcome::RowState;
use crate::record::projection::{MarkLog, ProjectionQueue, SinkMark};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The files of one load: `<name>.success.<ext>` and `<name>.errors.<ext>`.
#[derive(Clone, Debug)]
pub struct SinkFiles {
    /// The load.
    pub table: TableId,
    /// Its name.
    pub name: String,
    /// Format of the success file.
    pub success_format: SinkFormat,
    /// First line of the success file, with line feed; empty for JSON.
    pub success_header: Vec<u8>,
    /// Format of the error file: that of the source.
    pub error_format: SinkFormat,
    /// First line of the error file, with line feed; empty for JSON; `None` while no source file
    /// was seen ([`Sinks::set_error_header`]).
    pub error_header: Option<Vec<u8>>,
}

/// Told of rows by state once their lines are in the files.
pub type OnProjected = Arc<dyn Fn(TableId, &[(RowState, u64)]) + Send + Sync>;

/// Whether the sink files can be written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SinkHealth {
    /// They can.
    Good,
    /// The disk is full; tried again every second.
    NoSpace,
    /// Something else failed; nothing is written any more. The ledger holds every outcome.
    Failed(String),
}

/// Why sink files cannot be opened (DV0407).
#[derive(Debug, thiserror::Error)]
pub enum SinksRefused {
    /// A file cannot be read or written.
    #[error("{path}: cannot {action}: {cause}")]
    Storage {
        /// The file or folder.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// Why it did not work.
        cause: io::Error,
    },
    /// A file lost lines that the ledger knows to be written.
    #[error(
        "{path}: holds {found} bytes, and the ledger knows of {marked}: lines were removed; move the file away to begin a new one"
    )]
    Shorter {
        /// The file.
        path: PathBuf,
        /// Length it must have, bytes.
        marked: u64,
        /// Length it has, bytes.
        found: u64,
    },
}

/// Sinks did not take everything.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("sink files are incomplete: {0}")]
pub struct SinksFailed(pub String);

/// The success and error files of a job and the thread that writes them.
pub struct Sinks {}

impl Sinks {
    /// Opens the files, cuts them back to `marks` (from recovery) and begins to take projections
    /// from `queue`. A file that is gone is begun anew.
    ///
    /// # Errors
    /// See [`SinksRefused`].
    pub fn open(
        folder: &Path,
        files: Vec<SinkFiles>,
        marks: &[SinkMark],
        queue: ProjectionQueue,
        log: impl MarkLog,
        on_projected: OnProjected,
    ) -> Result<Self, SinksRefused> {
        todo!()
    }

    /// Tells the header of a load's error file once it is known.
    pub fn set_error_header(&self, table: TableId, header: Vec<u8>) {
        todo!()
    }

    /// Writes and syncs everything that was durable before this call, appends marks and waits
    /// until those are durable. Returns the marks of all loads.
    ///
    /// # Errors
    /// When files or ledger failed, or the disk is full.
    pub async fn flush_and_mark(&self) -> Result<Vec<SinkMark>, SinksFailed> {
        todo!()
    }

    /// Whether files can be written.
    #[must_use]
    pub fn health(&self) -> SinkHealth {
        todo!()
    }

    /// Paths of one load's success and error file.
    #[must_use]
    pub fn paths(&self, table: TableId) -> Option<(PathBuf, PathBuf)> {
        todo!()
    }
}
