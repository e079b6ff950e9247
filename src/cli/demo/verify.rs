//! Holds the sink files against what was made: exactly the bad rows in the error files, all others
//! in the success files.

use crate::cli::demo::{DemoLoad, DemoSet};
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

/// Differences told per load.
const TOLD_MAX: usize = 10;

/// Compares the sink files in `sink_folder` with the set.
///
/// # Errors
/// What differs, in words; at most a dozen lines a load.
pub fn verify(set: &DemoSet, sink_folder: &Path) -> Result<(), Vec<String>> {
    let mut differences = Vec::new();
    for load in &set.loads {
        match one(load, sink_folder) {
            Ok(mut found) => differences.append(&mut found),
            Err(e) => differences.push(format!("{}: cannot read the sink files: {e}", load.name)),
        }
    }
    if differences.is_empty() { Ok(()) } else { Err(differences) }
}

fn one(load: &DemoLoad, folder: &Path) -> io::Result<Vec<String>> {
    let mut found = Vec::new();
    // Balance per key: expected in the error file less found there.
    let mut keys: HashMap<String, i64> = HashMap::new();
    for bad in &load.bad {
        *keys.entry(bad.key.clone()).or_default() += 1;
    }
    let mut errors = 0u64;
    if let Some(path) = sink_file(folder, load.name, "errors") {
        each_key(&path, load.key, |key| {
            errors += 1;
            *keys.entry(key).or_default() -= 1;
        })?;
    } else if !load.bad.is_empty() {
        found.push(format!("{}: there is no error file", load.name));
    }
    let kinds: HashMap<&str, &str> =
        load.bad.iter().map(|b| (b.key.as_str(), b.kind.word())).collect();
    let mut unequal: Vec<(&String, &i64)> = keys.iter().filter(|(_, n)| **n != 0).collect();
    unequal.sort();
    let count = unequal.len();
    for (key, balance) in unequal.into_iter().take(TOLD_MAX) {
        found.push(if *balance > 0 {
            let kind = kinds.get(key.as_str()).unwrap_or(&"?");
            format!("{}: {key} ({kind}) is bad and not in the error file", load.name)
        } else {
            format!("{}: {key} is in the error file, and nothing is wrong with it", load.name)
        });
    }
    if count > TOLD_MAX {
        found.push(format!("{}: and {} more keys", load.name, count - TOLD_MAX));
    }
    let mut good = 0u64;
    if let Some(path) = sink_file(folder, load.name, "success") {
        each_key(&path, "key", |_| good += 1)?;
    }
    if good + errors != load.rows {
        found.push(format!(
            "{}: {} rows were made, {good} are in the success file and {errors} in the error file",
            load.name, load.rows
        ));
    }
    Ok(found)
}

fn sink_file(folder: &Path, load: &str, kind: &str) -> Option<PathBuf> {
    ["csv", "jsonl"]
        .iter()
        .map(|extension| folder.join(format!("{load}.{kind}.{extension}")))
        .find(|path| path.is_file())
}

/// Hands over column `name` of every record.
fn each_key(path: &Path, name: &str, mut take: impl FnMut(String)) -> io::Result<()> {
    let mut file = BufReader::new(File::open(path)?);
    if path.extension().is_some_and(|e| e == "jsonl") {
        for line in file.lines() {
            let line = line?;
            let record: serde_json::Value = serde_json::from_str(&line)?;
            let key = record.get(name).and_then(|v| v.as_str());
            take(key.unwrap_or_default().to_owned());
        }
        return Ok(());
    }
    let mut record = Vec::new();
    next_record(&mut file, &mut record)?;
    // An error file is written like its source: find the delimiter that shows the column.
    let header = String::from_utf8_lossy(&record).into_owned();
    let column = [',', ';', '\t'].into_iter().find_map(|delimiter| {
        fields(&header, delimiter).iter().position(|f| f == name).map(|at| (delimiter, at))
    });
    let Some((delimiter, at)) = column else {
        let message = format!("{} has no column `{name}`", path.display());
        return Err(io::Error::new(io::ErrorKind::InvalidData, message));
    };
    while next_record(&mut file, &mut record)? {
        let text = String::from_utf8_lossy(&record);
        take(fields(&text, delimiter).swap_remove(at));
    }
    Ok(())
}

/// Reads one record, which may hold line breaks between quotes; false at the end.
pub(super) fn next_record(file: &mut impl BufRead, record: &mut Vec<u8>) -> io::Result<bool> {
    record.clear();
    loop {
        if file.read_until(b'\n', record)? == 0 {
            return Ok(!record.is_empty());
        }
        let quotes = record.iter().filter(|b| **b == b'"').count();
        if quotes.is_multiple_of(2) {
            return Ok(true);
        }
    }
}

/// Fields of a record. There is at least one.
fn fields(record: &str, delimiter: char) -> Vec<String> {
    let mut all = Vec::new();
    let mut field = String::new();
    let mut quoted = false;
    let mut chars = record.trim_end_matches(['\r', '\n']).chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                field.push('"');
            }
            '"' => quoted = !quoted,
            c if c == delimiter && !quoted => all.push(std::mem::take(&mut field)),
            c => field.push(c),
        }
    }
    all.push(field);
    all
}
