//! Pure: which source keys a load has seen, and which row holds each.

use crate::record::key::Ordinal;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

/// Keys of one load by their 128-bit hash ([`crate::record::prepared::key_hash`], which has a
/// fixed seed). The hash stands for the key: see there for why that is exact enough. 24 bytes a
/// key plus the table's slack.
#[derive(Clone, Debug, Default)]
pub struct KeyMap {
    // Halves, since a `u128` would be padded to 32 bytes with its ordinal.
    seen: HashTable<(u64, u64, Ordinal)>,
}

/// Whether a key was new.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Inserted {
    /// Never seen before.
    Fresh,
    /// This row holds it already; the same row when a source is read again.
    Duplicate(Ordinal),
}

#[expect(clippy::cast_possible_truncation, reason = "splitting a hash in halves")]
const fn halves(hash: u128) -> (u64, u64) {
    ((hash >> 64) as u64, hash as u64)
}

impl KeyMap {
    /// Notes that row `ordinal` has the key hashed to `hash`, unless another row does.
    pub fn insert(&mut self, hash: u128, ordinal: Ordinal) -> Inserted {
        let (high, low) = halves(hash);
        match self.seen.entry(low, |e| (e.0, e.1) == (high, low), |e| e.1) {
            Entry::Occupied(held) => Inserted::Duplicate(held.get().2),
            Entry::Vacant(slot) => {
                slot.insert((high, low, ordinal));
                Inserted::Fresh
            }
        }
    }

    /// The row holding the key hashed to `hash`.
    #[must_use]
    pub fn get(&self, hash: u128) -> Option<Ordinal> {
        let (high, low) = halves(hash);
        self.seen.find(low, |e| (e.0, e.1) == (high, low)).map(|e| e.2)
    }

    /// Keys seen.
    #[must_use]
    pub fn len(&self) -> usize {
        self.seen.len()
    }

    /// Whether none was.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.seen.is_empty()
    }

    /// Memory held, bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.seen.allocation_size()
    }

    /// Memory needed at the worst moment of the next insertion, bytes: when the table is full,
    /// old and doubled table live side by side.
    #[must_use]
    pub fn bytes_at_next_insert(&self) -> usize {
        if self.seen.len() < self.seen.capacity() {
            return self.bytes();
        }
        3 * self.bytes().max(size_of::<(u64, u64, Ordinal)>() * 4)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::key::PartitionId;
    use proptest::prelude::*;
    use std::collections::HashMap;

    fn row(index: u64) -> Ordinal {
        Ordinal::new(PartitionId(0), index)
    }

    #[test]
    fn accounts_for_its_memory() {
        let mut map = KeyMap::default();
        assert_eq!(map.bytes(), 0);
        for i in 0..100_000u64 {
            let bound = map.bytes_at_next_insert();
            // Well spread, as hashes are.
            let low = u128::from(i.wrapping_mul(0x9E37_79B9_7F4A_7C15));
            assert_eq!(map.insert(low, row(i)), Inserted::Fresh);
            assert!(map.bytes() <= bound, "{i}: {} > {bound}", map.bytes());
        }
        assert!(map.bytes() < 100_000 * 60, "{}", map.bytes());
    }

    proptest! {
        #[test]
        fn behaves_like_a_map(hashes in proptest::collection::vec((0u64..4, 0u64..4), 0..40)) {
            let mut map = KeyMap::default();
            let mut model = HashMap::new();
            for (i, (high, low)) in hashes.into_iter().enumerate() {
                let hash = u128::from(high) << 64 | u128::from(low);
                let expect = match model.get(&hash) {
                    Some(held) => Inserted::Duplicate(*held),
                    None => {
                        model.insert(hash, row(i as u64));
                        Inserted::Fresh
                    }
                };
                prop_assert_eq!(map.insert(hash, row(i as u64)), expect);
                prop_assert_eq!(map.get(hash), model.get(&hash).copied());
                prop_assert_eq!(map.len(), model.len());
            }
            prop_assert_eq!(map.get(u128::MAX), None);
        }
    }
}
