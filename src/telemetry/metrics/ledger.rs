//! Meters of the ledger and its disk.

use super::families::Families;
use super::names;
use crate::runtime::disk;
use parking_lot::Mutex;
use prometheus::{Histogram, IntCounter, IntGauge, IntGaugeVec};
use std::path::{Path, PathBuf};

/// Spans the cache of a battery-backed disk and a disk that is at its end, seconds.
const SYNC_BUCKETS: [f64; 12] =
    [0.0002, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0];

/// What the ledger's writer counts.
#[derive(Clone, Debug)]
pub struct LedgerMeters {
    /// Bytes that wait for the writer, those held back for want of room included.
    pub queue_bytes: IntGauge,
    /// Bytes written.
    pub written_bytes: IntCounter,
    /// Duration of the write and sync of one group, seconds.
    pub sync_seconds: Histogram,
}

impl LedgerMeters {
    pub(super) fn new(families: &Families<'_>) -> Result<Self, prometheus::Error> {
        let queue = "Bytes of records that wait for the ledger's writer.";
        let written = "Bytes written to the ledger by this process.";
        let sync = "Duration of one write and sync of the ledger in seconds.";
        Ok(Self {
            queue_bytes: families.add(IntGauge::new(names::LEDGER_QUEUE, queue)?)?,
            written_bytes: families.add(IntCounter::new(names::LEDGER_WRITTEN, written)?)?,
            sync_seconds: families
                .histograms(names::LEDGER_SYNC, sync, &[], &SYNC_BUCKETS)?
                .with_label_values::<&str>(&[]),
        })
    }
}

/// Room on the disk the ledger stands on, asked for when the page is made.
#[derive(Debug)]
pub(super) struct LedgerDisk {
    free: IntGaugeVec,
    folder: Mutex<Option<PathBuf>>,
}

impl LedgerDisk {
    pub(super) fn new(families: &Families<'_>) -> Result<Self, prometheus::Error> {
        let help = "Bytes free for this user on the disk of the ledger.";
        let free = families.gauges(names::LEDGER_DISK_FREE, help, &[])?;
        Ok(Self { free, folder: Mutex::default() })
    }

    pub(super) fn stands_in(&self, folder: &Path) {
        *self.folder.lock() = Some(folder.to_owned());
    }

    /// Brings the gauge up to date. A disk that cannot be asked shows nothing rather than 0.
    pub(super) fn refresh(&self) {
        self.free.reset();
        let Some(folder) = &*self.folder.lock() else { return };
        match disk::free_bytes(folder) {
            Ok(free) => {
                let free = i64::try_from(free).unwrap_or(i64::MAX);
                self.free.with_label_values::<&str>(&[]).set(free);
            }
            Err(error) => tracing::debug!(%error, "the ledger's disk cannot be asked for room"),
        }
    }
}
