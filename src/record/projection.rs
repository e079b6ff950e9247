//! What is shown of settled rows once the ledger holds their outcome: lines for the sink files,
//! counts for people, and the memory to give back. It travels through the ledger writer, so
//! nothing is shown before it is durable and files follow the ledger's order.

use crate::record::key::TableId;
use crate::record::outcome::RowState;
use std::any::Any;

/// What becomes visible when the records appended with it are durable.
#[derive(Default)]
pub struct Projection {
    /// Lines per table load.
    pub lines: Vec<TableLines>,
    /// Dropped after the lines were handed to the files (memory permits, chunk references).
    pub hold: Option<Box<dyn Any + Send>>,
}

/// Finished lines of one table load, in the file's own format, each ending with a line feed.
#[derive(Debug)]
pub struct TableLines {
    /// The load.
    pub table: TableId,
    /// Lines of the success file.
    pub success: Vec<u8>,
    /// Lines of the error file.
    pub errors: Vec<u8>,
    /// Rows by their new state.
    pub counts: Vec<(RowState, u64)>,
}
