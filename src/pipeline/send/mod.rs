//! When and through which identity a request leaves. Read in this order: `message` (which Web API
//! message carries the rows), `class` (how many rows and requests), `identity` (whose gate is open),
//! `ceiling` (requests a second, where the job sets a limit), `retry` (how long to wait).

pub mod class;
pub mod identity;
pub mod message;
pub mod retry;
