//! Pure: what a ledger belongs to, so that it is never applied to something else.
//!
//! Source: `codebases-to-learn-from.md` §4.13: a checkpoint applied to the wrong thing skips all
//! data and reports success.

use std::io::{self, Read, Seek, SeekFrom};
use uuid::Uuid;
use xxhash_rust::xxh3::xxh3_64;

/// Bytes hashed at each end of a source file.
const END_BYTES: u64 = 64 << 10;

/// What a ledger belongs to. A ledger opened with another value is refused.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Belongs {
    /// Name of the job.
    pub job: String,
    /// Hash of everything in the job file that gives rows their meaning.
    pub spec_hash: u64,
    /// Organization the rows go to.
    pub organization: Uuid,
    /// Table loads in job order.
    pub loads: Vec<LoadBelongs>,
}

/// What makes a load of a job the same one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LoadBelongs {
    /// Its name.
    pub name: String,
    /// Prefix of its pinned ids ([`crate::record::pinned::PinnedIds::prefix`]).
    pub id_prefix: u64,
}

/// The first difference between what a ledger belongs to and what is asked of it.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BelongsElsewhere {
    /// Another job.
    #[error("the ledger is of job `{recorded}`, not of `{asked}`")]
    Job {
        /// In the ledger.
        recorded: String,
        /// In the job file.
        asked: String,
    },
    /// Another environment.
    #[error("the ledger is of organization {recorded}, not of {asked}")]
    Organization {
        /// In the ledger.
        recorded: Uuid,
        /// Answered by the environment.
        asked: Uuid,
    },
    /// Loads were added, removed, renamed or moved.
    #[error("table load {number} was `{recorded}` when the ledger began and is `{asked}` now")]
    Load {
        /// Place in the job file, from 1.
        number: usize,
        /// In the ledger.
        recorded: String,
        /// In the job file.
        asked: String,
    },
    /// Ids would be derived otherwise.
    #[error(
        "ids of table load `{load}` were derived with prefix {recorded:016x}, now {asked:016x}"
    )]
    IdPrefix {
        /// The load.
        load: String,
        /// In the ledger.
        recorded: u64,
        /// As derived now.
        asked: u64,
    },
    /// The meaning of the rows changed.
    #[error(
        "the job file was changed since the ledger began (hash {recorded:016x}, now {asked:016x})"
    )]
    Spec {
        /// In the ledger.
        recorded: u64,
        /// Of the job file.
        asked: u64,
    },
}

impl Belongs {
    /// Compares what is recorded (`self`) with what is asked.
    ///
    /// # Errors
    /// The first difference.
    pub fn check(&self, asked: &Self) -> Result<(), BelongsElsewhere> {
        if self.job != asked.job {
            return Err(BelongsElsewhere::Job {
                recorded: self.job.clone(),
                asked: asked.job.clone(),
            });
        }
        if self.organization != asked.organization {
            return Err(BelongsElsewhere::Organization {
                recorded: self.organization,
                asked: asked.organization,
            });
        }
        for number in 0..self.loads.len().max(asked.loads.len()) {
            let (old, new) = (self.loads.get(number), asked.loads.get(number));
            let name = |l: Option<&LoadBelongs>| l.map_or("(absent)".into(), |l| l.name.clone());
            match (old, new) {
                (Some(o), Some(n)) if o.name == n.name => {
                    if o.id_prefix != n.id_prefix {
                        return Err(BelongsElsewhere::IdPrefix {
                            load: o.name.clone(),
                            recorded: o.id_prefix,
                            asked: n.id_prefix,
                        });
                    }
                }
                _ => {
                    return Err(BelongsElsewhere::Load {
                        number: number + 1,
                        recorded: name(old),
                        asked: name(new),
                    });
                }
            }
        }
        if self.spec_hash != asked.spec_hash {
            return Err(BelongsElsewhere::Spec {
                recorded: self.spec_hash,
                asked: asked.spec_hash,
            });
        }
        Ok(())
    }
}

/// What a source file held when it was first seen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FileFingerprint {
    /// Length, bytes. A file that grows is read up to here.
    pub bytes: u64,
    /// Last change, milliseconds since 1970, UTC.
    pub modified_ms: i64,
    /// Hash of the first 64 KiB.
    pub head_hash: u64,
    /// Hash of the last 64 KiB before `bytes`.
    pub tail_hash: u64,
}

/// How a source file differs from what the ledger knows of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum FileChanged {
    /// It lost bytes.
    #[error("it had {recorded} bytes and has {found} now")]
    Shorter {
        /// In the ledger.
        recorded: u64,
        /// Now.
        found: u64,
    },
    /// Its beginning or end reads otherwise.
    #[error("its first or last 64 KiB of {recorded} bytes read otherwise than before")]
    Content {
        /// Length in the ledger.
        recorded: u64,
    },
    /// It was written to, and nobody can say where.
    #[error("it was written to since it was first read")]
    Touched,
}

impl FileFingerprint {
    /// Reads the ends of a file of `bytes` bytes (less than its length when it grew).
    ///
    /// # Errors
    /// When the file cannot be read that far.
    pub fn read(file: &mut (impl Read + Seek), bytes: u64, modified_ms: i64) -> io::Result<Self> {
        let end = bytes.min(END_BYTES);
        let head_hash = hash_at(file, 0, end)?;
        let tail_hash = hash_at(file, bytes - end, end)?;
        Ok(Self { bytes, modified_ms, head_hash, tail_hash })
    }

    /// Compares with the same file found again: `now` read up to `self.bytes`, `length` its whole
    /// length. Bytes appended behind are no difference.
    ///
    /// # Errors
    /// How it differs.
    pub fn check(&self, now: &Self, length: u64) -> Result<(), FileChanged> {
        if length < self.bytes {
            return Err(FileChanged::Shorter { recorded: self.bytes, found: length });
        }
        if (now.head_hash, now.tail_hash) != (self.head_hash, self.tail_hash) {
            return Err(FileChanged::Content { recorded: self.bytes });
        }
        if length == self.bytes && now.modified_ms != self.modified_ms {
            return Err(FileChanged::Touched);
        }
        Ok(())
    }
}

fn hash_at(file: &mut (impl Read + Seek), from: u64, bytes: u64) -> io::Result<u64> {
    file.seek(SeekFrom::Start(from))?;
    let mut end = Vec::new();
    file.take(bytes).read_to_end(&mut end)?;
    if (end.len() as u64) < bytes {
        return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
    }
    Ok(xxh3_64(&end))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    fn belongs() -> Belongs {
        Belongs {
            job: "j".into(),
            spec_hash: 7,
            organization: Uuid::from_u128(1),
            loads: vec![LoadBelongs { name: "account".into(), id_prefix: 5 }],
        }
    }

    #[test]
    fn every_difference_is_named() {
        let base = belongs();
        let check = |change: fn(&mut Belongs), text: &str| {
            let mut other = base.clone();
            change(&mut other);
            assert_eq!(base.check(&other).unwrap_err().to_string(), text);
        };
        assert_eq!(base.check(&belongs()), Ok(()));
        check(|b| b.job = "k".into(), "the ledger is of job `j`, not of `k`");
        check(
            |b| b.loads[0].id_prefix = 6,
            "ids of table load `account` were derived with prefix 0000000000000005, now 0000000000000006",
        );
        check(
            |b| b.loads.clear(),
            "table load 1 was `account` when the ledger began and is `(absent)` now",
        );
        check(
            |b| b.spec_hash = 8,
            "the job file was changed since the ledger began (hash 0000000000000007, now 0000000000000008)",
        );
        check(
            |b| b.organization = Uuid::nil(),
            "the ledger is of organization 00000000-0000-0000-0000-000000000001, not of 00000000-0000-0000-0000-000000000000",
        );
    }

    fn print(bytes: &[u8], upto: u64, modified_ms: i64) -> FileFingerprint {
        FileFingerprint::read(&mut Cursor::new(bytes), upto, modified_ms).unwrap()
    }

    #[test]
    fn files_may_grow_but_not_change() {
        let old: Vec<u8> = (0..200_000u32).map(|i| (i % 251) as u8).collect();
        let len = old.len() as u64;
        let seen = print(&old, len, 1);
        assert_eq!(seen.check(&print(&old, len, 1), len), Ok(()));
        assert_eq!(seen.check(&print(&old, len, 2), len), Err(FileChanged::Touched));
        let mut grown = old.clone();
        grown.extend_from_slice(b"more");
        assert_eq!(seen.check(&print(&grown, len, 2), len + 4), Ok(()));
        grown[10] ^= 1;
        assert_eq!(
            seen.check(&print(&grown, len, 2), len + 4),
            Err(FileChanged::Content { recorded: len })
        );
        assert!(matches!(seen.check(&seen, len - 1), Err(FileChanged::Shorter { .. })));
        assert!(FileFingerprint::read(&mut Cursor::new(&old[..9]), 10, 1).is_err());
    }
}
