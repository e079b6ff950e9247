//! The stages of a record's way, in flow order.

pub mod batch;
pub mod ledger;
pub mod outcome;
pub mod run;
pub mod send;
pub mod sequence;
pub mod sink;
pub mod source;
pub mod transform;
