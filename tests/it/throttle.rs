//! Service protection: the program waits as long as it is told, says why, and everything arrives.

use crate::rig::{Rig, Row, http_get, read_rows, success_is_store};
use dvbulk::simulator::settings::{Cost, LatencySettings, ProtectionSettings, Settings};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write as _;

const ROWS: u32 = 1200;

const TABLE: &str = r#"
[[table]]
table = "contact"
source = "contact.csv"
key = "No"
operation = "create"
batch = 10
parallel = 40

[table.columns]
externaluseridentifier = "No"
lastname = "Last"
"#;

/// Five minutes pass in three seconds. The limits lie far below the documented ones and no header
/// tells: only refusals do.
fn throttling(protection: ProtectionSettings, seconds_a_request: f64) -> Settings {
    let cost = Cost { a: seconds_a_request, b: 0.0, d: 0.0 };
    let protection = ProtectionSettings { rate_headers: false, ..protection };
    Settings {
        speed: 100.0,
        protection,
        latency: LatencySettings {
            scale: 1.0,
            out_of_the_box: cost,
            noise_sigma: 0.0,
            ..LatencySettings::default()
        },
        ..Settings::default()
    }
}

/// Loads the rows past `limit`, whose name a load gives in `sentence` when it waits for it.
fn load_throttled(settings: Settings, limit: &str, sentence: Option<&str>) {
    let rig = Rig::start(settings);
    let mut text = "No,Last\n".to_owned();
    for n in 0..ROWS {
        writeln!(text, "C-{n:05},Last {n}").unwrap();
    }
    rig.write("contact.csv", text);
    // Many requests, so that there is time to learn how many at once are best.
    rig.job(
        "job",
        &if sentence.is_none() {
            TABLE.replace("batch = 10", "batch = 2")
        } else {
            TABLE.to_owned()
        },
    );
    let mut child = rig.spawn(&[
        "load",
        "job.toml",
        "--plain",
        "--no-wait",
        "--summary",
        "summary.json",
        "--service-speed",
        "100",
    ]);
    let address = rig.listens(&mut child);
    if let Some(sentence) = sentence {
        let mut metrics = String::new();
        let reason = rig.until(&mut child, || {
            let status: Value = serde_json::from_str(&http_get(&address, "/status").1).unwrap();
            let load = &status["loads"][0];
            metrics = http_get(&address, "/metrics").1;
            (load["waiting"] == "throttled").then(|| load["reason"].as_str().unwrap().to_owned())
        });
        let reason = reason.expect("the load was never seen waiting");
        assert!(reason.starts_with("paused ") && reason.contains(sentence), "{reason}");
        assert!(reason.contains("identity app-1") || reason.contains("identity app-2"), "{reason}");
        let said = "dvbulk_waiting{load=\"contact\",reason=\"throttled\"}";
        assert!(metrics.contains(said), "{metrics}");
    }

    let mut run = rig.wait(child).expect(0);
    run.summary =
        serde_json::from_str(&std::fs::read_to_string(rig.path("summary.json")).unwrap()).unwrap();
    run.balanced();
    assert_eq!(run.rows("contact", "created"), u64::from(ROWS));
    let success: Vec<Row> = read_rows(&rig.path("job.out/contact.success.csv"));
    let done = success_is_store(&success, &rig.store("contact"), "externaluseridentifier");
    assert_eq!(done.len(), ROWS as usize);

    let stats = rig.sim.stats();
    assert_eq!(
        stats.inside_retry_after - stats.inside_retry_after_racing,
        0,
        "requests came inside a wait that had been asked for: {:#?}",
        rig.sim.requests().iter().filter(|r| r.inside_retry_after).collect::<Vec<_>>()
    );
    assert!(stats.users.values().all(|user| user.rows > 100), "both identities work");
    let told = BTreeMap::from([
        ("requests", stats.throttled.requests),
        ("execution_time", stats.throttled.execution),
        ("concurrency", stats.throttled.concurrency),
    ]);
    // Requests for metadata may be throttled as well, before there are meters.
    let early = rig.sim.requests();
    let early = early.iter().filter(|r| r.status == 429 && r.operation != "CreateMultiple").count();
    let counted = &run.summary["totals"]["throttled"];
    for (kind, times) in &told {
        let early = if *kind == limit { early as u64 } else { 0 };
        assert_eq!(counted[kind].as_u64(), Some(times - early), "{kind}: {counted}");
    }
    assert!(counted[limit].as_u64() > Some(0), "{told:?}");
}

#[test]
fn the_number_of_requests_is_limited() {
    let protection = ProtectionSettings {
        requests_max: 40,
        execution_secs_max: 0.0,
        concurrent_max: 0,
        ..ProtectionSettings::default()
    };
    load_throttled(throttling(protection, 1.0), "requests", Some("request limit"));
}

#[test]
fn the_execution_time_is_limited() {
    let protection = ProtectionSettings {
        requests_max: 0,
        execution_secs_max: 120.0,
        concurrent_max: 0,
        ..ProtectionSettings::default()
    };
    load_throttled(throttling(protection, 4.0), "execution_time", Some("execution-time limit"));
}

#[test]
fn the_requests_at_once_are_limited() {
    let protection = ProtectionSettings {
        requests_max: 0,
        execution_secs_max: 0.0,
        concurrent_max: 4,
        dop_hint: 8,
        ..ProtectionSettings::default()
    };
    // Fewer at once is the answer to this one, not waiting.
    load_throttled(throttling(protection, 3.0), "concurrency", None);
}
