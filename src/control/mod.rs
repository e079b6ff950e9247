//! How people watch and steer a running load.
//!
//! Reading (`/`, `/metrics`, `/healthz`, `/readyz`, `/status`) is served over TCP, loopback by
//! default. Steering (`pause`, `resume`, `drain`, `set`) goes through a Unix socket in the ledger's
//! folder that only its owner may open, or over TCP with the token that stands beside the socket: in
//! a header, so that no foreign web page can send it along.

pub mod ask;
pub mod change;
pub mod figures;
pub mod history;
pub mod orders_status;
pub mod page;
pub mod server;
pub mod snapshot;
pub mod status;
pub mod steering;
pub mod timed;
pub mod token;
