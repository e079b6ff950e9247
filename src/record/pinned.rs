//! Pure: ids chosen by the loader, ordered the way SQL Server orders them.
//!
//! SQL Server compares a `uniqueidentifier` by its last six bytes first, then bytes 8–9, then
//! 7, 6, 5, 4, 3, 2, 1, 0. So the prefix of a load stands at the back, the ordinal in front with
//! its bytes reversed, and the rows of a batch fall on neighbouring pages of the clustered index.
//!
//! Source: `delivery-guarantees.md` §2.1.

use crate::record::key::Ordinal;
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// Names the derivation. Changing it, or anything below, breaks jobs that are open.
const DERIVATION: &[u8] = b"dvbulk pinned id 1\0";

/// The ids of one table load: the same in every run, distinct from those of any other load.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct PinnedIds {
    prefix: u64,
}

impl PinnedIds {
    /// Bits of the prefix.
    pub const PREFIX_BITS: u32 = 62;

    /// Ids of the load called `load` of the job called `job` against the organization
    /// `environment_id`.
    #[must_use]
    pub fn new(environment_id: Uuid, job: &str, load: &str) -> Self {
        let mut hash = Sha256::new();
        hash.update(DERIVATION);
        hash.update(environment_id.as_bytes());
        for name in [job, load] {
            hash.update((name.len() as u64).to_le_bytes());
            hash.update(name.as_bytes());
        }
        let digest = hash.finalize();
        let mut first = [0; 8];
        first.copy_from_slice(&digest[..8]);
        Self { prefix: u64::from_be_bytes(first) >> (64 - Self::PREFIX_BITS) }
    }

    /// The 62-bit prefix, as written to the ledger.
    #[must_use]
    pub const fn prefix(self) -> u64 {
        self.prefix
    }

    /// The id of row `ordinal`.
    #[must_use]
    pub fn id(self, ordinal: Ordinal) -> Uuid {
        let row = ordinal.bits().to_le_bytes();
        let mut id = [0; 16];
        id[..6].copy_from_slice(&row[..6]);
        // The version nibble leaves twelve bits of this group: 59–52 in byte 7, 51–48 in byte 6.
        id[6] = 0x80 | row[6] & 0x0f;
        id[7] = row[7] << 4 | row[6] >> 4;
        id[8..].copy_from_slice(&(0b10 << 62 | self.prefix).to_be_bytes());
        Uuid::from_bytes(id)
    }

    /// Which row of this load `id` names, if any.
    #[must_use]
    pub fn ordinal_of(self, id: Uuid) -> Option<Ordinal> {
        let b = id.as_bytes();
        if b[8..] != (0b10 << 62 | self.prefix).to_be_bytes() || b[6] >> 4 != 8 {
            return None;
        }
        let row = [b[0], b[1], b[2], b[3], b[4], b[5], b[7] << 4 | b[6] & 0x0f, b[7] >> 4];
        Ordinal::from_bits(u64::from_le_bytes(row))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::key::PartitionId;
    use proptest::prelude::*;
    use std::cmp::Ordering;
    use std::collections::HashSet;

    fn ids(job: &str, load: &str) -> PinnedIds {
        PinnedIds::new(Uuid::from_u128(0x1234_5678_9abc_def0_1122_3344_5566_7788), job, load)
    }

    fn sql_server_order(a: Uuid, b: Uuid) -> Ordering {
        const SIGNIFICANCE: [usize; 16] = [10, 11, 12, 13, 14, 15, 8, 9, 7, 6, 5, 4, 3, 2, 1, 0];
        SIGNIFICANCE
            .into_iter()
            .map(|i| a.as_bytes()[i].cmp(&b.as_bytes()[i]))
            .find(|o| o.is_ne())
            .unwrap_or(Ordering::Equal)
    }

    fn ordinal(bits: u64) -> Ordinal {
        Ordinal::from_bits(bits).unwrap()
    }

    #[test]
    fn golden_vectors_never_change() {
        let cases = [
            ("migration", "account", 0),
            ("migration", "account", 1),
            ("migration", "contact", 0x0fed_cba9_8765_4321),
            ("migration", "contact", (1 << 60) - 1),
        ];
        let found: Vec<String> =
            cases.iter().map(|(j, l, o)| ids(j, l).id(ordinal(*o)).to_string()).collect();
        assert_eq!(
            found,
            [
                "00000000-0000-8000-9f68-c7b3788c19b2",
                "01000000-0000-8000-9f68-c7b3788c19b2",
                "21436587-a9cb-8dfe-90f6-226c07da42a0",
                "ffffffff-ffff-8fff-90f6-226c07da42a0"
            ]
        );
    }

    #[test]
    fn layout_is_the_documented_one() {
        let id = PinnedIds { prefix: 0x3fed_cba9_8765_4321 }.id(ordinal(0x0123_4567_89ab_cdef));
        assert_eq!(id.to_string(), "efcdab89-6745-8312-bfed-cba987654321");
    }

    #[test]
    fn rows_of_neighbouring_partitions_stay_in_order() {
        let load = ids("j", "t");
        let last = load.id(Ordinal::new(PartitionId(6), Ordinal::INDEX_COUNT - 1));
        let first = load.id(Ordinal::new(PartitionId(7), 0));
        assert_eq!(sql_server_order(last, first), Ordering::Less);
    }

    #[test]
    fn prefixes_of_ten_thousand_loads_differ() {
        let mut seen = HashSet::new();
        for job in 0..100 {
            for load in 0..100 {
                assert!(seen.insert(ids(&job.to_string(), &load.to_string()).prefix()));
            }
        }
        assert_ne!(ids("ab", "c"), ids("a", "bc"));
        assert_ne!(PinnedIds::new(Uuid::nil(), "ab", "c"), ids("ab", "c"));
    }

    proptest! {
        #[test]
        fn ids_grow_with_ordinals_and_lead_back(
            a in 0u64..1 << 60, b in 0u64..1 << 60, job in ".{0,12}", load in ".{0,12}",
        ) {
            let load = ids(&job, &load);
            let (x, y) = (load.id(ordinal(a)), load.id(ordinal(b)));
            prop_assert_eq!(sql_server_order(x, y), a.cmp(&b));
            prop_assert_eq!(load.ordinal_of(x), Some(ordinal(a)));
            prop_assert_eq!(x.get_version_num(), 8);
            prop_assert_eq!(x.get_variant(), uuid::Variant::RFC4122);
        }

        #[test]
        fn ids_of_others_are_not_ours(bits in any::<u128>()) {
            let id = Uuid::from_u128(bits);
            let load = ids("j", "t");
            if let Some(found) = load.ordinal_of(id) {
                prop_assert_eq!(load.id(found), id);
            }
            prop_assert_eq!(ids("k", "t").ordinal_of(load.id(ordinal((bits as u64) >> 4))), None);
        }
    }
}
