//! From raw records to JSON members of target columns: which source field goes to which column,
//! how its text is read, and what is refused before it can spoil a batch.

pub mod buffer;
pub mod cell;
pub mod convert;
mod json;
pub mod literal;
pub mod lookup;
pub mod mapping;
pub mod refusal;
pub mod run;

#[cfg(test)]
mod row_tests;
