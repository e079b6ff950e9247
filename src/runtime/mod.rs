//! The machine below: clocks, memory, the compute pool, signals.

pub mod budget;
pub mod clock;
pub mod compute;
pub mod signals;
pub mod usage;
