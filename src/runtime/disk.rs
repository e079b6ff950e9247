//! Room on a disk.

use std::io;
use std::path::Path;

/// Bytes that this user may still write to the file system `path` stands on.
///
/// # Errors
/// When the path is not there or the file system does not answer.
pub fn free_bytes(path: &Path) -> io::Result<u64> {
    let told = rustix::fs::statvfs(path)?;
    Ok(told.f_bavail.saturating_mul(told.f_frsize))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_room_and_a_missing_one_does_not_answer() {
        let folder = tempfile::tempdir().expect("a folder");
        assert!(free_bytes(folder.path()).expect("it answers") > 4096);
        assert!(free_bytes(&folder.path().join("missing")).is_err());
    }
}
