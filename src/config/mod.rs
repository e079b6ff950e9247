//! The job file: what may stand in it, what it means, and how its mistakes are shown.

pub mod job;
pub mod secret;
