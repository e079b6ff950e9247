//! The job file: what may stand in it, what it means, and how its mistakes are shown.
//!
//! [`read::load`] reads a file; [`parse::parse`] turns its text into a [`job::Job`] or into all
//! findings at once, each with its place in the text.

pub mod diagnose;
pub mod effective;
mod file;
pub mod job;
mod loads;
pub mod orders;
pub mod parse;
pub mod read;
pub mod secret;
pub mod similar;
mod tree;
mod tuning;
mod values;

#[cfg(test)]
mod tests;
