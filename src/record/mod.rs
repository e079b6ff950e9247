//! The nouns all stages share: which row, which table, which id, what became of it.

pub mod chunk;
pub mod fields;
pub mod key;
pub mod outcome;
pub mod pinned;
pub mod prepared;
pub mod projection;
pub mod staged;
pub mod throttle;
