//! The sink thread over real files, full disks and broken ones.

use super::*;
use crate::config::job::SinkFormat;
use crate::pipeline::sink::file::{SinkFiles, Sinks, SinksRefused};
use crate::record::outcome::RowState;
use crate::record::projection::TableLines;
use crate::record::refused::LatestRefused;
use std::path::Path;
use std::sync::atomic::AtomicUsize;
use tokio::sync::oneshot;

const TABLE: TableId = TableId(0);

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<SinkMark>>>);

impl Log {
    fn last(&self) -> Option<SinkMark> {
        self.0.lock().last().copied()
    }
}

impl MarkLog for Log {
    fn mark(&self, marks: Vec<SinkMark>) -> Result<(), String> {
        self.0.lock().extend(marks);
        Ok(())
    }

    fn mark_durably(&self, marks: Vec<SinkMark>) -> Result<(), String> {
        self.mark(marks)
    }
}

fn work(position: u64, success: &str, errors: &str) -> SinkWork {
    let lines = TableLines {
        table: TABLE,
        success: success.into(),
        errors: errors.into(),
        counts: vec![(RowState::Created, success.lines().count() as u64)],
        refused: LatestRefused::default(),
    };
    SinkWork::Durable(LedgerPosition(position), Projection { lines: vec![lines], hold: None })
}

fn files(mark: Option<SinkMark>, catching_up: bool) -> Vec<SinkFiles> {
    vec![SinkFiles {
        table: TABLE,
        name: "account".into(),
        success_format: SinkFormat::Csv,
        success_header: b"key\n".to_vec(),
        error_format: SinkFormat::Csv,
        error_header: None,
        mark,
        catching_up,
    }]
}

struct Run {
    queue: ProjectionQueue,
    sinks: Sinks,
    counted: Arc<AtomicUsize>,
}

fn open(
    folder: &Path,
    log: &Log,
    mark: Option<SinkMark>,
    catching_up: bool,
) -> Result<Run, SinksRefused> {
    let queue = ProjectionQueue::new();
    let counted = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&counted);
    let on_projected: OnProjected = Arc::new(move |shown| {
        let rows: u64 = shown.counts.iter().map(|(_, rows)| rows).sum();
        count.fetch_add(rows as usize, Ordering::Relaxed);
    });
    let files = files(mark, catching_up);
    let sinks = Sinks::open(folder, files, queue.clone(), log.clone(), on_projected)?;
    Ok(Run { queue, sinks, counted })
}

fn read(folder: &Path, name: &str) -> String {
    std::fs::read_to_string(folder.join(name)).unwrap()
}

#[tokio::test]
async fn lines_stand_in_order_and_are_marked() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("out");
    let log = Log::default();
    let run = open(&folder, &log, None, false).unwrap();
    run.sinks.set_error_header(TABLE, b"a,b\n".to_vec());
    run.queue.push(work(10, "1\n2\n", ""));
    run.queue.push(work(20, "3\n", "x,y\n"));
    let marks = run.sinks.flush_and_mark().await.unwrap();
    let mark =
        SinkMark { table: TABLE, success_bytes: 10, error_bytes: 8, up_to: LedgerPosition(20) };
    assert_eq!(marks, [mark]);
    assert_eq!(log.last(), Some(mark));
    assert_eq!(run.counted.load(Ordering::Relaxed), 3);
    assert_eq!(read(&folder, "account.success.csv"), "key\n1\n2\n3\n");
    assert_eq!(read(&folder, "account.errors.csv"), "a,b\nx,y\n");
    run.queue.push(work(30, "4\n", ""));
    drop(run);
    assert_eq!(log.last().unwrap().up_to, LedgerPosition(30), "ending marks what is written");
}

#[tokio::test]
async fn files_are_cut_to_their_marks_and_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let log = Log::default();
    drop(open(folder, &log, None, false).unwrap());
    let path = folder.join("account.success.csv");
    std::fs::write(&path, "key\n1\n2\n3 torn").unwrap();
    let mark = SinkMark { success_bytes: 6, ..log.last().unwrap() };
    let run = open(folder, &log, Some(mark), false).unwrap();
    run.queue.push(work(40, "2 again\n", ""));
    run.sinks.flush_and_mark().await.unwrap();
    drop(run);
    assert_eq!(read(folder, "account.success.csv"), "key\n1\n2 again\n");

    // A file that was moved away is begun anew, and the ledger learns its length at once.
    std::fs::remove_file(&path).unwrap();
    let run = open(folder, &log, log.last(), false).unwrap();
    assert_eq!(run.sinks.restarted(), std::slice::from_ref(&path));
    run.sinks.flush_and_mark().await.unwrap();
    drop(run);
    let mark = log.last().unwrap();
    assert_eq!((mark.success_bytes, mark.up_to), (4, LedgerPosition(40)));

    // One that lost lines is not gone on with.
    let mark = SinkMark { success_bytes: 5, ..mark };
    let refused = open(folder, &log, Some(mark), false).map(drop).unwrap_err();
    assert!(matches!(refused, SinksRefused::Shorter { marked: 5, found: 4, .. }), "{refused}");
}

#[tokio::test]
async fn no_mark_speaks_for_rows_still_missing() {
    let folder = tempfile::tempdir().unwrap();
    let log = Log::default();
    drop(open(folder.path(), &log, None, false).unwrap());
    let first = log.last();
    let run = open(folder.path(), &log, first, true).unwrap();
    run.queue.push(work(50, "new\n", ""));
    run.sinks.flush_and_mark().await.unwrap();
    assert_eq!(log.last(), first);
    run.queue.push(work(60, "old\n", ""));
    run.sinks.caught_up(TABLE);
    run.sinks.flush_and_mark().await.unwrap();
    let mark = log.last().unwrap();
    assert_eq!((mark.up_to, mark.success_bytes), (LedgerPosition(60), 12));
}

#[test]
fn files_of_others_are_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("account.success.csv");
    for (contents, is_ours) in [("", true), ("ke", true), ("key\n", true), ("key\n1", false)] {
        std::fs::write(&path, contents).unwrap();
        let opened = open(folder.path(), &Log::default(), None, false).map(drop);
        assert_eq!(opened.is_ok(), is_ours, "{contents:?}");
    }
    assert_eq!(read(folder.path(), "account.success.csv"), "key\n1");
}

/// A disk with so many bytes of room.
#[derive(Clone)]
struct Disk {
    bytes: Arc<Mutex<Vec<u8>>>,
    room: Arc<AtomicUsize>,
    syncs: Arc<AtomicUsize>,
    broken: Arc<AtomicBool>,
}

impl Disk {
    fn with_room(room: usize) -> Self {
        Self {
            bytes: Arc::default(),
            room: Arc::new(AtomicUsize::new(room)),
            syncs: Arc::default(),
            broken: Arc::default(),
        }
    }
}

impl Medium for Disk {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<usize> {
        let mut disk = self.bytes.lock();
        assert_eq!(offset, disk.len() as u64);
        let count = bytes.len().min(self.room.load(Ordering::Relaxed) - disk.len());
        if count == 0 {
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        disk.extend_from_slice(&bytes[..count]);
        Ok(count)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.syncs.fetch_add(1, Ordering::Relaxed);
        if self.broken.load(Ordering::Relaxed) {
            return Err(io::Error::other("broken"));
        }
        Ok(())
    }
}

fn start(disk: &Disk, log: &Log) -> (ProjectionQueue, Arc<Told>, thread::JoinHandle<()>) {
    let (queue, told) = (ProjectionQueue::new(), Arc::<Told>::default());
    let pair = Pair {
        table: TABLE,
        success: Lines::new((Box::new(disk.clone()), 0), None),
        errors: Lines::new((Box::new(Disk::with_room(1000)), 0), None),
        marked_to: LedgerPosition(0),
        mark_first: false,
        catching_up: false,
    };
    let on_projected: OnProjected = Arc::new(|_| {});
    let log = Box::new(log.clone());
    let writer = SinkWriter::new(vec![pair], queue.clone(), log, on_projected, Arc::clone(&told));
    (queue, told, thread::spawn(move || writer.run()))
}

fn flush(queue: &ProjectionQueue) -> Result<Vec<SinkMark>, String> {
    let (answer, flushed) = oneshot::channel();
    queue.push(SinkWork::Flush(answer));
    flushed.blocking_recv().unwrap()
}

fn until(condition: impl Fn() -> bool) {
    for _ in 0..2000 {
        if condition() {
            return;
        }
        thread::sleep(Duration::from_millis(5));
    }
    panic!("the condition never came true");
}

#[test]
fn a_full_disk_is_waited_for() {
    let (disk, log) = (Disk::with_room(5), Log::default());
    let (queue, told, thread) = start(&disk, &log);
    let kept = Arc::new(());
    let hold: Box<dyn std::any::Any + Send> = Box::new(Arc::clone(&kept));
    let SinkWork::Durable(place, projection) = work(1, "123\n456\n", "") else { panic!() };
    queue.push(SinkWork::Durable(place, Projection { hold: Some(hold), ..projection }));
    until(|| *told.health.lock() == SinkHealth::NoSpace);
    assert_eq!(Arc::strong_count(&kept), 2, "memory is kept until the lines are written");
    disk.room.store(100, Ordering::Relaxed);
    thread.thread().unpark();
    assert_eq!(flush(&queue).unwrap()[0].success_bytes, 8);
    assert_eq!(*disk.bytes.lock(), b"123\n456\n");
    assert_eq!(Arc::strong_count(&kept), 1);
    assert_eq!(*told.health.lock(), SinkHealth::Good);
    queue.push(SinkWork::Stop);
    thread.join().unwrap();
}

#[test]
fn an_ending_writer_does_not_wait_for_room() {
    let (disk, log) = (Disk::with_room(1), Log::default());
    let (queue, told, thread) = start(&disk, &log);
    queue.push(work(1, "123\n", ""));
    until(|| *told.health.lock() == SinkHealth::NoSpace);
    told.ending.store(true, Ordering::Release);
    queue.push(SinkWork::Stop);
    thread.thread().unpark();
    thread.join().unwrap();
    assert_eq!(log.last(), None);
}

#[test]
fn a_failed_sync_ends_the_files_without_a_mark() {
    let (disk, log) = (Disk::with_room(100), Log::default());
    let (queue, told, thread) = start(&disk, &log);
    disk.broken.store(true, Ordering::Relaxed);
    queue.push(work(1, "123\n", ""));
    assert_eq!(flush(&queue), Err("broken".into()));
    disk.broken.store(false, Ordering::Relaxed);
    assert_eq!(flush(&queue), Err("broken".into()));
    assert_eq!(*told.health.lock(), SinkHealth::Failed("broken".into()));
    assert_eq!((disk.syncs.load(Ordering::Relaxed), log.last()), (1, None));
    queue.push(SinkWork::Stop);
    thread.join().unwrap();
}
