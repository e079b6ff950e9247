//! What is remembered of the rows of a load: their keys, states and ids. Later loads resolve their
//! lookups here, and the load itself finds its duplicates.

use crate::config::job::IdRule;
use crate::pipeline::ledger::states::{RowStates, Standing};
use crate::pipeline::sequence::keymap::KeyMap;
use crate::record::key::{Ordinal, TableId};
use crate::record::pinned::PinnedIds;
use crate::record::staged::{Found, StagedRows};
use hashbrown::HashMap;
use parking_lot::RwLock;
use std::path::PathBuf;
use std::sync::Arc;
use uuid::Uuid;

/// Keys, states and ids of one load.
#[derive(Debug)]
pub struct Staged {
    /// Source key to row.
    pub keys: KeyMap,
    /// State of every row.
    pub states: RowStates,
    /// Files by partition, as far as they were opened.
    pub files: Vec<PathBuf>,
    /// Ids that cannot be computed from the row's number.
    pub ids: HashMap<Ordinal, Uuid>,
    rule: IdRule,
    pinned: PinnedIds,
}

/// Shared by the load's own lane, which writes, and the conversion of later loads, which reads.
/// A lane holds the lock for one chunk or one outcome and never while it waits.
pub type SharedStaged = Arc<RwLock<Staged>>;

impl Staged {
    /// Begins with the states the ledger knows.
    #[must_use]
    pub fn new(rule: IdRule, pinned: PinnedIds, states: RowStates) -> Self {
        Self {
            keys: KeyMap::default(),
            states,
            files: Vec::new(),
            ids: HashMap::new(),
            rule,
            pinned,
        }
    }

    /// The id of a row that reached a good end.
    #[must_use]
    pub fn id(&self, row: Ordinal) -> Option<Uuid> {
        match self.rule {
            IdRule::Pinned => Some(self.pinned.id(row)),
            IdRule::Dataverse | IdRule::Column(_) | IdRule::AlternateKey(_) => {
                self.ids.get(&row).copied()
            }
        }
    }
}

/// Read-only view of the parent loads for the conversion of a child's chunk.
#[derive(Debug)]
pub struct StagedView(pub Vec<(TableId, SharedStaged)>);

impl StagedRows for StagedView {
    fn find(&self, load: TableId, key_hash: u128, _key: &[u8]) -> Found {
        let Some((_, parent)) = self.0.iter().find(|(table, _)| *table == load) else {
            return Found::Unknown;
        };
        let staged = parent.read();
        let Some(row) = staged.keys.get(key_hash) else { return Found::Unknown };
        match staged.states.get(row) {
            Standing::Settled(state) if state.is_good() => {
                staged.id(row).map_or(Found::Unknown, Found::Id)
            }
            Standing::Settled(_) => Found::Refused,
            Standing::Pending | Standing::Unseen => Found::Unknown,
        }
    }
}
