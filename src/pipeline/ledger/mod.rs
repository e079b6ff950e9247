//! The one truth: what was intended and what became of it, on durable storage.

pub mod fingerprint;
pub mod journal;
pub mod ranges;
pub mod record;
pub mod recover;
pub mod states;
