//! The one truth: what was intended and what became of it, on durable storage.
//!
//! Everything else (success and error files, counters, progress) is a projection of it.
//!
//! Source: `delivery-guarantees.md` §5.

pub mod codec;
pub mod fingerprint;
pub mod frame;
pub mod journal;
pub mod lock;
pub mod ranges;
pub mod record;
pub mod recover;
pub mod segments;
pub mod states;
pub mod storage;
mod writer;

pub use journal::{Ledger, LedgerFailed, LedgerHealth, LedgerOptions, OpenRefused, Ticket};
pub use record::LedgerRecord;
pub use recover::Recovery;

#[cfg(test)]
mod tests;
