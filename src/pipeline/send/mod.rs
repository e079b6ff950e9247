//! When and through which identity a request leaves.

pub mod ceiling;
pub mod class;
pub mod identity;
pub mod message;
pub mod retry;
