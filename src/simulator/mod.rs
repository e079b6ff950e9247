//! A local Dataverse that behaves like the documented one, for rehearsals, tests and other
//! people's clients. It shares no code with the pipeline it judges: it imports `units` and
//! `runtime` alone, and parses and answers the protocol by itself.

pub mod call;
pub mod define;
pub mod schema;
pub mod store;
pub mod value;
