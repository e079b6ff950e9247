//! The whole program over real sockets against the local Dataverse with its model of the service:
//! service times with contention, windows, refusals. Time is compressed, the law is the same as in
//! the bench in virtual time, and so is the bound. Prints what share of it the load reached within
//! fifteen minutes of the service's time, cold, and how often it was refused.
//!
//! `cargo bench --bench realtime` (about five minutes; `-- NAME` for those whose name contains it;
//! `-- --keep FOLDER` leaves job, source and files there).

#![expect(clippy::expect_used, clippy::print_stdout, reason = "a bench prints and may stop")]
#![expect(dead_code, reason = "shared with the bench in virtual time")]

#[path = "../throughput/bound.rs"]
mod bound;
#[path = "../throughput/profiles.rs"]
mod profiles;
#[path = "../throughput/world.rs"]
mod world;

use crate::bound::Bound;
use crate::world::{Class, Headers, MODERATE, OOB, World};
use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

/// Simulated seconds a second. At 30 the way over loopback weighs about as much as a near network.
const SPEED: f64 = 30.0;
/// Simulated seconds looked at.
const SPAN: f64 = 900.0;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let keep = args.iter().position(|a| a == "--keep").and_then(|i| args.get(i + 1));
    let only = args.first().filter(|a| *a != "--keep");
    let mut missed = false;
    println!(
        "{:34} {:>6} {:>6} {:>9} {:>9} {:>9}",
        "environment", "score", "late", "rows/s", "bound", "429/1000"
    );
    for world in worlds() {
        if only.is_some_and(|only| !world.name.contains(only.as_str())) {
            continue;
        }
        let folder = tempfile::tempdir().expect("a folder");
        let at = keep.map_or_else(|| folder.path().to_owned(), PathBuf::from);
        missed |= !run(&world, &at);
    }
    assert!(!missed, "an environment stayed below 0.90 of its bound or was refused too often");
}

fn with(world: World, change: impl FnOnce(&mut World)) -> World {
    let mut world = world;
    change(&mut world);
    world
}

fn worlds() -> Vec<World> {
    let new = profiles::world;
    vec![
        new("oob S1 U1", OOB, 1, 1),
        new("oob S2 U2", OOB, 2, 2),
        with(new("moderate S4 U2", MODERATE, 4, 2), |w| w.concurrent = 52),
        with(new("oob S4 U4 (knee)", OOB, 4, 4), |w| w.kappa = vec![(0.0, 0.0016)]),
        with(new("oob 8 nodes, one counter, stale", OOB, 8, 2), |w| {
            w.shared = true;
            w.headers = Headers::Stale(20.0);
        }),
        with(new("oob S2 U2 slower x2.5 half-way", OOB, 2, 2), |w| {
            w.tables[0].drift = vec![(0.0, 1.0), (450.0, 2.5)];
        }),
        with(new("oob S2 U2 no headers", OOB, 2, 2), |w| w.headers = Headers::None),
    ]
}

fn run(world: &World, at: &Path) -> bool {
    fs::write(at.join("sim.toml"), simulator(world)).expect("writable");
    let bound = Bound::new(world);
    let most = bound.rows(0, 0.0, SPAN);
    write_rows(&at.join("account.csv"), (most * 1.1) as u64 + 1000);
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
    let url = said["url"].as_str().expect("an address").to_owned();
    write_job(at, &url, world.users.len());
    let mut loader = Command::new(program)
        .args(["load", "--plain", "--service-speed", &SPEED.to_string()])
        .arg(at.join("bench.toml"))
        .env("DVBULK_BENCH_SECRET", "pretended-secret-1")
        .stdout(Stdio::null())
        .stderr(fs::File::create(at.join("load.log")).expect("writable"))
        .spawn()
        .expect("the loader runs");
    let seen = watch(&url);
    loader.kill().expect("it can be ended");
    loader.wait().expect("it ended");
    simulator.kill().expect("it can be ended");
    simulator.wait().expect("it ended");

    let (first, last) = (seen.first().expect("rows"), seen.last().expect("rows"));
    let span = last.secs - first.secs;
    let score = (last.rows - first.rows) / (most * span / SPAN);
    let half = seen.iter().find(|s| s.secs - first.secs >= SPAN / 2.0).unwrap_or(first);
    let late_bound = bound.rows(0, half.secs - first.secs, span);
    let late = (last.rows - half.rows) / late_bound.max(1.0);
    let refused = 1000.0 * last.throttled / last.requests.max(1.0);
    println!(
        "{:34} {score:>6.3} {late:>6.3} {:>9.0} {:>9.0} {refused:>9.2}",
        world.name,
        (last.rows - first.rows) / span,
        most / SPAN
    );
    let told = world.headers != Headers::None;
    score >= 0.90 && refused <= if told { 1.0 } else { 5.0 }
}

/// The service at one moment, in its own time.
#[derive(Debug)]
struct Seen {
    secs: f64,
    rows: f64,
    requests: f64,
    throttled: f64,
}

/// Looks on from the first row to the end of the span.
fn watch(url: &str) -> Vec<Seen> {
    let mut seen: Vec<Seen> = Vec::new();
    for _ in 0..4 * (SPAN / SPEED) as usize * 10 {
        thread::sleep(Duration::from_millis(100));
        let stats = stats(url);
        let number = |name: &str| stats[name].as_f64().unwrap_or(0.0);
        let throttled = &stats["throttled"];
        let now = Seen {
            secs: number("virtual_secs"),
            rows: number("rows_written"),
            requests: number("requests"),
            throttled: ["requests", "execution", "concurrency"]
                .iter()
                .map(|kind| throttled[kind].as_f64().unwrap_or(0.0))
                .sum(),
        };
        if now.rows == 0.0 {
            seen = vec![now];
            continue;
        }
        let first = seen.first().map_or(0.0, |s| s.secs);
        let over = now.secs - first >= SPAN;
        seen.push(now);
        if over {
            break;
        }
    }
    seen
}

fn stats(url: &str) -> serde_json::Value {
    let host = url.trim_start_matches("http://");
    let mut stream = TcpStream::connect(host).expect("somebody listens");
    write!(stream, "GET /_sim/stats HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")
        .expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let body = answer.split_once("\r\n\r\n").expect("a body").1;
    let start = body.find('{').expect("JSON");
    let end = body.rfind('}').expect("JSON");
    serde_json::from_str(&body[start..=end]).expect("JSON")
}

fn simulator(world: &World) -> String {
    let Class { a, b, d, .. } = world.tables[0].class;
    let mut text = format!(
        "speed = {SPEED}\n[latency]\nscale = 1.0\nout_of_the_box = {{ a = {a}, b = {b}, d = {d} }}\n\
         contention_sigma = {}\ncontention_kappa = {}\nnoise_sigma = {}\n",
        world.sigma, world.kappa[0].1, world.noise
    );
    let drift: Vec<String> = world.tables[0]
        .drift
        .iter()
        .filter(|(after, _)| *after > 0.0)
        .map(|(after, factor)| format!("{{ after_secs = {after:.1}, factor = {factor:.2} }}"))
        .collect();
    writeln!(text, "drift = [{}]", drift.join(", ")).expect("a string takes everything");
    write!(
        text,
        "[protection]\nservers = {}\nscope = \"{}\"\nrequests_max = {}\nexecution_secs_max = {:.1}\n\
         concurrent_max = {}\nrate_headers = {}\nfractional_retry_after = true\n",
        world.servers[0].1,
        if world.shared { "user" } else { "server" },
        world.requests_limit,
        world.users[0],
        world.concurrent,
        world.headers != Headers::None,
    )
    .expect("a string takes everything");
    if let Headers::Stale(secs) = world.headers {
        writeln!(text, "headers_lag_secs = {secs:.1}").expect("a string takes everything");
    }
    for n in 1..=world.users.len() {
        write!(
            text,
            "[[users]]\nname = \"app-{n}\"\nclient_id = \"a0000000-0000-4000-8000-{n:012}\"\n\
             secret = \"pretended-secret-1\"\nsystem_user_id = \"5e000000-0000-4000-8000-{n:012}\"\n"
        )
        .expect("a string takes everything");
    }
    text
}

fn write_job(folder: &Path, url: &str, users: usize) {
    let mut job = format!(
        "[job]\nname = \"bench\"\n[environment]\nurl = \"{url}\"\nauthority = \"{url}\"\n\
         organization = \"0e6a0001-0000-4000-8000-000000000001\"\n[tuning]\nremember = false\n"
    );
    for n in 1..=users {
        write!(
            job,
            "[[identity]]\nname = \"app-{n}\"\ntenant_id = \"11111111-2222-3333-4444-555555555555\"\n\
             client_id = \"a0000000-0000-4000-8000-{n:012}\"\n\
             client_secret = {{ env = \"DVBULK_BENCH_SECRET\" }}\n"
        )
        .expect("a string takes everything");
    }
    job.push_str(
        "[[table]]\ntable = \"account\"\nsource = \"account.csv\"\nkey = \"accountnumber\"\n\
         operation = \"create\"\n[table.columns]\naccountnumber = \"accountnumber\"\nname = \"name\"\n\
         emailaddress1 = \"emailaddress1\"\n",
    );
    fs::write(folder.join("bench.toml"), job).expect("writable");
}

fn write_rows(path: &Path, rows: u64) {
    let mut out = std::io::BufWriter::new(fs::File::create(path).expect("writable"));
    writeln!(out, "accountnumber,name,emailaddress1").expect("writable");
    for i in 0..rows {
        writeln!(out, "A-{i:08},Contoso {i},info{i}@contoso.example").expect("writable");
    }
    out.flush().expect("writable");
}
