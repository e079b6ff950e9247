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
    // The paths of sources are part of what a ledger belongs to; they must not depend on the folder
    // the command was typed in.
    let path = std::path::absolute(path).map_err(|e| unreadable(e.to_string()))?;
    parse(text, &path, &|zone| jiff::tz::TimeZone::get(zone).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_do_not_depend_on_the_folder_the_command_was_typed_in() {
        // Tests run in the package's folder.
        let near = load(Path::new("config/minimal.toml")).unwrap();
        let far = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/minimal.toml");
        let far = load(&far).unwrap();
        assert_eq!(near.tables[0].source.path, far.tables[0].source.path);
        assert_eq!(near.ledger_folder, far.ledger_folder);
        assert!(near.ledger_folder.is_absolute());
    }
}
