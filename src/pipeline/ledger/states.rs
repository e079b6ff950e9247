//! Pure: the state of every row by its ordinal, half a byte each.

use crate::pipeline::ledger::ranges::OrdinalRun;
use crate::record::key::{Ordinal, PartitionId};
use crate::record::outcome::RowState;

/// Rows of one page.
const PAGE_ROWS: u64 = 4096;
const PAGE_BYTES: usize = (PAGE_ROWS / 2) as usize;
const UNSEEN: u8 = 0;
const PENDING: u8 = 15;

/// What the ledger knows of one row.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standing {
    /// Nothing: it was not read, or read and neither sent nor settled.
    Unseen,
    /// It is part of a batch whose outcome is not known.
    Pending,
    /// Settled.
    Settled(RowState),
}

/// A row would be settled twice, or otherwise move where it cannot.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("row {row:?} cannot go from {from:?} to {to:?}")]
pub struct IllegalMove {
    /// The row.
    pub row: Ordinal,
    /// What it was.
    pub from: Standing,
    /// What it was to be.
    pub to: Standing,
}

/// States of the rows of one load: half a byte a row in pages of 4,096 rows; pages without any
/// row cost a pointer.
#[derive(Clone, Debug, Default)]
pub struct RowStates {
    partitions: Vec<Vec<Option<Box<[u8; PAGE_BYTES]>>>>,
    counts: [u64; 16],
}

impl Standing {
    const fn nibble(self) -> u8 {
        match self {
            Self::Unseen => UNSEEN,
            Self::Pending => PENDING,
            Self::Settled(state) => state.code(),
        }
    }

    fn from_nibble(nibble: u8) -> Self {
        match nibble {
            PENDING => Self::Pending,
            n => RowState::from_code(n).map_or(Self::Unseen, Self::Settled),
        }
    }

    /// Whether a row may go from here to `to`. Cancelled rows may be taken up by a later run, and
    /// ambiguous ones may be settled.
    #[must_use]
    pub const fn may_become(self, to: Self) -> bool {
        !matches!(to, Self::Unseen)
            && matches!(
                self,
                Self::Unseen
                    | Self::Pending
                    | Self::Settled(RowState::Cancelled | RowState::Ambiguous)
            )
    }
}

impl RowStates {
    /// No rows.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What is known of `row`.
    #[must_use]
    pub fn get(&self, row: Ordinal) -> Standing {
        let page = self
            .partitions
            .get(row.partition().0 as usize)
            .and_then(|pages| pages.get((row.index() / PAGE_ROWS) as usize))
            .and_then(Option::as_ref);
        page.map_or(Standing::Unseen, |page| {
            let at = (row.index() % PAGE_ROWS) as usize;
            Standing::from_nibble(page[at / 2] >> (at % 2 * 4) & 0x0f)
        })
    }

    /// Settles one row.
    ///
    /// # Errors
    /// When it is settled already; nothing is changed then.
    pub fn settle(&mut self, row: Ordinal, state: RowState) -> Result<(), IllegalMove> {
        self.set_run(OrdinalRun { first: row, count: 1 }, Standing::Settled(state))
    }

    /// Moves the rows of a run.
    ///
    /// # Errors
    /// At the first row that cannot move there; those before it have moved.
    pub fn set_run(&mut self, run: OrdinalRun, to: Standing) -> Result<(), IllegalMove> {
        let partition = run.first.partition().0 as usize;
        if self.partitions.len() <= partition {
            self.partitions.resize_with(partition + 1, Vec::new);
        }
        let pages = &mut self.partitions[partition];
        let end = (run.first.index() + u64::from(run.count)).min(Ordinal::INDEX_COUNT);
        let last_page = (end.saturating_sub(1) / PAGE_ROWS) as usize;
        if pages.len() <= last_page {
            pages.resize(last_page + 1, None);
        }
        let nibble = to.nibble();
        for index in run.first.index()..end {
            let page = pages[(index / PAGE_ROWS) as usize]
                .get_or_insert_with(|| Box::new([0; PAGE_BYTES]));
            let at = (index % PAGE_ROWS) as usize;
            let (byte, shift) = (&mut page[at / 2], at % 2 * 4);
            let old = *byte >> shift & 0x0f;
            let from = Standing::from_nibble(old);
            if !from.may_become(to) {
                let row = Ordinal::new(run.first.partition(), index);
                return Err(IllegalMove { row, from, to });
            }
            *byte = *byte & !(0x0f << shift) | nibble << shift;
            self.counts[usize::from(old)] = self.counts[usize::from(old)].saturating_sub(1);
            self.counts[usize::from(nibble)] += 1;
        }
        Ok(())
    }

    /// How many rows are in `state`.
    #[must_use]
    pub const fn count(&self, state: RowState) -> u64 {
        self.counts[state.code() as usize]
    }

    /// How many rows are part of a batch without outcome.
    #[must_use]
    pub const fn pending(&self) -> u64 {
        self.counts[PENDING as usize]
    }

    /// How many rows are settled.
    #[must_use]
    pub fn settled(&self) -> u64 {
        RowState::ALL.into_iter().map(|s| self.count(s)).sum()
    }

    /// Rows of a partition of `records` records that are not settled, ascending.
    pub fn unsettled(
        &self,
        partition: PartitionId,
        records: u64,
    ) -> impl Iterator<Item = (Ordinal, Standing)> + '_ {
        (0..records).filter_map(move |index| {
            let row = Ordinal::new(partition, index);
            let standing = self.get(row);
            (!matches!(standing, Standing::Settled(_))).then_some((row, standing))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn at(partition: u32, index: u64) -> Ordinal {
        Ordinal::new(PartitionId(partition), index)
    }

    #[test]
    fn rows_move_only_forwards() {
        let mut states = RowStates::new();
        let row = at(2, 4097);
        assert_eq!(states.get(row), Standing::Unseen);
        states.set_run(OrdinalRun { first: row, count: 1 }, Standing::Pending).unwrap();
        assert_eq!(states.pending(), 1);
        states.settle(row, RowState::Ambiguous).unwrap();
        states.settle(row, RowState::Created).unwrap();
        assert_eq!((states.pending(), states.count(RowState::Created)), (0, 1));
        let refused = states.settle(row, RowState::Failed).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "row 2/4097 cannot go from Settled(Created) to Settled(Failed)"
        );
        assert_eq!(states.get(row), Standing::Settled(RowState::Created));
        assert_eq!(states.settled(), 1);
    }

    #[test]
    fn unsettled_rows_are_those_without_a_final_state() {
        let mut states = RowStates::new();
        states.settle(at(0, 1), RowState::Created).unwrap();
        states.set_run(OrdinalRun { first: at(0, 2), count: 1 }, Standing::Pending).unwrap();
        let left: Vec<_> = states.unsettled(PartitionId(0), 4).collect();
        assert_eq!(
            left,
            [
                (at(0, 0), Standing::Unseen),
                (at(0, 2), Standing::Pending),
                (at(0, 3), Standing::Unseen)
            ]
        );
    }

    proptest! {
        #[test]
        fn agrees_with_a_map(moves in prop::collection::vec(
            (0u32..3, 0u64..10_000, 1u32..9, 0u8..16), 1..60))
        {
            let mut states = RowStates::new();
            let mut model: BTreeMap<Ordinal, Standing> = BTreeMap::new();
            for (partition, index, count, nibble) in moves {
                let to = Standing::from_nibble(nibble);
                let run = OrdinalRun { first: at(partition, index), count };
                let done = states.set_run(run, to);
                for row in run.rows() {
                    let from = model.get(&row).copied().unwrap_or(Standing::Unseen);
                    if !from.may_become(to) {
                        prop_assert_eq!(done, Err(IllegalMove { row, from, to }));
                        break;
                    }
                    model.insert(row, to);
                }
            }
            for (row, standing) in &model {
                prop_assert_eq!(states.get(*row), *standing);
            }
            let settled = model.values().filter(|s| matches!(s, Standing::Settled(_))).count();
            prop_assert_eq!(states.settled(), settled as u64);
        }
    }
}
