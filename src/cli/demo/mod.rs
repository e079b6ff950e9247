//! The rehearsal: made-up staged files with a known set of bad rows, a job that loads them, and
//! the proof that exactly those rows ended in the error files.
//!
//! The same numbers make the same files: every value follows from seed, load and row index, so
//! nothing has to be kept in memory to let a child refer to its parent.

mod job;
mod plan;
mod sheet;
mod tables;
mod verify;
mod wide;
mod words;

pub use job::DemoTarget;
pub use plan::{BadKind, CaughtBy};
pub use verify::verify;

use crate::cli::demo::plan::{LoadPlan, Plan};
use crate::cli::demo::sheet::Sheet;
use crate::cli::demo::tables::Load;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// What was made.
#[derive(Clone, Debug)]
pub struct DemoSet {
    /// Folder that holds everything.
    pub folder: PathBuf,
    /// Loads in job order.
    pub loads: Vec<DemoLoad>,
}

/// One load's staged file.
#[derive(Clone, Debug)]
pub struct DemoLoad {
    /// Name of the load, as in the job file and in the names of its sink files.
    pub name: &'static str,
    /// Logical name of the table.
    pub table: &'static str,
    /// Source column that holds the key.
    pub key: &'static str,
    /// The staged file.
    pub source: PathBuf,
    /// Rows in it.
    pub rows: u64,
    /// The rows that must end in the error file, and no others.
    pub bad: Vec<BadRow>,
    /// Where the same list is written for people: key, kind, caught_by, code.
    pub expected_bad: PathBuf,
}

/// A row Dataverse would refuse.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BadRow {
    /// Its source key; the key of a good row as well when the kind is a duplicate key.
    pub key: String,
    /// What is wrong with it.
    pub kind: BadKind,
}

impl DemoSet {
    /// Rows over all loads.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.loads.iter().map(|l| l.rows).sum()
    }

    /// Bad rows over all loads.
    #[must_use]
    pub fn bad_rows(&self) -> usize {
        self.loads.iter().map(|l| l.bad.len()).sum()
    }

    /// Writes the job file that loads this set into `target`, and the secrets it refers to.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn write_job(&self, target: &DemoTarget) -> io::Result<PathBuf> {
        job::write(&self.folder, target)
    }
}

/// Makes about `rows` rows over all tables under `folder`, of which the share `bad_share` (0 to
/// 0.5) is bad, every kind of error in turn.
///
/// # Errors
/// A file cannot be written.
pub fn generate(folder: &Path, rows: u64, seed: u64, bad_share: f64) -> io::Result<DemoSet> {
    let staged = folder.join("staged");
    let expected = folder.join("expected");
    fs::create_dir_all(&staged)?;
    fs::create_dir_all(&expected)?;
    let plan = Plan::new(rows, seed, bad_share);
    let mut loads = Vec::new();
    for load in Load::ALL {
        loads.push(one(load, &plan, &staged, &expected)?);
    }
    Ok(DemoSet { folder: folder.to_path_buf(), loads })
}

fn one(load: Load, plan: &Plan, staged: &Path, expected: &Path) -> io::Result<DemoLoad> {
    let about = load.about();
    let of_load: &LoadPlan = plan.of(load);
    let source = staged.join(about.file);
    let mut sheet = Sheet::create(&source, &load.header(), about.delimiter)?;
    let mut row = Vec::new();
    let mut bad = Vec::new();
    for index in 0..of_load.rows {
        row.clear();
        let kind = of_load.bad(index);
        tables::fill(load, plan, index, kind, &mut row);
        if let Some(kind) = kind {
            bad.push(BadRow { key: row[0].clone(), kind });
        }
        sheet.row(&row)?;
    }
    sheet.finish()?;
    let expected_bad = expected.join(format!("{}.expected_bad.csv", about.name));
    let header = ["key", "kind", "caught_by", "code"].map(str::to_owned);
    let mut list = Sheet::create(&expected_bad, &header, b',')?;
    for row in &bad {
        let words = [row.kind.word(), row.kind.caught_by().word(), row.kind.code()];
        let mut line = vec![row.key.clone()];
        line.extend(words.map(str::to_owned));
        list.row(&line)?;
    }
    list.finish()?;
    Ok(DemoLoad {
        name: about.name,
        table: about.table,
        key: about.key,
        source,
        rows: of_load.rows,
        bad,
        expected_bad,
    })
}

#[cfg(test)]
mod rehearsal;
#[cfg(test)]
mod tests;
