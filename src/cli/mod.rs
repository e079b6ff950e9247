//! The command line: what was typed, what it means, what is printed. Read in this order: `args`,
//! `run` (from the command to an exit code), `connect` (everything before the first write), `load`.

pub mod args;
mod check;
mod connect;
pub mod demo;
pub mod exit;
pub mod explain;
mod following;
mod load;
mod rehearse;
pub mod report;
mod run;
pub mod simulate;
mod steer;
mod summary;
mod top;
mod tuning;
pub mod tuning_store;

pub use run::main;
