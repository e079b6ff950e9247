//! The ledger's handle.

use crate::limits::LEDGER_SEGMENT_BYTES;
use crate::pipeline::ledger::fingerprint::{Belongs, BelongsElsewhere};
use crate::pipeline::ledger::frame;
use crate::pipeline::ledger::lock::{LedgerLock, LockRefused};
use crate::pipeline::ledger::record::{EpochRecord, LedgerRecord, OpenRecord};
use crate::pipeline::ledger::recover::{Contradiction, Recovery};
use crate::pipeline::ledger::segments::{FORMAT, Segments};
use crate::pipeline::ledger::storage::{Folder, Storage};
use crate::pipeline::ledger::writer::{Entry, Writer, WriterHandle};
use crate::record::projection::{LedgerPosition, MarkLog, Projection, ProjectionQueue, SinkMark};
use crate::runtime::clock;
use crate::telemetry::metrics::LedgerMeters;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::sync::oneshot;

/// A job's ledger. Clones share it; when the last one is dropped, what was appended is written,
/// the writer ends and the lock is given back.
#[derive(Clone)]
pub struct Ledger {
    writer: Arc<WriterHandle>,
}

/// How a ledger is kept.
#[derive(Clone)]
pub struct LedgerOptions {
    /// Where projections go once their records are durable.
    pub projections: ProjectionQueue,
    /// Size of a segment, bytes.
    pub segment_bytes: u64,
    /// What the writer counts, if anybody looks.
    pub meters: Option<LedgerMeters>,
}

impl Default for LedgerOptions {
    fn default() -> Self {
        Self {
            projections: ProjectionQueue::new(),
            segment_bytes: LEDGER_SEGMENT_BYTES,
            meters: None,
        }
    }
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
pub struct LedgerFailed(pub(super) Arc<str>);

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
        let storage = |action| {
            let path = folder.to_owned();
            move |cause| OpenRefused::Storage { path, action, cause }
        };
        let files = Folder::at(folder).map_err(storage("make"))?;
        let start = this_start();
        let lock = LedgerLock::take(folder, &holder(&start)).map_err(|refused| match refused {
            LockRefused::Held(holder) => OpenRefused::Locked { folder: folder.to_owned(), holder },
            LockRefused::Io(cause) => storage("lock")(cause),
        })?;
        Self::open_in(Arc::new(files), belongs, options, start, Some(lock))
    }

    /// As [`Ledger::open`] on any storage and without a lock: for simulations.
    ///
    /// # Errors
    /// See [`OpenRefused`].
    pub fn open_on(
        files: Arc<dyn Storage>,
        belongs: &Belongs,
        options: LedgerOptions,
    ) -> Result<(Self, Recovery), OpenRefused> {
        Self::open_in(files, belongs, options, this_start(), None)
    }

    fn open_in(
        files: Arc<dyn Storage>,
        belongs: &Belongs,
        options: LedgerOptions,
        start: EpochRecord,
        lock: Option<LedgerLock>,
    ) -> Result<(Self, Recovery), OpenRefused> {
        let failed = |action| {
            let path = files.path("");
            move |cause| OpenRefused::Storage { path, action, cause }
        };
        let mut back = Segments::read_back(&files)?;
        if let Some(open) = back.replay.opened() {
            let folder = files.path("");
            if open.format > FORMAT {
                return Err(OpenRefused::Newer { file: folder, found: open.format, known: FORMAT });
            }
            open.belongs
                .check(belongs)
                .map_err(|difference| OpenRefused::Elsewhere { folder, difference })?;
        }
        let epoch = back.replay.epoch().saturating_add(1);
        let start = LedgerRecord::Epoch(Box::new(EpochRecord { epoch, ..start }));
        let go_on = Segments::go_on(Arc::clone(&files), &back, epoch, options.segment_bytes);
        let mut frames = Vec::new();
        let (segments, records) = if let Some(mut segments) = go_on.map_err(failed("open"))? {
            frame::write(&start, &mut frames).map_err(too_large).map_err(failed("write"))?;
            segments.write_group(&mut frames).map_err(failed("write"))?;
            (segments, vec![start])
        } else {
            let open = LedgerRecord::Open(Box::new(OpenRecord {
                format: FORMAT,
                belongs: belongs.clone(),
                program: concat!(env!("CARGO_PKG_NAME"), " ", env!("CARGO_PKG_VERSION")).into(),
                at_ms: clock::wall_ms(),
            }));
            for record in [&open, &start] {
                frame::write(record, &mut frames).map_err(too_large).map_err(failed("write"))?;
            }
            let begun = Segments::begin(Arc::clone(&files), frames, epoch, options.segment_bytes);
            (begun.map_err(failed("begin"))?, vec![open, start])
        };
        let cut_bytes = back.cut_bytes;
        let place = segments.position();
        let told = |contradiction| OpenRefused::Contradiction {
            file: files.path(""),
            offset: place.0,
            contradiction,
        };
        for record in records {
            back.replay.apply(place, record).map_err(told)?;
        }
        let mut recovery = back.replay.finish().map_err(told)?;
        recovery.cut_bytes = cut_bytes;
        let writer = Writer::start(segments, options.projections, options.meters, lock)
            .map_err(failed("start"))?;
        Ok((Self { writer: Arc::new(writer) }, recovery))
    }

    /// Appends records, all or none of which survive a crash; `projection` goes to the sinks once
    /// they are durable. Records that give rows a place in the sink files must come with the
    /// projection that writes their lines. Blocks the thread while more than
    /// `limits::LEDGER_QUEUE_BYTES` wait.
    pub fn append(&self, records: &[LedgerRecord], projection: Option<Projection>) -> Ticket {
        let (entry, ticket) = entry(records, projection);
        match entry {
            Ok(entry) => self.writer.push(entry),
            Err((refused, answer)) => drop(answer.send(Err(refused))),
        }
        ticket
    }

    /// As [`Ledger::append`], and waits for room without blocking the thread.
    pub async fn append_when_room(
        &self,
        records: &[LedgerRecord],
        projection: Option<Projection>,
    ) -> Ticket {
        let (entry, ticket) = entry(records, projection);
        match entry {
            Ok(entry) => self.writer.push_when_room(entry).await,
            Err((refused, answer)) => drop(answer.send(Err(refused))),
        }
        ticket
    }

    /// Whether it takes records.
    #[must_use]
    pub fn health(&self) -> LedgerHealth {
        self.writer.health()
    }

    /// End of the last durable record.
    #[must_use]
    pub fn position(&self) -> LedgerPosition {
        self.writer.position()
    }
}

type Answer = oneshot::Sender<Result<LedgerPosition, LedgerFailed>>;

fn entry(
    records: &[LedgerRecord],
    projection: Option<Projection>,
) -> (Result<Entry, (LedgerFailed, Answer)>, Ticket) {
    let (answer, ticket) = oneshot::channel();
    let mut frames = Vec::with_capacity(records.len() * 64);
    for record in records {
        if let Err(refused) = frame::write(record, &mut frames) {
            let refused = LedgerFailed(refused.to_string().into());
            return (Err((refused, answer)), Ticket(ticket));
        }
    }
    let has_intent = records.iter().any(|r| matches!(r, LedgerRecord::Intent(_)));
    (Ok(Entry { frames, has_intent, projection, answer }), Ticket(ticket))
}

fn too_large(refused: frame::RecordTooLarge) -> io::Error {
    io::Error::other(refused)
}

fn this_start() -> EpochRecord {
    let kernel = |name: &str| {
        let text = std::fs::read_to_string(Path::new("/proc/sys/kernel").join(name));
        text.map(|t| t.trim().to_owned()).unwrap_or_default()
    };
    EpochRecord {
        epoch: 0,
        pid: std::process::id(),
        host: kernel("hostname"),
        boot_id: kernel("random/boot_id"),
        at_ms: clock::wall_ms(),
    }
}

fn holder(start: &EpochRecord) -> String {
    let since = jiff::Timestamp::from_millisecond(start.at_ms).unwrap_or_default();
    format!("process {} on {}, started {since:.0}", start.pid, start.host)
}

impl Ticket {
    /// Blocks until the records are durable. Not for async code.
    ///
    /// # Errors
    /// When the ledger failed.
    pub fn wait(self) -> Result<LedgerPosition, LedgerFailed> {
        self.0.blocking_recv().unwrap_or_else(|_| Err(LedgerFailed::ended()))
    }
}

impl Future for Ticket {
    type Output = Result<LedgerPosition, LedgerFailed>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0)
            .poll(cx)
            .map(|answer| answer.unwrap_or_else(|_| Err(LedgerFailed::ended())))
    }
}

impl LedgerFailed {
    pub(super) fn ended() -> Self {
        Self("its writer has ended".into())
    }
}

impl MarkLog for Ledger {
    fn mark(&self, marks: Vec<SinkMark>) -> Result<(), String> {
        let records: Vec<_> = marks.into_iter().map(LedgerRecord::SinkMark).collect();
        drop(self.append(&records, None));
        match self.health() {
            LedgerHealth::Failed(failed) => Err(failed.to_string()),
            _ => Ok(()),
        }
    }

    fn mark_durably(&self, marks: Vec<SinkMark>) -> Result<(), String> {
        let records: Vec<_> = marks.into_iter().map(LedgerRecord::SinkMark).collect();
        self.append(&records, None).wait().map(drop).map_err(|failed| failed.to_string())
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
