//! The page: what stands on it, when, and what leaves it.

use super::*;
use crate::record::outcome::RowState;
use crate::record::throttle::Throttle;
use crate::tuning::view::{Bound, LaneView, Scope, TableView};

fn meters() -> Meters {
    Meters::new(&["account".into(), "contact".into()], &["app-1".into(), "app-2".into()])
        .expect("registers")
}

fn page(meters: &Meters) -> String {
    String::from_utf8(meters.page()).expect("text")
}

fn lane(identity: u16, server: Option<u32>) -> LaneView {
    LaneView {
        identity,
        server,
        time_used_secs: 600.0,
        time_limit_secs: 1200.0,
        requests_used: 40.0,
        requests_limit: 6000.0,
        in_flight: 3,
        parallel_limit: 52.0,
        tokens_secs: 1.5,
        closed_secs: 0.0,
        closed_by: None,
        paused: false,
    }
}

fn table(batch_rows: u32) -> TableView {
    TableView {
        batch_rows,
        batch_optimum: 120,
        batch_range: (1, 1000),
        parallel_max: 64,
        in_flight: 4,
        weight: 1.0,
        share: 0.5,
        cost: Some([0.3, 0.06, 2e-5]),
        predicted_over_actual: 1.1,
        rows_per_execution_second: 14.0,
        bad_row_rate: 0.001,
        hazard: 0.02,
        samples: 900,
        paused: false,
    }
}

fn view(lanes: Vec<LaneView>) -> View {
    View {
        scope: Scope::Server,
        servers: 2,
        parallel_target: 12.5,
        parallel_bound: Bound::Knee,
        elasticity_parallel: Some(0.9),
        elasticity_rows: None,
        sprint: false,
        max_share: 1.0,
        lanes,
        tables: vec![table(100), table(7)],
    }
}

#[test]
fn counters_of_every_state_stand_on_the_page_from_the_start() {
    let meters = meters();
    let load = meters.load(TableId(0));
    load.read.inc_by(5);
    load.open.add(5);
    for state in RowState::ALL {
        load.settle(state, 1);
    }
    assert_eq!(load.settled_all(), 11);
    assert_eq!(load.open.get(), 5 - 11);
    meters.identity(IdentityId(0)).throttle(Throttle::Concurrency);
    let page = page(&meters);
    assert!(page.contains(r#"dvbulk_rows_settled_total{load="account",state="created"} 1"#));
    assert!(page.contains(r#"dvbulk_throttles_total{identity="app-1",limit="concurrency"} 1"#));
    assert!(page.contains(r#"dvbulk_waiting{load="account",reason="starting"} 1"#));
    assert!(!page.contains("dvbulk_tuning_"), "the governor has shown nothing yet");
    assert!(!page.contains("dvbulk_identity_window"), "the governor has shown nothing yet");
}

#[test]
fn what_the_governor_shows_stands_on_the_page() {
    let meters = meters();
    meters.show(view(vec![lane(0, Some(0)), lane(0, Some(1)), lane(1, None)]));
    let page = page(&meters);
    for series in [
        r#"dvbulk_identity_window_used_seconds{identity="app-1",server="0"} 600"#,
        r#"dvbulk_identity_window_limit_seconds{identity="app-1",server="1"} 1200"#,
        r#"dvbulk_identity_window_used_requests{identity="app-2",server="all"} 40"#,
        r#"dvbulk_tuning_batch_rows{load="account"} 100"#,
        r#"dvbulk_tuning_batch_rows{load="contact"} 7"#,
        r#"dvbulk_tuning_batch_max_rows{load="contact"} 1000"#,
        r#"dvbulk_tuning_cost_seconds{load="account",part="row"} 0.06"#,
        r#"dvbulk_tuning_parallel_bound{bound="knee"} 1"#,
        r#"dvbulk_tuning_parallel_bound{bound="budget"} 0"#,
        r#"dvbulk_tuning_scope{scope="server"} 1"#,
        "dvbulk_tuning_parallel_target 12.5",
        "dvbulk_tuning_parallel_elasticity_ratio 0.9",
    ] {
        assert!(page.contains(series), "{series} is missing in\n{page}");
    }
    assert!(!page.contains("rows_elasticity"), "it was not measured yet");
}

#[test]
fn lanes_that_are_gone_leave_no_series() {
    let meters = meters();
    meters.show(view(vec![lane(0, Some(0)), lane(0, Some(1))]));
    assert!(page(&meters).contains(r#"server="1""#));
    meters.show(view(vec![lane(0, Some(0))]));
    assert!(!page(&meters).contains(r#"server="1""#));
}

#[test]
fn servers_past_the_bound_share_one_label() {
    let meters = meters();
    let lanes = (0..200).map(|server| lane(0, Some(server))).collect();
    meters.show(view(lanes));
    let page = page(&meters);
    let labels = page.lines().filter(|l| l.starts_with("dvbulk_identity_window_used_seconds{"));
    assert_eq!(labels.count(), SERVER_LABELS_MAX as usize + 1);
    let rest = 600 * (200 - SERVER_LABELS_MAX);
    assert!(page.contains(&format!(
        r#"dvbulk_identity_window_used_seconds{{identity="app-1",server="more"}} {rest}"#
    )));
    assert!(page.contains(r#"{identity="app-1",server="0"} 600"#), "others stand alone");
}

#[test]
fn an_identity_out_of_the_job_is_passed_over() {
    let meters = meters();
    meters.show(view(vec![lane(9, None)]));
    assert!(!page(&meters).contains("dvbulk_identity_window"));
}

#[test]
fn an_entitlement_is_shown_while_there_is_a_budget() {
    let meters = meters();
    assert!(!page(&meters).contains("entitlement_used"), "without a budget there is nothing");
    let told = EntitlementUse { used: 900, limit: 1000, used_up_in_secs: Some(60.5) };
    *meters.identity(IdentityId(1)).entitlement.lock() = Some(told);
    let with = page(&meters);
    for series in [
        r#"dvbulk_identity_entitlement_used_operations{identity="app-2"} 900"#,
        r#"dvbulk_identity_entitlement_limit_operations{identity="app-2"} 1000"#,
        r#"dvbulk_identity_entitlement_used_up_in_seconds{identity="app-2"} 60.5"#,
    ] {
        assert!(with.contains(series), "{series} is missing in\n{with}");
    }
    *meters.identity(IdentityId(1)).entitlement.lock() =
        Some(EntitlementUse { used_up_in_secs: None, ..told });
    assert!(!page(&meters).contains("used_up_in"), "it lasts: there is no moment to show");
}

#[test]
fn the_room_on_the_ledgers_disk_is_shown_where_it_can_be_asked_for() {
    let meters = meters();
    assert!(!page(&meters).contains("dvbulk_ledger_disk_free_bytes "));
    let folder = tempfile::tempdir().expect("a folder");
    meters.ledger_stands_in(folder.path());
    assert!(page(&meters).contains("dvbulk_ledger_disk_free_bytes "));
    meters.ledger_stands_in(&folder.path().join("missing"));
    assert!(!page(&meters).contains("dvbulk_ledger_disk_free_bytes "));
}

#[test]
fn pages_made_at_once_are_whole() {
    let meters = meters();
    meters.show(view(vec![lane(0, Some(0)), lane(1, Some(0))]));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..50 {
                    let page = page(&meters);
                    assert_eq!(page.matches("dvbulk_waiting{").count(), 2);
                    assert_eq!(page.matches("dvbulk_identity_window_used_seconds{").count(), 2);
                }
            });
        }
    });
}
