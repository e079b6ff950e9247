//! Pure: how rows loaded earlier in the same job are looked up by their source key.

use crate::record::key::TableId;
use uuid::Uuid;

/// What is known of a row of another load.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Found {
    /// It stands in the target under this id (or will, before the asking row is sent).
    Id(Uuid),
    /// It was refused, so nothing can refer to it.
    Refused,
    /// No such key was read.
    Unknown,
}

/// Read-only view of the rows staged so far.
pub trait StagedRows: Sync {
    /// The row of `load` with this key; `key_hash` is [`crate::record::prepared::key_hash`] of it.
    fn find(&self, load: TableId, key_hash: u128, key: &[u8]) -> Found;
}

/// Nothing is staged: for jobs without lookups by staged key, and for checks of samples.
#[derive(Clone, Copy, Debug)]
pub struct NothingStaged;

impl StagedRows for NothingStaged {
    fn find(&self, _load: TableId, _key_hash: u128, _key: &[u8]) -> Found {
        Found::Unknown
    }
}
