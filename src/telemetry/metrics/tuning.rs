//! Gauges of what the governor shows. They are set when the page is made; lanes that are gone
//! leave no series behind.

use super::families::Families;
use super::identity::IdentityMeters;
use super::load::LoadMeters;
use super::names;
use crate::tuning::view::{Bound, LaneView, Scope, TableView, View};
use prometheus::{GaugeVec, IntGaugeVec};

/// Web servers with a label of their own; what lies beyond is added up as `more`.
pub const SERVER_LABELS_MAX: u32 = 64;
/// Label of a counter over all web servers.
const ALL_SERVERS: &str = "all";
/// Label of the web servers past [`SERVER_LABELS_MAX`].
const MORE_SERVERS: &str = "more";

/// A family of one number, and where it stands.
#[derive(Debug)]
struct Shown<T> {
    family: GaugeVec,
    read: fn(&T) -> Option<f64>,
}

/// Name, what it is, and where it stands.
type Wanted<T> = (&'static str, &'static str, fn(&T) -> Option<f64>);

const OF_LANES: [Wanted<LaneView>; 9] = [
    (names::WINDOW_TIME_USED, "Execution seconds in the service's window.", |lane| {
        Some(lane.time_used_secs)
    }),
    (names::WINDOW_TIME_LIMIT, "Believed limit of execution seconds in the window.", |lane| {
        Some(lane.time_limit_secs)
    }),
    (names::WINDOW_REQUESTS_USED, "Requests in the service's window.", |lane| {
        Some(lane.requests_used)
    }),
    (names::WINDOW_REQUESTS_LIMIT, "Believed limit of requests in the window.", |lane| {
        Some(lane.requests_limit)
    }),
    (names::IDENTITY_IN_FLIGHT, "Requests of an identity in flight.", |lane| {
        Some(f64::from(lane.in_flight))
    }),
    (names::IDENTITY_PARALLEL_LIMIT, "Believed limit of requests at once.", |lane| {
        Some(lane.parallel_limit)
    }),
    (names::IDENTITY_TOKENS, "Execution seconds that may be spent at once.", |lane| {
        Some(lane.tokens_secs)
    }),
    (names::IDENTITY_OPENS_IN, "Seconds until a throttled identity opens, 0 if open.", |lane| {
        Some(lane.closed_secs)
    }),
    (names::IDENTITY_PAUSED, "1 while a person holds an identity back.", |lane| {
        Some(one_if(lane.paused))
    }),
];

const OF_TABLES: [Wanted<TableView>; 13] = [
    (names::TUNING_BATCH, "Rows a request at present.", |t| Some(f64::from(t.batch_rows))),
    (names::TUNING_BATCH_OPTIMUM, "Rows a request that the fitted cost says are best.", |t| {
        Some(f64::from(t.batch_optimum))
    }),
    (names::TUNING_BATCH_MIN, "Least rows a request allowed.", |t| {
        Some(f64::from(t.batch_range.0))
    }),
    (names::TUNING_BATCH_MAX, "Most rows a request allowed.", |t| Some(f64::from(t.batch_range.1))),
    (names::TUNING_PARALLEL_MAX, "Most requests at once allowed.", |t| {
        Some(f64::from(t.parallel_max))
    }),
    (names::TUNING_WEIGHT, "Weight of a load against the others.", |t| Some(t.weight)),
    (names::TUNING_SHARE, "Share of the window's execution seconds a load had, 0 to 1.", |t| {
        Some(t.share)
    }),
    (names::TUNING_PREDICTED, "Predicted over measured duration, smoothed; 1 is right.", |t| {
        Some(t.predicted_over_actual)
    }),
    (names::TUNING_ROWS_PER_SECOND, "Rows written an execution second, smoothed.", |t| {
        Some(t.rows_per_execution_second)
    }),
    (names::TUNING_BAD_ROWS, "Estimated share of rows the service refuses, 0 to 1.", |t| {
        Some(t.bad_row_rate)
    }),
    (names::TUNING_HAZARD, "Estimated passing failures of a 100-row request.", |t| Some(t.hazard)),
    (names::TUNING_SAMPLES, "Requests the figures were learnt from.", |t| Some(t.samples as f64)),
    (names::TUNING_PAUSED, "1 while a person holds a load back.", |t| Some(one_if(t.paused))),
];

const OF_ALL: [Wanted<View>; 6] = [
    (names::TUNING_PARALLEL_TARGET, "Requests at once aimed at, over all loads.", |view| {
        Some(view.parallel_target)
    }),
    (
        names::TUNING_ELASTICITY_PARALLEL,
        "Per cent requests get longer by one per cent more at once; the optimum lies at 1.",
        |view| view.elasticity_parallel,
    ),
    (
        names::TUNING_ELASTICITY_ROWS,
        "Per cent requests get longer by one per cent more rows in flight.",
        |view| view.elasticity_rows,
    ),
    (names::TUNING_SPRINT, "1 while limits are spent because little is left.", |view| {
        Some(one_if(view.sprint))
    }),
    (names::TUNING_MAX_SHARE, "Share of the service's limits that may be used, 0 to 1.", |view| {
        Some(view.max_share)
    }),
    (names::TUNING_SERVERS, "Web servers that count separately, 0 if not known.", |view| {
        Some(f64::from(view.servers))
    }),
];

fn one_if(yes: bool) -> f64 {
    f64::from(u8::from(yes))
}

fn shown<T>(
    families: &Families<'_>,
    labels: &[&str],
    wanted: &[Wanted<T>],
) -> Result<Vec<Shown<T>>, prometheus::Error> {
    wanted
        .iter()
        .map(|(name, help, read)| {
            Ok(Shown { family: families.real_gauges(name, help, labels)?, read: *read })
        })
        .collect()
}

/// Series of the governor.
#[derive(Debug)]
pub(super) struct TuningFamilies {
    lanes: Vec<Shown<LaneView>>,
    tables: Vec<Shown<TableView>>,
    all: Vec<Shown<View>>,
    cost: GaugeVec,
    bound: IntGaugeVec,
    scope: IntGaugeVec,
}

impl TuningFamilies {
    pub(super) fn new(families: &Families<'_>) -> Result<Self, prometheus::Error> {
        Ok(Self {
            lanes: shown(families, &["identity", "server"], &OF_LANES)?,
            tables: shown(families, &["load"], &OF_TABLES)?,
            all: shown(families, &[], &OF_ALL)?,
            cost: families.real_gauges(
                names::TUNING_COST,
                "Fitted duration of a request: fixed, per row, per row squared.",
                &["load", "part"],
            )?,
            bound: families.gauges(
                names::TUNING_PARALLEL_BOUND,
                "1 for what bounds the requests at once.",
                &["bound"],
            )?,
            scope: families.gauges(
                names::TUNING_SCOPE,
                "1 for where the service counts.",
                &["scope"],
            )?,
        })
    }

    /// Sets all gauges to what is shown. Before the governor showed anything there are none.
    pub(super) fn refresh(&self, view: &View, loads: &[LoadMeters], identities: &[IdentityMeters]) {
        self.reset();
        if view.lanes.is_empty() && view.tables.is_empty() {
            return;
        }
        for one in &self.all {
            if let Some(number) = (one.read)(view) {
                one.family.with_label_values::<&str>(&[]).set(number);
            }
        }
        for bound in Bound::ALL {
            let here = i64::from(bound == view.parallel_bound);
            self.bound.with_label_values(&[bound.word()]).set(here);
        }
        for scope in [Scope::Unknown, Scope::Identity, Scope::Server] {
            self.scope.with_label_values(&[scope.word()]).set(i64::from(scope == view.scope));
        }
        for (load, table) in loads.iter().zip(&view.tables) {
            for one in &self.tables {
                if let Some(number) = (one.read)(table) {
                    one.family.with_label_values(&[load.name.as_str()]).set(number);
                }
            }
            let parts = ["fixed", "row", "row_squared"];
            for (part, secs) in parts.into_iter().zip(table.cost.into_iter().flatten()) {
                self.cost.with_label_values(&[load.name.as_str(), part]).set(secs);
            }
        }
        for lane in &view.lanes {
            let Some(identity) = identities.get(usize::from(lane.identity)) else { continue };
            let server = server_label(lane.server);
            for one in &self.lanes {
                if let Some(number) = (one.read)(lane) {
                    // The families are empty now: only what shares the last label adds up.
                    one.family.with_label_values(&[identity.name.as_str(), &server]).add(number);
                }
            }
        }
    }

    fn reset(&self) {
        let lanes = self.lanes.iter().map(|one| &one.family);
        let tables = self.tables.iter().map(|one| &one.family);
        let all = self.all.iter().map(|one| &one.family);
        lanes.chain(tables).chain(all).chain([&self.cost]).for_each(GaugeVec::reset);
        self.bound.reset();
        self.scope.reset();
    }
}

fn server_label(server: Option<u32>) -> String {
    match server {
        None => ALL_SERVERS.to_owned(),
        Some(number) if number < SERVER_LABELS_MAX => number.to_string(),
        Some(_) => MORE_SERVERS.to_owned(),
    }
}
