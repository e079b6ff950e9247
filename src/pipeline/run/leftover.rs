//! Rows that a run which ended early left unsettled, as a file like the input: for people who go
//! on by other means. It is written anew at each such end and removed when the load is complete.

use crate::config::job::SourceFormat;
use crate::pipeline::ledger::states::Standing;
use crate::pipeline::run::plan::LoadPlan;
use crate::pipeline::run::staged::Staged;
use crate::pipeline::source::{SourceError, open};
use crate::record::key::{Ordinal, PartitionId};
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
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
    let ending = match plan.spec.source.format {
        SourceFormat::Csv { .. } => "csv",
        SourceFormat::Jsonl => "jsonl",
    };
    folder.join(format!("{}.unprocessed.{ending}", plan.spec.name))
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
    let draft = target.with_extension("tmp");
    let failed = |error| LeftoverFailed::Write { path: target.clone(), error };
    let mut out = BufWriter::new(File::create(&draft).map_err(failed)?);
    let mut files = staged.files.clone();
    let found = match open::matching(&plan.spec.source.path) {
        Ok(found) => found,
        Err(SourceError::NothingMatches(_)) => Vec::new(),
        Err(error) => return Err(error.into()),
    };
    files.extend(found.into_iter().filter(|f| !staged.files.contains(f)));
    let mut rows = 0u64;
    for (index, file) in files.iter().enumerate() {
        let partition = PartitionId(u32::try_from(index).unwrap_or(u32::MAX));
        if !file.exists() {
            continue;
        }
        let mut source = open::open_source(file, &plan.spec.source.format, partition)?;
        if rows == 0 && index == 0 {
            header(&mut out, source.format()).map_err(failed)?;
        }
        while let Some(chunk) = source.next_chunk()? {
            for record in 0..chunk.records.len() {
                let ordinal = Ordinal::new(partition, chunk.first_index + record as u64);
                if matches!(staged.states.get(ordinal), Standing::Settled(_)) {
                    continue;
                }
                out.write_all(chunk.record_bytes(record)).map_err(failed)?;
                out.write_all(b"\n").map_err(failed)?;
                rows += 1;
            }
        }
    }
    out.into_inner().map_err(|e| failed(e.into_error()))?.sync_all().map_err(failed)?;
    fs::rename(&draft, &target).map_err(failed)?;
    Ok((target, rows))
}

fn header(
    out: &mut impl Write,
    format: &crate::record::chunk::RecordFormat,
) -> io::Result<()> {
    use crate::record::chunk::RecordFormat;
    let RecordFormat::Delimited { delimiter, quote, header } = format else { return Ok(()) };
    for (index, name) in header.iter().enumerate() {
        if index > 0 {
            out.write_all(&[*delimiter])?;
        }
        let plain = !name.bytes().any(|b| b == *delimiter || b == *quote || b == b'\n' || b == b'\r');
        if plain {
            out.write_all(name.as_bytes())?;
        } else {
            let quote = char::from(*quote).to_string();
            let doubled = name.replace(&quote, &format!("{quote}{quote}"));
            write!(out, "{quote}{doubled}{quote}")?;
        }
    }
    out.write_all(b"\n")
}
