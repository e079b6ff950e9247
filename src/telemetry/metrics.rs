//! Home of every metric name. Handles are resolved once per run; labels come from closed sets:
//! names of loads and identities in the job file, states, results, kinds of limit.

use crate::record::key::{IdentityId, TableId};
use crate::record::outcome::RowState;
use crate::record::refused::{LatestRefused, Refused};
use crate::record::throttle::Throttle;
use crate::telemetry::waiting::Waiting;
use crate::tuning::view::View;
use parking_lot::Mutex;
use prometheus::{
    Encoder, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry, TextEncoder,
};
use std::sync::Arc;

/// Rows read from the source.
pub const ROWS_READ: &str = "dvbulk_rows_read_total";
/// Rows that reached a final state.
pub const ROWS_SETTLED: &str = "dvbulk_rows_settled_total";
/// Rows read and not settled.
pub const ROWS_OPEN: &str = "dvbulk_rows_open";
/// Requests by how they ended.
pub const REQUESTS: &str = "dvbulk_requests_total";
/// Duration of requests that were answered with success, seconds.
pub const REQUEST_SECONDS: &str = "dvbulk_request_duration_seconds";
/// Rows in a request.
pub const BATCH_ROWS: &str = "dvbulk_batch_rows";
/// Request bodies sent, bytes.
pub const BODY_BYTES: &str = "dvbulk_body_bytes_total";
/// Requests in flight.
pub const IN_FLIGHT: &str = "dvbulk_requests_in_flight";
/// Requests at once a load may have.
pub const PARALLEL_LIMIT: &str = "dvbulk_parallel_limit";
/// 429 answers.
pub const THROTTLES: &str = "dvbulk_throttles_total";
/// Seconds identities spent closed.
pub const CLOSED_SECONDS: &str = "dvbulk_identity_closed_seconds_total";
/// Rows counted against the 24-hour entitlement.
pub const ENTITLEMENT: &str = "dvbulk_entitlement_operations_total";
/// Bytes of records held.
pub const MEMORY_TAKEN: &str = "dvbulk_memory_taken_bytes";
/// 1 for the reason a load does not send more.
pub const WAITING: &str = "dvbulk_waiting";
/// Batches that were split or taken apart.
pub const SPLITS: &str = "dvbulk_batches_split_total";
/// Version.
pub const BUILD_INFO: &str = "dvbulk_build_info";

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

    /// Requests that ended in any way.
    #[must_use]
    pub fn requests_all(&self) -> u64 {
        self.requests.iter().map(IntCounter::get).sum()
    }
}

/// Meters of one identity.
#[derive(Debug)]
pub struct IdentityMeters {
    /// Alias.
    pub name: String,
    throttles: Vec<IntCounter>,
    /// Seconds it was closed, milliseconds resolution.
    pub closed_seconds: prometheus::Counter,
}

impl IdentityMeters {
    /// Counts a 429.
    pub fn throttle(&self, kind: Throttle) {
        self.throttles[throttle_index(kind)].inc();
    }

    /// 429s of a kind.
    #[must_use]
    pub fn throttles(&self, kind: Throttle) -> u64 {
        self.throttles[throttle_index(kind)].get()
    }
}

/// All meters of a run.
#[derive(Debug)]
pub struct Meters {
    registry: Registry,
    loads: Vec<LoadMeters>,
    identities: Vec<IdentityMeters>,
    /// Bytes of records held.
    pub memory_taken: IntGauge,
    waiting: IntGaugeVec,
    view: Mutex<Arc<View>>,
    refused: Mutex<LatestRefused>,
}

impl Meters {
    /// Registers everything for the named loads and identities.
    ///
    /// # Errors
    /// When a name is registered twice: a fault of this program.
    pub fn new(loads: &[String], identities: &[String]) -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let counters = |name: &str, help: &str, labels: &[&str]| {
            let made = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(made.clone()))?;
            Ok::<_, prometheus::Error>(made)
        };
        let gauges = |name: &str, help: &str, labels: &[&str]| {
            let made = IntGaugeVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(made.clone()))?;
            Ok::<_, prometheus::Error>(made)
        };
        let histograms = |name: &str, help: &str, buckets: &[f64]| {
            let opts = HistogramOpts::new(name, help).buckets(buckets.to_vec());
            let made = HistogramVec::new(opts, &["load"])?;
            registry.register(Box::new(made.clone()))?;
            Ok::<_, prometheus::Error>(made)
        };
        let read = counters(ROWS_READ, "Rows read from the source.", &["load"])?;
        let settled =
            counters(ROWS_SETTLED, "Rows that reached a final state.", &["load", "state"])?;
        let open = gauges(ROWS_OPEN, "Rows read and not yet settled.", &["load"])?;
        let requests = counters(REQUESTS, "Requests by how they ended.", &["load", "result"])?;
        let seconds = histograms(
            REQUEST_SECONDS,
            "Duration of successful requests in seconds.",
            &[
                0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 80.0,
                120.0,
            ],
        )?;
        let rows = histograms(
            BATCH_ROWS,
            "Rows in a request.",
            &[1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 300.0, 500.0, 1000.0],
        )?;
        let bytes = counters(BODY_BYTES, "Bytes of request bodies sent.", &["load"])?;
        let in_flight = gauges(IN_FLIGHT, "Requests in flight.", &["load"])?;
        let parallel = gauges(PARALLEL_LIMIT, "Requests at once a load may have.", &["load"])?;
        let entitlement = counters(
            ENTITLEMENT,
            "Operations counted against the 24-hour entitlement (one a row sent).",
            &["load"],
        )?;
        let splits = counters(SPLITS, "Batches split or taken apart.", &["load"])?;
        let throttles = counters(THROTTLES, "Answers with status 429.", &["identity", "limit"])?;
        let waiting =
            gauges(WAITING, "1 for the reason a load does not send more.", &["load", "reason"])?;
        let closed = prometheus::CounterVec::new(
            Opts::new(CLOSED_SECONDS, "Seconds an identity was closed by a throttle."),
            &["identity"],
        )?;
        registry.register(Box::new(closed.clone()))?;
        let memory_taken = IntGauge::new(MEMORY_TAKEN, "Bytes of the record budget in use.")?;
        registry.register(Box::new(memory_taken.clone()))?;
        let build = gauges(BUILD_INFO, "Version of the program.", &["version"])?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        #[cfg(target_os = "linux")]
        registry.register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))?;

        let loads = loads
            .iter()
            .map(|name| {
                let label = [name.as_str()];
                LoadMeters {
                    name: name.clone(),
                    read: read.with_label_values(&label),
                    open: open.with_label_values(&label),
                    settled: RowState::ALL
                        .iter()
                        .map(|s| settled.with_label_values(&[name.as_str(), s.word()]))
                        .collect(),
                    requests: RequestEnd::ALL
                        .iter()
                        .map(|e| requests.with_label_values(&[name.as_str(), e.word()]))
                        .collect(),
                    request_seconds: seconds.with_label_values(&label),
                    batch_rows: rows.with_label_values(&label),
                    body_bytes: bytes.with_label_values(&label),
                    in_flight: in_flight.with_label_values(&label),
                    parallel_limit: parallel.with_label_values(&label),
                    entitlement: entitlement.with_label_values(&label),
                    splits: splits.with_label_values(&label),
                    source_bytes: Mutex::default(),
                    batch_size: Mutex::new(0),
                    waiting: Mutex::default(),
                }
            })
            .collect();
        let identities = identities
            .iter()
            .map(|name| IdentityMeters {
                name: name.clone(),
                throttles: Throttle::ALL
                    .iter()
                    .map(|k| throttles.with_label_values(&[name.as_str(), k.word()]))
                    .collect(),
                closed_seconds: closed.with_label_values(&[name.as_str()]),
            })
            .collect();
        Ok(Self {
            registry,
            loads,
            identities,
            memory_taken,
            waiting,
            view: Mutex::default(),
            refused: Mutex::default(),
        })
    }

    /// Meters of a load.
    #[must_use]
    pub fn load(&self, table: TableId) -> &LoadMeters {
        &self.loads[usize::from(table.0)]
    }

    /// Meters of all loads, in job order.
    #[must_use]
    pub fn loads(&self) -> &[LoadMeters] {
        &self.loads
    }

    /// Meters of an identity.
    #[must_use]
    pub fn identity(&self, identity: IdentityId) -> &IdentityMeters {
        &self.identities[usize::from(identity.0)]
    }

    /// Meters of all identities, in job order.
    #[must_use]
    pub fn identities(&self) -> &[IdentityMeters] {
        &self.identities
    }

    /// Takes what the governor shows at this moment.
    pub fn show(&self, view: View) {
        *self.view.lock() = Arc::new(view);
    }

    /// What the governor showed last.
    #[must_use]
    pub fn view(&self) -> Arc<View> {
        Arc::clone(&self.view.lock())
    }

    /// Takes refused rows in, oldest first, once they are in the ledger.
    pub fn refuse(&self, rows: &LatestRefused) {
        let mut latest = self.refused.lock();
        for row in rows.iter() {
            latest.push(row.clone());
        }
    }

    /// The refused rows that came last, latest first.
    #[must_use]
    pub fn last_refused(&self) -> Vec<Refused> {
        self.refused.lock().iter().rev().cloned().collect()
    }

    /// The page of `/metrics`.
    #[must_use]
    pub fn page(&self) -> Vec<u8> {
        self.waiting.reset();
        for load in &self.loads {
            let word = load.waiting.lock().word();
            self.waiting.with_label_values(&[load.name.as_str(), word]).set(1);
        }
        let mut page = Vec::new();
        if let Err(error) = TextEncoder::new().encode(&self.registry.gather(), &mut page) {
            tracing::error!(%error, "metrics page cannot be written");
        }
        page
    }
}

fn state_index(state: RowState) -> usize {
    usize::from(state.code()) - 1
}

const fn throttle_index(kind: Throttle) -> usize {
    match kind {
        Throttle::Requests => 0,
        Throttle::Time => 1,
        Throttle::Concurrency => 2,
        Throttle::Other => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_of_every_state_stand_on_the_page_from_the_start() {
        let meters = Meters::new(&["account".into()], &["app-1".into()]).expect("registers");
        let load = meters.load(TableId(0));
        load.read.inc_by(5);
        load.open.add(5);
        for state in RowState::ALL {
            load.settle(state, 1);
        }
        assert_eq!(load.settled_all(), 11);
        assert_eq!(load.open.get(), 5 - 11);
        meters.identity(IdentityId(0)).throttle(Throttle::Concurrency);
        let page = String::from_utf8(meters.page()).expect("text");
        assert!(page.contains(r#"dvbulk_rows_settled_total{load="account",state="created"} 1"#));
        assert!(page.contains(r#"dvbulk_throttles_total{identity="app-1",limit="concurrency"} 1"#));
        assert!(page.contains(r#"dvbulk_waiting{load="account",reason="starting"} 1"#));
    }
}
