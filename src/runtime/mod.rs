//! The machine below: clocks, memory, disks, the compute pool, signals.

pub mod budget;
pub mod clock;
pub mod compute;
pub mod disk;
pub mod signals;
pub mod usage;
