//! CSV bytes to CreateMultiple bodies, 20 mixed columns, 100 rows a body, on one thread; against
//! the `csv` crate reading the same bytes and doing nothing with them: as bytes, and as text
//! (which checks UTF-8, as ours does). The last line gives nanoseconds a row and the ratios.
#![expect(clippy::print_stdout, reason = "a benchmark")]
#![expect(clippy::disallowed_methods, reason = "a benchmark reads clocks")]

use criterion::{Criterion, Throughput, criterion_group};
use dvbulk::catalog::model::{
    BulkMessages, Catalog, Choice, Column, ColumnKind, DateBehavior, LookupTarget, Required, Table,
    TableKind,
};
use dvbulk::config::job::{
    Bounds, ChoiceRule, ColumnMapping, IdRule, OnDuplicateKey, OnExisting, RequestOptions,
    SourceFormat, SourceSpec, TableClass, TableLoad, TuningBounds, ValueSource, WhenEmpty,
};
use dvbulk::pipeline::batch::encode::{BodyWriter, RowRef};
use dvbulk::pipeline::source::open::open_source;
use dvbulk::pipeline::transform::mapping::RowProgram;
use dvbulk::pipeline::transform::run::convert_chunk;
use dvbulk::record::key::PartitionId;
use dvbulk::record::outcome::Operation;
use dvbulk::record::staged::NothingStaged;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use std::fmt::Write as _;
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// As in the program itself.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ROWS: usize = 20_000;
const BATCH_ROWS: usize = 100;

fn column(name: &str, kind: ColumnKind) -> Column {
    Column {
        logical_name: name.into(),
        schema_name: name.into(),
        kind,
        required: Required::None,
        valid_for_create: true,
        valid_for_update: true,
        valid_for_read: true,
        is_secured: false,
        is_auto_number: false,
    }
}

fn columns() -> Vec<Column> {
    let text = |n| ColumnKind::Text { max_length: n };
    let choices = |count: i32| -> Vec<Choice> {
        (0..count)
            .map(|i| Choice { value: 100_000_000 + i, labels: vec![format!("Option {i}")] })
            .collect()
    };
    let money = |precision| ColumnKind::Money {
        min: "-922337203685477".into(),
        max: "922337203685477".into(),
        precision,
    };
    let lookup = |table: &str, nav: &str| {
        ColumnKind::Lookup(vec![LookupTarget {
            table: table.into(),
            entity_set: format!("{table}s"),
            navigation_property: nav.into(),
        }])
    };
    let whole = ColumnKind::Integer { min: -2_147_483_648, max: 2_147_483_647 };
    let yes_no = ColumnKind::Boolean { true_label: "Yes".into(), false_label: "No".into() };
    [
        ("name", text(160)),
        ("accountnumber", text(20)),
        ("emailaddress1", text(100)),
        ("telephone1", text(50)),
        ("address1_line1", text(250)),
        ("address1_city", text(80)),
        ("address1_postalcode", text(20)),
        ("description", ColumnKind::Memo { max_length: 2000 }),
        ("numberofemployees", whole.clone()),
        ("new_rank", whole),
        ("revenue", money(2)),
        ("creditlimit", money(4)),
        ("new_ratio", ColumnKind::Double { min: -1e11, max: 1e11 }),
        ("donotemail", yes_no.clone()),
        ("donotphone", yes_no),
        ("industrycode", ColumnKind::Choice(choices(40))),
        ("new_founded", ColumnKind::DateTime(DateBehavior::DateOnly)),
        ("new_lastcall", ColumnKind::DateTime(DateBehavior::UserLocal)),
        ("parentaccountid", lookup("account", "parentaccountid")),
        ("primarycontactid", lookup("contact", "primarycontactid")),
    ]
    .into_iter()
    .map(|(name, kind)| column(name, kind))
    .collect()
}

fn catalog() -> Catalog {
    let table = Table {
        logical_name: "account".into(),
        entity_set: "accounts".into(),
        primary_id: "accountid".into(),
        primary_name: Some("name".into()),
        kind: TableKind::Standard,
        is_activity: false,
        is_intersect: false,
        is_custom: false,
        columns: columns().into_iter().map(|c| (c.logical_name.clone(), c)).collect(),
        keys: Vec::new(),
        messages: BulkMessages::default(),
    };
    let mut catalog = Catalog::default();
    catalog.tables.insert("account".into(), Arc::new(table));
    catalog
}

fn load() -> TableLoad {
    let mapping = |c: Column| ColumnMapping {
        from: ValueSource::Column(c.logical_name.clone()),
        target: c.logical_name,
        default: None,
        empty: WhenEmpty::Absent,
        lookup: None,
        choice: ChoiceRule::Auto,
        date_format: None,
        time_zone: None,
        truncate: false,
    };
    let bounds = Bounds { start: None, min: 1, max: 1000 };
    TableLoad {
        name: "accounts".into(),
        table: "account".into(),
        source: SourceSpec { path: String::new(), format: FORMAT },
        key: "accountnumber".into(),
        operation: Operation::Create,
        ids: IdRule::Pinned,
        on_existing: OnExisting::Fail,
        on_duplicate_key: OnDuplicateKey::Error,
        columns: columns().into_iter().map(mapping).collect(),
        class: TableClass::Auto,
        batch: bounds,
        parallel: bounds,
        said: TuningBounds::default(),
        weight: 1.0,
        request: RequestOptions::default(),
    }
}

const FORMAT: SourceFormat = SourceFormat::Csv { delimiter: b',', quote: b'"' };

/// One row in twenty has quotes or an umlaut, one in fifty an embedded line end.
fn csv_text() -> String {
    let mut rng = SmallRng::seed_from_u64(7);
    let names: Vec<String> = columns().into_iter().map(|c| c.logical_name).collect();
    let mut text = names.join(",") + "\n";
    for i in 0..ROWS {
        let n: u32 = rng.random();
        let name = match i % 20 {
            0 => "\"Müller, Söhne & \"\"Co\"\"\"".to_owned(),
            _ => format!("Contoso {n}"),
        };
        let description =
            if i % 50 == 0 { "\"first line\nsecond line\"" } else { "met at the fair in spring" };
        let (parent, contact) = (Uuid::from_u128(rng.random()), Uuid::from_u128(rng.random()));
        writeln!(
            text,
            "{name},A-{i:06},info{n}@contoso.example,+49 30 {},{} Main Street,Berlin,{:05},\
             {description},{},{},{}.{:02},{}.{:04},0.{},{},{},{},20{:02}-{:02}-{:02},\
             2025-{:02}-{:02}T{:02}:{:02}:00Z,{parent},{contact}",
            n % 10_000_000,
            n % 300,
            n % 100_000,
            n % 5000,
            i,
            n % 1_000_000,
            n % 100,
            n % 50_000,
            n % 10_000,
            n % 1_000_000,
            if n.is_multiple_of(2) { "true" } else { "false" },
            if n.is_multiple_of(3) { "true" } else { "false" },
            100_000_000 + n % 40,
            n % 25,
            1 + n % 12,
            1 + n % 28,
            1 + n % 12,
            1 + n % 28,
            n % 24,
            n % 60,
        )
        .expect("a string takes everything");
    }
    text
}

/// Reads, converts and encodes the file at `path`; bytes of all bodies.
fn encode(path: &Path, program: &RowProgram, writer: &BodyWriter) -> usize {
    let mut source = open_source(path, &FORMAT, PartitionId(0)).expect("the file is there");
    let mut bytes = 0;
    while let Some(chunk) = source.next_chunk().expect("readable") {
        let prepared = convert_chunk(program, Arc::new(chunk), &NothingStaged);
        for first in (0..prepared.rows.len()).step_by(BATCH_ROWS) {
            let last = (first + BATCH_ROWS).min(prepared.rows.len());
            let rows = (first..last).map(|i| {
                debug_assert!(prepared.rows[i].fault.is_none());
                RowRef {
                    id: Some(Uuid::from_u128(u128::from(prepared.rows[i].ordinal.bits()))),
                    address: &[],
                    members: prepared.members_of(i),
                }
            });
            bytes += black_box(writer.bulk(rows)).len();
        }
    }
    bytes
}

fn read_bytes(path: &Path) -> u64 {
    let mut reader = csv::Reader::from_path(path).expect("the file is there");
    let mut record = csv::ByteRecord::new();
    let mut rows = 0;
    while reader.read_byte_record(&mut record).expect("well-formed") {
        rows += 1;
        black_box(&record);
    }
    rows
}

fn read_strings(path: &Path) -> u64 {
    let mut reader = csv::Reader::from_path(path).expect("the file is there");
    let mut record = csv::StringRecord::new();
    let mut rows = 0;
    while reader.read_record(&mut record).expect("well-formed") {
        rows += 1;
        black_box(&record);
    }
    rows
}

fn split_only(path: &Path) -> u64 {
    let mut source = open_source(path, &FORMAT, PartitionId(0)).expect("the file is there");
    let mut rows = 0;
    while let Some(chunk) = source.next_chunk().expect("readable") {
        rows += chunk.records.len() as u64;
        black_box(&chunk);
    }
    rows
}

/// Shortest time of each of `works`, taken in turns so that a busy machine troubles all alike.
fn best<const N: usize>(works: [&dyn Fn(); N]) -> [Duration; N] {
    let mut best = [Duration::MAX; N];
    for _ in 0..150 {
        for (best, work) in best.iter_mut().zip(works) {
            let start = Instant::now();
            work();
            *best = start.elapsed().min(*best);
        }
    }
    best
}

fn bench(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a folder for the file");
    let path = folder.path().join("accounts.csv");
    std::fs::write(&path, csv_text()).expect("room for the file");
    let load = load();
    let mut source = open_source(&path, &FORMAT, PartitionId(0)).expect("the file is there");
    let program =
        RowProgram::compile(&load, std::slice::from_ref(&load), &catalog(), source.format())
            .expect("the mapping works");
    let writer = BodyWriter::new("account", "accountid", "accounts");
    while let Some(raw) = source.next_chunk().expect("readable") {
        let prepared = convert_chunk(&program, Arc::new(raw), &NothingStaged);
        assert!(prepared.rows.iter().all(|r| r.fault.is_none()), "every row is good");
    }
    assert_eq!(read_bytes(&path), ROWS as u64);

    let mut group = criterion.benchmark_group("csv_20_columns");
    group.throughput(Throughput::Elements(ROWS as u64));
    group.bench_function("csv_crate_byte_record", |b| b.iter(|| read_bytes(&path)));
    group.bench_function("csv_crate_string_record", |b| b.iter(|| read_strings(&path)));
    group.bench_function("records_found", |b| b.iter(|| split_only(&path)));
    group.bench_function("create_multiple_bodies", |b| {
        b.iter(|| encode(&path, &program, &writer));
    });
    group.finish();

    // Criterion compares a bench with its own past only; the ratio is what matters here.
    let per_row = |d: Duration| d.as_secs_f64() * 1e9 / ROWS as f64;
    let [bytes, strings, found, bodies] = best([
        &|| {
            black_box(read_bytes(&path));
        },
        &|| {
            black_box(read_strings(&path));
        },
        &|| {
            black_box(split_only(&path));
        },
        &|| {
            black_box(encode(&path, &program, &writer));
        },
    ]);
    println!(
        "ns/row: ByteRecord {:.0}, StringRecord {:.0}, records found {:.0}, bodies {:.0}; bodies / ByteRecord = {:.2}, \
         bodies / StringRecord = {:.2}",
        per_row(bytes),
        per_row(strings),
        per_row(found),
        per_row(bodies),
        bodies.as_secs_f64() / bytes.as_secs_f64(),
        bodies.as_secs_f64() / strings.as_secs_f64(),
    );
}

criterion_group!(benches, bench);

fn main() {
    benches();
}
