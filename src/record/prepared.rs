//! Pure: rows after mapping and conversion, before they are batched.

use crate::record::chunk::RawChunk;
use crate::record::key::Ordinal;
use crate::record::outcome::RowFault;
use std::ops::Range;
use std::sync::Arc;
use uuid::Uuid;
use xxhash_rust::xxh3::xxh3_128_with_seed;

/// Fixed so that a key has one hash in every run: the ledger and the key map may keep it.
const KEY_SEED: u64 = 0x6476_6275_6c6b_0001;

/// Hash of a source key (unescaped UTF-8). 128 bits stand for the key itself: among 10^9 keys
/// two differing ones share a hash with a chance of about 10^-21.
#[must_use]
pub fn key_hash(key: &[u8]) -> u128 {
    xxh3_128_with_seed(key, KEY_SEED)
}

/// Converted rows of one raw chunk, in read order, one per record.
#[derive(Debug)]
pub struct PreparedChunk {
    /// What they were made from; kept until every row is settled, for the error file.
    pub raw: Arc<RawChunk>,
    /// One per record.
    pub rows: Vec<PreparedRow>,
    /// JSON members of all rows, without braces: `"name":"x","revenue":1.50`.
    pub members: Vec<u8>,
    /// Source keys of all rows, unescaped UTF-8; also addresses by alternate key.
    pub text: Vec<u8>,
}

/// One converted row.
#[derive(Clone, Debug)]
pub struct PreparedRow {
    /// Its number.
    pub ordinal: Ordinal,
    /// Index in [`RawChunk::records`].
    pub record: u32,
    /// Source key in [`PreparedChunk::text`]; empty when it could not be read.
    pub key: Range<u32>,
    /// 128-bit hash of the key, for duplicate detection and lookups by staged key.
    pub key_hash: u128,
    /// Id given by a source column; `None` when pinned, generated or addressed by key.
    pub id: Option<Uuid>,
    /// `name='x',other=1` in [`PreparedChunk::text`] when an alternate key addresses the row
    /// (percent-encoded as it stands in a URL); else empty.
    pub address: Range<u32>,
    /// JSON members in [`PreparedChunk::members`].
    pub members: Range<u32>,
    /// Why it must not be sent.
    pub fault: Option<Box<RowFault>>,
}

impl PreparedChunk {
    /// JSON members of row `row`, without braces; empty when it has none.
    ///
    /// # Panics
    /// If there is no such row.
    #[must_use]
    pub fn members_of(&self, row: usize) -> &[u8] {
        let range = &self.rows[row].members;
        &self.members[range.start as usize..range.end as usize]
    }

    /// Source key of row `row`, unescaped UTF-8.
    ///
    /// # Panics
    /// If there is no such row.
    #[must_use]
    pub fn key_of(&self, row: usize) -> &[u8] {
        let range = &self.rows[row].key;
        &self.text[range.start as usize..range.end as usize]
    }

    /// Alternate-key address of row `row`; empty when it has none.
    ///
    /// # Panics
    /// If there is no such row.
    #[must_use]
    pub fn address_of(&self, row: usize) -> &[u8] {
        let range = &self.rows[row].address;
        &self.text[range.start as usize..range.end as usize]
    }

    /// Memory held beyond the raw chunk, bytes.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.members.capacity()
            + self.text.capacity()
            + self.rows.capacity() * size_of::<PreparedRow>()
    }
}
