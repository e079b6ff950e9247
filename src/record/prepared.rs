//! Pure: rows after mapping and conversion, before they are batched.

use crate::record::chunk::RawChunk;
use crate::record::key::Ordinal;
use crate::record::outcome::RowFault;
use std::ops::Range;
use std::sync::Arc;
use uuid::Uuid;

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
