//! Where records come from. A source reads one partition (a file), finds whole records and hands
//! them over in chunks; it knows nothing of tables, columns or values.

pub mod delimited;
pub mod jsonl;
pub mod open;
mod records;

use crate::record::chunk::{RawChunk, RecordFormat};
use std::io;
use std::sync::Arc;

/// Where the next record begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SourcePosition {
    /// Index of the record within the partition, from 0.
    pub index: u64,
    /// Line in the file, from 1.
    pub line: u64,
    /// Byte offset in the unpacked file.
    pub offset: u64,
}

/// What a partition was when it was opened; a resumed job compares it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SourceFingerprint {
    /// Size as stored, bytes.
    pub bytes: u64,
    /// Hash over the size, the first and last 64 KiB and sixteen samples between.
    pub hash: u64,
}

/// One partition being read, front to back.
pub trait Source: Send {
    /// How its records are written, header included.
    fn format(&self) -> &Arc<RecordFormat>;

    /// What it was when opened.
    fn fingerprint(&self) -> SourceFingerprint;

    /// Where the record after those handed over begins.
    fn position(&self) -> SourcePosition;

    /// Passes over records until `index` is next. At the end of the partition it stays there.
    ///
    /// # Errors
    /// If the partition cannot be read.
    fn skip_to(&mut self, index: u64) -> Result<(), SourceError>;

    /// The next records, at least one; `None` at the end. Malformed records are among them,
    /// marked with their fault.
    ///
    /// # Errors
    /// If the partition cannot be read (any further).
    fn next_chunk(&mut self) -> Result<Option<RawChunk>, SourceError>;
}

/// Why a source cannot be opened or read any further.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The operating system refuses.
    #[error("cannot read {file}: {error}")]
    Io {
        /// Path.
        file: String,
        /// What it says.
        error: io::Error,
    },
    /// A pattern that is none.
    #[error("{pattern:?} is not a file pattern: {reason}")]
    Pattern {
        /// As configured.
        pattern: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Nothing there.
    #[error("no file matches {0:?}; check the path of the source")]
    NothingMatches(String),
    /// Not in UTF-8.
    #[error("{file} is written in {encoding}; convert it to UTF-8 (e.g. with iconv)")]
    Encoding {
        /// Path.
        file: String,
        /// What it seems to be.
        encoding: &'static str,
    },
    /// Separated values without a header line.
    #[error("{file} is empty; its first line must name the columns")]
    NoHeader {
        /// Path.
        file: String,
    },
    /// The header line cannot be read.
    #[error("header line of {file}: {reason}")]
    Header {
        /// Path.
        file: String,
        /// What is wrong, and the way out.
        reason: String,
    },
    /// Separator and quote that cannot work.
    #[error(
        "separator {delimiter:?} with quote {quote:?} cannot be read: both must be ASCII, different, and no line ends"
    )]
    Dialect {
        /// Separator.
        delimiter: char,
        /// Quote.
        quote: char,
    },
    /// More records than numbers for them.
    #[error("{file} holds more than {max} records; split it")]
    TooManyRecords {
        /// Path.
        file: String,
        /// Most of one partition.
        max: u64,
    },
}
