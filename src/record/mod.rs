//! The nouns all stages share: which row, which table, which id, what became of it. Read in this
//! order: `key`, `outcome`, `pinned`, `chunk` (as read), `prepared` (as sent), `refused` and `projection` (as shown).

pub mod chunk;
pub mod fields;
pub mod key;
pub mod outcome;
pub mod pinned;
pub mod prepared;
pub mod projection;
pub mod refused;
pub mod staged;
pub mod throttle;
