//! Reads files that hold secrets, and refuses those that others could have read or written.

use crate::client::attempt::TokenFailure;
use secrecy::SecretString;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// Largest secret file, bytes.
const FILE_BYTES_MAX: u64 = 64 << 10;

/// The text of a secret file.
///
/// # Errors
/// [`TokenFailure::Refused`] when it cannot be read, is too large, or is open to others.
///
/// Source: `delivery-guarantees.md` §14.
pub(crate) async fn read_private_file(path: &Path) -> Result<SecretString, TokenFailure> {
    let owned: PathBuf = path.to_owned();
    tokio::task::spawn_blocking(move || read(&owned))
        .await
        .unwrap_or_else(|e| Err(format!("reading was interrupted: {e}")))
        .map_err(|detail| {
            TokenFailure::Refused(format!("secret file {}: {detail}", path.display()))
        })
}

fn read(path: &Path) -> Result<SecretString, String> {
    let file = File::open(path).map_err(|e| e.to_string())?;
    // The open file is looked at, not the path, so it cannot be swapped in between.
    let facts = file.metadata().map_err(|e| e.to_string())?;
    if !facts.is_file() {
        return Err("is no file".to_owned());
    }
    #[cfg(unix)]
    check_owner_and_mode(&facts)?;
    if facts.len() > FILE_BYTES_MAX {
        return Err(format!("has {} bytes; at most {FILE_BYTES_MAX} are read", facts.len()));
    }
    let mut text = String::new();
    file.take(FILE_BYTES_MAX).read_to_string(&mut text).map_err(|e| e.to_string())?;
    Ok(SecretString::from(text))
}

#[cfg(unix)]
fn check_owner_and_mode(facts: &std::fs::Metadata) -> Result<(), String> {
    use std::os::unix::fs::MetadataExt as _;
    let open_to_others = facts.mode() & 0o077;
    if open_to_others != 0 {
        return Err(format!(
            "has mode {:04o}, so others may read it; say `chmod 600` and change the secret if it \
             was exposed",
            facts.mode() & 0o7777
        ));
    }
    // The kernel gives a process's own folder in /proc to its effective user.
    let ours = std::fs::metadata("/proc/self").map(|own| own.uid());
    match ours {
        Ok(uid) if uid != facts.uid() => Err(format!(
            "belongs to user {}, not to user {uid}, who runs this; say `chown {uid}`",
            facts.uid()
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret as _;
    use std::os::unix::fs::PermissionsExt as _;

    fn file(text: &[u8], mode: u32) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(mode)).unwrap();
        file
    }

    #[tokio::test]
    async fn only_private_files_are_read() {
        for mode in [0o600, 0o400] {
            let private = file(b"s3cret\n", mode);
            let text = read_private_file(private.path()).await.unwrap();
            assert_eq!(text.expose_secret(), "s3cret\n");
        }
        for mode in [0o640, 0o604, 0o666] {
            let open = file(b"s3cret", mode);
            let refused = read_private_file(open.path()).await.unwrap_err();
            let text = refused.to_string();
            assert!(text.contains(&format!("{mode:04o}")) && text.contains("chmod 600"), "{text}");
            assert!(!text.contains("s3cret"));
        }
        let large = file(&vec![b'x'; 70_000], 0o600);
        assert!(read_private_file(large.path()).await.is_err());
        assert!(read_private_file(Path::new("/nonexistent/x")).await.is_err());
        assert!(read_private_file(Path::new("/")).await.is_err());
    }
}
