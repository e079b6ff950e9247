//! What the environment contains: tables, columns, keys, relationships, and what it supports.

pub mod check;
pub mod fetch;
mod fingerprint;
pub mod model;
mod parse;
