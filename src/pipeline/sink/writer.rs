//! The thread that appends lines, syncs now and then, and leaves marks in the ledger.

use crate::limits::SINK_SYNC_BYTES;
use crate::pipeline::sink::file::{OnProjected, SinkHealth};
use crate::record::key::TableId;
use crate::record::projection::{
    LedgerPosition, MarkLog, Projection, ProjectionQueue, SinkMark, SinkWork,
};
use crate::runtime::clock;
use crate::units::MonoTime;
use parking_lot::Mutex;
use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

/// Longest time lines stay unmarked.
const SYNC_EVERY: Duration = Duration::from_secs(1);
/// How often a full disk is tried again.
const TRY_AGAIN: Duration = Duration::from_millis(500);
/// Line bytes gathered before they are written.
const GATHER_BYTES: usize = 256 << 10;
/// Wait of a writer that has nothing to do; work wakes it.
const IDLE: Duration = Duration::from_secs(60);

/// What lines are written to.
pub(super) trait Medium: Send {
    /// Writes some of `bytes` at `offset`; how many.
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<usize>;
    /// Makes them durable; never called again after it failed.
    fn sync(&mut self) -> io::Result<()>;
}

impl Medium for File {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<usize> {
        self.seek(SeekFrom::Start(offset))?;
        self.write(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }
}

/// One file.
pub(super) struct Lines {
    medium: Box<dyn Medium>,
    written: u64,
    pending: Vec<u8>,
    header: Option<Vec<u8>>,
    unsynced: bool,
}

/// The files of one load.
pub(super) struct Pair {
    pub(super) table: TableId,
    pub(super) success: Lines,
    pub(super) errors: Lines,
    /// Position of the mark that the files were cut back to.
    pub(super) marked_to: LedgerPosition,
    /// Mark the files before the first line: the ledger does not know their present lengths.
    pub(super) mark_first: bool,
    pub(super) catching_up: bool,
}

/// What the thread and its handle tell each other beside the queue.
pub(super) struct Told {
    pub(super) health: Mutex<SinkHealth>,
    pub(super) ending: AtomicBool,
}

impl Default for Told {
    fn default() -> Self {
        Self { health: Mutex::new(SinkHealth::Good), ending: AtomicBool::new(false) }
    }
}

pub(super) struct SinkWriter {
    pairs: Vec<Pair>,
    queue: ProjectionQueue,
    log: Box<dyn MarkLog>,
    on_projected: OnProjected,
    told: Arc<Told>,
    /// Projections whose lines are pending: how many bytes, counts and memory to give back.
    waiting: Vec<(usize, Projection)>,
    pending_bytes: usize,
    unsynced_bytes: usize,
    /// When lines first became unsynced.
    unsynced_since: Option<MonoTime>,
    handled: LedgerPosition,
}

impl Lines {
    pub(super) fn new(
        (medium, written): (Box<impl Medium + 'static>, u64),
        header: Option<Vec<u8>>,
    ) -> Self {
        Self { medium, written, pending: Vec::new(), header, unsynced: false }
    }

    fn add(&mut self, lines: &[u8]) {
        if lines.is_empty() {
            return;
        }
        self.begin();
        self.pending.extend_from_slice(lines);
    }

    /// Puts the header into an empty file.
    fn begin(&mut self) {
        if self.written == 0
            && self.pending.is_empty()
            && let Some(header) = &self.header
        {
            self.pending.extend_from_slice(header);
        }
    }

    /// Writes what is pending; keeps what could not be written.
    fn write(&mut self) -> io::Result<()> {
        let mut done = 0;
        let outcome = loop {
            if done == self.pending.len() {
                break Ok(());
            }
            match self.medium.write_at(self.written, &self.pending[done..]) {
                Ok(0) => break Err(io::Error::from(io::ErrorKind::WriteZero)),
                Ok(count) => {
                    done += count;
                    self.written += count as u64;
                    self.unsynced = true;
                }
                Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
                Err(cause) => break Err(cause),
            }
        };
        self.pending.drain(..done);
        outcome
    }

    fn sync(&mut self) -> io::Result<bool> {
        if self.unsynced {
            self.medium.sync()?;
        }
        Ok(std::mem::take(&mut self.unsynced))
    }
}

impl Pair {
    const fn mark(&self, up_to: LedgerPosition) -> SinkMark {
        SinkMark {
            table: self.table,
            success_bytes: self.success.written,
            error_bytes: self.errors.written,
            up_to,
        }
    }
}

impl SinkWriter {
    pub(super) fn new(
        mut pairs: Vec<Pair>,
        queue: ProjectionQueue,
        log: Box<dyn MarkLog>,
        on_projected: OnProjected,
        told: Arc<Told>,
    ) -> Self {
        for pair in &mut pairs {
            pair.success.begin();
            pair.errors.begin();
        }
        Self {
            pairs,
            queue,
            log,
            on_projected,
            told,
            waiting: Vec::new(),
            pending_bytes: 0,
            unsynced_bytes: 0,
            unsynced_since: None,
            handled: LedgerPosition(0),
        }
    }

    pub(super) fn run(mut self) {
        if let Err(cause) = self.work() {
            *self.told.health.lock() = SinkHealth::Failed(cause.clone());
            self.waiting.clear();
            // Nothing more is written. Bytes stay counted as queued, so that the ledger takes no
            // new intents once much is missing.
            loop {
                match self.queue.pop(IDLE) {
                    Some(SinkWork::Flush(answer)) => drop(answer.send(Err(cause.clone()))),
                    Some(SinkWork::Stop) => return,
                    _ => {}
                }
            }
        }
    }

    fn work(&mut self) -> Result<(), String> {
        self.write_out()?;
        self.mark_first()?;
        loop {
            let wait = self.unsynced_since.map_or(IDLE, |since| {
                SYNC_EVERY.saturating_sub(clock::now().saturating_since(since))
            });
            let mut next = self.queue.pop(wait);
            while let Some(work) = next {
                match work {
                    SinkWork::Durable(position, projection) => self.take(position, projection),
                    SinkWork::ErrorHeader(table, header) => {
                        if let Some(pair) = self.pair(table) {
                            pair.errors.header = Some(header);
                            pair.errors.begin();
                        }
                    }
                    SinkWork::CaughtUp(table) => {
                        if let Some(pair) = self.pair(table) {
                            pair.catching_up = false;
                            pair.success.unsynced = true;
                        }
                    }
                    SinkWork::Flush(answer) => {
                        let done = self.flush();
                        drop(answer.send(done.clone()));
                        done?;
                    }
                    SinkWork::Stop => {
                        self.write_out()?;
                        return self.sync_and_mark(false);
                    }
                }
                next = if self.pending_bytes < GATHER_BYTES {
                    self.queue.pop(Duration::ZERO)
                } else {
                    None
                };
            }
            self.write_out()?;
            let is_due = self
                .unsynced_since
                .is_some_and(|since| clock::now().saturating_since(since) >= SYNC_EVERY);
            if is_due || self.unsynced_bytes >= SINK_SYNC_BYTES {
                self.sync_and_mark(false)?;
            }
        }
    }

    fn mark_first(&mut self) -> Result<(), String> {
        let mut marks = Vec::new();
        for pair in self.pairs.iter_mut().filter(|pair| pair.mark_first) {
            pair.success.sync().map_err(|cause| cause.to_string())?;
            pair.errors.sync().map_err(|cause| cause.to_string())?;
            marks.push(pair.mark(pair.marked_to));
        }
        if marks.is_empty() { Ok(()) } else { self.log.mark_durably(marks) }
    }

    fn pair(&mut self, table: TableId) -> Option<&mut Pair> {
        self.pairs.iter_mut().find(|pair| pair.table == table)
    }

    fn take(&mut self, position: LedgerPosition, projection: Projection) {
        let mut bytes = 0;
        for lines in &projection.lines {
            bytes += lines.success.len() + lines.errors.len();
            if let Some(pair) = self.pair(lines.table) {
                pair.success.add(&lines.success);
                pair.errors.add(&lines.errors);
            }
        }
        self.handled = position;
        self.pending_bytes += bytes;
        self.waiting.push((bytes, projection));
    }

    /// Writes pending lines, waiting for room on the disk; then lets go of what waited for them.
    fn write_out(&mut self) -> Result<(), String> {
        for pair in &mut self.pairs {
            for lines in [&mut pair.success, &mut pair.errors] {
                while let Err(cause) = lines.write() {
                    if !is_full(&cause) {
                        return Err(cause.to_string());
                    }
                    *self.told.health.lock() = SinkHealth::NoSpace;
                    if self.told.ending.load(Ordering::Acquire) {
                        return Err(cause.to_string());
                    }
                    thread::park_timeout(TRY_AGAIN);
                }
            }
        }
        let mut health = self.told.health.lock();
        if *health == SinkHealth::NoSpace {
            *health = SinkHealth::Good;
        }
        drop(health);
        if self.pairs.iter().any(|p| p.success.unsynced || p.errors.unsynced) {
            self.unsynced_since.get_or_insert_with(clock::now);
        }
        self.unsynced_bytes += std::mem::take(&mut self.pending_bytes);
        for (bytes, projection) in self.waiting.drain(..) {
            self.queue.written(bytes);
            for lines in &projection.lines {
                (self.on_projected)(lines);
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<Vec<SinkMark>, String> {
        self.write_out()?;
        self.sync_and_mark(true)?;
        Ok(self.pairs.iter().map(|pair| pair.mark(self.handled)).collect())
    }

    fn sync_and_mark(&mut self, durably: bool) -> Result<(), String> {
        self.unsynced_since = None;
        self.unsynced_bytes = 0;
        let mut marks = Vec::new();
        for pair in &mut self.pairs {
            let success = pair.success.sync().map_err(|cause| cause.to_string())?;
            let errors = pair.errors.sync().map_err(|cause| cause.to_string())?;
            if (success || errors) && !pair.catching_up {
                marks.push(pair.mark(self.handled));
            }
        }
        if marks.is_empty() {
            Ok(())
        } else if durably {
            self.log.mark_durably(marks)
        } else {
            self.log.mark(marks)
        }
    }
}

fn is_full(cause: &io::Error) -> bool {
    matches!(
        cause.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
    )
}

#[cfg(test)]
mod tests;
