//! Success and error files: projections of the ledger.
//!
//! Source: `delivery-guarantees.md` §12.

pub mod file;
pub mod format;
pub mod unprocessed;
mod writer;

pub use file::{OnProjected, SinkFiles, SinkHealth, Sinks, SinksFailed, SinksRefused};
