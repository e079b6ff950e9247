//! Finding where records end, block by block, in bounded memory. Only line ends and quotes are
//! looked at; fields are taken apart later, on the compute pool.
//!
//! A record over the limit, or one whose quote is never closed, must not take the rest of the
//! file with it: it is cut at its first line end, that line becomes a faulted record, and
//! reading goes on with the next line. So no more than the limit is ever held.

use super::open::OpenedFile;
use super::{SourceError, SourcePosition};
use crate::limits::{CHUNK_BYTES, CHUNK_RECORDS_MAX, RECORD_BYTES_MAX};
use crate::record::chunk::{RawChunk, RecordFormat, RecordSpan};
use crate::record::key::{Ordinal, PartitionId};
use crate::record::outcome::{FaultCategory, RowFault};
use memchr::{memchr, memchr2};
use std::io::Read;
use std::ops::Range;
use std::sync::Arc;

/// Bytes kept of a line that is itself over the limit, for the error file.
const KEPT_BYTES: usize = 4 << 10;

/// What ends a record besides the line end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Quoting {
    pub(crate) delimiter: u8,
    pub(crate) quote: u8,
    /// With one column any line could be a record, so after a quote that is never closed nothing
    /// can be trusted.
    pub(crate) one_column: bool,
}

/// Sizes; smaller ones in tests.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    pub(crate) chunk_bytes: usize,
    pub(crate) chunk_records: usize,
    pub(crate) record_bytes: usize,
}

impl Default for Sizes {
    fn default() -> Self {
        Self {
            chunk_bytes: CHUNK_BYTES,
            chunk_records: CHUNK_RECORDS_MAX,
            record_bytes: RECORD_BYTES_MAX,
        }
    }
}

/// Reads whole records from an open file.
pub(crate) struct RecordReader {
    input: Box<dyn Read + Send>,
    file: Arc<str>,
    partition: PartitionId,
    pub(crate) quoting: Option<Quoting>,
    sizes: Sizes,
    /// Read, but not handed over.
    carry: Vec<u8>,
    at_end: bool,
    next: SourcePosition,
    /// Records passed over stay out of the next chunk.
    held: Option<RawChunk>,
}

/// The first record, or why it is none.
pub(crate) type HeaderLine = Result<Vec<u8>, Box<RowFault>>;

/// A chunk being filled.
struct Filling {
    bytes: Vec<u8>,
    records: Vec<RecordSpan>,
    /// File offset of `bytes[0]`, plus what was thrown away since.
    base: u64,
    /// Where the current record begins, and its line.
    start: usize,
    line: u64,
    /// Where to look on, that place's line, and whether it is inside quotes.
    at: usize,
    at_line: u64,
    quoted: bool,
}

impl Filling {
    fn span(&mut self, range: Range<usize>, fault: Option<RowFault>) {
        #[expect(clippy::cast_possible_truncation, reason = "buffers stay below 4 GiB")]
        self.records.push(RecordSpan {
            range: range.start as u32..range.end as u32,
            line: self.line,
            offset: self.base + self.start as u64,
            fault: fault.map(Box::new),
        });
    }

    fn go_on_at(&mut self, at: usize) {
        self.start = at;
        self.at = at;
        self.quoted = false;
    }
}

impl RecordReader {
    pub(crate) fn new(
        file: OpenedFile,
        partition: PartitionId,
        quoting: Option<Quoting>,
        sizes: Sizes,
    ) -> Self {
        Self {
            input: file.input,
            file: file.path.into(),
            partition,
            quoting,
            sizes,
            carry: Vec::new(),
            at_end: false,
            next: SourcePosition { index: 0, line: 1, offset: file.mark_bytes },
            held: None,
        }
    }

    pub(crate) fn file(&self) -> &Arc<str> {
        &self.file
    }

    pub(crate) fn position(&self) -> SourcePosition {
        match self.held.as_ref().map(|c| (c.first_index, &c.records[0])) {
            Some((index, r)) => SourcePosition { index, line: r.line, offset: r.offset },
            None => self.next,
        }
    }

    /// Takes one record off the front, as the header; records after it count from 0.
    pub(crate) fn take_header(
        &mut self,
        format: &Arc<RecordFormat>,
    ) -> Result<Option<HeaderLine>, SourceError> {
        let Some(mut chunk) = self.next_chunk(format)? else { return Ok(None) };
        let bytes = chunk.record_bytes(0).to_vec();
        let fault = chunk.records.remove(0).fault;
        self.next.index -= 1;
        self.held = (!chunk.records.is_empty()).then_some(chunk);
        Ok(Some(fault.map_or(Ok(bytes), Err)))
    }

    pub(crate) fn skip_to(&mut self, index: u64) -> Result<(), SourceError> {
        let format = Arc::new(RecordFormat::Json);
        while self.position().index < index {
            let Some(mut chunk) = self.next_chunk(&format)? else { return Ok(()) };
            let skip = index - chunk.first_index;
            if skip < chunk.records.len() as u64 {
                #[expect(clippy::cast_possible_truncation, reason = "less than the length")]
                chunk.records.drain(..skip as usize);
                chunk.first_index = index;
                self.held = Some(chunk);
            }
        }
        Ok(())
    }

    pub(crate) fn next_chunk(
        &mut self,
        format: &Arc<RecordFormat>,
    ) -> Result<Option<RawChunk>, SourceError> {
        if let Some(mut held) = self.held.take() {
            held.format = Arc::clone(format);
            return Ok(Some(held));
        }
        let mut filling = Filling {
            bytes: Vec::with_capacity(self.sizes.chunk_bytes.max(self.carry.len())),
            records: Vec::new(),
            base: self.next.offset,
            start: 0,
            line: self.next.line,
            at: 0,
            at_line: self.next.line,
            quoted: false,
        };
        filling.bytes.append(&mut self.carry);
        loop {
            let full = self.scan(&mut filling);
            let pending = filling.bytes.len() - filling.start;
            if full {
                break;
            }
            if pending > self.sizes.record_bytes {
                self.cut(&mut filling, Cut::TooLarge)?;
                continue;
            }
            if self.at_end {
                if pending == 0 {
                    break;
                }
                if filling.quoted {
                    self.cut(&mut filling, Cut::NeverClosed)?;
                    continue;
                }
                // A last line without line end.
                let end = filling.bytes.len();
                self.close(&mut filling, end, end);
                continue;
            }
            if !filling.records.is_empty() && filling.bytes.len() >= self.sizes.chunk_bytes {
                break;
            }
            self.read_on(&mut filling.bytes)?;
        }
        self.carry = filling.bytes[filling.start..].to_vec();
        filling.bytes.truncate(filling.start);
        let first_index = self.next.index;
        self.next = SourcePosition {
            index: first_index + filling.records.len() as u64,
            line: filling.line,
            offset: filling.base + filling.start as u64,
        };
        if self.next.index > Ordinal::INDEX_COUNT {
            return Err(SourceError::TooManyRecords {
                file: self.file.to_string(),
                max: Ordinal::INDEX_COUNT,
            });
        }
        if filling.records.is_empty() {
            return Ok(None);
        }
        Ok(Some(RawChunk {
            partition: self.partition,
            file: Arc::clone(&self.file),
            format: Arc::clone(format),
            first_index,
            bytes: filling.bytes,
            records: filling.records,
        }))
    }

    /// Reads the next block behind `bytes`.
    fn read_on(&mut self, bytes: &mut Vec<u8>) -> Result<(), SourceError> {
        let room = self.sizes.chunk_bytes.saturating_sub(bytes.len());
        let wanted = if room == 0 { self.sizes.chunk_bytes } else { room };
        let read = self
            .input
            .by_ref()
            .take(wanted as u64)
            .read_to_end(bytes)
            .map_err(|error| SourceError::Io { file: self.file.to_string(), error })?;
        self.at_end |= read < wanted;
        Ok(())
    }

    /// Closes records until the chunk is full (true) or the bytes are used up (false).
    fn scan(&self, f: &mut Filling) -> bool {
        while f.records.len() < self.sizes.chunk_records {
            let rest = &f.bytes[f.at..];
            let hit = match self.quoting {
                Some(q) => memchr2(b'\n', q.quote, rest),
                None => memchr(b'\n', rest),
            };
            let Some(hit) = hit.map(|i| f.at + i) else {
                f.at = f.bytes.len();
                return false;
            };
            match self.quoting {
                Some(q) if f.bytes[hit] == q.quote => {
                    if !f.quoted {
                        f.quoted = hit == f.start || f.bytes[hit - 1] == q.delimiter;
                        f.at = hit + 1;
                    } else if let Some(after) = f.bytes.get(hit + 1) {
                        f.quoted = *after == q.quote;
                        f.at = hit + 1 + usize::from(f.quoted);
                    } else if self.at_end {
                        f.quoted = false;
                        f.at = hit + 1;
                    } else {
                        // Whether it closes depends on a byte not read yet.
                        f.at = hit;
                        return false;
                    }
                }
                _ => {
                    f.at_line += 1;
                    f.at = hit + 1;
                    if !f.quoted {
                        self.close(f, hit, hit + 1);
                    }
                }
            }
        }
        true
    }

    /// The current record ends at `end`; the next one begins at `next`.
    fn close(&self, f: &mut Filling, end: usize, next: usize) {
        let mut range = f.start..end;
        if f.bytes[range.clone()].ends_with(b"\r") {
            range.end -= 1;
        }
        if range.len() > self.sizes.record_bytes {
            // The same cut as if its end had not been seen yet.
            self.cut_at_line(f, Cut::TooLarge);
            return;
        }
        let blank = match self.quoting {
            Some(_) => range.is_empty(),
            None => f.bytes[range.clone()].trim_ascii().is_empty(),
        };
        if !blank {
            f.span(range, None);
        }
        f.go_on_at(next);
        f.line = f.at_line;
    }

    /// Cuts the current record at its first line end, reading on to find it if need be.
    fn cut(&mut self, f: &mut Filling, why: Cut) -> Result<(), SourceError> {
        if matches!(why, Cut::NeverClosed) && self.quoting.is_some_and(|q| q.one_column) {
            let (start, end) = (f.start, f.bytes.len());
            f.span(start..end, Some(why.fault(self.sizes.record_bytes)));
            f.line = f.at_line;
            f.go_on_at(end);
            return Ok(());
        }
        if self.cut_at_line(f, why) {
            return Ok(());
        }
        // No line end in sight: keep the beginning for the error file, drop the rest unseen.
        let kept = (f.start + KEPT_BYTES).min(f.bytes.len());
        f.span(f.start..kept, Some(why.fault(self.sizes.record_bytes)));
        let mut dropped = f.bytes.split_off(kept);
        f.base += dropped.len() as u64;
        let mut past = loop {
            dropped.clear();
            if self.at_end {
                break 0;
            }
            self.read_on(&mut dropped)?;
            match memchr(b'\n', &dropped) {
                Some(end) => {
                    f.line += 1;
                    break end + 1;
                }
                None => f.base += dropped.len() as u64,
            }
        };
        f.base += past as u64;
        past = past.min(dropped.len());
        f.bytes.extend_from_slice(&dropped[past..]);
        f.at_line = f.line;
        f.go_on_at(kept);
        Ok(())
    }

    fn cut_at_line(&self, f: &mut Filling, why: Cut) -> bool {
        let Some(end) = memchr(b'\n', &f.bytes[f.start..]).map(|i| f.start + i) else {
            return false;
        };
        let kept = if end - f.start > self.sizes.record_bytes { f.start + KEPT_BYTES } else { end };
        f.span(f.start..kept.min(end), Some(why.fault(self.sizes.record_bytes)));
        f.line += 1;
        f.at_line = f.line;
        f.go_on_at(end + 1);
        true
    }
}

/// Why a record is cut.
#[derive(Clone, Copy, Debug)]
enum Cut {
    TooLarge,
    NeverClosed,
}

impl Cut {
    fn fault(self, record_bytes_max: usize) -> RowFault {
        let (code, message) = match self {
            Self::TooLarge => (
                "DV0203",
                format!(
                    "record larger than {record_bytes_max} bytes; reading went on with the next \
                     line: look for a quote that is not closed, or shorten the record"
                ),
            ),
            Self::NeverClosed => (
                "DV0209",
                "quote not closed up to the end of the file; reading went on with the next line: \
                 close the quote, or double it if it is part of the text"
                    .to_owned(),
            ),
        };
        RowFault {
            code: code.to_owned(),
            category: FaultCategory::Source,
            message,
            retryable: false,
        }
    }
}
