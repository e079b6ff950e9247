//! A load that stays up, is steered, is told to end, and is protected from a second one.

use crate::rig::{Child, Rig, http_get, quick, success_is_store};
use dvbulk::runtime::clock;
use dvbulk::simulator::settings::{Cost, LatencySettings, Settings};
use serde_json::Value;
use std::fmt::Write as _;
use std::time::Duration;

const TABLE: &str = r#"
[watch]
interval = "50ms"

[[table]]
table = "contact"
source = "inbox/*.csv"
key = "No"
operation = "create"
batch = 10
parallel = 2

[table.columns]
externaluseridentifier = "No"
lastname = "No"
"#;

fn rows(prefix: &str, count: u32) -> String {
    let mut text = "No\n".to_owned();
    for n in 0..count {
        writeln!(text, "{prefix}-{n:05}").unwrap();
    }
    text
}

/// Each request takes so long, in real time.
fn slow(ms: f64) -> Settings {
    let cost = Cost { a: ms / 1000.0, b: 0.0, d: 0.0 };
    let latency = LatencySettings {
        scale: 1.0,
        out_of_the_box: cost,
        read: Cost { a: 0.0, b: 0.0, d: 0.0 },
        noise_sigma: 0.0,
        ..LatencySettings::default()
    };
    Settings { latency, ..quick() }
}

/// Writes a file elsewhere and moves it in, as a daemon's inbox asks for.
fn drop_in(rig: &Rig, name: &str, content: &str) {
    let made = rig.write(&format!("outside/{name}"), content);
    std::fs::rename(made, rig.path(&format!("inbox/{name}"))).expect("it moves");
}

fn status(address: &str) -> Value {
    serde_json::from_str(&http_get(address, "/status").1).expect("status is JSON")
}

/// Waits until so many rows are settled.
fn settled(rig: &Rig, child: &mut Child, address: &str, rows: u64) -> Value {
    let found = rig.until(child, || {
        let status = status(address);
        (status["loads"][0]["rows"]["created"].as_u64() >= Some(rows)).then_some(status)
    });
    found.unwrap_or_else(|| panic!("ended early\n{}", child.stderr()))
}

fn signal(child: &Child, name: &str) {
    let sent = std::process::Command::new("kill")
        .args([format!("-{name}"), child.pid().to_string()])
        .status()
        .expect("kill runs");
    assert!(sent.success());
}

#[test]
fn a_daemon_takes_files_as_they_come_and_is_steered_through_its_socket() {
    let rig = Rig::start(quick());
    rig.write("inbox/.keep", "");
    rig.job("job", TABLE);
    let arguments = ["load", "job.toml", "--watch", "--summary", "summary.json"];
    let mut child = rig.spawn(&arguments);
    let address = rig.listens(&mut child);
    drop_in(&rig, "a.csv", &rows("A", 25));
    settled(&rig, &mut child, &address, 25);
    // Names of files that are still being written are passed over.
    rig.write("inbox/.b.csv", "No\nhidden\n");
    drop_in(&rig, "c.csv", &rows("C", 31));
    let seen = settled(&rig, &mut child, &address, 56);
    assert_eq!(seen["state"], "running");

    let told = rig.run(&["status", "job.toml"]).expect(0);
    assert!(told.stdout.contains("job: running"), "{}", told.stdout);
    let paused = rig.run(&["pause", "job.toml"]).expect(0);
    assert_eq!(paused.stdout, "job is paused\n");
    drop_in(&rig, "d.csv", &rows("D", 5));
    let reading = rig.until(&mut child, || {
        let load = &status(&address)["loads"][0];
        (load["read"] == 61).then(|| load["reason"].clone())
    });
    assert_eq!(reading.expect("it runs"), "paused by operator");
    assert_eq!(rig.store("contact").len(), 56, "nothing is sent while paused");
    let json = rig.run(&["status", "job.toml", "--json"]).expect(0);
    let json: Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(json["state"], "paused");
    assert_eq!(json["loads"][0]["open"], 5);

    let resumed = rig.run(&["resume", "job.toml"]).expect(0);
    assert_eq!(resumed.stdout, "job is running\n");
    settled(&rig, &mut child, &address, 61);
    let drained = rig.run(&["drain", "job.toml"]).expect(0);
    assert_eq!(drained.stdout, "job is draining\n");
    rig.wait(child).expect(0);
    let done = success_is_store(
        &rig.rows("job", "contact", "success"),
        &rig.store("contact"),
        "externaluseridentifier",
    );
    assert_eq!(done.len(), 61);

    let nobody = rig.run(&["status", "job.toml"]).expect(4);
    assert!(nobody.stderr.contains("no load of this job is running here"), "{}", nobody.stderr);
    let writes = rig.writes();
    let again = rig.load("job").expect(0);
    again.balanced();
    assert_eq!(again.rows("contact", "created"), 61);
    assert_eq!(rig.writes(), writes, "nothing was left to do");
}

fn ends_by(name: &str, code: i32) {
    let rig = Rig::start(slow(150.0));
    rig.write("inbox/a.csv", rows("A", 2000));
    rig.job("job", TABLE);
    let mut child = rig.spawn(&["load", "job.toml", "--summary", "summary.json"]);
    let address = rig.listens(&mut child);
    settled(&rig, &mut child, &address, 20);
    signal(&child, name);
    let asked = clock::now();
    let mut run = rig.wait(child).expect(code);
    assert!(
        clock::now().saturating_since(asked) < Duration::from_secs(10),
        "{:?}",
        clock::now().saturating_since(asked)
    );
    run.summary =
        serde_json::from_str(&std::fs::read_to_string(rig.path("summary.json")).unwrap()).unwrap();
    run.balanced();
    let created = run.rows("contact", "created");
    assert!((20..2000).contains(&created), "{created}");
    // What was on the wire was waited for, and is told.
    let store = rig.store("contact");
    assert_eq!(store.len() as u64, created);
    let success = rig.rows("job", "contact", "success");
    let done = success_is_store(&success, &store, "externaluseridentifier");
    let left = rig.rows("job", "contact", "unprocessed");
    assert_eq!(left.len() as u64, 2000 - created);
    assert!(left.iter().all(|row| !done.contains_key(&row["No"])));
    assert!(run.stdout.contains("INCOMPLETE"), "{}", run.stdout);
}

#[test]
fn an_interrupted_load_waits_for_its_answers_and_says_130() {
    ends_by("INT", 130);
}

#[test]
fn a_terminated_load_waits_for_its_answers_and_says_143() {
    ends_by("TERM", 143);
}

#[test]
fn a_stopped_load_goes_on_where_it_was() {
    let rig = Rig::start(slow(40.0));
    rig.write("inbox/a.csv", rows("A", 400));
    rig.job("job", TABLE);
    let mut child = rig.spawn(&["load", "job.toml"]);
    let address = rig.listens(&mut child);
    settled(&rig, &mut child, &address, 50);
    signal(&child, "TERM");
    rig.wait(child).expect(143);
    let run = rig.load("job").expect(0);
    run.balanced();
    assert_eq!(run.rows("contact", "created"), 400);
    assert_eq!(rig.store("contact").len(), 400);
    assert!(!rig.path("job.out/contact.unprocessed.csv").exists());
}

#[test]
fn a_second_load_on_one_ledger_is_refused_at_once() {
    let rig = Rig::start(slow(100.0));
    rig.write("inbox/a.csv", rows("A", 2000));
    rig.job("job", TABLE);
    let mut child = rig.spawn(&["load", "job.toml"]);
    let address = rig.listens(&mut child);
    settled(&rig, &mut child, &address, 10);
    let begun = clock::now();
    let second = rig.run(&["load", "job.toml"]).expect(5);
    assert!(
        clock::now().saturating_since(begun) < Duration::from_secs(3),
        "{:?}",
        clock::now().saturating_since(begun)
    );
    assert!(second.stderr.contains(&child.pid().to_string()), "{}", second.stderr);
    assert!(second.stderr.contains("DV04"), "{}", second.stderr);
    // The first one is not disturbed.
    assert_eq!(status(&address)["state"], "running");
    signal(&child, "TERM");
    rig.wait(child).expect(143);
}

#[test]
fn a_source_that_changed_between_two_runs_is_refused() {
    let rig = Rig::start(slow(40.0));
    rig.write("inbox/a.csv", rows("A", 1000));
    rig.job("job", TABLE);
    let mut child = rig.spawn(&["load", "job.toml"]);
    let address = rig.listens(&mut child);
    settled(&rig, &mut child, &address, 50);
    signal(&child, "TERM");
    rig.wait(child).expect(143);
    let stored = rig.store("contact").len();
    let path = rig.path("inbox/a.csv");
    let written = std::fs::metadata(&path).unwrap().modified().unwrap();
    rig.write("inbox/a.csv", rows("B", 1000));
    let run = rig.load("job").expect(4);
    run.balanced();
    assert!(run.stdout.contains("DV0404"), "{}\n{}", run.stdout, run.stderr);
    assert_eq!(rig.store("contact").len(), stored, "nothing of the other file was written");
    rig.write("inbox/a.csv", rows("A", 1000));
    let file = std::fs::File::options().append(true).open(&path).unwrap();
    file.set_modified(written).unwrap();
    rig.load("job").expect(0).balanced();
    assert_eq!(rig.store("contact").len(), 1000);
}
