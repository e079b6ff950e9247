//! Rules, configuration and page as Prometheus reads them.

use crate::asked;
use crate::page;
use crate::{folder, skip};
use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

/// Runs `promtool` in the folder of the dashboards; it must be content. False if it is missing.
pub(crate) fn promtool(arguments: &[&str], input: &str) -> bool {
    let started = Command::new("promtool")
        .args(arguments)
        .current_dir(folder())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = match started {
        Ok(child) => child,
        Err(error) => {
            skip(&format!("promtool {}", arguments.join(" ")), &error.to_string());
            return false;
        }
    };
    let mut stdin = child.stdin.take().expect("piped");
    stdin.write_all(input.as_bytes()).expect("promtool reads its input");
    drop(stdin);
    let done = child.wait_with_output().expect("promtool ends");
    let said = String::from_utf8_lossy(&done.stdout) + String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "promtool {}:\n{said}", arguments.join(" "));
    true
}

#[test]
fn prometheus_understands_rules_configuration_and_page() {
    promtool(&["check", "config", "prometheus.yml"], "");
    promtool(&["check", "rules", "rules.yaml", "alerts.yaml"], "");
    promtool(&["check", "metrics"], &page::by_hand());
}

#[test]
fn alerts_fire_when_they_should() {
    promtool(&["test", "rules", "alerts_test.yaml"], "");
}

#[test]
fn prometheus_understands_every_expression_of_the_dashboards() {
    let place = tempfile::tempdir().expect("folder");
    let path = place.path().join("dashboard.yaml");
    let mut rules = "groups:\n- name: dashboard\n  rules:\n".to_owned();
    for (index, asked) in asked::by_dashboards().iter().enumerate() {
        let expression = asked::filled_in(&asked.expression, "account");
        // JSON text is YAML text.
        let quoted = serde_json::to_string(&expression).expect("text");
        rules.push_str(&format!("  - record: panel:{index}\n    expr: {quoted}\n"));
    }
    fs::write(&path, rules).expect("written");
    promtool(&["check", "rules", &path.to_string_lossy()], "");
}
