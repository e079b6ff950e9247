//! Dashboards, rules and METRICS.md against the page: names, labels, label values.

use crate::asked::{self, Asked, DASHBOARDS};
use crate::page::{self, Series};
use crate::read;
use regex::Regex;
use saphyr::{LoadableYamlNode, Yaml};
use std::collections::{BTreeMap, BTreeSet};

/// What a page can show; reasons come from the source, since a page holds only the present ones.
fn known() -> Series {
    let mut known = page::series(&page::by_hand());
    let source = include_str!("../../src/telemetry/waiting.rs");
    let word = Regex::new(r#"Self::\w+(?:\(_\)| \{ \.\. \})? => "([a-z_]+)","#).expect("pattern");
    let reasons = known.get_mut("dvbulk_waiting").and_then(|l| l.get_mut("reason"));
    let reasons = reasons.expect("the page shows a reason");
    reasons.extend(word.captures_iter(source).map(|w| w[1].to_owned()));
    assert!(reasons.contains("breaker") && reasons.contains("concurrency_limit"), "{reasons:?}");
    known
}

/// What is wrong with the selectors of an expression.
fn faults(known: &Series, recorded: &BTreeSet<String>, expression: &str) -> Vec<String> {
    let matcher = Regex::new(r#"([a-z_]+)(=~|!~|!=|=)"([^"]*)""#).expect("pattern");
    let mut faults = Vec::new();
    for (name, matchers) in asked::selectors(expression) {
        if name == "up" || recorded.contains(&name) {
            continue;
        }
        let Some(labels) = known.get(&name) else {
            faults.push(format!("no metric is called {name}"));
            continue;
        };
        for pair in matcher.captures_iter(&matchers) {
            let (label, values) = (&pair[1], &pair[3]);
            let Some(present) = labels.get(label) else {
                faults.push(format!("{name} has no label {label}"));
                continue;
            };
            for value in values.split('|').filter(|v| !v.starts_with('$')) {
                if !present.contains(value) {
                    faults.push(format!("{name} never has {label}={value:?}"));
                }
            }
        }
    }
    faults
}

fn recorded() -> BTreeSet<String> {
    asked::by_recording_rules().into_iter().map(|rule| rule.place).collect()
}

fn ask_only_for_what_is_there(asked: &[Asked]) {
    let (known, recorded) = (known(), recorded());
    for Asked { place, expression } in asked {
        assert_eq!(faults(&known, &recorded, expression), [""; 0], "{place}: {expression}");
    }
}

#[test]
fn the_dashboards_ask_only_for_what_is_there() {
    let asked = asked::by_dashboards();
    assert!(asked.len() >= 100, "{}", asked.len());
    ask_only_for_what_is_there(&asked);
}

#[test]
fn the_rules_ask_only_for_what_is_there() {
    let (alerts, records) = (asked::by_alerts(), asked::by_recording_rules());
    assert!(alerts.len() >= 12 && records.len() >= 8, "{} {}", alerts.len(), records.len());
    ask_only_for_what_is_there(&alerts);
    ask_only_for_what_is_there(&records);
}

#[test]
fn a_wrong_name_label_or_value_is_noticed() {
    let (known, recorded) = (known(), recorded());
    let faults = |expression| faults(&known, &recorded, expression).len();
    assert_eq!(faults("rate(dvbulk_rows_setled_total[5m])"), 1);
    assert_eq!(faults(r#"dvbulk_rows_open{table="a"}"#), 1);
    assert_eq!(faults(r#"dvbulk_requests_total{result=~"done|trottled"}"#), 1);
    assert_eq!(faults(r#"dvbulk_waiting{reason="breakers"}"#), 1);
    assert_eq!(faults("load:dvbulk_rows_settled:rate6m"), 1);
    assert_eq!(faults("load:dvbulk_rows_settled:rate5m"), 0);
    assert_eq!(faults(r#"dvbulk_requests_total{load=~"$load",result="throttled"}"#), 0);
    assert_eq!(faults("dvbulk_request_duration_seconds_bucket"), 0);
}

#[test]
fn panels_have_own_ids_a_description_and_do_not_overlap() {
    for name in DASHBOARDS {
        let dashboard = asked::dashboard(name);
        assert!(dashboard["schemaVersion"].as_u64().expect("a number") >= 39);
        let mut ids = BTreeSet::new();
        let mut cells = BTreeSet::new();
        for panel in asked::panels(name) {
            let title = &panel["title"];
            assert!(ids.insert(panel["id"].as_u64().expect("an id")), "{title}");
            let said = panel["description"].as_str().unwrap_or_default();
            assert!(panel["type"] == "row" || !said.is_empty(), "{name}: {title} explains nothing");
            let place = |key: &str| panel["gridPos"][key].as_u64().expect("a place");
            assert!(place("x") + place("w") <= 24, "{title}");
            for x in place("x")..place("x") + place("w") {
                for y in place("y")..place("y") + place("h") {
                    assert!(cells.insert((x, y)), "{name}: {title} lies upon another panel");
                }
            }
        }
    }
}

#[test]
fn dashboards_differ_in_uid_and_know_the_variables_they_use() {
    let variable = Regex::new(r"\$\{?([a-z]\w*)").expect("pattern");
    let mut uids = BTreeSet::new();
    for name in DASHBOARDS {
        let dashboard = asked::dashboard(name);
        assert!(uids.insert(dashboard["uid"].to_string()), "{name}");
        let list = dashboard["templating"]["list"].as_array().expect("variables");
        let variables: BTreeSet<&str> = list.iter().filter_map(|v| v["name"].as_str()).collect();
        for used in variable.captures_iter(&dashboard["panels"].to_string()) {
            assert!(variables.contains(&used[1]), "{name} uses ${}", &used[1]);
        }
    }
}

/// Type and labels by metric, as METRICS.md has them.
fn documented() -> BTreeMap<String, (String, BTreeSet<String>)> {
    let row = Regex::new(r"(?m)^\| `(\w+)` \| (\w+) \| ([\w, ]*)\| \S.* \|$").expect("pattern");
    let text = read("METRICS.md");
    let rows = text.lines().filter(|l| l.starts_with("| `")).count();
    let found: BTreeMap<_, _> = row
        .captures_iter(&text)
        .map(|found| {
            let labels = found[3].split(',').map(str::trim).filter(|l| !l.is_empty());
            (found[1].to_owned(), (found[2].to_owned(), labels.map(str::to_owned).collect()))
        })
        .collect();
    assert_eq!(found.len(), rows, "a row of METRICS.md cannot be read, or stands there twice");
    found
}

/// The metric a series belongs to.
fn metric_of<'a>(series: &'a str, types: &BTreeMap<String, String>) -> &'a str {
    ["_bucket", "_sum", "_count"]
        .iter()
        .filter_map(|part| series.strip_suffix(part))
        .find(|base| types.get(*base).is_some_and(|kind| kind == "histogram"))
        .unwrap_or(series)
}

#[test]
fn every_metric_is_documented_with_its_type_and_labels() {
    let page = page::by_hand();
    let types = page::types(&page);
    let mut served: BTreeMap<String, (String, BTreeSet<String>)> = BTreeMap::new();
    for (series, labels) in page::series(&page) {
        let metric = metric_of(&series, &types);
        let kind = types.get(metric).expect("a type").clone();
        let entry = served.entry(metric.to_owned()).or_insert((kind, BTreeSet::new()));
        entry.1.extend(labels.into_keys().filter(|label| label != "le"));
    }
    assert!(served.len() > 60, "{}", served.len());
    assert_eq!(documented(), served);
}

#[test]
fn every_metric_is_looked_at() {
    let page = page::by_hand();
    let types = page::types(&page);
    let all = [asked::by_dashboards(), asked::by_alerts(), asked::by_recording_rules()];
    let used: BTreeSet<String> = all
        .iter()
        .flatten()
        .flat_map(|asked| asked::selectors(&asked.expression))
        .map(|(name, _)| metric_of(&name, &types).to_owned())
        .collect();
    // Those of the process are the Prometheus client's own.
    let unused: Vec<&String> =
        types.keys().filter(|name| name.starts_with("dvbulk_") && !used.contains(*name)).collect();
    assert!(unused.is_empty(), "no panel and no rule looks at {unused:?}");
}

#[test]
fn every_alert_is_tested_when_it_should_fire_and_when_not() {
    let text = read("alerts_test.yaml");
    let documents = Yaml::load_from_str(&text).expect("YAML");
    let mut fires = BTreeSet::new();
    let mut is_quiet = BTreeSet::new();
    for test in documents[0]["tests"].as_sequence().expect("tests") {
        let rules = test.as_mapping_get("alert_rule_test").and_then(|rules| rules.as_sequence());
        for rule in rules.into_iter().flatten() {
            let name = rule["alertname"].as_str().expect("a name").to_owned();
            let expected = rule["exp_alerts"].as_sequence().expect("alerts");
            if expected.is_empty() {
                is_quiet.insert(name)
            } else {
                fires.insert(name)
            };
        }
    }
    let alerts: BTreeSet<String> = asked::by_alerts().into_iter().map(|rule| rule.place).collect();
    assert_eq!(fires, alerts, "each alert is tested when it fires");
    assert_eq!(is_quiet, alerts, "each alert is tested when it must be quiet");
}
