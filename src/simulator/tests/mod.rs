//! The rules of the write side, one table of cases each.

mod bulk;
mod create;
mod elastic;
mod kit;
mod links;
mod single;
mod states;
mod values;
