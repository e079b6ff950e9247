//! The sinks' handle and their files.

use crate::config::job::SinkFormat;
use crate::pipeline::sink::unprocessed::{private, sync_folder};
use crate::pipeline::sink::writer::{Lines, Pair, SinkWriter, Told};
use crate::record::key::TableId;
use crate::record::projection::{
    LedgerPosition, MarkLog, ProjectionQueue, SinkMark, SinkWork, TableLines,
};
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, JoinHandle};
use tokio::sync::oneshot;

/// The files of one load: `<name>.success.<csv|jsonl>` and `<name>.errors.<csv|jsonl>`.
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
    /// Last mark, from recovery.
    pub mark: Option<SinkMark>,
    /// Recovery names rows whose lines are missing: no mark is set until [`Sinks::caught_up`],
    /// since it would speak for those rows too.
    pub catching_up: bool,
}

/// Told of rows by state once their lines are in the files.
pub type OnProjected = Arc<dyn Fn(&TableLines) + Send + Sync>;

/// Whether the sink files can be written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SinkHealth {
    /// They can.
    Good,
    /// The disk is full; tried again twice a second.
    NoSpace,
    /// Something else failed; nothing is written any more. The ledger holds every outcome, and
    /// the next start completes the files.
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
    /// A file is there that this ledger never wrote; it is not overwritten.
    #[error(
        "{path}: is there already and not of this job's ledger; move it away, or choose another sink folder"
    )]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// A file lost lines that the ledger knows to be written.
    #[error(
        "{path}: holds {found} bytes where the ledger knows of {marked}: lines were removed; move the file away to begin a new one"
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

/// The success and error files of a job and the thread that writes them. Dropping it writes what
/// is queued (unless the disk is full), marks it and ends the thread.
pub struct Sinks {
    queue: ProjectionQueue,
    told: Arc<Told>,
    paths: Vec<(TableId, PathBuf, PathBuf)>,
    restarted: Vec<PathBuf>,
    thread: Option<JoinHandle<()>>,
}

impl Sinks {
    /// Opens the files, cuts them back to their marks and begins to take projections from
    /// `queue`. A file that was moved away is begun anew.
    ///
    /// # Errors
    /// See [`SinksRefused`].
    pub fn open(
        folder: &Path,
        files: Vec<SinkFiles>,
        queue: ProjectionQueue,
        log: impl MarkLog,
        on_projected: OnProjected,
    ) -> Result<Self, SinksRefused> {
        make_folder(folder).map_err(failed(folder, "make"))?;
        let mut pairs = Vec::new();
        let mut paths = Vec::new();
        let mut restarted = Vec::new();
        for load in files {
            let success =
                folder.join(format!("{}.success.{}", load.name, ext(load.success_format)));
            let errors = folder.join(format!("{}.errors.{}", load.name, ext(load.error_format)));
            let length = |of: fn(&SinkMark) -> u64| load.mark.as_ref().map(of);
            let gone = restarted.len();
            let success_file = open_at(
                &success,
                length(|m| m.success_bytes),
                &load.success_header,
                &mut restarted,
            )?;
            let error_header = load.error_header.as_deref().unwrap_or_default();
            let error_file =
                open_at(&errors, length(|m| m.error_bytes), error_header, &mut restarted)?;
            pairs.push(Pair {
                table: load.table,
                success: Lines::new(success_file, Some(load.success_header)),
                errors: Lines::new(error_file, load.error_header),
                marked_to: load.mark.map_or(LedgerPosition(0), |mark| mark.up_to),
                mark_first: load.mark.is_none() || restarted.len() > gone,
                catching_up: load.catching_up,
            });
            paths.push((load.table, success, errors));
        }
        sync_folder(folder).map_err(failed(folder, "sync"))?;
        let told = Arc::new(Told::default());
        let writer =
            SinkWriter::new(pairs, queue.clone(), Box::new(log), on_projected, Arc::clone(&told));
        let thread = thread::Builder::new()
            .name("sinks".into())
            .spawn(move || writer.run())
            .map_err(failed(folder, "start the thread for"))?;
        Ok(Self { queue, told, paths, restarted, thread: Some(thread) })
    }

    /// Tells the header of a load's error file once it is known.
    pub fn set_error_header(&self, table: TableId, header: Vec<u8>) {
        self.queue.push(SinkWork::ErrorHeader(table, header));
    }

    /// Says that the tickets of all projections that complete a load's files were released.
    pub fn caught_up(&self, table: TableId) {
        self.queue.push(SinkWork::CaughtUp(table));
    }

    /// Writes and syncs everything that was durable before this call, appends marks and waits
    /// until those are durable. Returns lengths and positions of all loads. Waits while the disk
    /// is full.
    ///
    /// # Errors
    /// When files or ledger failed.
    pub async fn flush_and_mark(&self) -> Result<Vec<SinkMark>, SinksFailed> {
        let (answer, flushed) = oneshot::channel();
        self.queue.push(SinkWork::Flush(answer));
        match flushed.await {
            Ok(marks) => marks.map_err(SinksFailed),
            Err(_) => Err(SinksFailed("their writer has ended".into())),
        }
    }

    /// Whether files can be written.
    #[must_use]
    pub fn health(&self) -> SinkHealth {
        self.told.health.lock().clone()
    }

    /// Paths of one load's success and error file.
    #[must_use]
    pub fn paths(&self, table: TableId) -> Option<(&Path, &Path)> {
        let found = self.paths.iter().find(|(t, ..)| *t == table);
        found.map(|(_, success, errors)| (success.as_path(), errors.as_path()))
    }

    /// Files that were gone though the ledger knows of lines in them; they were begun anew.
    #[must_use]
    pub fn restarted(&self) -> &[PathBuf] {
        &self.restarted
    }
}

impl Drop for Sinks {
    fn drop(&mut self) {
        self.told.ending.store(true, Ordering::Release);
        self.queue.push(SinkWork::Stop);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            drop(thread.join());
        }
    }
}

const fn ext(format: SinkFormat) -> &'static str {
    match format {
        SinkFormat::Csv => "csv",
        SinkFormat::Jsonl => "jsonl",
    }
}

fn failed(path: &Path, action: &'static str) -> impl FnOnce(io::Error) -> SinksRefused {
    let path = path.to_owned();
    move |cause| SinksRefused::Storage { path, action, cause }
}

fn make_folder(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

/// Opens a file and cuts it back to `marked`, as lines behind it will be written again. Before
/// the first mark it can hold nothing but its header.
fn open_at(
    path: &Path,
    marked: Option<u64>,
    header: &[u8],
    restarted: &mut Vec<PathBuf>,
) -> Result<(Box<File>, u64), SinksRefused> {
    let is_gone = marked.is_some_and(|bytes| bytes > 0) && !path.exists();
    let mut file = private().truncate(false).open(path).map_err(failed(path, "open"))?;
    if is_gone {
        restarted.push(path.to_owned());
        return Ok((Box::new(file), 0));
    }
    let found = file.metadata().map_err(failed(path, "read the length of"))?.len();
    let Some(marked) = marked else {
        let mut begun = Vec::new();
        let most = header.len() as u64 + 1;
        (&mut file).take(most).read_to_end(&mut begun).map_err(failed(path, "read"))?;
        if !header.starts_with(&begun) {
            return Err(SinksRefused::Foreign { path: path.to_owned() });
        }
        file.set_len(0).map_err(failed(path, "cut"))?;
        return Ok((Box::new(file), 0));
    };
    if found < marked {
        return Err(SinksRefused::Shorter { path: path.to_owned(), marked, found });
    }
    if found > marked {
        file.set_len(marked).map_err(failed(path, "cut"))?;
    }
    Ok((Box::new(file), marked))
}
