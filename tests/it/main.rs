//! The built program against the local Dataverse: one module a capability.
//!
//! Each test starts a simulator of its own in this process, writes staged files and a job file into
//! a folder of its own, and runs the real binary as a child. What is in the simulator afterwards is
//! the truth the files, summary and exit code are held against.

#![expect(clippy::unwrap_used, reason = "a test may stop at what it does not expect")]

mod breaker;
mod browser;
mod columns;
mod configs;
mod daemon;
mod environment;
mod kill;
mod load;
mod looking;
mod operations;
mod orders;
mod page;
mod poison;
mod rig;
mod throttle;
mod top;
