//! The machine below: clocks, the compute pool, signals.

pub mod clock;
pub mod compute;
