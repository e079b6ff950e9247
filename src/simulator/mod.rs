//! A local Dataverse that behaves like the documented one, for rehearsals, tests and other
//! people's clients. It shares no code with the pipeline it judges: it imports `units` and
//! `runtime` alone, and parses and answers the protocol by itself.

mod associate;
mod bulk;
pub mod call;
mod create;
pub mod define;
mod delete;
pub mod dump;
mod elastic;
pub mod environment;
mod journal;
pub mod json;
pub mod keys;
mod messages;
pub mod metadata;
pub mod model;
mod payload;
pub mod query;
pub mod refusals;
pub mod route;
pub mod schema;
mod seed;
mod state;
pub mod store;
#[cfg(test)]
mod tests;
mod update;
mod upsert;
pub mod validate;
pub mod value;
mod write;
