//! The rules of the write side, one table of cases each.

mod create;
mod kit;
