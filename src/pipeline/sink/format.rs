//! Pure: lines of the success and error files.

use crate::record::key::BatchId;
use crate::record::outcome::{RowFault, RowState};
use uuid::Uuid;

/// How separated values are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CsvStyle {
    /// Separator.
    pub delimiter: u8,
    /// Put an apostrophe before values that a spreadsheet would take for a formula.
    pub excel_safe: bool,
}

/// A point in time as it stands in the files: `2026-11-24T15:45:00.123Z`; made once a batch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stamp([u8; 24]);

/// What a success line says.
#[derive(Clone, Copy, Debug)]
pub struct SuccessLine<'a> {
    /// Source key.
    pub key: &'a [u8],
    /// Id of the target row; absent where it is not known.
    pub id: Option<Uuid>,
    /// What happened.
    pub state: RowState,
    /// The batch; absent for rows that were not sent.
    pub batch: Option<BatchId>,
    /// When the answer came.
    pub at: &'a Stamp,
}

/// Columns of an error file: those of the input without the loader's own, then the loader's own.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ErrorColumns {
    style: CsvStyle,
    /// Per input column: whether it is carried over.
    keep: Vec<bool>,
    header: Vec<u8>,
}

impl Stamp {
    /// `at_ms` milliseconds since 1970, UTC.
    #[must_use]
    pub fn at(at_ms: i64) -> Self {
        todo!()
    }
}

impl CsvStyle {
    /// Header of a success file, with line feed.
    #[must_use]
    pub fn success_header(self) -> Vec<u8> {
        todo!()
    }

    /// Adds a success line.
    pub fn success_line(self, out: &mut Vec<u8>, line: &SuccessLine<'_>) {
        todo!()
    }
}

/// Adds a success line as a JSON object.
pub fn json_success_line(out: &mut Vec<u8>, line: &SuccessLine<'_>) {
    todo!()
}

impl ErrorColumns {
    /// For input with these columns. Columns `__code`, `__category`, `__message` and
    /// `__attempts` of the input (an error file loaded again) are replaced.
    #[must_use]
    pub fn new(style: CsvStyle, columns: &[String]) -> Self {
        todo!()
    }

    /// First line, with line feed.
    #[must_use]
    pub fn header(&self) -> &[u8] {
        &self.header
    }

    /// Adds an error line. Missing fields are left empty; surplus ones are kept in the last
    /// input column, joined by the delimiter.
    pub fn error_line<'a>(
        &self,
        out: &mut Vec<u8>,
        fields: impl Iterator<Item = &'a [u8]>,
        fault: &RowFault,
        attempts: u32,
    ) {
        todo!()
    }
}

/// Adds an error line for a JSON record: the object with the four members added, or, when it is
/// no object, an object holding its text as `__record`.
pub fn json_error_line(out: &mut Vec<u8>, record: &[u8], fault: &RowFault, attempts: u32) {
    todo!()
}
