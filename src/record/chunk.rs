//! Pure: raw records as a source hands them over.

use crate::record::key::PartitionId;
use crate::record::outcome::RowFault;
use std::ops::Range;
use std::sync::Arc;

/// How the records of a chunk are written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RecordFormat {
    /// Separated values; `header` names the fields in order.
    Delimited {
        /// Separator.
        delimiter: u8,
        /// Quote.
        quote: u8,
        /// Column names.
        header: Arc<[String]>,
    },
    /// One JSON object each.
    Json,
}

/// Whole records of one partition in read order.
#[derive(Debug)]
pub struct RawChunk {
    /// Partition (file) they come from.
    pub partition: PartitionId,
    /// Path of the file, for messages.
    pub file: Arc<str>,
    /// How records are written.
    pub format: Arc<RecordFormat>,
    /// Index of the first record within the partition, from 0.
    pub first_index: u64,
    /// Bytes of all records; spans point into it.
    pub bytes: Vec<u8>,
    /// One per record, also for malformed ones.
    pub records: Vec<RecordSpan>,
}

/// Where one record is.
#[derive(Clone, Debug)]
pub struct RecordSpan {
    /// Bytes in [`RawChunk::bytes`], without line end.
    pub range: Range<u32>,
    /// Line in the file on which it begins, from 1.
    pub line: u64,
    /// Byte offset in the unpacked file at which it begins.
    pub offset: u64,
    /// Set by the reader when the record cannot be taken apart (too large, for instance).
    pub fault: Option<Box<RowFault>>,
}
