//! One process per ledger. The kernel gives the lock back when its holder dies, so there are no
//! stale locks and nothing to remove by hand.

use crate::pipeline::ledger::storage::private;
use std::fs::{File, TryLockError};
use std::io::{self, Read, Write};
use std::path::Path;

/// Name of the lock file in the ledger's folder.
pub const LOCK_FILE: &str = "ledger.lock";

/// Holds a ledger's lock until dropped.
#[derive(Debug)]
pub struct LedgerLock(#[expect(dead_code, reason = "an open file is the lock")] File);

/// Why there is no lock.
#[derive(Debug, thiserror::Error)]
pub enum LockRefused {
    /// Another process has it.
    #[error("held by {0}")]
    Held(String),
    /// The lock file cannot be used.
    #[error("{0}")]
    Io(#[from] io::Error),
}

impl LedgerLock {
    /// Takes the lock at once or not at all, and leaves word of who has it.
    ///
    /// # Errors
    /// See [`LockRefused`].
    pub fn take(folder: &Path, holder: &str) -> Result<Self, LockRefused> {
        let mut file = private().create(true).truncate(false).open(folder.join(LOCK_FILE))?;
        match file.try_lock() {
            Ok(()) => {
                file.set_len(0)?;
                file.write_all(holder.as_bytes())?;
                Ok(Self(file))
            }
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                let read = (&mut file).take(1024).read_to_string(&mut holder);
                let known = read.is_ok() && !holder.is_empty();
                Err(LockRefused::Held(if known { holder } else { "another process".into() }))
            }
            Err(TryLockError::Error(cause)) => Err(cause.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn second_taker_is_told_who_has_it() {
        let folder = tempfile::tempdir().unwrap();
        let first = LedgerLock::take(folder.path(), "process 1 on here").unwrap();
        let refused = LedgerLock::take(folder.path(), "process 2").unwrap_err();
        assert_eq!(refused.to_string(), "held by process 1 on here");
        drop(first);
        LedgerLock::take(folder.path(), "process 2").unwrap();
    }
}
