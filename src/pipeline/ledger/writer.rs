//! The one thread that writes: takes everything that waits, one write, one sync, then answers.
//! The sync is the time in which the next group gathers, so no timer is needed.

use crate::limits::{LEDGER_GROUP_BYTES, LEDGER_QUEUE_BYTES};
use crate::pipeline::ledger::journal::{LedgerFailed, LedgerHealth};
use crate::pipeline::ledger::lock::LedgerLock;
use crate::pipeline::ledger::segments::Segments;
use crate::record::projection::{LedgerPosition, Projection, ProjectionQueue, SinkWork};
use crate::runtime::clock;
use crate::telemetry::metrics::LedgerMeters;
use parking_lot::{Condvar, Mutex};
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use tokio::sync::{Notify, oneshot};

/// How long the writer waits before it looks again for room on the disk or in the sinks.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// Records of one append.
pub(super) struct Entry {
    pub(super) frames: Vec<u8>,
    pub(super) has_intent: bool,
    pub(super) projection: Option<Projection>,
    pub(super) answer: oneshot::Sender<Result<LedgerPosition, LedgerFailed>>,
}

/// The writer's side that producers see. Dropping it ends the writer once its queue is empty.
pub(super) struct WriterHandle {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    /// Kept after a failure too, until nobody uses the ledger.
    _lock: Option<LedgerLock>,
}

struct Shared {
    queue: Mutex<Queue>,
    arrived: Condvar,
    room: Condvar,
    room_async: Notify,
    position: AtomicU64,
}

struct Queue {
    entries: VecDeque<Entry>,
    /// Bytes waiting, those held back included.
    bytes: usize,
    ending: bool,
    health: LedgerHealth,
}

pub(super) struct Writer {
    shared: Arc<Shared>,
    segments: Segments,
    projections: ProjectionQueue,
    meters: Option<LedgerMeters>,
    /// Entries with intents that wait for room; older than anything in the queue.
    held: VecDeque<Entry>,
}

impl WriterHandle {
    pub(super) fn push(&self, entry: Entry) {
        let mut queue = self.shared.queue.lock();
        while queue.is_full() {
            self.shared.room.wait(&mut queue);
        }
        self.enter(&mut queue, entry);
    }

    pub(super) async fn push_when_room(&self, entry: Entry) {
        loop {
            let room = self.shared.room_async.notified();
            {
                let mut queue = self.shared.queue.lock();
                if !queue.is_full() {
                    self.enter(&mut queue, entry);
                    return;
                }
            }
            room.await;
        }
    }

    fn enter(&self, queue: &mut Queue, entry: Entry) {
        if let LedgerHealth::Failed(failed) = &queue.health {
            drop(entry.answer.send(Err(failed.clone())));
            return;
        }
        queue.bytes += entry.frames.len();
        queue.entries.push_back(entry);
        self.shared.arrived.notify_one();
    }

    pub(super) fn health(&self) -> LedgerHealth {
        self.shared.queue.lock().health.clone()
    }

    pub(super) fn position(&self) -> LedgerPosition {
        LedgerPosition(self.shared.position.load(Ordering::Acquire))
    }
}

impl Drop for WriterHandle {
    fn drop(&mut self) {
        self.shared.queue.lock().ending = true;
        self.shared.arrived.notify_one();
        if let Some(thread) = self.thread.take() {
            // A panic of the writer has answered nobody; tickets say so.
            drop(thread.join());
        }
    }
}

impl Queue {
    const fn is_full(&self) -> bool {
        self.bytes > LEDGER_QUEUE_BYTES && !matches!(self.health, LedgerHealth::Failed(_))
    }
}

impl Writer {
    pub(super) fn start(
        segments: Segments,
        projections: ProjectionQueue,
        meters: Option<LedgerMeters>,
        lock: Option<LedgerLock>,
    ) -> io::Result<WriterHandle> {
        let shared = Arc::new(Shared {
            queue: Mutex::new(Queue {
                entries: VecDeque::new(),
                bytes: 0,
                ending: false,
                health: LedgerHealth::Good,
            }),
            arrived: Condvar::new(),
            room: Condvar::new(),
            room_async: Notify::new(),
            position: AtomicU64::new(segments.position().0),
        });
        let held = VecDeque::new();
        let writer = Self { shared: Arc::clone(&shared), segments, projections, meters, held };
        let thread = thread::Builder::new().name("ledger".into()).spawn(move || writer.run())?;
        Ok(WriterHandle { shared, thread: Some(thread), _lock: lock })
    }

    fn run(mut self) {
        let mut group = Vec::new();
        let done = self.write_all(&mut group);
        let mut queue = self.shared.queue.lock();
        let failed = match done {
            Ok(()) => LedgerFailed::ended(),
            Err(cause) => LedgerFailed(cause.to_string().into()),
        };
        // What is on disk is not known after a failure, so nothing more is written: the next
        // start reads it.
        queue.health = LedgerHealth::Failed(failed.clone());
        queue.bytes = 0;
        let waiting = std::mem::take(&mut queue.entries);
        drop(queue);
        self.shared.room.notify_all();
        self.shared.room_async.notify_waiters();
        for entry in group.into_iter().chain(self.held.drain(..)).chain(waiting) {
            drop(entry.answer.send(Err(failed.clone())));
        }
    }

    fn write_all(&mut self, group: &mut Vec<Entry>) -> io::Result<()> {
        let mut frames = Vec::new();
        while self.gather(group)? {
            frames.clear();
            group.iter().for_each(|entry| frames.extend_from_slice(&entry.frames));
            if !frames.is_empty() {
                if !self.wait_for_room(frames.len() as u64)? {
                    break;
                }
                let begun = clock::now();
                self.segments.write_group(&mut frames)?;
                if let Some(meters) = &self.meters {
                    let took = clock::now().saturating_since(begun);
                    meters.sync_seconds.observe(took.as_secs_f64());
                    meters.written_bytes.inc_by(frames.len() as u64);
                }
            }
            self.release(group);
        }
        Ok(())
    }

    /// Takes what is to be written next; false when the ledger ends.
    fn gather(&mut self, group: &mut Vec<Entry>) -> io::Result<bool> {
        loop {
            let hold_back = self.look()?;
            let mut queue = self.shared.queue.lock();
            if !hold_back && !self.held.is_empty() {
                while let Some(entry) = self.held.pop_back() {
                    queue.entries.push_front(entry);
                }
            }
            if queue.entries.is_empty() {
                if queue.ending {
                    return Ok(false);
                }
                if self.held.is_empty() && matches!(queue.health, LedgerHealth::Good) {
                    self.shared.arrived.wait(&mut queue);
                } else {
                    self.shared.arrived.wait_for(&mut queue, LOOK_AGAIN);
                    if queue.entries.is_empty() {
                        continue;
                    }
                }
            }
            let mut bytes = 0;
            while let Some(entry) = queue.entries.front() {
                if bytes > 0 && bytes + entry.frames.len() > LEDGER_GROUP_BYTES {
                    break;
                }
                let Some(entry) = queue.entries.pop_front() else { break };
                if hold_back && entry.has_intent {
                    self.held.push_back(entry);
                } else {
                    bytes += entry.frames.len();
                    group.push(entry);
                }
            }
            if !group.is_empty() {
                return Ok(true);
            }
        }
    }

    /// Keeps room ahead, and says whether intents must wait.
    fn look(&mut self) -> io::Result<bool> {
        let health = match self.segments.make_room(0) {
            Err(cause) if is_full(&cause) => LedgerHealth::NoSpace,
            Err(cause) => return Err(cause),
            Ok(()) if self.projections.is_behind() => LedgerHealth::SinksBehind,
            Ok(()) => LedgerHealth::Good,
        };
        let hold_back = health != LedgerHealth::Good;
        let mut queue = self.shared.queue.lock();
        queue.health = health;
        if let Some(meters) = &self.meters {
            meters.queue_bytes.set(i64::try_from(queue.bytes).unwrap_or(i64::MAX));
        }
        Ok(hold_back)
    }

    /// Waits until a group of outcomes has room; false when the ledger ends before.
    fn wait_for_room(&mut self, bytes: u64) -> io::Result<bool> {
        loop {
            match self.segments.make_room(bytes) {
                Ok(()) => return Ok(true),
                Err(cause) if !is_full(&cause) => return Err(cause),
                Err(_) if self.segments.can_write(bytes) => return Ok(true),
                Err(_) => {}
            }
            let mut queue = self.shared.queue.lock();
            queue.health = LedgerHealth::NoSpace;
            if queue.ending {
                return Ok(false);
            }
            self.shared.arrived.wait_for(&mut queue, LOOK_AGAIN);
        }
    }

    /// Hands projections on, in order, and answers. Every entry gets the position of its own end:
    /// a sink mark between two entries of a group must not speak for the second.
    fn release(&mut self, group: &mut Vec<Entry>) {
        let end = self.segments.position();
        self.shared.position.store(end.0, Ordering::Release);
        let bytes: usize = group.iter().map(|entry| entry.frames.len()).sum();
        let mut place = end.0 - bytes as u64;
        let projections = group.iter_mut().filter_map(|entry| {
            place += entry.frames.len() as u64;
            Some(SinkWork::Durable(LedgerPosition(place), entry.projection.take()?))
        });
        self.projections.push_all(projections);
        let mut queue = self.shared.queue.lock();
        queue.bytes -= bytes;
        drop(queue);
        self.shared.room.notify_all();
        self.shared.room_async.notify_waiters();
        for entry in group.drain(..) {
            drop(entry.answer.send(Ok(end)));
        }
    }
}

fn is_full(cause: &io::Error) -> bool {
    matches!(
        cause.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
    )
}
