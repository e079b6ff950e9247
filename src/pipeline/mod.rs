//! The stages of a record's way, declared in flow order, and the wiring that alone knows them all.
//! No stage knows another.

pub mod source;

pub mod transform;

pub mod sequence;

pub mod batch;

pub mod ledger;

pub mod send;

pub mod outcome;

pub mod sink;

pub mod run;
