//! How people watch and steer a running load.
//!
//! Reading (`/metrics`, `/healthz`, `/readyz`, `/status`) is served over TCP, loopback by default.
//! Steering (`pause`, `resume`, `drain`, `set`) goes through a Unix socket in the ledger's folder that
//! only its owner may open: no token to keep, nothing a web page could reach.

pub mod ask;
pub mod change;
pub mod orders_status;
pub mod server;
pub mod status;
pub mod steering;
pub mod timed;
