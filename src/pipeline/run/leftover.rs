//! Rows that a run which ended early left unsettled, as a file like the input: for people who go
//! on by other means. It is written anew at each such end and removed when the load is complete.

use crate::config::job::SourceFormat;
use crate::pipeline::ledger::states::Standing;
use crate::pipeline::run::plan::LoadPlan;
use crate::pipeline::run::staged::Staged;
use crate::pipeline::sink::unprocessed::UnprocessedFile;
use crate::pipeline::source::{SourceError, open};
use crate::record::chunk::RecordFormat;
use crate::record::key::{Ordinal, PartitionId};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Why the file could not be written.
#[derive(Debug, thiserror::Error)]
pub enum LeftoverFailed {
    /// The source cannot be read again.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The file cannot be written.
    #[error("{path}: {error}")]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
}

/// Where the file of a load is.
#[must_use]
pub fn path(folder: &Path, plan: &LoadPlan) -> PathBuf {
    folder.join(format!("{}.unprocessed.{}", plan.spec.name, ending(plan)))
}

const fn ending(plan: &LoadPlan) -> &'static str {
    match plan.spec.source.format {
        SourceFormat::Csv { .. } => "csv",
        SourceFormat::Jsonl => "jsonl",
    }
}

/// Removes the file of an earlier end.
pub fn remove(folder: &Path, plan: &LoadPlan) {
    if let Err(error) = fs::remove_file(path(folder, plan))
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(%error, load = %plan.spec.name, "an old unprocessed file could not be removed");
    }
}

/// Writes the records of a load that have no final state; gives the file and their number.
///
/// # Errors
/// When the source cannot be read again or the file not be written.
pub fn write(
    folder: &Path,
    plan: &LoadPlan,
    staged: &Staged,
) -> Result<(PathBuf, u64), LeftoverFailed> {
    let target = path(folder, plan);
    let failed = |error| LeftoverFailed::Write { path: target.clone(), error };
    let mut out: Option<UnprocessedFile> = None;
    let mut files = staged.files.clone();
    let found = match open::matching(&plan.spec.source.path) {
        Ok(found) => found,
        Err(SourceError::NothingMatches(_)) => Vec::new(),
        Err(error) => return Err(error.into()),
    };
    files.extend(found.into_iter().filter(|f| !staged.files.contains(f)));
    for (index, file) in files.iter().enumerate() {
        let partition = PartitionId(u32::try_from(index).unwrap_or(u32::MAX));
        if !file.exists() {
            continue;
        }
        let mut source = open::open_source(file, &plan.spec.source.format, partition)?;
        let begun = match out.take() {
            Some(begun) => begun,
            None => {
                let (name, ending) = (&plan.spec.name, ending(plan));
                UnprocessedFile::begin(folder, name, ending, &header(source.format()))
                    .map_err(failed)?
            }
        };
        let out = out.insert(begun);
        while let Some(chunk) = source.next_chunk()? {
            for record in 0..chunk.records.len() {
                let ordinal = Ordinal::new(partition, chunk.first_index + record as u64);
                if matches!(staged.states.get(ordinal), Standing::Settled(_)) {
                    continue;
                }
                out.record(chunk.record_bytes(record)).map_err(failed)?;
            }
        }
    }
    match out {
        Some(out) => out.finish().map_err(failed),
        None => Ok((target, 0)),
    }
}

/// The header line as the source has it, with line feed; empty for JSON.
fn header(format: &RecordFormat) -> Vec<u8> {
    let RecordFormat::Delimited { delimiter, quote, header } = format else { return Vec::new() };
    let mut line = Vec::new();
    for (index, name) in header.iter().enumerate() {
        if index > 0 {
            line.push(*delimiter);
        }
        let special = [*delimiter, *quote, b'\n', b'\r'];
        if name.bytes().any(|b| special.contains(&b)) {
            let quote = char::from(*quote).to_string();
            let doubled = name.replace(&quote, &quote.repeat(2));
            line.extend_from_slice(format!("{quote}{doubled}{quote}").as_bytes());
        } else {
            line.extend_from_slice(name.as_bytes());
        }
    }
    line.push(b'\n');
    line
}
