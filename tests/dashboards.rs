//! The dashboard and the alert rules speak only of metrics, labels and label values that exist.

use dvbulk::telemetry::metrics::Meters;
use regex::Regex;
use saphyr::{LoadableYamlNode, Yaml};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("dashboards")
}

fn read(name: &str) -> String {
    fs::read_to_string(folder().join(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

/// The page a run with two loads serves before its first row.
fn page() -> String {
    let meters = Meters::new(&["account".into(), "contact".into()], &["app-1".into()])
        .expect("every metric registers");
    String::from_utf8(meters.page()).expect("text")
}

/// Values by label by metric, as the page of a run shows them; reasons come from the source,
/// since a page holds only the present ones.
fn known() -> BTreeMap<String, BTreeMap<String, BTreeSet<String>>> {
    let line = Regex::new(r"^([a-z_]+)(?:\{(.*)\})? \S+$").expect("pattern");
    let label = Regex::new(r#"([a-z_]+)="([^"]*)""#).expect("pattern");
    let mut known: BTreeMap<String, BTreeMap<String, BTreeSet<String>>> = BTreeMap::new();
    for found in page().lines().filter_map(|l| line.captures(l)) {
        let labels = known.entry(found[1].to_owned()).or_default();
        for pair in label.captures_iter(found.get(2).map_or("", |m| m.as_str())) {
            labels.entry(pair[1].to_owned()).or_default().insert(pair[2].to_owned());
        }
    }
    let source = include_str!("../src/telemetry/waiting.rs");
    let word = Regex::new(r#"Self::\w+(?:\(_\)| \{ \.\. \})? => "([a-z]+)","#).expect("pattern");
    let reasons = known.get_mut("dvbulk_waiting").and_then(|l| l.get_mut("reason"));
    let reasons = reasons.expect("the page shows a reason");
    reasons.extend(word.captures_iter(source).map(|w| w[1].to_owned()));
    assert!(reasons.contains("breaker"), "{reasons:?}");
    known
}

/// Every expression of the dashboard, with the title of its panel.
fn dashboard_expressions() -> Vec<(String, String)> {
    let dashboard: Value = serde_json::from_str(&read("dvbulk.json")).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let mut found = Vec::new();
    for panel in panels {
        let title = panel["title"].as_str().expect("a title").to_owned();
        for target in panel["targets"].as_array().into_iter().flatten() {
            let expression = target["expr"].as_str().expect("an expression");
            found.push((title.clone(), expression.to_owned()));
        }
    }
    found
}

/// Every expression of the alert rules, with the name of its alert.
fn alert_expressions() -> Vec<(String, String)> {
    let text = read("alerts.yaml");
    let documents = Yaml::load_from_str(&text).expect("YAML");
    let mut found = Vec::new();
    for group in documents[0]["groups"].as_sequence().expect("groups") {
        for rule in group["rules"].as_sequence().expect("rules") {
            let name = rule["alert"].as_str().expect("a name").to_owned();
            assert!(!rule["annotations"]["summary"].is_badvalue(), "{name} has no summary");
            found.push((name, rule["expr"].as_str().expect("an expression").to_owned()));
        }
    }
    found
}

/// What is wrong with the selectors of an expression.
fn faults(expression: &str) -> Vec<String> {
    let known = known();
    let selector = Regex::new(r"\b((?:dvbulk|process)_[a-z_]+)(?:\{([^}]*)\})?").expect("pattern");
    let matcher = Regex::new(r#"([a-z_]+)(=~|!~|!=|=)"([^"]*)""#).expect("pattern");
    let mut faults = Vec::new();
    for found in selector.captures_iter(expression) {
        let Some(labels) = known.get(&found[1]) else {
            faults.push(format!("no metric is called {}", &found[1]));
            continue;
        };
        for pair in matcher.captures_iter(found.get(2).map_or("", |m| m.as_str())) {
            let (label, values) = (&pair[1], &pair[3]);
            let Some(present) = labels.get(label) else {
                faults.push(format!("{} has no label {label}", &found[1]));
                continue;
            };
            for value in values.split('|').filter(|v| !v.starts_with('$')) {
                if !present.contains(value) {
                    faults.push(format!("{} never has {label}={value:?}", &found[1]));
                }
            }
        }
    }
    faults
}

#[test]
fn the_dashboard_asks_only_for_what_is_there() {
    let expressions = dashboard_expressions();
    assert!(expressions.len() >= 20, "{}", expressions.len());
    for (title, expression) in expressions {
        assert_eq!(faults(&expression), [""; 0], "panel {title:?}: {expression}");
    }
}

#[test]
fn the_alerts_ask_only_for_what_is_there() {
    let expressions = alert_expressions();
    assert!(expressions.len() >= 5, "{}", expressions.len());
    for (name, expression) in expressions {
        assert_eq!(faults(&expression), [""; 0], "alert {name}: {expression}");
    }
}

#[test]
fn a_wrong_name_label_or_value_is_noticed() {
    assert_eq!(faults("rate(dvbulk_rows_setled_total[5m])").len(), 1);
    assert_eq!(faults(r#"dvbulk_rows_open{table="a"}"#).len(), 1);
    assert_eq!(faults(r#"dvbulk_requests_total{result=~"done|trottled"}"#).len(), 1);
    assert_eq!(faults(r#"dvbulk_waiting{reason="breakers"}"#).len(), 1);
    assert_eq!(faults(r#"dvbulk_requests_total{load=~"$load",result="throttled"}"#).len(), 0);
    assert_eq!(faults("dvbulk_request_duration_seconds_bucket").len(), 0);
}

#[test]
fn panels_have_own_ids_and_do_not_overlap() {
    let dashboard: Value = serde_json::from_str(&read("dvbulk.json")).expect("JSON");
    assert!(dashboard["schemaVersion"].as_u64().expect("a number") >= 39);
    let panels = dashboard["panels"].as_array().expect("panels");
    let mut ids = BTreeSet::new();
    let mut cells = BTreeSet::new();
    for panel in panels {
        assert!(ids.insert(panel["id"].as_u64().expect("an id")), "{}", panel["title"]);
        let place = |key: &str| panel["gridPos"][key].as_u64().expect("a place");
        assert!(place("x") + place("w") <= 24, "{}", panel["title"]);
        for x in place("x")..place("x") + place("w") {
            for y in place("y")..place("y") + place("h") {
                assert!(cells.insert((x, y)), "{} lies upon another panel", panel["title"]);
            }
        }
    }
}

/// `promtool` comes with Prometheus; `tests/run` fetches it where it can.
fn promtool(arguments: &[&str], input: &str) -> Option<String> {
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
            #[expect(clippy::print_stderr, reason = "a skipped check must be seen")]
            {
                eprintln!("SKIPPED: promtool {}: {error}; see tests/run", arguments.join(" "));
            }
            return None;
        }
    };
    let mut stdin = child.stdin.take().expect("piped");
    stdin.write_all(input.as_bytes()).expect("promtool reads its input");
    drop(stdin);
    let done = child.wait_with_output().expect("promtool ends");
    let said = String::from_utf8_lossy(&done.stdout) + String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "promtool {}:\n{said}", arguments.join(" "));
    Some(said.into_owned())
}

#[test]
fn prometheus_understands_rules_configuration_and_page() {
    promtool(&["check", "config", "prometheus.yml"], "");
    promtool(&["check", "rules", "alerts.yaml"], "");
    promtool(&["check", "metrics"], &page());
}

#[test]
fn alerts_fire_when_they_should() {
    promtool(&["test", "rules", "alerts_test.yaml"], "");
}

#[test]
fn prometheus_understands_every_expression_of_the_dashboard() {
    let place = tempfile::tempdir().expect("folder");
    let path = place.path().join("dashboard.yaml");
    let mut rules = "groups:\n- name: dashboard\n  rules:\n".to_owned();
    for (index, (_, expression)) in dashboard_expressions().iter().enumerate() {
        let expression = expression.replace("$__rate_interval", "5m");
        // JSON text is YAML text.
        let quoted = serde_json::to_string(&expression).expect("text");
        rules.push_str(&format!("  - record: panel:{index}\n    expr: {quoted}\n"));
    }
    fs::write(&path, rules).expect("written");
    promtool(&["check", "rules", &path.to_string_lossy()], "");
}
