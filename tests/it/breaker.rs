//! A load whose rows are refused in heaps stands still until a person says "go on".

use crate::rig::{Rig, quick};
use serde_json::Value;
use std::fmt::Write as _;

const TABLE: &str = r#"
[breakers]
failed_rows_max = 5

[[table]]
table = "contact"
source = "contact.csv"
key = "No"
operation = "create"
batch = 5
parallel = 1

[table.columns]
externaluseridentifier = "No"
lastname = "Last"
birthdate = "Born"
"#;

fn rows(rig: &Rig) {
    let mut text = "No,Last,Born\n".to_owned();
    for n in 0..60 {
        let born = if n % 5 == 0 { "the day before" } else { "1980-02-29" };
        writeln!(text, "C-{n:05},Last {n},{born}").expect("a string takes everything");
    }
    rig.write("contact.csv", text);
    rig.job("job", TABLE);
}

#[test]
fn without_waiting_the_run_ends_and_the_next_one_goes_on_from_there() {
    let rig = Rig::start(quick());
    rows(&rig);
    let run = rig.load("job").expect(3);
    assert!(run.stdout.contains("DV0504"), "{}", run.stdout);
    let refused = rig.rows("job", "contact", "errors").len();
    assert!(refused > 5, "{refused}");
}

#[test]
fn a_person_looks_resumes_and_is_asked_again_only_for_new_refusals() {
    let rig = Rig::start(quick());
    rows(&rig);
    let mut child = rig.spawn(&["load", "job.toml", "--plain", "--summary", "summary.json"]);
    let mut resumed = 0;
    while !child.ended() && resumed < 10 {
        let waits = rig.until(&mut child, || {
            let status = rig.run(&["status", "job.toml", "--json"]);
            // The run may have ended meanwhile; then there is nobody to ask.
            let status: Value = serde_json::from_str(&status.stdout).ok()?;
            let load = &status["loads"][0];
            (load["waiting"] == "breaker").then(|| load["reason"].as_str().map(str::to_owned))
        });
        let Some(reason) = waits.flatten() else { break };
        assert!(reason.contains("DV0504"), "{reason}");
        rig.run(&["resume", "job.toml"]).expect(0);
        resumed += 1;
    }
    rig.wait(child).expect(2);
    // All rows come in one chunk, so the refusals before sending are one heap.
    assert!((1..=2).contains(&resumed), "resumed {resumed} times");
    assert_eq!(rig.rows("job", "contact", "errors").len(), 12);
    assert_eq!(rig.rows("job", "contact", "success").len(), 48);
}
