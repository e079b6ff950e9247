//! What the screen shows, at several sizes of terminal.

use super::*;
use crate::control::status::{HistoryStatus, LoadTuningStatus, RefusedStatus, TuningStatus};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use std::collections::BTreeMap;

fn load(name: &str, settled: u64, failed: u64, waiting: &str, reason: &str) -> LoadStatus {
    LoadStatus {
        name: name.into(),
        read: settled + failed + 45,
        open: 45,
        rows: BTreeMap::from([("created".to_owned(), settled), ("failed".to_owned(), failed)]),
        rows_per_second: 100.0,
        rows_per_second_now: Some(1200.4),
        eta_secs: Some(3725.0),
        requests: BTreeMap::new(),
        in_flight: 3,
        parallel: 8,
        batch_rows: 100,
        source_share: Some(0.504),
        waiting: waiting.into(),
        reason: reason.into(),
        tuning: None,
        history: vec![],
    }
}

fn lane(server: u32, used: f64, closed_secs: f64) -> LaneStatus {
    LaneStatus {
        server: Some(server),
        time_used_secs: used,
        time_limit_secs: 1200.0,
        requests_used: 100.0,
        requests_limit: 6000.0,
        in_flight: 2,
        parallel_limit: 52.0,
        tokens_secs: 1.0,
        closed_secs,
        closed_by: None,
    }
}

pub(in crate::cli::top) fn status() -> RunStatus {
    let mut loads = vec![
        load("account", 1_234_567, 0, "done", "done"),
        load(
            "contact",
            12_000,
            345,
            "window",
            "limited by the execution time of identity app-1 (1190 of 1200)",
        ),
        load("a&b ä", 0, 0, "operator", "paused by operator"),
    ];
    loads[2].tuning = Some(LoadTuningStatus {
        batch_optimum: 90,
        batch_range: [1, 1000],
        parallel_max: 512,
        weight: 2.0,
        share: 0.4,
        cost: None,
        predicted_over_actual: 1.0,
        rows_per_execution_second: 50.0,
        bad_row_rate: 0.0,
        hazard: 0.0,
        samples: 9,
        paused: true,
    });
    let identity = |name: &str, lanes| IdentityStatus {
        name: name.into(),
        throttles: BTreeMap::from([("execution_time".to_owned(), 2)]),
        paused: Some(false),
        closed: Some(false),
        lanes,
    };
    RunStatus {
        orders: crate::control::orders_status::OrdersStatus::default(),
        job: "crm".into(),
        environment: "https://crm.example".into(),
        state: "running".into(),
        pid: 1,
        elapsed_secs: 245.0,
        memory_taken_bytes: 3 << 20,
        memory_budget_bytes: 512 << 20,
        page: None,
        rows_per_second_now: Some(2400.8),
        eta_secs: None,
        tuning: Some(TuningStatus {
            scope: "server".into(),
            servers: Some(2),
            parallel_target: 20.5,
            parallel_bound: "budget".into(),
            elasticity_parallel: None,
            elasticity_rows: None,
            sprint: false,
            max_share: 0.4,
        }),
        loads,
        identities: vec![
            identity("app-1", vec![lane(0, 1190.0, 0.0), lane(1, 300.0, 12.4)]),
            identity("an-alias-too-long", vec![]),
        ],
        last_errors: vec![
            RefusedStatus {
                load: "contact".into(),
                code: "0x80040237".into(),
                category: "duplicate".into(),
                key: Some("C-00017".into()),
                message: Some("a row with\u{1b}[2J this key\nis there".into()),
            },
            RefusedStatus {
                load: "contact".into(),
                code: "DV0301".into(),
                category: "value".into(),
                key: None,
                message: None,
            },
        ],
        history: HistoryStatus { bucket_secs: 5, rows: (0..30).map(|n| n * 400).collect() },
    }
}

fn screen(view: &View, width: u16, height: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a terminal");
    terminal.draw(|frame| draw(frame, view)).expect("it is drawn");
    terminal.backend().to_string()
}

#[test]
fn all_is_seen_on_a_common_terminal() {
    let mut view = View::new(status());
    view.selected = 1;
    insta::assert_snapshot!(screen(&view, 80, 24), @r#"
    "crm: running  4m 5s  https://crm.example                                        "
    "settled 1,246,912 of 1,247,047  refused 345  2,401 rows/s  left –  memory 3/512 "
    "rows/s, last 2m 30s, at most 2,320                                              "
    "                     ▁▂▃▃▄▅▆▇█                                                  "
    "           ▁▁▂▃▄▅▆▆▇██████████                                                  "
    "  ▁▂▃▄▄▅▆▇████████████████████                                                  "
    "load                     done     settled  refused  rows/s    left       sending"
    "account                  50 %   1,234,567        0   1,200   1h 2m     3/8 × 100"
    "contact                  50 %      12,345      345   1,200   1h 2m     3/8 × 100"
    "a&b ä                    50 %           0        0   1,200   1h 2m     3/8 × 100"
    "contact: limited by the execution time of identity app-1 (1190 of 1200)         "
    "identities: aiming at 20.5 at once (budget), counted by server, 2 servers, at mo"
    "app-1 s0       429s 2       time, s ████████ 1190/1200  requests ░░░░░░░░ 100/60"
    "app-1 s1       closed 13s   time, s ██░░░░░░ 300/1200   requests ░░░░░░░░ 100/60"
    "an-alias-too-… 429s 2                                                           "
    "last refused rows                                                               "
    "contact C-00017 0x80040237 a row with [2J this key is there                     "
    "contact – DV0301 value                                                          "
    "                                                                                "
    "                                                                                "
    "                                                                                "
    "                                                                                "
    "                                                                                "
    "q quit  p pause  r resume  d drain  ↑↓ load  space pause load                   "
    "#);
}

#[test]
fn a_large_terminal_says_more() {
    let mut view = View::new(status());
    view.selected = 2;
    view.asks_to_drain = true;
    insta::assert_snapshot!(screen(&view, 120, 40), @r#"
    "crm: running  4m 5s  https://crm.example                                                                                "
    "settled 1,246,912 of 1,247,047  refused 345  2,401 rows/s  left –  memory 3/512 MiB                                     "
    "rows/s, last 2m 30s, at most 2,320                                                                                      "
    "                     ▁▂▃▃▄▅▆▇█                                                                                          "
    "           ▁▁▂▃▄▅▆▆▇██████████                                                                                          "
    "  ▁▂▃▄▄▅▆▇████████████████████                                                                                          "
    "load                done     settled    open  refused  rows/s    left       sending held by                             "
    "account             50 %   1,234,567      45        0   1,200   1h 2m     3/8 × 100 done                                "
    "contact             50 %      12,345      45      345   1,200   1h 2m     3/8 × 100 limited by the execution time of ide"
    "a&b ä               50 %           0      45        0   1,200   1h 2m     3/8 × 100 paused by operator                  "
    "a&b ä: paused by operator; best 90 rows (1–1000), weight 2, paused                                                      "
    "identities: aiming at 20.5 at once (budget), counted by server, 2 servers, at most 40 %                                 "
    "app-1 s0       429s 2       time, s ████████ 1190/1200  requests ░░░░░░░░ 100/6000   at once ░░░░░░░░ 2/52              "
    "app-1 s1       closed 13s   time, s ██░░░░░░ 300/1200   requests ░░░░░░░░ 100/6000   at once ░░░░░░░░ 2/52              "
    "an-alias-too-… 429s 2                                                                                                   "
    "last refused rows                                                                                                       "
    "contact C-00017 0x80040237 a row with [2J this key is there                                                             "
    "contact – DV0301 value                                                                                                  "
    "                                                                                                                        "
    "                                                                                                                        "
    "                                                                                                                        "
    "                                                                                                                        "
    "                                                                                                                        "
    "                                                                                                                        "
    "                                                                                                                        "
    "                                                                                                                        "
    "                                                                                                                        "
    "                                                                                                                        "
    "                                                                                                                        "
    "                                                                                                                        "
    "                                                                                                                        "
    "                                                                                                                        "
    "                                                                                                                        "
    "                                                                                                                        "
    "                                                                                                                        "
    "                                                                                                                        "
    "                                                                                                                        "
    "                                                                                                                        "
    "                                                                                                                        "
    "finish what was begun, then end the load? y yes, any other key no                                                       "
    "#);
}

#[test]
fn a_narrow_terminal_shows_less_and_no_nonsense() {
    let mut view = View::new(RunStatus { state: "paused".into(), ..status() });
    view.note = "the running load refused".into();
    insta::assert_snapshot!(screen(&view, 40, 12), @r#"
    "crm: paused  4m 5s  https://crm.example "
    "settled 1,246,912 of 1,247,047  refused "
    "load                     settled  rows/s"
    "account                1,234,567   1,200"
    "contact                   12,345   1,200"
    "a&b ä                          0   1,200"
    "account: done                           "
    "identities: aiming at 20.5 at once (budg"
    "app-1 s0       429s 2       time, s ████"
    "last refused rows                       "
    "contact C-00017 0x80040237 a row with [2"
    "the running load refused                "
    "#);
}

#[test]
fn every_size_can_be_drawn() {
    let view = View::new(status());
    let empty = View::new(RunStatus {
        loads: vec![],
        identities: vec![],
        last_errors: vec![],
        tuning: None,
        history: HistoryStatus::default(),
        rows_per_second_now: None,
        ..status()
    });
    for width in [1, 29, 30, 31, 47, 48, 63, 72, 99, 100, 140] {
        for height in (1..=20).chain([45]) {
            screen(&view, width, height);
            screen(&empty, width, height);
        }
    }
    assert!(screen(&view, 20, 5).contains("terminal too small"));
}

#[test]
fn names_and_messages_cannot_steer_the_terminal() {
    let shown = screen(&View::new(status()), 120, 40);
    assert!(!shown.contains('\u{1b}'), "{shown}");
    assert!(shown.contains("a row with [2J this key is there"), "{shown}");
}
