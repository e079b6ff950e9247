//! Success and error files: projections of the ledger.

pub mod file;
pub mod format;
