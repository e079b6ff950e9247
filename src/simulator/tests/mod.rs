//! The rules of the write side, one table of cases each.

mod bulk;
mod changes;
mod create;
mod deep;
mod elastic;
mod jobs;
mod kit;
mod links;
mod open_questions;
mod single;
mod states;
mod values;
