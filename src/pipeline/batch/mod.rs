//! Which rows share a request, and its body.

pub mod encode;
