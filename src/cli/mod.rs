//! The command line: what was typed, what it means, what is printed.

pub mod args;
pub mod demo;
pub mod exit;
pub mod explain;
pub mod report;
