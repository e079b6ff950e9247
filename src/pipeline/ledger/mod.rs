//! The one truth: what was intended and what became of it, on durable storage.
//!
//! Everything else (success and error files, counters, progress) is a projection of it.
//!
//! Source: `delivery-guarantees.md` §5.

mod codec;
pub mod fingerprint;
mod frame;
pub mod journal;
mod lock;
pub mod ranges;
pub mod record;
pub mod recover;
mod segments;
pub mod states;
mod storage;
mod writer;

pub use journal::{Ledger, LedgerFailed, LedgerHealth, LedgerOptions, OpenRefused, Ticket};
pub use record::LedgerRecord;
pub use recover::Recovery;

#[cfg(test)]
mod tests;
