//! What a running load shows over HTTP, and what it never shows anywhere.

use crate::rig::{Rig, http_get};
use dvbulk::simulator::settings::{LatencySettings, ProtectionSettings, Settings};
use serde_json::Value;
use std::fmt::Write as _;
use std::fs;
use std::io::{Read as _, Write as _};
use std::path::Path;

const TABLE: &str = r#"
[[table]]
table = "contact"
source = "contact.csv"
key = "No"
operation = "create"
batch = 10
parallel = 2

[table.columns]
externaluseridentifier = "No"
lastname = "Last"
"#;

fn slow() -> Settings {
    let latency = LatencySettings { scale: 0.1, ..LatencySettings::default() };
    Settings { protection: ProtectionSettings::off(), latency, ..Settings::default() }
}

fn rows(rig: &Rig, rows: u32) {
    let mut text = "No,Last\n".to_owned();
    for n in 0..rows {
        writeln!(text, "C-{n:05},Last {n}").expect("a string takes everything");
    }
    rig.write("contact.csv", text);
    rig.job("job", TABLE);
}

fn ask(address: &str, request: &str) -> String {
    let mut stream = std::net::TcpStream::connect(address).expect("somebody listens");
    stream.write_all(request.as_bytes()).expect("the request is sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}

#[test]
fn a_load_can_be_looked_at_and_not_steered_over_http() {
    let rig = Rig::start(slow());
    rows(&rig, 900);
    let mut child = rig.spawn(&["load", "job.toml", "--plain"]);
    let address = rig.listens(&mut child);
    let metrics = rig
        .until(&mut child, || {
            let page = http_get(&address, "/metrics").1;
            let begun = page.lines().any(|l| {
                l.strip_prefix("dvbulk_rows_settled_total{load=\"contact\",state=\"created\"} ")
                    .is_some_and(|rows| rows != "0")
            });
            begun.then_some(page)
        })
        .expect("rows settle while it runs");
    for series in [
        "dvbulk_rows_read_total{load=\"contact\"} ",
        "dvbulk_rows_open{load=\"contact\"} ",
        "dvbulk_requests_in_flight{load=\"contact\"} ",
        "dvbulk_parallel_limit{load=\"contact\"} 2",
        "dvbulk_request_duration_seconds_bucket{",
        "dvbulk_batch_rows_bucket{",
        "dvbulk_throttles_total{identity=\"app-1\",limit=\"requests\"} 0",
        "dvbulk_memory_taken_bytes ",
        "dvbulk_build_info{",
    ] {
        assert!(metrics.contains(series), "{series} is missing in\n{metrics}");
    }
    assert_eq!(http_get(&address, "/healthz"), (200, "ok\n".to_owned()));
    assert_eq!(http_get(&address, "/readyz").0, 200);
    assert_eq!(http_get(&address, "/elsewhere").0, 404);
    let status: Value = serde_json::from_str(&http_get(&address, "/status").1).expect("JSON");
    assert_eq!(status["state"], "running");
    assert_eq!(status["loads"][0]["name"], "contact");
    assert!(status["loads"][0]["in_flight"].as_u64().is_some_and(|n| n <= 2), "{status}");

    let post = format!("POST /drain HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    assert!(ask(&address, &post).starts_with("HTTP/1.1 401"), "steering needs the token");
    let get = format!("GET /drain HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    assert!(ask(&address, &get).starts_with("HTTP/1.1 405"), "nothing changes by GET");
    let stranger = "GET /status HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n";
    assert!(ask(&address, stranger).starts_with("HTTP/1.1 403"), "a rebound name is a stranger");
    let status: Value = serde_json::from_str(&http_get(&address, "/status").1).expect("JSON");
    assert_eq!(status["state"], "running", "none of that changed the run");

    rig.run(&["drain", "job.toml"]).expect(0);
    rig.wait(child).expect(0);
}

#[test]
fn the_secret_stands_nowhere_but_where_the_job_says_it_is() {
    let rig = Rig::start(slow());
    let secret = rig.sim.settings().users[0].secret.clone().expect("it has one");
    rows(&rig, 200);
    let mut child =
        rig.spawn(&["load", "job.toml", "--plain", "--log-level", "trace", "--summary", "s.json"]);
    let address = rig.listens(&mut child);
    let argv = fs::read(format!("/proc/{}/cmdline", child.pid())).expect("its command line");
    assert!(!contains(&argv, &secret), "argv");
    for page in ["/metrics", "/status"] {
        assert!(!http_get(&address, page).1.contains(&secret), "{page}");
    }
    let run = rig.wait(child).expect(0);
    for (name, text) in [("stdout", &run.stdout), ("stderr", &run.stderr)] {
        assert!(!text.contains(&secret), "{name}");
        assert!(!text.contains("Bearer "), "{name} holds a token");
    }
    let mut looked = 0;
    look(&rig.path("."), &secret, &mut looked);
    assert!(looked >= 5, "ledger, files and summary were looked at: {looked}");
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

fn look(folder: &Path, secret: &str, looked: &mut usize) {
    for entry in fs::read_dir(folder).expect("readable") {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            if !path.ends_with("secrets") {
                look(&path, secret, looked);
            }
        } else if path.is_file() && !path.to_string_lossy().contains("secret") {
            *looked += 1;
            assert!(!contains(&fs::read(&path).expect("readable"), secret), "{}", path.display());
        }
    }
}
