//! Meters of one load.

use super::families::Families;
use super::names;
use crate::record::outcome::RowState;
use crate::telemetry::waiting::Waiting;
use parking_lot::Mutex;
use prometheus::{
    GaugeVec, Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec,
};

/// Spans an elastic single row and a request at its deadline, seconds.
const REQUEST_BUCKETS: [f64; 15] =
    [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 80.0, 120.0];
/// Spans a row alone and the most rows of a request.
const BATCH_BUCKETS: [f64; 11] =
    [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 300.0, 500.0, 1000.0];

/// How a request ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(usize)]
pub enum RequestEnd {
    /// Success.
    Done,
    /// 429.
    Throttled,
    /// Refused because of its rows.
    Refused,
    /// Failed for a passing reason, surely not applied.
    NotApplied,
    /// Nobody knows whether it was applied.
    InDoubt,
    /// Refused as a whole, and so would be all others.
    Systemic,
}

impl RequestEnd {
    /// All ends.
    pub const ALL: [Self; 6] = [
        Self::Done,
        Self::Throttled,
        Self::Refused,
        Self::NotApplied,
        Self::InDoubt,
        Self::Systemic,
    ];

    /// Word used as label.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Throttled => "throttled",
            Self::Refused => "refused",
            Self::NotApplied => "not_applied",
            Self::InDoubt => "in_doubt",
            Self::Systemic => "systemic",
        }
    }
}

/// Meters of one load.
#[derive(Debug)]
pub struct LoadMeters {
    /// Name of the load.
    pub name: String,
    /// Rows read.
    pub read: IntCounter,
    /// Rows read and not settled.
    pub open: IntGauge,
    settled: Vec<IntCounter>,
    requests: Vec<IntCounter>,
    /// Duration of successful requests, seconds.
    pub request_seconds: Histogram,
    /// Rows in a request.
    pub batch_rows: Histogram,
    /// Bodies sent, bytes.
    pub body_bytes: IntCounter,
    /// Requests in flight.
    pub in_flight: IntGauge,
    /// Requests at once it may have.
    pub parallel_limit: IntGauge,
    /// Rows counted against the entitlement.
    pub entitlement: IntCounter,
    /// Batches split or taken apart.
    pub splits: IntCounter,
    /// Requests that repeat an earlier one: same rows, same ids.
    pub retries: IntCounter,
    /// Bytes of the source read and to be read, for the forecast.
    pub source_bytes: Mutex<SourceBytes>,
    /// Rows a request at present.
    pub batch_size: Mutex<u32>,
    /// Why it does not send more.
    pub waiting: Mutex<Waiting>,
}

/// How far a load's source is read.
#[derive(Clone, Copy, Debug, Default)]
pub struct SourceBytes {
    /// Bytes read, unpacked.
    pub read: u64,
    /// Bytes of all files known, unpacked where known.
    pub total: u64,
}

impl LoadMeters {
    /// Rows in a final state.
    #[must_use]
    pub fn settled(&self, state: RowState) -> u64 {
        self.settled[state_index(state)].get()
    }

    /// Counts rows that reached a final state.
    pub fn settle(&self, state: RowState, rows: u64) {
        self.settled[state_index(state)].inc_by(rows);
        self.open.sub(i64::try_from(rows).unwrap_or(i64::MAX));
    }

    /// Rows in any final state.
    #[must_use]
    pub fn settled_all(&self) -> u64 {
        self.settled.iter().map(IntCounter::get).sum()
    }

    /// Counts a request that ended.
    pub fn request(&self, end: RequestEnd) {
        self.requests[end as usize].inc();
    }

    /// Requests that ended so.
    #[must_use]
    pub fn requests(&self, end: RequestEnd) -> u64 {
        self.requests[end as usize].get()
    }

    /// Rows without a final state, those not read yet included; `None` while the size of the
    /// source is not known. Before the end of the source it is guessed from the share that was
    /// read; a start that goes on reads its source again and guesses too many at first.
    #[must_use]
    pub fn rows_left(&self) -> Option<u64> {
        let (read, settled) = (self.read.get(), self.settled_all());
        if matches!(*self.waiting.lock(), Waiting::Done | Waiting::Idle) {
            return Some(read.saturating_sub(settled));
        }
        let share = self.source_share()?;
        if share <= 0.0 || read == 0 {
            return None;
        }
        let expected = (read as f64 / share) as u64;
        Some(expected.max(read).saturating_sub(settled))
    }

    /// Share of the source that was read, 0–1; `None` while its size is not known.
    #[must_use]
    pub fn source_share(&self) -> Option<f64> {
        let bytes = *self.source_bytes.lock();
        (bytes.total > 0).then(|| (bytes.read as f64 / bytes.total as f64).min(1.0))
    }

    /// Requests that ended in any way.
    #[must_use]
    pub fn requests_all(&self) -> u64 {
        self.requests.iter().map(IntCounter::get).sum()
    }
}

fn state_index(state: RowState) -> usize {
    usize::from(state.code()) - 1
}

/// Series of all loads.
#[derive(Debug)]
pub(super) struct LoadFamilies {
    read: IntCounterVec,
    settled: IntCounterVec,
    open: IntGaugeVec,
    left: IntGaugeVec,
    source_read: GaugeVec,
    requests: IntCounterVec,
    retries: IntCounterVec,
    seconds: HistogramVec,
    rows: HistogramVec,
    bytes: IntCounterVec,
    in_flight: IntGaugeVec,
    parallel: IntGaugeVec,
    entitlement: IntCounterVec,
    splits: IntCounterVec,
    waiting: IntGaugeVec,
}

impl LoadFamilies {
    pub(super) fn new(families: &Families<'_>) -> Result<Self, prometheus::Error> {
        let counter = |name, help| families.counters(name, help, &["load"]);
        let gauge = |name, help| families.gauges(name, help, &["load"]);
        Ok(Self {
            read: counter(names::ROWS_READ, "Rows read from the source.")?,
            settled: families.counters(
                names::ROWS_SETTLED,
                "Rows that reached a final state.",
                &["load", "state"],
            )?,
            open: gauge(names::ROWS_OPEN, "Rows read and not yet settled.")?,
            left: gauge(
                names::ROWS_LEFT,
                "Rows not yet settled, guessed from the share of the source that was read.",
            )?,
            source_read: families.real_gauges(
                names::SOURCE_READ,
                "Share of the source's bytes that was read, 0 to 1.",
                &["load"],
            )?,
            requests: families.counters(
                names::REQUESTS,
                "Requests by how they ended.",
                &["load", "result"],
            )?,
            retries: counter(names::RETRIES, "Requests that repeat an earlier one.")?,
            seconds: families.histograms(
                names::REQUEST_SECONDS,
                "Duration of successful requests in seconds.",
                &["load"],
                &REQUEST_BUCKETS,
            )?,
            rows: families.histograms(
                names::BATCH_ROWS,
                "Rows in a request.",
                &["load"],
                &BATCH_BUCKETS,
            )?,
            bytes: counter(names::BODY_BYTES, "Bytes of request bodies sent.")?,
            in_flight: gauge(names::IN_FLIGHT, "Requests in flight.")?,
            parallel: gauge(names::PARALLEL_LIMIT, "Requests at once a load may have.")?,
            entitlement: counter(
                names::ENTITLEMENT,
                "Operations counted against the 24-hour entitlement (one a row sent).",
            )?,
            splits: counter(names::SPLITS, "Batches split or taken apart.")?,
            waiting: families.gauges(
                names::WAITING,
                "1 for the reason a load does not send more.",
                &["load", "reason"],
            )?,
        })
    }

    pub(super) fn of(&self, name: &str) -> LoadMeters {
        let label = [name];
        LoadMeters {
            name: name.to_owned(),
            read: self.read.with_label_values(&label),
            open: self.open.with_label_values(&label),
            settled: RowState::ALL
                .iter()
                .map(|state| self.settled.with_label_values(&[name, state.word()]))
                .collect(),
            requests: RequestEnd::ALL
                .iter()
                .map(|end| self.requests.with_label_values(&[name, end.word()]))
                .collect(),
            request_seconds: self.seconds.with_label_values(&label),
            batch_rows: self.rows.with_label_values(&label),
            body_bytes: self.bytes.with_label_values(&label),
            in_flight: self.in_flight.with_label_values(&label),
            parallel_limit: self.parallel.with_label_values(&label),
            entitlement: self.entitlement.with_label_values(&label),
            splits: self.splits.with_label_values(&label),
            retries: self.retries.with_label_values(&label),
            source_bytes: Mutex::default(),
            batch_size: Mutex::new(0),
            waiting: Mutex::default(),
        }
    }

    /// Brings the gauges up to date that are not counted along.
    pub(super) fn refresh(&self, loads: &[LoadMeters]) {
        self.waiting.reset();
        self.left.reset();
        self.source_read.reset();
        for load in loads {
            let label = [load.name.as_str()];
            let word = load.waiting.lock().word();
            self.waiting.with_label_values(&[label[0], word]).set(1);
            if let Some(rows) = load.rows_left() {
                let rows = i64::try_from(rows).unwrap_or(i64::MAX);
                self.left.with_label_values(&label).set(rows);
            }
            if let Some(share) = load.source_share() {
                self.source_read.with_label_values(&label).set(share);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus::Registry;

    #[test]
    fn rows_left_are_guessed_from_the_source_and_known_at_its_end() {
        let registry = Registry::new();
        let families = LoadFamilies::new(&Families(&registry)).expect("registers");
        let load = families.of("account");
        assert_eq!(load.rows_left(), None, "nothing is known of the source");
        *load.source_bytes.lock() = SourceBytes { read: 0, total: 1000 };
        assert_eq!(load.rows_left(), None, "nothing was read");
        *load.source_bytes.lock() = SourceBytes { read: 250, total: 1000 };
        load.read.inc_by(100);
        load.settle(RowState::Created, 40);
        assert_eq!(load.rows_left(), Some(360));
        *load.source_bytes.lock() = SourceBytes { read: 1200, total: 1000 };
        assert_eq!(load.rows_left(), Some(60), "sizes of packed files are guesses");
        *load.source_bytes.lock() = SourceBytes::default();
        *load.waiting.lock() = Waiting::Done;
        assert_eq!(load.rows_left(), Some(60));
    }
}
