//! What an answer means for each row.

pub mod classify;
pub mod faults;
pub mod settle;
pub mod tell;
