//! What the environment contains: tables, columns, keys, relationships, and what it supports. Read
//! in this order: `model` (what is known of a table), `fetch` (how it is asked for), `check` (a job
//! compared with it).

pub mod check;
pub mod fetch;
mod fingerprint;
pub mod model;
mod parse;
