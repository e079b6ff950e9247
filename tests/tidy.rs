//! Rules of the house that a compiler does not hold. Each failure names file, line, rule and why.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

fn sources(folder: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("folder is readable") {
            let path: PathBuf = entry.expect("entry is readable").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let name = path
                    .strip_prefix(env!("CARGO_MANIFEST_DIR"))
                    .expect("below the package")
                    .to_string_lossy()
                    .into_owned();
                found.push((name, fs::read_to_string(&path).expect("source is text")));
            }
        }
    }
    found.sort();
    found
}

/// Code outside `#[cfg(test)]` modules, which by convention end a file.
fn shipped(text: &str) -> &str {
    text.find("#[cfg(test)]").map_or(text, |at| &text[..at])
}

fn report(broken: Vec<String>) {
    assert!(broken.is_empty(), "\n{}\n", broken.join("\n"));
}

/// Which module may import which, by folder; a module may always import itself.
fn layers() -> BTreeMap<&'static str, &'static [&'static str]> {
    BTreeMap::from([
        ("units", &[][..]),
        ("limits", &[]),
        ("runtime", &["units", "limits"]),
        ("record", &["units", "limits"]),
        ("tuning", &["units", "limits", "record"]),
        ("config", &["units", "limits", "record", "runtime", "tuning"]),
        ("telemetry", &["units", "limits", "record", "runtime", "tuning"]),
        ("client", &["units", "limits", "record", "runtime", "config"]),
        ("catalog", &["units", "limits", "record", "runtime", "config", "client"]),
        (
            "pipeline",
            &[
                "units",
                "limits",
                "record",
                "runtime",
                "config",
                "client",
                "catalog",
                "tuning",
                "telemetry",
                "control",
            ],
        ),
        // Control names the nearest word to a misspelt one, as the job file does.
        ("control", &["units", "limits", "record", "runtime", "config", "tuning", "telemetry"]),
        // The judge shares nothing with what it judges.
        ("simulator", &["units", "limits", "runtime"]),
        (
            "cli",
            &[
                "units",
                "limits",
                "record",
                "runtime",
                "config",
                "client",
                "catalog",
                "tuning",
                "telemetry",
                "control",
                "pipeline",
                "simulator",
            ],
        ),
    ])
}

#[test]
fn dependencies_point_one_way() {
    let layers = layers();
    let mut broken = Vec::new();
    for (file, text) in sources("src") {
        let Some(module) = file.strip_prefix("src/").and_then(|f| f.split(['/', '.']).next())
        else {
            continue;
        };
        let Some(allowed) = layers.get(module) else {
            assert!(
                matches!(module, "lib" | "main"),
                "{file}: add the module to the table of layers"
            );
            continue;
        };
        for (number, line) in shipped(&text).lines().enumerate() {
            let mut rest = line;
            while let Some(at) = rest.find("crate::") {
                rest = &rest[at + "crate::".len()..];
                let target: String =
                    rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
                if layers.contains_key(target.as_str())
                    && target != module
                    && !allowed.contains(&target.as_str())
                {
                    broken.push(format!(
                        "{file}:{}: `{module}` must not use `{target}`: dependencies point one way",
                        number + 1
                    ));
                }
            }
        }
    }
    report(broken);
}

#[test]
fn stages_do_not_know_their_siblings() {
    let stages = ["source", "transform", "sequence", "batch", "send", "outcome", "ledger", "sink"];
    let mut broken = Vec::new();
    for (file, text) in sources("src/pipeline") {
        let Some(stage) = file.strip_prefix("src/pipeline/").and_then(|f| f.split('/').next())
        else {
            continue;
        };
        if !stages.contains(&stage) {
            continue; // run/ wires the stages
        }
        for (number, line) in shipped(&text).lines().enumerate() {
            for other in stages {
                let sibling = other != stage && line.contains(&format!("pipeline::{other}"));
                // The ledger hands finished lines on to the files that show them.
                let handed_on = (stage, other) == ("sink", "ledger");
                if (sibling && !handed_on) || line.contains("pipeline::run") {
                    broken.push(format!(
                        "{file}:{}: stage `{stage}` must not know `{other}`: only pipeline/run wires stages",
                        number + 1
                    ));
                }
            }
        }
    }
    report(broken);
}

#[test]
fn pure_files_hold_no_effects() {
    let effects = [
        "async fn",
        "tokio::",
        "reqwest",
        "hyper::",
        "rayon::",
        "std::fs",
        "TcpStream",
        "TcpListener",
        "std::thread",
        "std::env",
        "Instant::now",
        "SystemTime",
        "runtime::clock",
        "rand::rng()",
        "thread_rng",
    ];
    let mut broken = Vec::new();
    for (file, text) in sources("src") {
        if !text.starts_with("//! Pure:") {
            continue;
        }
        for (number, line) in shipped(&text).lines().enumerate() {
            if line.trim_start().starts_with("//") {
                continue;
            }
            for effect in effects {
                if line.contains(effect) {
                    broken.push(format!(
                        "{file}:{}: a pure file uses `{effect}`; time, chance and I/O are arguments",
                        number + 1
                    ));
                }
            }
        }
    }
    report(broken);
}

#[test]
fn each_library_has_one_home() {
    let homes: [(&str, &[&str]); 8] = [
        ("reqwest::", &["src/client/"]),
        ("rayon::", &["src/runtime/compute.rs"]),
        ("use governor::", &["src/tuning/ceiling.rs"]),
        ("prometheus::", &["src/telemetry/metrics"]),
        ("anyhow::", &["src/cli/", "src/main.rs"]),
        ("indicatif::", &["src/telemetry/progress.rs"]),
        ("maud::", &["src/control/page.rs"]),
        ("ratatui::", &["src/cli/top"]),
    ];
    let mut broken = Vec::new();
    for (file, text) in sources("src") {
        for (number, line) in shipped(&text).lines().enumerate() {
            for (library, home) in homes {
                let comment = line.trim_start().starts_with("//");
                if !comment && line.contains(library) && !home.iter().any(|h| file.starts_with(h)) {
                    broken.push(format!("{file}:{}: `{library}` belongs to {home:?}", number + 1));
                }
            }
        }
    }
    report(broken);
}

#[test]
fn files_fit_in_the_head() {
    let mut broken = Vec::new();
    for (file, text) in sources("src") {
        let lines = shipped(&text).lines().count();
        if lines > 700 {
            broken.push(format!(
                "{file}: {lines} lines without its tests; 700 is the limit, 400 the aim"
            ));
        }
    }
    report(broken);
}

#[test]
fn names_say_what_they_hold() {
    let mut broken = Vec::new();
    for (file, text) in sources("src") {
        let stem = Path::new(&file).file_stem().and_then(|s| s.to_str()).unwrap_or_default();
        if ["util", "utils", "helper", "helpers", "manager", "common", "misc"].contains(&stem) {
            broken.push(format!("{file}: the name says nothing"));
        }
        if !text.starts_with("//!") {
            broken.push(format!("{file}: begin with what the file is for (`//!`)"));
        }
        for (number, line) in text.lines().enumerate() {
            for mark in ["todo!(", "unimplemented!(", "FIXME", "XXX", "#[ignore"] {
                if line.contains(mark) {
                    broken.push(format!("{file}:{}: {mark} is unfinished work", number + 1));
                }
            }
        }
    }
    report(broken);
}

#[test]
fn metric_names_have_one_home() {
    let mut broken = Vec::new();
    for (file, text) in sources("src") {
        let home = ["src/telemetry/metrics/names.rs", "src/telemetry/metrics/tests.rs"];
        if home.contains(&file.as_str()) {
            continue;
        }
        for (number, line) in shipped(&text).lines().enumerate() {
            if line.contains("\"dvbulk_") {
                broken.push(format!(
                    "{file}:{}: metric names stand in telemetry/metrics/names.rs",
                    number + 1
                ));
            }
        }
    }
    report(broken);
}

#[test]
fn documents_name_only_files_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let named = regex::Regex::new(r"[`(]((?:src|config|tests|dashboards)/[\w./-]*|[A-Z]+\.md)[`)]");
    let named = named.expect("pattern");
    let mut broken = Vec::new();
    for document in ["README.md", "ARCHITECTURE.md"] {
        let text = fs::read_to_string(root.join(document)).expect("document is readable");
        let mut count = 0;
        for (number, line) in text.lines().enumerate() {
            for found in named.captures_iter(line) {
                count += 1;
                if !root.join(&found[1]).exists() {
                    broken.push(format!("{document}:{}: no {}", number + 1, &found[1]));
                }
            }
        }
        assert!(count >= 5, "{document} names {count} files: is the pattern right?");
    }
    report(broken);
}
