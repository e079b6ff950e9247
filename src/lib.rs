//! dvbulk: a bulk loader for Microsoft Dataverse.
//!
//! The way of a record, in order:
//!
//! 1. [`config`] reads the job file; [`cli`] connects, compares the organization, has [`catalog`]
//!    read the metadata, and checks the one against the other.
//! 2. [`pipeline::source`] finds whole records in a file and hands them over in chunks.
//! 3. [`pipeline::transform`] turns the fields of a record into JSON members of target columns,
//!    or refuses it with a reason.
//! 4. [`pipeline::sequence`] knows which keys were seen, so that doubles and parents are found.
//! 5. [`pipeline::batch`] writes the body of rows that share a request.
//! 6. [`pipeline::ledger`] makes the intent durable. Nothing leaves before.
//! 7. [`pipeline::send`] says through which identity and when; [`client`] makes one attempt.
//! 8. [`pipeline::outcome`] says what the answer means for each row, and what to do next.
//! 9. [`pipeline::ledger`] makes the outcome durable. Nothing is shown before.
//! 10. [`pipeline::sink`] writes the lines, [`telemetry`] counts, [`control`] shows and steers.
//!
//! [`pipeline::run`] wires these. [`simulator`] is a Dataverse to rehearse against; it shares
//! nothing with the rest. `ARCHITECTURE.md` has the map, the invariants and the words.
//!
//! The modules below are declared in the order in which they are best read.

// rustfmt sorts what stands together; the empty lines keep the reading order.
pub mod units;

pub mod limits;

pub mod record;

pub mod runtime;

pub mod tuning;

pub mod config;

pub mod client;

pub mod catalog;

pub mod pipeline;

pub mod telemetry;

pub mod control;

pub mod cli;

pub mod simulator;
