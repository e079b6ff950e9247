//! A local Dataverse that behaves like the documented one, for rehearsals, tests and other
//! people's clients. It shares no code with the pipeline it judges: it imports `units` and
//! `runtime` alone, and parses and answers the protocol by itself.

pub mod assemble;
mod associate;
pub mod backend;
pub mod batch;
mod bulk;
mod bulk_delete;
pub mod call;
mod contention;
mod control;
mod create;
mod data;
mod deep;
pub mod define;
mod delete;
pub mod dump;
mod elastic;
pub mod environment;
mod face;
pub mod faults;
mod http;
mod journal;
pub mod json;
pub mod keys;
pub mod latency;
pub mod limits;
mod messages;
pub mod metadata;
pub mod model;
pub mod nodes;
mod operate;
pub mod operation;
mod payload;
mod poison;
pub mod query;
pub mod reference;
pub mod refusals;
pub mod reply;
pub mod route;
pub mod schema;
mod seed;
pub mod serve;
pub mod settings;
pub mod sharing;
mod state;
pub mod stats;
pub mod store;
#[cfg(test)]
mod tests;
pub mod token;
mod update;
mod upsert;
pub mod validate;
pub mod value;
mod write;
