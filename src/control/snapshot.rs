//! Reads meters, the governor's view and the history into the `/status` answer.

use crate::control::history::History;
use crate::control::orders_status::OrdersStatus;
use crate::control::status::{
    HistoryStatus, IdentityStatus, LaneStatus, LoadStatus, LoadTuningStatus, RefusedStatus,
    RunFacts, RunStatus, TuningStatus,
};
use crate::limits::HISTORY_BUCKET_SECS;
use crate::record::outcome::RowState;
use crate::record::throttle::Throttle;
use crate::telemetry::metrics::{LoadMeters, Meters, RequestEnd};
use crate::telemetry::progress::{RATE_MIN, rows_left};
use crate::telemetry::waiting::Waiting;
use crate::tuning::view::{LaneView, TableView, View};
use crate::units::MonoTime;

/// Reads the meters.
#[must_use]
pub fn snapshot(
    meters: &Meters,
    facts: &RunFacts,
    history: &History,
    state: &str,
    now: MonoTime,
) -> RunStatus {
    let elapsed_secs = now.saturating_since(facts.started).as_secs_f64();
    let view = meters.view();
    let loads: Vec<LoadStatus> = meters
        .loads()
        .iter()
        .enumerate()
        .map(|(index, meters)| {
            let before = facts.settled_before.get(index).copied().unwrap_or(0);
            let settled = meters.settled_all().saturating_sub(before);
            LoadStatus {
                rows_per_second: settled as f64 / elapsed_secs.max(0.001),
                rows_per_second_now: history.rows_per_second(index),
                eta_secs: time_left(rows_left(meters), history.rows_per_second(index)),
                tuning: view.tables.get(index).map(load_tuning),
                history: history.buckets(index),
                ..load(meters, now)
            }
        })
        .collect();
    RunStatus {
        job: facts.job.clone(),
        environment: facts.environment.clone(),
        state: state.to_owned(),
        pid: std::process::id(),
        elapsed_secs,
        memory_taken_bytes: u64::try_from(meters.memory_taken.get()).unwrap_or(0),
        memory_budget_bytes: facts.memory_budget_bytes,
        page: None,
        rows_per_second_now: history.rows_per_second_all(),
        eta_secs: time_left_all(meters, history),
        tuning: tuning(&view),
        loads,
        identities: identities(meters, &view),
        orders: OrdersStatus::default(),
        last_errors: last_errors(meters),
        history: HistoryStatus { bucket_secs: HISTORY_BUCKET_SECS, rows: history.buckets_all() },
    }
}

/// What stands in the meters of a load alone.
fn load(meters: &LoadMeters, now: MonoTime) -> LoadStatus {
    let bytes = *meters.source_bytes.lock();
    let waiting = meters.waiting.lock().clone();
    let share = (bytes.total > 0).then(|| (bytes.read as f64 / bytes.total as f64).min(1.0));
    LoadStatus {
        name: meters.name.clone(),
        read: meters.read.get(),
        open: u64::try_from(meters.open.get()).unwrap_or(0),
        rows: RowState::ALL
            .iter()
            .filter(|s| meters.settled(**s) > 0)
            .map(|s| (s.word().to_owned(), meters.settled(*s)))
            .collect(),
        rows_per_second: 0.0,
        rows_per_second_now: None,
        eta_secs: None,
        requests: RequestEnd::ALL
            .iter()
            .map(|e| (e.word().to_owned(), meters.requests(*e)))
            .collect(),
        in_flight: u64::try_from(meters.in_flight.get()).unwrap_or(0),
        parallel: u64::try_from(meters.parallel_limit.get()).unwrap_or(0),
        batch_rows: *meters.batch_size.lock(),
        source_share: if waiting == Waiting::Done { Some(1.0) } else { share },
        waiting: waiting.word().to_owned(),
        reason: waiting.sentence(now),
        tuning: None,
        history: Vec::new(),
    }
}

/// Seconds until rows are settled at a rate that says something.
fn time_left(rows: Option<f64>, rows_per_second: Option<f64>) -> Option<f64> {
    match (rows, rows_per_second) {
        (Some(0.0), _) => Some(0.0),
        (Some(rows), Some(rate)) if rate >= RATE_MIN => Some(rows / rate),
        _ => None,
    }
}

/// Seconds until all loads are done. What a load that is done settled in the last seconds says
/// nothing about the others.
fn time_left_all(meters: &Meters, history: &History) -> Option<f64> {
    let (mut rows, mut rate) = (0.0, Some(0.0));
    for (index, load) in meters.loads().iter().enumerate() {
        let left = rows_left(load)?;
        if left > 0.0 {
            rows += left;
            rate = rate.zip(history.rows_per_second(index)).map(|(sum, own)| sum + own);
        }
    }
    time_left(Some(rows), rate)
}

/// JSON has no infinity: what is not a number is told as 0, which stands for "not known".
fn finite(value: f64) -> f64 {
    if value.is_finite() { value } else { 0.0 }
}

fn tuning(view: &View) -> Option<TuningStatus> {
    (*view != View::default()).then(|| TuningStatus {
        scope: view.scope.word().to_owned(),
        servers: (view.servers > 0).then_some(view.servers),
        parallel_target: finite(view.parallel_target),
        parallel_bound: view.parallel_bound.word().to_owned(),
        elasticity_parallel: view.elasticity_parallel.filter(|e| e.is_finite()),
        elasticity_rows: view.elasticity_rows.filter(|e| e.is_finite()),
        sprint: view.sprint,
        max_share: finite(view.max_share),
    })
}

fn load_tuning(view: &TableView) -> LoadTuningStatus {
    LoadTuningStatus {
        batch_optimum: view.batch_optimum,
        batch_range: [view.batch_range.0, view.batch_range.1],
        parallel_max: view.parallel_max,
        weight: finite(view.weight),
        share: finite(view.share),
        cost: view.cost.filter(|cost| cost.iter().all(|c| c.is_finite())),
        predicted_over_actual: finite(view.predicted_over_actual),
        rows_per_execution_second: finite(view.rows_per_execution_second),
        bad_row_rate: finite(view.bad_row_rate),
        hazard: finite(view.hazard),
        samples: view.samples,
        paused: view.paused,
    }
}

fn identities(meters: &Meters, view: &View) -> Vec<IdentityStatus> {
    meters
        .identities()
        .iter()
        .enumerate()
        .map(|(index, identity)| {
            let mut lanes: Vec<&LaneView> =
                view.lanes.iter().filter(|lane| usize::from(lane.identity) == index).collect();
            lanes.sort_by_key(|lane| lane.server);
            IdentityStatus {
                name: identity.name.clone(),
                throttles: Throttle::ALL
                    .iter()
                    .map(|k| (k.word().to_owned(), identity.throttles(*k)))
                    .collect(),
                paused: (!lanes.is_empty()).then(|| lanes.iter().all(|lane| lane.paused)),
                closed: (!lanes.is_empty()).then(|| lanes.iter().all(|l| l.closed_secs > 0.0)),
                lanes: lanes.into_iter().map(lane).collect(),
            }
        })
        .collect()
}

fn lane(view: &LaneView) -> LaneStatus {
    LaneStatus {
        server: view.server,
        time_used_secs: finite(view.time_used_secs),
        time_limit_secs: finite(view.time_limit_secs),
        requests_used: finite(view.requests_used),
        requests_limit: finite(view.requests_limit),
        in_flight: view.in_flight,
        parallel_limit: finite(view.parallel_limit),
        tokens_secs: finite(view.tokens_secs),
        closed_secs: finite(view.closed_secs),
        closed_by: view.closed_by.map(|kind| kind.word().to_owned()),
    }
}

fn last_errors(meters: &Meters) -> Vec<RefusedStatus> {
    meters
        .last_refused()
        .into_iter()
        .map(|row| RefusedStatus {
            load: meters.load(row.table).name.clone(),
            code: row.code,
            category: row.category.word().to_owned(),
            key: Some(row.key),
            message: Some(row.message),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::key::TableId;
    use crate::record::outcome::{FaultCategory, RowFault};
    use crate::record::refused::{LatestRefused, Refused};
    use crate::telemetry::metrics::SourceBytes;
    use crate::tuning::view::{Bound, Scope};
    use std::time::Duration;

    fn at(secs: u64) -> MonoTime {
        MonoTime::from_origin(Duration::from_secs(secs))
    }

    fn facts() -> RunFacts {
        RunFacts {
            job: "crm".into(),
            environment: "https://x.example".into(),
            started: at(10),
            settled_before: vec![100, 0],
            memory_budget_bytes: 1 << 29,
        }
    }

    fn meters() -> Meters {
        let names = ["account".to_owned(), "contact".to_owned()];
        Meters::new(&names, &["app-1".into(), "app-2".into()]).expect("registers")
    }

    fn lane_view(identity: u16, server: Option<u32>, closed_secs: f64) -> LaneView {
        LaneView {
            identity,
            server,
            time_used_secs: 300.5,
            time_limit_secs: 1200.0,
            requests_used: 40.0,
            requests_limit: 6000.0,
            in_flight: 3,
            parallel_limit: 52.0,
            tokens_secs: 12.0,
            closed_secs,
            closed_by: (closed_secs > 0.0).then_some(Throttle::Time),
            paused: false,
        }
    }

    fn table_view() -> TableView {
        TableView {
            batch_rows: 80,
            batch_optimum: 90,
            batch_range: (1, 1000),
            parallel_max: 512,
            in_flight: 5,
            weight: 2.0,
            share: 0.4,
            cost: Some([0.1, 0.01, 0.0]),
            predicted_over_actual: 1.1,
            rows_per_execution_second: 55.0,
            bad_row_rate: 0.01,
            hazard: 0.001,
            samples: 77,
            paused: true,
        }
    }

    #[test]
    fn before_the_governor_decides_nothing_is_told_of_it() {
        let meters = meters();
        let history = History::new(at(10), &[100, 0]);
        let status = snapshot(&meters, &facts(), &history, "running", at(20));
        assert_eq!(status.tuning, None);
        assert_eq!(status.loads[0].tuning, None);
        assert!(status.identities.iter().all(|i| i.lanes.is_empty() && i.closed.is_none()));
        assert_eq!((status.rows_per_second_now, status.eta_secs), (None, None));
        assert!(status.history.rows.is_empty());
        assert_eq!(status.last_errors, []);
    }

    #[test]
    fn the_view_of_the_governor_stands_with_its_loads_and_identities() {
        let meters = meters();
        meters.show(View {
            scope: Scope::Server,
            servers: 2,
            parallel_target: 21.5,
            parallel_bound: Bound::Knee,
            elasticity_parallel: Some(0.9),
            elasticity_rows: None,
            sprint: false,
            max_share: 0.4,
            lanes: vec![
                lane_view(1, Some(1), 12.0),
                lane_view(0, Some(0), 3.0),
                lane_view(1, Some(0), 0.0),
            ],
            tables: vec![table_view()],
        });
        let history = History::new(at(10), &[100, 0]);
        let status = snapshot(&meters, &facts(), &history, "running", at(20));
        let tuning = status.tuning.expect("it was shown");
        assert_eq!((tuning.scope.as_str(), tuning.parallel_bound.as_str()), ("server", "knee"));
        assert_eq!((tuning.servers, tuning.max_share), (Some(2), 0.4));
        assert_eq!(status.identities[0].closed, Some(true));
        let second = &status.identities[1];
        assert_eq!(second.closed, Some(false), "one of its servers is open");
        assert_eq!(second.lanes.iter().map(|l| l.server).collect::<Vec<_>>(), [Some(0), Some(1)]);
        assert_eq!(second.lanes[1].closed_by.as_deref(), Some("execution_time"));
        let load = status.loads[0].tuning.as_ref().expect("it was shown");
        assert_eq!((load.batch_range, load.samples, load.paused), ([1, 1000], 77, true));
        assert_eq!(status.loads[1].tuning, None, "the view has no second load");
    }

    #[test]
    fn rates_and_forecast_come_of_the_last_seconds() {
        let meters = meters();
        let account = meters.load(TableId(0));
        account.read.inc_by(600);
        account.open.add(600);
        *account.source_bytes.lock() = SourceBytes { read: 600, total: 1000 };
        account.settle(RowState::Created, 200);
        let mut history = History::new(at(10), &[100, 0]);
        history.note(at(20), &[200, 5000]);
        let status = snapshot(&meters, &facts(), &history, "running", at(20));
        assert_eq!(
            status.loads[0].rows_per_second, 10.0,
            "the first hundred are of an earlier run"
        );
        assert_eq!(status.loads[0].rows_per_second_now, Some(10.0));
        assert_eq!(status.loads[0].eta_secs, Some(80.0), "800 of 1000 rows are left");
        assert_eq!(status.eta_secs, None, "nobody knows how long the second load is");
        *meters.load(TableId(1)).waiting.lock() = Waiting::Done;
        let status = snapshot(&meters, &facts(), &history, "running", at(20));
        assert_eq!((status.eta_secs, status.loads[1].eta_secs), (Some(80.0), Some(0.0)));
        assert_eq!(status.rows_per_second_now, Some(510.0));
        assert_eq!(status.history.rows, [5100, 0]);
    }

    #[test]
    fn strangers_see_which_codes_came_and_no_values() {
        let meters = meters();
        let mut refused = LatestRefused::default();
        for key in ["A-1", "A-2"] {
            let fault = RowFault {
                code: "0x80040237".into(),
                category: FaultCategory::Duplicate,
                message: format!("a row with {key} is there"),
                retryable: false,
            };
            refused.push(Refused::of(TableId(1), key.as_bytes(), &fault));
        }
        meters.refuse(&refused);
        let history = History::new(at(10), &[100, 0]);
        let status = snapshot(&meters, &facts(), &history, "running", at(20));
        let latest = &status.last_errors[0];
        assert_eq!((latest.load.as_str(), latest.key.as_deref()), ("contact", Some("A-2")));
        let told = serde_json::to_string(&status.for_strangers()).expect("JSON");
        assert!(told.contains("0x80040237") && told.contains("duplicate"));
        assert!(!told.contains("A-1") && !told.contains("A-2"), "{told}");
    }
}
