//! Pure: rows of a batch as runs of neighbouring ordinals.

use crate::record::key::Ordinal;

/// Rows in ascending order, kept as runs. A run never leaves its partition.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct OrdinalRanges {
    runs: Vec<OrdinalRun>,
    rows: u64,
}

/// Neighbouring rows of one partition.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OrdinalRun {
    /// The first.
    pub first: Ordinal,
    /// How many; at least 1.
    pub count: u32,
}

/// Ordinals did not ascend.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("row {next:?} follows row {last:?}: rows of a batch must ascend")]
pub struct NotAscending {
    last: Ordinal,
    next: Ordinal,
}

impl OrdinalRanges {
    /// Rows given one by one in ascending order.
    ///
    /// # Errors
    /// When one is not greater than the one before.
    pub fn from_ascending(rows: impl IntoIterator<Item = Ordinal>) -> Result<Self, NotAscending> {
        let mut ranges = Self::default();
        for row in rows {
            ranges.push(OrdinalRun { first: row, count: 1 })?;
        }
        Ok(ranges)
    }

    /// Adds a run behind those there are.
    ///
    /// # Errors
    /// When it does not begin after the last row.
    pub fn push(&mut self, run: OrdinalRun) -> Result<(), NotAscending> {
        if let Some(last) = self.runs.last_mut() {
            let end = last.first.bits() + u64::from(last.count);
            if run.first.bits() < end {
                let last = self.last().unwrap_or(run.first);
                return Err(NotAscending { last, next: run.first });
            }
            if run.first.bits() == end
                && run.first.partition() == last.first.partition()
                && let Some(count) = last.count.checked_add(run.count)
            {
                last.count = count;
                self.rows += u64::from(run.count);
                return Ok(());
            }
        }
        self.rows += u64::from(run.count);
        self.runs.push(run);
        Ok(())
    }

    /// Takes the first `rows` rows (or all there are) away.
    #[must_use]
    pub fn take_front(&mut self, rows: u64) -> Self {
        if rows >= self.rows {
            return std::mem::take(self);
        }
        let mut front = Self { runs: Vec::new(), rows };
        let mut missing = rows;
        let mut used = 0;
        for run in &mut self.runs {
            let count = u32::try_from(missing.min(u64::from(run.count))).unwrap_or(run.count);
            if count == 0 {
                break;
            }
            front.runs.push(OrdinalRun { first: run.first, count });
            missing -= u64::from(count);
            if count < run.count {
                if let Some(first) = Ordinal::from_bits(run.first.bits() + u64::from(count)) {
                    *run = OrdinalRun { first, count: run.count - count };
                }
                break;
            }
            used += 1;
        }
        self.runs.drain(..used);
        self.rows -= rows;
        front
    }

    /// How many rows.
    #[must_use]
    pub const fn len(&self) -> u64 {
        self.rows
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// The runs.
    #[must_use]
    pub fn runs(&self) -> &[OrdinalRun] {
        &self.runs
    }

    /// The rows, ascending.
    pub fn iter(&self) -> impl Iterator<Item = Ordinal> + '_ {
        self.runs.iter().flat_map(|run| run.rows())
    }

    /// The last row.
    #[must_use]
    pub fn last(&self) -> Option<Ordinal> {
        self.runs.last().and_then(OrdinalRun::last)
    }
}

impl OrdinalRun {
    /// Its rows.
    pub fn rows(self) -> impl Iterator<Item = Ordinal> {
        let first = self.first.bits();
        (first..first + u64::from(self.count)).filter_map(Ordinal::from_bits)
    }

    /// Its last row.
    #[must_use]
    pub fn last(&self) -> Option<Ordinal> {
        Ordinal::from_bits(self.first.bits() + u64::from(self.count) - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::key::PartitionId;

    fn at(partition: u32, index: u64) -> Ordinal {
        Ordinal::new(PartitionId(partition), index)
    }

    #[test]
    fn neighbours_merge_but_not_across_partitions() {
        let rows = [at(0, 3), at(0, 4), at(0, 7), at(0, Ordinal::INDEX_COUNT - 1), at(1, 0)];
        let ranges = OrdinalRanges::from_ascending(rows).unwrap();
        assert_eq!(ranges.iter().collect::<Vec<_>>(), rows);
        assert_eq!(ranges.runs().iter().map(|r| r.count).collect::<Vec<_>>(), [2, 1, 1, 1]);
        assert_eq!(ranges.len(), 5);
    }

    proptest::proptest! {
        #[test]
        fn front_and_rest_make_the_whole(
            rows in proptest::collection::btree_set(0u64..200, 0..60), cut in 0u64..80,
        ) {
            let all: Vec<Ordinal> = rows.iter().map(|i| at(0, *i)).collect();
            let mut rest = OrdinalRanges::from_ascending(all.iter().copied()).unwrap();
            let front = rest.take_front(cut);
            let cut = all.len().min(cut as usize);
            for (part, rows) in [(&front, &all[..cut]), (&rest, &all[cut..])] {
                proptest::prop_assert_eq!(&part.iter().collect::<Vec<_>>(), rows);
                proptest::prop_assert_eq!(part.len(), rows.len() as u64);
                let again = OrdinalRanges::from_ascending(part.iter()).unwrap();
                proptest::prop_assert_eq!(part, &again);
            }
        }
    }

    #[test]
    fn rows_must_ascend() {
        assert!(OrdinalRanges::from_ascending([at(0, 3), at(0, 3)]).is_err());
        assert!(OrdinalRanges::from_ascending([at(0, 3), at(0, 2)]).is_err());
    }
}
