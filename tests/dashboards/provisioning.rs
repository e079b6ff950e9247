//! What Grafana picks up by itself.

use crate::asked::DASHBOARDS;
use crate::{folder, read};
use saphyr::{LoadableYamlNode, Yaml};

#[test]
fn grafana_is_told_the_data_source_and_where_the_dashboards_are() {
    let text = read("grafana/provisioning/datasources/dvbulk.yaml");
    let documents = Yaml::load_from_str(&text).expect("YAML");
    assert_eq!(documents[0]["apiVersion"].as_integer(), Some(1));
    let source = &documents[0]["datasources"][0];
    assert_eq!(source["type"].as_str(), Some("prometheus"));
    assert_eq!(source["url"].as_str(), Some("http://127.0.0.1:9090"), "Prometheus' own port");
    // Grafana takes four scrapes for a rate; it must know how far they lie apart.
    let prometheus = read("prometheus.yml");
    let documents = Yaml::load_from_str(&prometheus).expect("YAML");
    let interval = documents[0]["global"]["scrape_interval"].as_str();
    assert_eq!(source["jsonData"]["timeInterval"].as_str(), interval);

    let text = read("grafana/provisioning/dashboards/dvbulk.yaml");
    let documents = Yaml::load_from_str(&text).expect("YAML");
    assert_eq!(documents[0]["apiVersion"].as_integer(), Some(1));
    let provider = &documents[0]["providers"][0];
    assert_eq!(provider["type"].as_str(), Some("file"));
    assert_eq!(provider["options"]["path"].as_str(), Some("$DVBULK_DASHBOARDS"));
}

#[test]
fn a_folder_of_dashboards_holds_nothing_else_that_grafana_would_read() {
    // Grafana takes every .json of the folder and of those below for a dashboard.
    let mut found = Vec::new();
    let mut folders = vec![folder()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next).expect("readable") {
            let path = entry.expect("readable").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "json") {
                found.push(path.file_name().expect("a name").to_string_lossy().into_owned());
            }
        }
    }
    found.sort();
    assert_eq!(found, DASHBOARDS);
}
