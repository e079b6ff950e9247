//! The wiring: the only place that knows all stages. Read in this order: `plan` (what is fixed for
//! a load), `discover` (what the environment tells at the start), `feed` (threads that read and convert), `intake` (rows become batches), `lane` (the
//! loop), `work` (a batch and its requests), `landing` (what an answer leads to),
//! `probing` (asking the target), `settling` (rows reach their end), `lines` (what is
//! shown of settled rows), `whole` (all lanes of a job), `tend` (what goes on beside
//! them), `leftover` (rows an ended run never sent).

pub mod discover;
pub mod feed;
mod intake;
mod landing;
mod lane;
pub mod leftover;
mod lines;
pub mod plan;
mod probing;
mod settling;
pub mod shared;
pub mod staged;
mod tend;
pub mod whole;
mod work;
