//! dvbulk: a bulk loader for Microsoft Dataverse.

pub mod catalog;
pub mod cli;
pub mod client;
pub mod config;
pub mod control;
pub mod limits;
pub mod pipeline;
pub mod record;
pub mod runtime;
pub mod simulator;
pub mod telemetry;
pub mod units;
