//! What an answer means for each row.

pub mod classify;
pub mod faults;
