//! A real Prometheus watches a real load: everything a dashboard or a rule asks for has an answer.

use crate::asked::{self, Asked};
use crate::page;
use crate::promtool::promtool;
use crate::rig::{Rig, http_get};
use crate::{folder, skip};
use dvbulk::runtime::clock;
use dvbulk::simulator::settings::{LatencySettings, ProtectionSettings, Settings};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

/// What a load that goes well never shows: closed, and each with its reason.
const NEVER_SEEN: [(&str, &str); 1] =
    // A breaker holds the load until a person comes: its own test is tests/it/breaker.rs.
    [("dvbulk_waiting", r#"reason="breaker""#)];

/// How long panels may stay without data. A quarter of a minute is one rate window.
const PATIENCE: Duration = Duration::from_secs(90);

/// The load that dashboards/tuning.json looks at.
const WATCHED: &str = "contact";

/// Everything that happens only to some requests happens here, and again and again.
const FAULTS: &str = r#"
[[faults]]
name = "answers lost after commit"
match = { operation = "CreateMultiple", table = "contacts", every = 17 }
action = { kind = "cut-after" }
[[faults]]
name = "deadlock, rolled back"
match = { operation = "CreateMultiple", table = "contacts", every = 23 }
action = { kind = "sql-error", number = 1205 }
[[faults]]
name = "request limit"
match = { operation = "CreateMultiple", table = "contacts", every = 41 }
action = { kind = "status", status = 429, retry_after = "1", code = "0x80072322" }
[[faults]]
name = "execution time"
match = { operation = "CreateMultiple", table = "contacts", every = 43 }
action = { kind = "status", status = 429, retry_after = "1", code = "0x80072321" }
[[faults]]
name = "nobody knows"
match = { operation = "CreateMultiple", table = "leads", first = 2 }
action = { kind = "cut-after" }
[[faults]]
name = "plug-in"
match = { body = "POISON" }
action = { kind = "poison", message = "The plug-in refused this row." }
"#;

const TABLES: &str = r#"
[serve]
listen = "127.0.0.1:0"

[breakers]
failed_share_max = 1.0

[tuning.entitlement]
per_identity = 1_000_000
policy = "warn"

[[table]]
table = "contact"
source = "contact.csv"
key = "No"
operation = "create"
batch = 10
parallel = 4

[table.columns]
externaluseridentifier = "No"
lastname = "Last"
birthdate = "Born"

[[table]]
table = "account"
source = "account.csv"
key = "No"
operation = "create"
batch = 20
parallel = 1

[table.columns]
accountnumber = "No"
name = "Name"

[[table]]
table = "lead"
source = "lead.csv"
key = "No"
operation = "create"
ids = "dataverse"
batch = 10
parallel = 1

[table.columns]
subject = "No"
lastname = "Last"
"#;

/// More rows than can be loaded while anybody looks; some cannot be converted, some stand there
/// twice, some are refused by the service.
fn stage(rig: &Rig) {
    let mut contacts = "No,Last,Born\n".to_owned();
    for n in 0..60_000 {
        let born = if n % 97 == 5 { "the day before" } else { "1980-02-29" };
        let number = if n % 89 == 7 { n - 1 } else { n };
        let last = if n % 211 == 9 { "POISON" } else { "Last" };
        writeln!(contacts, "C-{number:06},{last},{born}").expect("a string takes everything");
    }
    rig.write("contact.csv", contacts);
    for (file, head, rows) in [("account.csv", "No,Name\n", 2000), ("lead.csv", "No,Last\n", 400)] {
        let mut text = head.to_owned();
        for n in 0..rows {
            writeln!(text, "N-{n:06},Name {n}").expect("a string takes everything");
        }
        rig.write(file, text);
    }
    rig.job("job", TABLES);
}

fn settings() -> Settings {
    let latency = LatencySettings { scale: 0.15, ..LatencySettings::default() };
    let faults = Settings::parse(FAULTS).expect("the script is right").faults;
    Settings { protection: ProtectionSettings::off(), latency, faults, ..Settings::default() }
}

/// A Prometheus of its own, ended with the test.
struct Prometheus {
    child: Child,
    address: String,
}

impl Prometheus {
    /// Starts it in `place` with the rules of the folder and these targets; `None` if there is no
    /// such program.
    fn start(place: &Path, targets: &[String]) -> Option<Self> {
        for rules in ["rules.yaml", "alerts.yaml"] {
            fs::copy(folder().join(rules), place.join(rules)).expect("copied");
        }
        let targets: Vec<String> = targets.iter().map(|t| format!("\"{t}\"")).collect();
        let text = format!(
            "global: {{ scrape_interval: 1s, evaluation_interval: 1s }}\n\
             rule_files: [rules.yaml, alerts.yaml]\n\
             scrape_configs:\n- job_name: dvbulk\n  static_configs:\n  - targets: [{}]\n",
            targets.join(", ")
        );
        let config = place.join("prometheus.yml");
        fs::write(&config, text).expect("written");
        promtool(&["check", "config", &config.to_string_lossy()], "");
        let log = place.join("prometheus.log");
        let started = Command::new("prometheus")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", place.join("data").display()))
            .arg("--web.listen-address=127.0.0.1:0")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(&log).expect("a log"))
            .spawn();
        let child = match started {
            Ok(child) => child,
            Err(error) => {
                skip("a Prometheus that watches a load", &error.to_string());
                return None;
            }
        };
        let mut started = Self { child, address: String::new() };
        started.address = started.listens(&log);
        Some(started)
    }

    fn listens(&mut self, log: &Path) -> String {
        let patience = clock::now() + Duration::from_secs(30);
        loop {
            let said = fs::read_to_string(log).expect("its log");
            let ready = said.contains("Server is ready");
            if let Some((_, after)) = said.split_once("msg=\"Listening on\" address=")
                && ready
            {
                let end = after.find(char::is_whitespace).expect("a line");
                return after[..end].to_owned();
            }
            let ended = self.child.try_wait().expect("it can be asked").is_some();
            assert!(!ended && clock::now() < patience, "Prometheus does not start\n{said}");
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// One call of its API; its `data`.
    fn api(&self, path: &str) -> Result<Value, String> {
        let mut stream = TcpStream::connect(&self.address).expect("Prometheus listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        // HTTP/1.0 has no chunks.
        let request = format!("GET {path} HTTP/1.0\r\nHost: {}\r\n\r\n", self.address);
        stream.write_all(request.as_bytes()).expect("the question is sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        let (_, body) = answer.split_once("\r\n\r\n").expect("head and body");
        let mut told: Value = serde_json::from_str(body).map_err(|e| format!("{e}: {body}"))?;
        if told["status"] == "success" { Ok(told["data"].take()) } else { Err(body.to_owned()) }
    }

    /// Whether an expression had a number at any moment since `since_ms`, as a panel would show.
    fn answers(&self, expression: &str, since_ms: i64) -> Result<bool, String> {
        let (from, to) = (since_ms / 1000, clock::wall_ms() / 1000);
        let query = encode(expression);
        let path = format!("/api/v1/query_range?query={query}&start={from}&end={to}&step=1");
        let data = self.api(&path)?;
        let result = data["result"].as_array().ok_or("no result")?;
        let numbers = result.iter().flat_map(|series| series["values"].as_array());
        let finite = |value: &Value| {
            value[1].as_str().and_then(|text| text.parse().ok()).is_some_and(f64::is_finite)
        };
        Ok(numbers.flatten().any(finite))
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn encode(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() {
            encoded.push(char::from(byte));
        } else {
            write!(encoded, "%{byte:02X}").expect("a string takes everything");
        }
    }
    encoded
}

/// Everything that has to have an answer: panels, recording rules, and what alerts look at. An
/// alert itself stays empty while all is well.
fn questions() -> Vec<Asked> {
    let mut questions = asked::by_dashboards();
    for asked in &mut questions {
        asked.expression = asked::filled_in(&asked.expression, WATCHED);
    }
    questions.extend(asked::by_recording_rules());
    let recorded = asked::by_recording_rules().into_iter();
    questions
        .extend(recorded.map(|Asked { place, .. }| Asked { expression: place.clone(), place }));
    for Asked { place, expression } in asked::by_alerts() {
        for (name, matchers) in asked::selectors(&expression) {
            if !NEVER_SEEN.contains(&(name.as_str(), matchers.as_str())) {
                let expression = format!("{name}{{{matchers}}}");
                questions.push(Asked { place: format!("alert {place}"), expression });
            }
        }
    }
    questions
}

/// What was arranged to happen, so that panels show more than zeros.
fn arranged() -> Vec<Asked> {
    let mut expressions = Vec::new();
    for result in ["done", "throttled", "refused", "not_applied", "in_doubt"] {
        expressions.push(format!("dvbulk_requests_total{{result=\"{result}\"}} > 0"));
    }
    for state in ["created", "failed", "rejected", "duplicate_input", "ambiguous"] {
        expressions.push(format!("dvbulk_rows_settled_total{{state=\"{state}\"}} > 0"));
    }
    for limit in ["requests", "execution_time"] {
        expressions.push(format!("dvbulk_throttles_total{{limit=\"{limit}\"}} > 0"));
    }
    for counted in ["dvbulk_batches_split_total", "dvbulk_retries_total"] {
        expressions.push(format!("{counted}{{load=\"{WATCHED}\"}} > 0"));
    }
    expressions.push("dvbulk_order_changes_total > 0".to_owned());
    let place = "what was arranged";
    expressions
        .into_iter()
        .map(|expression| Asked { place: place.to_owned(), expression })
        .collect()
}

#[test]
fn every_panel_and_rule_has_data_from_a_load_that_is_watched() {
    let rig = Rig::start(settings());
    stage(&rig);
    let begun = clock::wall_ms();
    let mut load = rig.spawn(&["load", "job.toml", "--plain"]);
    let address = rig.listens(&mut load);
    let targets = vec![address.clone()];
    let place: PathBuf = rig.path("prometheus");
    fs::create_dir_all(&place).expect("a folder");
    let Some(prometheus) = Prometheus::start(&place, &targets) else { return };

    // A person holds the load for a moment: that has a reason, and is a change of orders.
    thread::sleep(Duration::from_secs(4));
    rig.run(&["pause", "job.toml"]).expect(0);
    thread::sleep(Duration::from_secs(2));
    rig.run(&["resume", "job.toml"]).expect(0);
    rig.run(&["set", "job.toml", "lead", "weight=2"]).expect(0);

    let mut open = questions();
    assert!(open.len() > 150, "{}", open.len());
    open.extend(arranged());
    let patience = clock::now() + PATIENCE;
    loop {
        open.retain(|asked| match prometheus.answers(&asked.expression, begun) {
            Ok(answered) => !answered,
            Err(error) => panic!("{}: {}: {error}", asked.place, asked.expression),
        });
        if open.is_empty() || clock::now() > patience {
            break;
        }
        assert!(!load.ended(), "the load ended too early\n{}", load.stderr());
        thread::sleep(Duration::from_secs(1));
    }
    let silent: Vec<String> =
        open.iter().map(|asked| format!("{}: {}", asked.place, asked.expression)).collect();
    let page = http_get(&address, "/metrics").1;
    assert!(silent.is_empty(), "without data:\n{}\n\n{page}", silent.join("\n"));

    // Alerts are understood, and the one this load calls for fires.
    for Asked { place, expression } in asked::by_alerts() {
        if let Err(error) = prometheus.answers(&expression, begun) {
            panic!("{place}: {error}");
        }
    }
    let alerts = prometheus.api("/api/v1/alerts").expect("alerts");
    let firing: BTreeSet<&str> = alerts["alerts"]
        .as_array()
        .expect("a list")
        .iter()
        .filter(|alert| alert["state"] == "firing")
        .filter_map(|alert| alert["labels"]["alertname"].as_str())
        .collect();
    assert!(firing.contains("DvbulkAmbiguousRows"), "{firing:?}");
    for calm in ["DvbulkGone", "DvbulkPausedByBreaker", "DvbulkMemory", "DvbulkNoProgress"] {
        assert!(!firing.contains(calm), "{firing:?}");
    }

    // The page itself: whole, and well formed. What is absent by nature is not asked for here.
    promtool(&["check", "metrics"], &page);
    let served = page::types(&page);
    let missing: Vec<String> = page::types(&page::by_hand())
        .into_keys()
        .filter(|name| !served.contains_key(name))
        .collect();
    assert!(missing.is_empty(), "a real load does not serve {missing:?}");

    // Draining would send all that was read ahead.
    let told = Command::new("kill").arg("-TERM").arg(load.pid().to_string()).status();
    assert!(told.expect("kill is there").success());
    rig.wait(load).expect(143);
}
