//! Ledger and sink lines: rows made durable a second (100-row batches, intent and outcome each),
//! with and without time added to each sync; time of recovery; nanoseconds of a line.
//!
//! Source: `delivery-guarantees.md` §5.4, §17 (G3, G4, G5).

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use dvbulk::pipeline::ledger::fingerprint::{Belongs, FileFingerprint, LoadBelongs};
use dvbulk::pipeline::ledger::ranges::{OrdinalRanges, OrdinalRun};
use dvbulk::pipeline::ledger::record::{Intent, Outcome, PartitionRecord};
use dvbulk::pipeline::ledger::storage::{Folder, Storage, StoredFile};
use dvbulk::pipeline::ledger::{Ledger, LedgerOptions, LedgerRecord};
use dvbulk::pipeline::sink::format::{CsvStyle, ErrorColumns, Stamp, SuccessLine};
use dvbulk::record::key::{BatchId, Ordinal, PartitionId, TableId};
use dvbulk::record::outcome::{FaultCategory, Operation, RowFault, RowState};
use dvbulk::record::pinned::PinnedIds;
use dvbulk::record::projection::SinkMark;
use std::hint::black_box;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

const TABLE: TableId = TableId(0);
const BATCH_ROWS: u32 = 100;

fn belongs() -> Belongs {
    Belongs {
        job: "bench".into(),
        spec_hash: 1,
        organization: Uuid::nil(),
        loads: vec![LoadBelongs { name: "account".into(), id_prefix: 1 }],
    }
}

fn partition() -> LedgerRecord {
    LedgerRecord::Partition(Box::new(PartitionRecord {
        table: TABLE,
        partition: PartitionId(0),
        path: "accounts.csv".into(),
        fingerprint: FileFingerprint { bytes: 1, modified_ms: 1, head_hash: 1, tail_hash: 1 },
    }))
}

fn intent(batch: u64) -> LedgerRecord {
    let first = Ordinal::new(PartitionId(0), batch * u64::from(BATCH_ROWS));
    let mut rows = OrdinalRanges::default();
    rows.push(OrdinalRun { first, count: BATCH_ROWS }).expect("one run ascends");
    LedgerRecord::Intent(Intent {
        batch: BatchId(batch),
        parent: None,
        table: TABLE,
        operation: Operation::Create,
        rows,
        payload_hash: batch.wrapping_mul(0x9e37_79b9_7f4a_7c15),
    })
}

fn outcome(batch: u64) -> LedgerRecord {
    LedgerRecord::Outcome(Box::new(Outcome {
        batch: BatchId(batch),
        at_ms: 1_790_000_000_000,
        attempts: 1,
        service_request_id: Some("5b3a1c52-7d0e-4b9a-9d5e-2f1c8a7b6c5d".into()),
        duration_ms: 250,
        states: vec![(RowState::Created, BATCH_ROWS)],
        server_ids: None,
    }))
}

/// A folder whose syncs take longer.
struct Slow(Folder, Duration);
struct SlowFile(Box<dyn StoredFile>, Duration);

impl Storage for Slow {
    fn list(&self) -> io::Result<Vec<String>> {
        self.0.list()
    }
    fn create(&self, name: &str) -> io::Result<Box<dyn StoredFile>> {
        Ok(Box::new(SlowFile(self.0.create(name)?, self.1)))
    }
    fn open(&self, name: &str) -> io::Result<Box<dyn StoredFile>> {
        Ok(Box::new(SlowFile(self.0.open(name)?, self.1)))
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.0.rename(from, to)
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        self.0.remove(name)
    }
    fn sync_names(&self) -> io::Result<()> {
        self.0.sync_names()
    }
    fn path(&self, name: &str) -> PathBuf {
        self.0.path(name)
    }
}

impl StoredFile for SlowFile {
    fn read(&mut self) -> io::Result<Vec<u8>> {
        self.0.read()
    }
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write_at(offset, bytes)
    }
    fn set_len(&mut self, bytes: u64) -> io::Result<()> {
        self.0.set_len(bytes)
    }
    fn sync(&mut self) -> io::Result<()> {
        std::thread::sleep(self.1);
        self.0.sync()
    }
}

fn open(folder: &Path, delay: Duration) -> Ledger {
    let folder = Folder::at(folder).expect("a folder");
    let files = Arc::new(Slow(folder, delay));
    let (ledger, _) =
        Ledger::open_on(files, &belongs(), LedgerOptions::default()).expect("an empty ledger");
    ledger.append(&[partition()], None).wait().expect("a ledger that works");
    ledger
}

/// Sends `count` batches with at most `in_flight` between intent and durable outcome.
fn run(ledger: &Ledger, from: u64, count: u64, in_flight: u64) {
    let mut intents = std::collections::VecDeque::new();
    let mut outcomes = std::collections::VecDeque::new();
    for batch in from..from + count {
        intents.push_back((batch, ledger.append(&[intent(batch)], None)));
        if intents.len() as u64 * 2 >= in_flight {
            let (batch, ticket) = intents.pop_front().expect("just filled");
            ticket.wait().expect("a ledger that works");
            outcomes.push_back(ledger.append(&[outcome(batch)], None));
        }
        if outcomes.len() as u64 * 2 >= in_flight {
            let ticket = outcomes.pop_front().expect("just filled");
            ticket.wait().expect("a ledger that works");
        }
    }
    for (batch, ticket) in intents {
        ticket.wait().expect("a ledger that works");
        outcomes.push_back(ledger.append(&[outcome(batch)], None));
    }
    for ticket in outcomes {
        ticket.wait().expect("a ledger that works");
    }
}

fn durable_rows(c: &mut Criterion) {
    let mut group = c.benchmark_group("ledger_durable_rows");
    group.sample_size(10).measurement_time(Duration::from_secs(3));
    for (delay_ms, in_flight, count) in
        [(0, 64, 2000), (0, 400, 4000), (5, 64, 500), (5, 400, 2000)]
    {
        let folder = tempfile::tempdir().expect("a folder");
        let ledger = open(folder.path(), Duration::from_millis(delay_ms));
        let mut next = 1;
        group.throughput(Throughput::Elements(count * u64::from(BATCH_ROWS)));
        group.bench_function(format!("sync_plus_{delay_ms}ms/{in_flight}_in_flight"), |b| {
            b.iter(|| {
                run(&ledger, next, count, in_flight);
                next += count;
            });
        });
        let bytes = ledger.position().0 as f64 / ((next - 1) * u64::from(BATCH_ROWS)) as f64;
        #[expect(clippy::print_stdout, reason = "a figure of the bench")]
        {
            println!("{bytes:.2} ledger bytes per row");
        }
    }
    group.finish();
}

fn recovery(c: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a folder");
    let ledger = open(folder.path(), Duration::ZERO);
    let batches = 20_000;
    run(&ledger, 1, batches, 1000);
    let up_to = ledger.position();
    let mark = SinkMark { table: TABLE, success_bytes: 0, error_bytes: 0, up_to };
    ledger.append(&[LedgerRecord::SinkMark(mark)], None).wait().expect("a ledger that works");
    drop(ledger);
    let mut group = c.benchmark_group("ledger_recovery");
    group.sample_size(10).throughput(Throughput::Elements(batches * u64::from(BATCH_ROWS)));
    group.bench_function("2_million_rows", |b| {
        b.iter(|| {
            let found = Ledger::open(folder.path(), &belongs(), LedgerOptions::default());
            black_box(found.expect("a ledger"));
        });
    });
    group.finish();
}

fn lines(c: &mut Criterion) {
    let style = CsvStyle { delimiter: b',', quote: b'"', excel_safe: false };
    let ids = PinnedIds::new(Uuid::nil(), "bench", "account");
    let at = Stamp::at(1_790_000_000_000);
    let mut group = c.benchmark_group("sink_line");
    group.throughput(Throughput::Elements(100));
    group.bench_function("100_success_lines", |b| {
        b.iter_batched_ref(
            || Vec::with_capacity(16 << 10),
            |out| {
                for index in 0..100 {
                    let id = ids.id(Ordinal::new(PartitionId(0), index));
                    let line = SuccessLine {
                        key: b"ACC-0012345",
                        id: Some(id),
                        state: RowState::Created,
                        batch: Some(BatchId(123_456)),
                        at: &at,
                    };
                    style.success_line(out, &line);
                }
                black_box(out.len())
            },
            BatchSize::SmallInput,
        );
    });
    let names: Vec<String> = (0..20).map(|i| format!("column_{i}")).collect();
    let columns = ErrorColumns::new(style, &names);
    let fault = RowFault {
        code: "0x80040265".into(),
        category: FaultCategory::BusinessRule,
        message: "credit limit exceeded".into(),
        retryable: false,
    };
    group.bench_function("100_error_lines_of_20_columns", |b| {
        b.iter_batched_ref(
            || Vec::with_capacity(64 << 10),
            |out| {
                for _ in 0..100 {
                    let fields = names.iter().map(String::as_bytes);
                    columns.error_line(out, fields, &fault, 1);
                }
                black_box(out.len())
            },
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

criterion_group!(benches, durable_rows, recovery, lines);
criterion_main!(benches);
