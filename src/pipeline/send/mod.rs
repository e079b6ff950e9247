//! When and through which identity a request leaves. Read in this order: `message` (which Web API
//! message carries the rows), `class` (how heavy a table is), `pace` (the governor, as all lanes
//! share it), `servers` (whose cookie leads where), `retry` (how long to wait).

pub mod class;
pub mod message;
pub mod pace;
pub mod retry;
pub mod servers;
