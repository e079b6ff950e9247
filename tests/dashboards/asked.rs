//! What dashboards and rules ask.

use crate::read;
use regex::Regex;
use saphyr::{LoadableYamlNode, Yaml};
use serde_json::Value;
use std::collections::BTreeSet;
use std::sync::LazyLock;

/// The dashboards of the folder.
pub(crate) const DASHBOARDS: [&str; 2] = ["dvbulk.json", "tuning.json"];

/// An expression and where it stands.
pub(crate) struct Asked {
    pub(crate) place: String,
    pub(crate) expression: String,
}

pub(crate) fn dashboard(name: &str) -> Value {
    serde_json::from_str(&read(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

pub(crate) fn panels(name: &str) -> Vec<Value> {
    let dashboard = dashboard(name);
    dashboard["panels"].as_array().expect("panels").clone()
}

/// Every expression of every panel.
pub(crate) fn by_dashboards() -> Vec<Asked> {
    let mut found = Vec::new();
    for name in DASHBOARDS {
        for panel in panels(name) {
            let title = panel["title"].as_str().expect("a title");
            for target in panel["targets"].as_array().into_iter().flatten() {
                let expression = target["expr"].as_str().expect("an expression").to_owned();
                found.push(Asked { place: format!("{name}, panel {title:?}"), expression });
            }
        }
    }
    found
}

/// Every rule of a file: `alert` or `record` with its name, and the expression.
fn rules(file: &str, kind: &str) -> Vec<Asked> {
    let text = read(file);
    let documents = Yaml::load_from_str(&text).expect("YAML");
    let mut found = Vec::new();
    for group in documents[0]["groups"].as_sequence().expect("groups") {
        for rule in group["rules"].as_sequence().expect("rules") {
            let place = rule[kind].as_str().expect("a name").to_owned();
            if kind == "alert" {
                for said in ["summary", "description"] {
                    let said_it = rule["annotations"].as_mapping_get(said).is_some();
                    assert!(said_it, "{place} has no {said}");
                }
            }
            let expression = rule["expr"].as_str().expect("an expression").to_owned();
            found.push(Asked { place, expression });
        }
    }
    found
}

pub(crate) fn by_alerts() -> Vec<Asked> {
    rules("alerts.yaml", "alert")
}

pub(crate) fn by_recording_rules() -> Vec<Asked> {
    rules("rules.yaml", "record")
}

static SELECTOR: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"\b((?:dvbulk|process)_\w+|[a-z]+:dvbulk_[\w:]+|up)\b(?:\{([^}]*)\})?")
        .expect("pattern")
});

/// The selectors of an expression: metric name, matchers as they stand.
pub(crate) fn selectors(expression: &str) -> BTreeSet<(String, String)> {
    SELECTOR
        .captures_iter(expression)
        .map(|found| {
            let matchers = found.get(2).map_or("", |m| m.as_str());
            (found[1].to_owned(), matchers.to_owned())
        })
        .collect()
}

/// An expression as Grafana would send it.
pub(crate) fn filled_in(expression: &str, load: &str) -> String {
    expression
        .replace("$__rate_interval", "15s")
        .replace("=~\"$load\"", "=~\".*\"")
        .replace("$identity", ".*")
        .replace("$load", load)
}
