//! Applies a row program to a chunk, on the compute pool. Members are written straight into one
//! buffer; no tree of values is built.

use super::buffer::RowBuffer;
use super::cell::{Cell, trim};
use super::convert::{Standing, guid};
use super::json::{JsonFault, JsonScanner};
use super::mapping::{
    AddressOp, AddressValue, ColumnOp, Default, From, RowProgram, Shape, ValueOp,
};
use super::refusal::{Read, Refusal};
use crate::limits::FIELD_BYTES_MAX;
use crate::record::chunk::{RawChunk, RecordSpan};
use crate::record::fields::FieldSplitter;
use crate::record::key::Ordinal;
use crate::record::outcome::{FaultCategory, RowFault};
use crate::record::prepared::{PreparedChunk, PreparedRow, key_hash};
use crate::record::staged::StagedRows;
use std::ops::Range;
use std::sync::Arc;
use uuid::Uuid;

/// Converts every record of `raw`; what cannot be sent carries its fault. `program` must have
/// been compiled for the chunk's format.
#[must_use]
pub fn convert_chunk(
    program: &RowProgram,
    raw: Arc<RawChunk>,
    staged: &dyn StagedRows,
) -> PreparedChunk {
    let mut output = Output {
        rows: Vec::with_capacity(raw.records.len()),
        members: Vec::with_capacity(raw.bytes.len() + raw.records.len() * program.fixed_bytes()),
        text: Vec::with_capacity(raw.records.len() * 16),
        scratch: Vec::new(),
        line: RowBuffer::default(),
    };
    let all_utf8 = std::str::from_utf8(&raw.bytes).is_ok();
    match &program.shape {
        Shape::Delimited { delimiter, quote, columns } => {
            let mut splitter = FieldSplitter::new(*delimiter, *quote);
            for (i, span) in raw.records.iter().enumerate() {
                let record = raw.record_bytes(i);
                output.row(
                    program,
                    &raw,
                    i,
                    || {
                        check_span(span, record, all_utf8)?;
                        let clean = splitter.split(record);
                        check_fields(&splitter, record, clean, *columns, span)?;
                        let behind = &raw.bytes[span.range.start as usize..];
                        Ok(Fields { splitter: &splitter, record, behind, clean })
                    },
                    staged,
                );
            }
        }
        Shape::Json { names, slots } => {
            let mut scanner = JsonScanner::new(names, *slots);
            for (i, span) in raw.records.iter().enumerate() {
                let line = raw.record_bytes(i);
                output.row(
                    program,
                    &raw,
                    i,
                    || {
                        check_span(span, line, all_utf8)?;
                        scanner.scan(line).map_err(|JsonFault { at, reason }| {
                            source_fault(
                                "DV0205",
                                span,
                                at,
                                &format!("not a usable JSON object: {reason}"),
                            )
                        })?;
                        let behind = &raw.bytes[span.range.start as usize..];
                        Ok(Members { scanner: &scanner, line, behind })
                    },
                    staged,
                );
            }
        }
    }
    let Output { rows, members, text, .. } = output;
    PreparedChunk { raw, rows, members, text }
}

/// A text within a chunk.
#[derive(Clone, Copy)]
struct Piece<'a> {
    /// The chunk from the text on: copying may read beyond its end.
    behind: &'a [u8],
    length: usize,
    clean: bool,
}

impl<'a> Piece<'a> {
    fn bytes(self) -> &'a [u8] {
        &self.behind[..self.length]
    }
}

/// Values of one record by slot.
trait Cells {
    /// The text in `slot` when it stands there as it is.
    fn plain(&self, slot: usize) -> Option<Piece<'_>>;

    /// Whatever is in `slot`.
    fn cell<'a>(&'a self, slot: usize, scratch: &'a mut Vec<u8>) -> Cell<'a>;
}

struct Fields<'a> {
    splitter: &'a FieldSplitter,
    record: &'a [u8],
    /// The chunk from the record on.
    behind: &'a [u8],
    clean: bool,
}

impl Cells for Fields<'_> {
    #[inline]
    fn plain(&self, slot: usize) -> Option<Piece<'_>> {
        let place = self.splitter.place(slot)?;
        let behind = &self.behind[place.start..];
        Some(Piece { behind, length: place.len(), clean: self.clean })
    }

    fn cell<'a>(&'a self, slot: usize, scratch: &'a mut Vec<u8>) -> Cell<'a> {
        match self.plain(slot) {
            Some(piece) => Cell::Text { bytes: piece.bytes(), clean: self.clean },
            None => {
                scratch.clear();
                self.splitter.unquote(slot, self.record, scratch);
                Cell::Text { bytes: scratch, clean: false }
            }
        }
    }
}

struct Members<'a, 'n> {
    scanner: &'a JsonScanner<'n>,
    line: &'a [u8],
    /// The chunk from the line on.
    behind: &'a [u8],
}

impl Cells for Members<'_, '_> {
    #[inline]
    fn plain(&self, slot: usize) -> Option<Piece<'_>> {
        let place = self.scanner.plain(slot)?;
        Some(Piece { behind: &self.behind[place.start..], length: place.len(), clean: true })
    }

    fn cell<'a>(&'a self, slot: usize, scratch: &'a mut Vec<u8>) -> Cell<'a> {
        self.scanner.cell(slot, self.line, scratch)
    }
}

fn source_fault(code: &str, span: &RecordSpan, at: usize, what: &str) -> Box<RowFault> {
    Box::new(RowFault {
        code: code.to_owned(),
        category: FaultCategory::Source,
        message: format!("line {}, byte {}: {what}", span.line, span.offset + at as u64),
        retryable: false,
    })
}

fn check_span(span: &RecordSpan, record: &[u8], all_utf8: bool) -> Result<(), Box<RowFault>> {
    if let Some(fault) = &span.fault {
        let message = format!("line {}, byte {}: {}", span.line, span.offset, fault.message);
        return Err(Box::new(RowFault { message, ..(**fault).clone() }));
    }
    if !all_utf8 && let Err(error) = std::str::from_utf8(record) {
        let what = "not valid UTF-8; convert the file to UTF-8";
        return Err(source_fault("DV0202", span, error.valid_up_to(), what));
    }
    Ok(())
}

fn check_fields(
    splitter: &FieldSplitter,
    record: &[u8],
    clean: bool,
    columns: usize,
    span: &RecordSpan,
) -> Result<(), Box<RowFault>> {
    if !clean && let Some(at) = memchr::memchr(0, record) {
        return Err(source_fault("DV0208", span, at, "NUL character; remove it"));
    }
    if splitter.len() != columns {
        let what = format!(
            "{} fields, but the header names {columns} columns; look for a stray or missing \
             separator or quote",
            splitter.len()
        );
        return Err(source_fault("DV0201", span, 0, &what));
    }
    if record.len() > FIELD_BYTES_MAX {
        for i in 0..columns {
            let length = splitter.raw_len(i);
            if length > FIELD_BYTES_MAX {
                let what = format!(
                    "field {} is {length} bytes long, at most {FIELD_BYTES_MAX} allowed",
                    i + 1
                );
                return Err(source_fault("DV0204", span, 0, &what));
            }
        }
    }
    Ok(())
}

struct Output {
    rows: Vec<PreparedRow>,
    members: Vec<u8>,
    text: Vec<u8>,
    scratch: Vec<u8>,
    /// Members of the row at hand, and before them its address.
    line: RowBuffer,
}

#[expect(clippy::cast_possible_truncation, reason = "checked by `Output::row`")]
fn range(start: usize, end: usize) -> Range<u32> {
    start as u32..end as u32
}

impl Output {
    fn row<C: Cells>(
        &mut self,
        program: &RowProgram,
        raw: &RawChunk,
        record: usize,
        take_apart: impl FnOnce() -> Result<C, Box<RowFault>>,
        staged: &dyn StagedRows,
    ) {
        let (members, text) = (self.members.len(), self.text.len());
        let mut row = PreparedRow {
            ordinal: Ordinal::new(raw.partition, raw.first_index + record as u64),
            #[expect(clippy::cast_possible_truncation, reason = "a chunk has few records")]
            record: record as u32,
            key: range(text, text),
            key_hash: 0,
            id: None,
            address: range(text, text),
            members: range(members, members),
            fault: None,
        };
        let outcome =
            take_apart().and_then(|cells| self.convert(program, &cells, staged, &mut row));
        match outcome {
            Err(fault) => row.fault = Some(fault),
            Ok(()) if members + self.line.len() > u32::MAX as usize => {
                row.fault = Some(Box::new(RowFault {
                    code: "DV0203".into(),
                    category: FaultCategory::Source,
                    message: "rows of this chunk grow beyond 4 GiB; shorten constants".into(),
                    retryable: false,
                }));
            }
            Ok(()) => {
                // Without the first comma.
                let line = self.line.as_slice();
                self.members.extend_from_slice(line.get(1..).unwrap_or_default());
                row.members = range(members, self.members.len());
            }
        }
        self.rows.push(row);
    }

    fn convert<C: Cells>(
        &mut self,
        program: &RowProgram,
        cells: &C,
        staged: &dyn StagedRows,
        row: &mut PreparedRow,
    ) -> Result<(), Box<RowFault>> {
        let start = self.text.len();
        let key = cells.cell(program.key, &mut self.scratch).scalar();
        let key = key.map_err(|r| Box::new(r.into_fault(&program.key_name)))?;
        if key.is_empty() {
            return Err(Box::new(RowFault {
                code: "DV0206".into(),
                category: FaultCategory::Required,
                message: format!("{}: the key of the row is empty", program.key_name),
                retryable: false,
            }));
        }
        self.text.extend_from_slice(key);
        row.key = range(start, self.text.len());
        row.key_hash = key_hash(key);
        if let Some((slot, name)) = &program.id {
            let cell = cells.cell(*slot, &mut self.scratch);
            let id =
                cell.scalar().and_then(guid::read).map_err(|r| Box::new(r.into_fault(name)))?;
            row.id = Uuid::try_parse_ascii(&id).ok();
        }
        if !program.address.is_empty() {
            self.line.truncate(0);
            for op in &program.address {
                if !self.line.is_empty() {
                    self.line.push(b',');
                }
                self.address(op, cells, staged).map_err(|r| Box::new(r.into_fault(&op.target)))?;
            }
            let start = self.text.len();
            self.text.extend_from_slice(self.line.as_slice());
            row.address = range(start, self.text.len());
        }
        self.line.truncate(0);
        self.line.extend_from_slice(&program.constants);
        for op in &program.columns {
            if let Err(refusal) = self.column(op, cells, staged) {
                return Err(Box::new(refusal.into_fault(&op.target)));
            }
        }
        Ok(())
    }

    #[inline]
    fn column<C: Cells>(&mut self, op: &ColumnOp, cells: &C, staged: &dyn StagedRows) -> Read {
        // The common cases, without detours.
        if let From::Slot(slot) = op.from
            && let Some(piece) = cells.plain(slot)
        {
            match &op.value {
                ValueOp::Text { prefix, rule } => {
                    let fits = piece.length <= rule.max_length as usize;
                    if fits && piece.clean && piece.length > 0 {
                        self.line.extend_fixed(prefix);
                        self.line.extend_from_front(piece.behind, piece.length);
                        self.line.push(b'"');
                        return Ok(());
                    }
                }
                ValueOp::Plain { prefix, converter } => {
                    let standing = converter.standing(piece.bytes());
                    if standing != Standing::No {
                        self.line.extend_fixed(prefix);
                        if standing == Standing::Quoted {
                            self.line.push(b'"');
                        }
                        self.line.extend_from_front(piece.behind, piece.length);
                        if standing == Standing::Quoted {
                            self.line.push(b'"');
                        }
                        return Ok(());
                    }
                    let text = trim(piece.bytes());
                    if !text.is_empty() {
                        self.line.extend_fixed(prefix);
                        return converter.write_scalar(text, &mut self.line);
                    }
                }
                ValueOp::Lookup { op, table: None } => {
                    if op.write_by_id(trim(piece.bytes()), &mut self.line) {
                        return Ok(());
                    }
                }
                ValueOp::Lookup { .. } => {}
            }
        }
        self.column_any(op, cells, staged)
    }

    #[inline(never)]
    fn column_any<C: Cells>(&mut self, op: &ColumnOp, cells: &C, staged: &dyn StagedRows) -> Read {
        let cell = match &op.from {
            From::Slot(slot) => cells.cell(*slot, &mut self.scratch),
            From::Constant(text) => Cell::text(text),
        };
        if op.value.is_empty(cell) {
            let absent = cell == Cell::Absent;
            return self.empty(op, absent, cells, staged);
        }
        match &op.value {
            ValueOp::Lookup { table: Some(table), .. } => {
                let mut scratch = Vec::new();
                let table = cells.cell(*table, &mut scratch).scalar()?;
                op.value.write(cell, Some(table), staged, &mut self.line)
            }
            _ => op.value.write(cell, None, staged, &mut self.line),
        }
    }

    /// A member that is missing from a JSON object is never sent as `null`: whoever leaves it
    /// out does not speak of it.
    #[cold]
    fn empty<C: Cells>(
        &mut self,
        op: &ColumnOp,
        absent: bool,
        cells: &C,
        staged: &dyn StagedRows,
    ) -> Read {
        match (&op.default, &op.null) {
            (Some(Default::Member(member)), _) => self.line.extend_from_slice(member),
            (Some(Default::Text(text)), _) => {
                let mut scratch = Vec::new();
                let table = match &op.value {
                    ValueOp::Lookup { table: Some(slot), .. } => {
                        Some(cells.cell(*slot, &mut scratch).scalar()?)
                    }
                    _ => None,
                };
                return op.value.write(Cell::text(text), table, staged, &mut self.line);
            }
            (None, Some(null)) if !absent => {
                if op.refuse_null {
                    return Err(missing("required by Dataverse, so it cannot be cleared"));
                }
                self.line.extend_from_slice(null);
            }
            (None, _) if op.refuse_absent => {
                return Err(missing("required by Dataverse, but the value is empty"));
            }
            (None, _) => {}
        }
        Ok(())
    }

    fn address<C: Cells>(&mut self, op: &AddressOp, cells: &C, staged: &dyn StagedRows) -> Read {
        let mut cell = match &op.from {
            From::Slot(slot) => cells.cell(*slot, &mut self.scratch),
            From::Constant(text) => Cell::text(text),
        };
        let is_empty = |cell| match cell {
            Cell::Absent | Cell::Null => true,
            Cell::Text { bytes, .. } => trim(bytes).is_empty(),
            Cell::Number(_) | Cell::Bool(_) | Cell::Composite(_) => false,
        };
        if is_empty(cell) {
            cell = Cell::text(op.default.as_deref().unwrap_or_default().as_bytes());
            if is_empty(cell) {
                return Err(Box::new(Refusal {
                    code: "DV0206",
                    category: FaultCategory::Required,
                    text: "empty, but part of the key that addresses the row".into(),
                }));
            }
        }
        self.line.extend_from_slice(op.prefix.as_bytes());
        match &op.value {
            AddressValue::Key(value) => value.write(cell, &mut self.line),
            AddressValue::Lookup { op, table } => {
                let mut scratch = Vec::new();
                let table = match table {
                    Some(slot) => Some(cells.cell(*slot, &mut scratch).scalar()?),
                    None => None,
                };
                op.write_id(cell.scalar()?, table, staged, &mut self.line)
            }
        }
    }
}

fn missing(what: &str) -> Box<Refusal> {
    Box::new(Refusal {
        code: "DV0310",
        category: FaultCategory::Required,
        text: format!("{what}; fill it in the source or give the mapping a `default`"),
    })
}
