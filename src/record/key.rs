//! Pure: the name of a row, the same in every run of a job.

use std::fmt;

/// Index of a table load (`[[table]]` entry) in the job file, from 0.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TableId(pub u16);

/// Index of one source file (later: queue partition) of a table load, in the order the ledger
/// first saw it, from 0.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PartitionId(pub u32);

/// 60-bit number of a row within (job, table): 24 bits of partition above 36 bits of record
/// index. It grows in read order, is computed from the position alone, and so is the same
/// whenever the source is read again.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ordinal(u64);

impl Ordinal {
    /// Bits that hold the record index within its partition.
    pub const INDEX_BITS: u32 = 36;
    /// Most records of one partition.
    pub const INDEX_COUNT: u64 = 1 << Self::INDEX_BITS;
    /// Most partitions of one table load.
    pub const PARTITION_COUNT: u32 = 1 << 24;

    /// The ordinal of record `index` (from 0) of `partition`.
    ///
    /// # Panics
    /// If either number exceeds its bits; sources refuse such input before.
    #[must_use]
    pub fn new(partition: PartitionId, index: u64) -> Self {
        assert!(partition.0 < Self::PARTITION_COUNT && index < Self::INDEX_COUNT);
        Self(u64::from(partition.0) << Self::INDEX_BITS | index)
    }

    /// From the number written to the ledger.
    #[must_use]
    pub fn from_bits(bits: u64) -> Option<Self> {
        (bits < 1 << 60).then_some(Self(bits))
    }

    /// The number written to the ledger.
    #[must_use]
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// The partition.
    #[must_use]
    pub const fn partition(self) -> PartitionId {
        PartitionId((self.0 >> Self::INDEX_BITS) as u32)
    }

    /// The record index within the partition, from 0.
    #[must_use]
    pub const fn index(self) -> u64 {
        self.0 & (Self::INDEX_COUNT - 1)
    }
}

impl fmt::Debug for Ordinal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.partition().0, self.index())
    }
}

/// Number of a batch within a job; grows over restarts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct BatchId(pub u64);

/// Index of an identity in the job, from 0.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct IdentityId(pub u16);
