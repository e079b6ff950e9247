//! Pure: raw records as a source hands them over.

use crate::record::fields::FieldSplitter;
use crate::record::key::PartitionId;
use crate::record::outcome::RowFault;
use std::borrow::Cow;
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

impl RawChunk {
    /// Bytes of record `record` (index in [`Self::records`]), without line end.
    ///
    /// # Panics
    /// If there is no such record.
    #[must_use]
    pub fn record_bytes(&self, record: usize) -> &[u8] {
        let range = &self.records[record].range;
        &self.bytes[range.start as usize..range.end as usize]
    }

    /// Memory held, bytes: what the record budget is charged.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.bytes.capacity() + self.records.capacity() * size_of::<RecordSpan>()
    }

    /// The original fields of a separated record, unquoted, for the error file; a JSON record is
    /// one field, its line. Works for malformed records too, as far as they can be told apart.
    ///
    /// # Panics
    /// If there is no such record.
    #[must_use]
    pub fn fields_of(&self, record: usize) -> Vec<Cow<'_, [u8]>> {
        let bytes = self.record_bytes(record);
        match &*self.format {
            RecordFormat::Json => vec![Cow::Borrowed(bytes)],
            RecordFormat::Delimited { delimiter, quote, .. } => {
                let mut splitter = FieldSplitter::new(*delimiter, *quote);
                splitter.split(bytes);
                (0..splitter.len())
                    .map(|i| match splitter.place(i) {
                        Some(place) => Cow::Borrowed(&bytes[place]),
                        None => {
                            let mut owned = Vec::new();
                            splitter.unquote(i, bytes, &mut owned);
                            Cow::Owned(owned)
                        }
                    })
                    .collect()
            }
        }
    }
}
