//! What an answer means for each row. Read in this order: `faults` (what a code says), `classify`
//! (what one attempt means), `tell` (from there to words about the batch), `settle` (what to do
//! next: this is where a row is kept from being lost or doubled).

pub mod classify;
pub mod faults;
pub mod settle;
pub mod tell;
