//! The local Dataverse over HTTP on loopback, by itself: one module a subject.

mod answers;
mod batches;
mod contention;
mod control;
mod faults;
mod limits;
mod rig;
mod servers;
