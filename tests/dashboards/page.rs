//! Pages of metrics made by hand, and what stands on a page.

use dvbulk::record::key::IdentityId;
use dvbulk::telemetry::metrics::{EntitlementUse, Meters};
use dvbulk::tuning::view::{Bound, LaneView, Scope, TableView, View};
use regex::Regex;
use std::collections::{BTreeMap, BTreeSet};

/// Values by label by series, histogram parts by their own names.
pub(crate) type Series = BTreeMap<String, BTreeMap<String, BTreeSet<String>>>;

/// Meters of a run in which everything has been shown once: two loads per `loads`, one identity
/// counted by server and one over all of them.
pub(crate) fn meters(loads: &[&str]) -> Meters {
    let names: Vec<String> = loads.iter().map(|&name| name.to_owned()).collect();
    let meters = Meters::new(&names, &["app-1".into(), "app-2".into()]);
    let meters = meters.expect("every metric registers");
    meters.ledger_stands_in(std::path::Path::new(env!("CARGO_MANIFEST_DIR")));
    for identity in 0..2 {
        *meters.identity(IdentityId(identity)).entitlement.lock() =
            Some(EntitlementUse { used: 120_000, limit: 500_000, used_up_in_secs: Some(7200.0) });
    }
    for load in meters.loads() {
        let mut bytes = load.source_bytes.lock();
        (bytes.read, bytes.total) = (50, 100);
        load.read.inc_by(100);
    }
    meters.show(view(loads.len()));
    meters
}

fn view(loads: usize) -> View {
    let lane = |identity, server| LaneView {
        identity,
        server,
        time_used_secs: 700.0,
        time_limit_secs: 1200.0,
        requests_used: 900.0,
        requests_limit: 6000.0,
        in_flight: 6,
        parallel_limit: 52.0,
        tokens_secs: 2.5,
        closed_secs: 0.0,
        closed_by: None,
        paused: false,
    };
    let table = TableView {
        batch_rows: 100,
        batch_optimum: 130,
        batch_range: (1, 1000),
        parallel_max: 64,
        in_flight: 6,
        weight: 1.0,
        share: 1.0 / loads as f64,
        cost: Some([0.3, 0.06, 2e-5]),
        predicted_over_actual: 1.02,
        rows_per_execution_second: 15.0,
        bad_row_rate: 0.001,
        hazard: 0.01,
        samples: 400,
        paused: false,
    };
    View {
        scope: Scope::Server,
        servers: 2,
        parallel_target: 24.0,
        parallel_bound: Bound::Budget,
        elasticity_parallel: Some(0.8),
        elasticity_rows: Some(0.2),
        sprint: false,
        max_share: 1.0,
        lanes: vec![lane(0, Some(0)), lane(0, Some(1)), lane(1, None)],
        tables: vec![table; loads],
    }
}

/// The page of [`meters`].
pub(crate) fn by_hand() -> String {
    String::from_utf8(meters(&["account", "contact"]).page()).expect("text")
}

/// Type by metric.
pub(crate) fn types(page: &str) -> BTreeMap<String, String> {
    let line = Regex::new(r"(?m)^# TYPE (\w+) (\w+)$").expect("pattern");
    line.captures_iter(page).map(|found| (found[1].to_owned(), found[2].to_owned())).collect()
}

/// What stands on a page.
pub(crate) fn series(page: &str) -> Series {
    let line = Regex::new(r"^([a-z_]+)(?:\{(.*)\})? \S+$").expect("pattern");
    let label = Regex::new(r#"([a-z_]+)="([^"]*)""#).expect("pattern");
    let mut known = Series::new();
    for found in page.lines().filter_map(|l| line.captures(l)) {
        let labels = known.entry(found[1].to_owned()).or_default();
        for pair in label.captures_iter(found.get(2).map_or("", |m| m.as_str())) {
            labels.entry(pair[1].to_owned()).or_default().insert(pair[2].to_owned());
        }
    }
    known
}
