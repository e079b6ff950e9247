//! The whole program against the local Dataverse with no service time and no limits: processor
//! time of the loader per row of 20 mixed columns, and its peak memory. Both run as processes of
//! their own, so the figure is the loader's alone.
//!
//! `cargo bench --bench whole` (rows by `DVBULK_BENCH_ROWS`, default 500,000).

#![expect(clippy::expect_used, clippy::print_stdout, reason = "a bench prints and may stop")]

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

const COLUMNS: [&str; 20] = [
    "accountnumber",
    "name",
    "emailaddress1",
    "telephone1",
    "address1_line1",
    "address1_city",
    "address1_postalcode",
    "description",
    "numberofemployees",
    "sharesoutstanding",
    "revenue",
    "creditlimit",
    "address1_latitude",
    "address1_longitude",
    "donotemail",
    "creditonhold",
    "industrycode",
    "customertypecode",
    "lastonholdtime",
    "preferredsystemuserid",
];

fn main() {
    let rows: u32 =
        std::env::var("DVBULK_BENCH_ROWS").ok().and_then(|r| r.parse().ok()).unwrap_or(500_000);
    let folder = tempfile::tempdir().expect("a folder");
    let at = folder.path();
    let bytes = write_rows(&at.join("account.csv"), rows);
    fs::write(at.join("sim.toml"), SIMULATOR).expect("writable");
    let program = env!("CARGO_BIN_EXE_dvbulk");
    let mut simulator = Command::new(program)
        .arg("simulate")
        .arg(at.join("sim.toml"))
        .stdout(Stdio::piped())
        .spawn()
        .expect("the simulator starts");
    let mut line = String::new();
    BufReader::new(simulator.stdout.take().expect("piped"))
        .read_line(&mut line)
        .expect("it says where it is");
    let said: serde_json::Value = serde_json::from_str(&line).expect("a line of JSON");
    let url = said["url"].as_str().expect("an address");
    write_job(at, url);
    let loaded = Command::new(program)
        .args(["load", "--plain", "--summary"])
        .arg(at.join("summary.json"))
        .arg(at.join("bench.toml"))
        .env("DVBULK_BENCH_SECRET", "pretended-secret-1")
        .stdout(Stdio::null())
        .status()
        .expect("the loader runs");
    simulator.kill().expect("it can be ended");
    simulator.wait().expect("it ended");
    assert!(loaded.success(), "the loader ended with {loaded}");
    let summary = fs::read(at.join("summary.json")).expect("a summary");
    let summary: serde_json::Value = serde_json::from_slice(&summary).expect("JSON");
    let number = |name: &str| summary[name].as_f64().expect("a number");
    let (cpu, wall) = (number("cpu_seconds"), number("elapsed_seconds"));
    println!(
        "{rows} rows, {:.0} bytes each: {:.2} us of processor per row, {:.0} rows/s on this \
         machine, {:.0} MiB resident at most, {} requests",
        bytes as f64 / f64::from(rows),
        cpu * 1e6 / f64::from(rows),
        f64::from(rows) / wall,
        number("resident_bytes_max") / 1048576.0,
        summary["totals"]["requests"],
    );
}

const SIMULATOR: &str = r#"
[protection]
requests_max = 0
execution_secs_max = 0.0
concurrent_max = 0
dop_hint = 8
"#;

fn write_job(folder: &Path, url: &str) {
    let mut job = format!(
        "[job]\nname = \"bench\"\n[environment]\nurl = \"{url}\"\nauthority = \"{url}\"\n\
         organization = \"0e6a0001-0000-4000-8000-000000000001\"\n[[identity]]\nname = \"app-1\"\n\
         tenant_id = \"11111111-2222-3333-4444-555555555555\"\n\
         client_id = \"a0000000-0000-4000-8000-000000000001\"\n\
         client_secret = {{ env = \"DVBULK_BENCH_SECRET\" }}\n[[table]]\ntable = \"account\"\n\
         source = \"account.csv\"\nkey = \"accountnumber\"\noperation = \"create\"\nbatch = 100\n\
         parallel = 8\n[table.columns]\n"
    );
    for name in COLUMNS {
        match name {
            "preferredsystemuserid" => job.push_str(
                "preferredsystemuserid = { from = \"preferredsystemuserid\", lookup = { table = \
                 \"systemuser\", id = true } }\n",
            ),
            _ => writeln!(job, "{name} = \"{name}\"").expect("a string takes everything"),
        }
    }
    fs::write(folder.join("bench.toml"), job).expect("writable");
}

/// One row in twenty has quotes or an umlaut, one in fifty an embedded line end.
fn write_rows(path: &Path, rows: u32) -> u64 {
    let mut rng = SmallRng::seed_from_u64(7);
    let mut out = std::io::BufWriter::new(fs::File::create(path).expect("writable"));
    writeln!(out, "{}", COLUMNS.join(",")).expect("writable");
    for i in 0..rows {
        let n: u32 = rng.random();
        let name = match i % 20 {
            0 => "\"Müller, Söhne & \"\"Co\"\"\"".to_owned(),
            _ => format!("Contoso {n}"),
        };
        let description =
            if i % 50 == 0 { "\"first line\nsecond line\"" } else { "met at the fair in spring" };
        writeln!(
            out,
            "A-{i:08},{name},info{n}@contoso.example,+49 30 {},{} Main Street,Berlin,{:05},\
             {description},{},{},{}.{:02},{}.{:02},{}.{:04},{}.{:04},{},{},{},{},\
             2025-{:02}-{:02}T{:02}:{:02}:00Z,5e000000-0000-4000-8000-000000000001",
            n % 10_000_000,
            n % 300,
            n % 100_000,
            n % 5000,
            i,
            n % 1_000_000,
            n % 100,
            n % 50_000,
            n % 97,
            n % 89,
            n % 10_000,
            n % 179,
            n % 9_999,
            n.is_multiple_of(2),
            n.is_multiple_of(3),
            1 + n % 12,
            1 + n % 12,
            1 + n % 12,
            1 + n % 28,
            n % 24,
            n % 60,
        )
        .expect("writable");
    }
    out.into_inner().expect("flushed").metadata().expect("there").len()
}
