//! What an answer means for each row.

pub mod settle;
