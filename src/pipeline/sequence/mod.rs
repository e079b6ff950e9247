//! When a row may go, and what its lookups mean.

pub mod keymap;
