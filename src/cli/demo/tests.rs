//! What is made is what is told.

use super::plan::Plan;
use super::tables::Load;
use super::{BadKind, CaughtBy, DemoSet, DemoTarget, generate, verify};
use crate::config::read;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fs;
use std::io::{Read, Write};
use std::path::Path;

pub(super) fn target() -> DemoTarget {
    DemoTarget {
        url: "http://127.0.0.1:1".to_owned(),
        organization: "o".to_owned(),
        authority: "http://127.0.0.1:1".to_owned(),
        tenant: "t".to_owned(),
        clients: vec![("c1".to_owned(), "s1".to_owned()), ("c2".to_owned(), "s2".to_owned())],
    }
}

pub(super) fn text_of(path: &Path) -> String {
    let file = fs::File::open(path).unwrap();
    let mut text = String::new();
    match path.extension().and_then(|e| e.to_str()) {
        Some("gz") => flate2::read::MultiGzDecoder::new(file).read_to_string(&mut text),
        Some("zst") => zstd::Decoder::new(file).unwrap().read_to_string(&mut text),
        _ => std::io::BufReader::new(file).read_to_string(&mut text),
    }
    .unwrap();
    text
}

/// Records by column name, as an independent reader sees them.
fn records(load: &super::DemoLoad) -> Vec<HashMap<String, String>> {
    let text = text_of(&load.source);
    if load.source.extension().is_some_and(|e| e == "jsonl") {
        return text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    }
    let delimiter = match load.name {
        "account" => b';',
        "contact" => b'\t',
        _ => b',',
    };
    let mut reader = csv::ReaderBuilder::new().delimiter(delimiter).from_reader(text.as_bytes());
    let header: Vec<String> = reader.headers().unwrap().iter().map(str::to_owned).collect();
    reader
        .records()
        .map(|r| header.iter().cloned().zip(r.unwrap().iter().map(str::to_owned)).collect())
        .collect()
}

pub(super) fn made(rows: u64, seed: u64, bad_share: f64) -> (tempfile::TempDir, DemoSet) {
    let folder = tempfile::tempdir().unwrap();
    let set = generate(folder.path(), rows, seed, bad_share).unwrap();
    (folder, set)
}

#[test]
fn rows_and_bad_rows_are_as_asked() {
    let (_folder, set) = made(10_000, 1, 0.02);
    assert_eq!(set.rows(), 10_000);
    let share = set.bad_rows() as f64 / 10_000.0;
    assert!((0.019..=0.021).contains(&share), "{share}");
    for load in &set.loads {
        assert_eq!(records(load).len() as u64, load.rows, "{}", load.name);
        let listed = csv::Reader::from_path(&load.expected_bad).unwrap().into_records().count();
        assert_eq!(listed, load.bad.len());
    }
}

#[test]
fn every_kind_of_error_comes_from_both_sides() {
    let (_folder, set) = made(20_000, 3, 0.02);
    let kinds: BTreeSet<BadKind> =
        set.loads.iter().flat_map(|l| l.bad.iter().map(|b| b.kind)).collect();
    assert_eq!(kinds.len(), 19, "{kinds:?}");
    let by_server = kinds.iter().filter(|k| k.caught_by() == CaughtBy::Dataverse).count();
    assert_eq!(by_server, 4);
}

#[test]
fn the_same_seed_makes_the_same_files() {
    let (_a, one) = made(2_000, 9, 0.01);
    let (_b, two) = made(2_000, 9, 0.01);
    let (_c, other) = made(2_000, 10, 0.01);
    for ((a, b), c) in one.loads.iter().zip(&two.loads).zip(&other.loads) {
        assert_eq!(fs::read(&a.source).unwrap(), fs::read(&b.source).unwrap());
        assert_ne!(text_of(&a.source), text_of(&c.source));
    }
}

#[test]
fn the_job_file_is_a_job() {
    let (folder, set) = made(1_000, 1, 0.01);
    let job = read::load(&set.write_job(&target()).unwrap()).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(job.sink_folder, folder.path().join("out"));
    for (load, made) in job.tables.iter().zip(&set.loads) {
        assert_eq!((load.name.as_str(), load.table.as_str()), (made.name, made.table));
        assert_eq!((load.key.as_str(), Path::new(&load.source.path)), (made.key, &*made.source));
        // Every source column the job names is there.
        let header: HashSet<String> = Load::ALL
            .into_iter()
            .find(|l| l.about().name == load.name)
            .unwrap()
            .header()
            .into_iter()
            .collect();
        for column in &load.columns {
            if let crate::config::job::ValueSource::Column(name) = &column.from {
                assert!(header.contains(name), "{}: {name}", load.name);
            }
        }
    }
    let wide = &job.tables[7];
    assert!(wide.columns.len() >= 100);
    assert!(wide.columns.iter().filter(|c| c.lookup.is_some()).count() >= 20);
    // A second time the secrets are written again.
    set.write_job(&target()).unwrap();
}

#[test]
fn good_rows_refer_to_good_rows_only() {
    let (_folder, set) = made(8_000, 5, 0.05);
    let bad: BTreeMap<&str, HashMap<&str, BadKind>> = set
        .loads
        .iter()
        .map(|l| (l.name, l.bad.iter().map(|b| (b.key.as_str(), b.kind)).collect()))
        .collect();
    let refused =
        |load: &str, key: &str| bad[load].get(key).is_some_and(|k| *k != BadKind::DuplicateKey);
    let load_of = |key: &str| match &key[..1] {
        "A" => "account",
        "B" => "branch",
        "P" => "people",
        "C" => "contact",
        "S" => "simple",
        other => panic!("{other}"),
    };
    let mut references = 0;
    for load in &set.loads {
        let columns: &[&str] = match load.name {
            "branch" => &["HeadOffice"],
            "contact" => &["Parent"],
            "opportunity" => &["Customer", "Contact"],
            "case" => &["Customer"],
            "wide" => &["account01", "account06", "contact02", "contact05", "simple04", "party01"],
            _ => continue,
        };
        for record in records(load) {
            if bad[load.name].contains_key(record[load.key].as_str()) {
                continue;
            }
            for column in columns {
                let key = &record[*column];
                if !key.is_empty() {
                    references += 1;
                    assert!(!refused(load_of(key), key), "{} {}", load.name, record[load.key]);
                }
            }
        }
    }
    assert!(references > 1_000);
}

#[test]
fn keys_are_unique_but_for_duplicates() {
    let (_folder, set) = made(8_000, 5, 0.05);
    for load in &set.loads {
        let duplicates = load.bad.iter().filter(|b| b.kind == BadKind::DuplicateKey).count();
        let all = records(load);
        let keys: HashSet<&String> = all.iter().map(|r| &r[load.key]).collect();
        assert_eq!(keys.len() + duplicates, all.len(), "{}", load.name);
    }
}

/// Writes sink files as a faultless load would.
fn sinks(set: &DemoSet, folder: &Path) {
    for load in &set.loads {
        let mut bad: HashMap<&str, usize> = HashMap::new();
        for row in &load.bad {
            *bad.entry(&row.key).or_default() += 1;
        }
        let mut success =
            fs::File::create(folder.join(format!("{}.success.csv", load.name))).unwrap();
        let mut errors = csv::WriterBuilder::new()
            .delimiter(if load.name == "account" { b';' } else { b',' })
            .from_path(folder.join(format!("{}.errors.csv", load.name)))
            .unwrap();
        errors.write_record(["note", load.key, "__code"]).unwrap();
        writeln!(success, "key,id,action,batch,at").unwrap();
        // Of two rows with one key the second is bad; which one does not matter here.
        for record in records(load) {
            let key = record[load.key].as_str();
            match bad.get_mut(key).filter(|n| **n > 0) {
                Some(left) => {
                    *left -= 1;
                    errors.write_record(["a \"note\";\nwith, all", key, "DV0301"]).unwrap();
                }
                None => writeln!(success, "{key},id,created,1,now").unwrap(),
            }
        }
    }
}

#[test]
fn a_faultless_load_is_verified_and_others_are_not() {
    let (folder, set) = made(3_000, 2, 0.02);
    let out = folder.path().join("out");
    fs::create_dir(&out).unwrap();
    sinks(&set, &out);
    assert_eq!(verify(&set, &out), Ok(()));
    // A good row among the errors, and one row nowhere.
    let path = out.join("account.errors.csv");
    let text = fs::read_to_string(&path).unwrap();
    let lost = set.loads[0].bad[0].key.clone();
    let changed = text.replacen(&lost, "A-00000000", 1);
    fs::write(&path, changed).unwrap();
    let told = verify(&set, &out).unwrap_err();
    assert_eq!(
        told,
        [
            "account: A-00000000 is in the error file, and nothing is wrong with it".to_owned(),
            format!("account: {lost} (text_too_long) is bad and not in the error file"),
        ]
    );
    fs::remove_file(out.join("case.success.csv")).unwrap();
    assert!(verify(&set, &out).unwrap_err()[2].contains("0 are in the success file"));
    fs::remove_file(out.join("wide.errors.csv")).unwrap();
    assert!(verify(&set, &out).unwrap_err().iter().any(|d| d == "wide: there is no error file"));
}

#[test]
fn no_bad_rows_when_none_are_wanted() {
    let plan = Plan::new(1_000, 1, 0.0);
    assert!(
        Load::ALL.into_iter().all(|l| (0..plan.of(l).rows).all(|i| plan.of(l).bad(i).is_none()))
    );
}
