//! What can be seen of a load while it runs, and what must be seen nowhere: its secrets.

use crate::rig::{Rig, http_get, quick};
use dvbulk::simulator::settings::{Cost, LatencySettings, Settings, UserSettings};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

const SECRET: &str = "canary-4711-must-not-be-told";

const TABLE: &str = r#"
[[table]]
table = "account"
source = "account.csv"
key = "No"
operation = "create"
batch = 10
parallel = 2

[table.columns]
accountnumber = "No"
"#;

/// Files below `folder` whose bytes hold the secret.
fn tellers(folder: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            tellers(&path, found);
        } else if path.is_file() {
            let bytes = fs::read(&path).unwrap();
            if bytes.windows(SECRET.len()).any(|part| part == SECRET.as_bytes()) {
                found.push(path.display().to_string());
            }
        }
    }
}

#[test]
fn a_running_load_is_seen_and_its_secrets_are_not() {
    let mut user = UserSettings::numbered(1);
    user.secret = Some(SECRET.to_owned());
    let latency = LatencySettings {
        scale: 1.0,
        out_of_the_box: Cost { a: 0.05, b: 0.0, d: 0.0 },
        ..LatencySettings::default()
    };
    let rig = Rig::start(Settings { users: vec![user], latency, ..quick() });
    let mut text = "No\n".to_owned();
    for n in 0..600 {
        writeln!(text, "A-{n:04}").unwrap();
    }
    // Refused by the conversion, so that there is an error file: 21 characters, 20 fit.
    writeln!(text, "A-TOO-LONG-FOR-ITS-COL").unwrap();
    rig.write("account.csv", text);
    rig.job("job", TABLE);
    let arguments = ["load", "job.toml", "--log-level", "trace", "--log-format", "json"];
    let mut child = rig.spawn(&arguments);
    let address = rig.listens(&mut child);
    assert_eq!(http_get(&address, "/healthz"), (200, "ok\n".to_owned()));
    assert_eq!(http_get(&address, "/readyz"), (200, "ready\n".to_owned()));
    assert_eq!(http_get(&address, "/nothing").0, 404);
    assert_eq!(http_get(&address, "/pause").0, 405, "steering is not reading");
    let argv = fs::read(format!("/proc/{}/cmdline", child.pid())).unwrap();
    assert!(!String::from_utf8_lossy(&argv).contains(SECRET));

    let mut pages = String::new();
    let seen = rig.until(&mut child, || {
        let (status, metrics) = http_get(&address, "/metrics");
        assert_eq!(status, 200);
        pages.push_str(&metrics);
        pages.push_str(&http_get(&address, "/status").1);
        let settled = metrics.lines().find_map(|line| {
            line.strip_prefix("dvbulk_rows_settled_total{load=\"account\",state=\"created\"} ")
        })?;
        let settled: u64 = settled.parse().expect("a number");
        (settled > 100).then_some(metrics)
    });
    let metrics = seen.expect("the load ended before it was seen at work");
    for name in [
        "dvbulk_rows_read_total{load=\"account\"} 601",
        "dvbulk_requests_in_flight{load=\"account\"} 2",
        "dvbulk_parallel_limit{load=\"account\"} 2",
        "dvbulk_request_duration_seconds_bucket{",
        "dvbulk_batch_rows_bucket{",
        "dvbulk_throttles_total{identity=\"app-1\",limit=\"requests\"} 0",
        "dvbulk_memory_taken_bytes ",
        "dvbulk_waiting{load=\"account\",reason=\"parallel\"} 1",
        "dvbulk_build_info{",
    ] {
        assert!(metrics.contains(name), "{name} is not in\n{metrics}");
    }
    assert!(!pages.contains(SECRET));
    let run = rig.wait(child).expect(2);
    assert!(run.stderr.contains("\"level\":\"INFO\""), "{}", run.stderr);
    assert!(!run.stdout.contains(SECRET) && !run.stderr.contains(SECRET));
    assert_eq!(rig.rows("job", "account", "errors").len(), 1);
    let mut found = Vec::new();
    let folder = rig.path("");
    tellers(&folder, &mut found);
    assert_eq!(found, [rig.path("secrets/app-1.txt").display().to_string()]);
}
