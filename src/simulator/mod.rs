//! A local Dataverse that behaves like the documented one, for rehearsals, tests and other
//! people's clients. It shares no code with the pipeline it judges: it imports `units` and
//! `runtime` alone, and parses and answers the protocol by itself.

pub mod backend;
pub mod batch;
pub mod call;
mod control;
mod data;
mod face;
#[cfg(test)]
mod face_tests;
pub mod faults;
mod http;
pub mod latency;
pub mod limits;
mod operate;
pub mod operation;
pub mod reference;
pub mod reply;
pub mod schema;
pub mod serve;
pub mod setup;
pub mod stats;
pub mod store;
pub mod token;
pub mod value;
