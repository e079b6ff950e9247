//! Reads a job file from disk.

use crate::config::diagnose::ConfigRefused;
use crate::config::job::Job;
use crate::config::parse::parse;
use crate::limits::JOB_FILE_BYTES_MAX;
use std::io::Read;
use std::path::Path;

/// The job described by the file at `path`; relative paths in it start from its folder.
///
/// # Errors
/// The file cannot be read (DV0001), or breaks rules (all of them listed).
pub fn load(path: &Path) -> Result<Job, ConfigRefused> {
    let unreadable =
        |reason: String| ConfigRefused::Unreadable { file: path.display().to_string(), reason };
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(JOB_FILE_BYTES_MAX + 1).read_to_end(&mut bytes))
        .map_err(|e| unreadable(e.to_string()))?;
    if bytes.len() as u64 > JOB_FILE_BYTES_MAX {
        return Err(unreadable(format!("larger than {} MiB", JOB_FILE_BYTES_MAX >> 20)));
    }
    let text = String::from_utf8(bytes)
        .map_err(|e| unreadable(format!("not UTF-8 at byte {}", e.utf8_error().valid_up_to())))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    parse(text, path, &|zone| jiff::tz::TimeZone::get(zone).is_ok())
}
