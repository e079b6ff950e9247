//! `dvbulk tuning show|reset`: what was learnt about an environment, for people.

use crate::cli::args::{TuningResetArgs, TuningShowArgs};
use crate::cli::exit;
use crate::cli::run::print;
use crate::cli::tuning_store::TuningStore;
use crate::control::ask::ask;
use crate::runtime::clock;
use crate::tuning::learned::{Learned, LearnedEnvironment};
use hyper::Method;
use std::fmt::Write as _;

/// `dvbulk tuning show`.
///
/// # Errors
/// When the job file cannot be read.
pub(super) fn show(args: &TuningShowArgs) -> anyhow::Result<u8> {
    let job = crate::config::read::load(&args.job)?;
    let store = TuningStore::of_job(&job);
    let (learned, notice) = match store.as_ref().map(TuningStore::load) {
        Some(Ok(learned)) => (learned, None),
        Some(Err(notice)) => (None, Some(notice.to_string())),
        None => (None, None),
    };
    let file = store.map(|store| store.path().display().to_string());
    if args.json {
        let mut text = serde_json::to_string_pretty(&serde_json::json!({
            "environment": job.environment.url,
            "file": file,
            "notice": notice,
            "learned": learned,
        }))?;
        text.push('\n');
        print(&text)?;
        return Ok(exit::DONE);
    }
    let mut text = match &learned {
        Some(learned) => describe(learned, clock::wall_ms()),
        None => format!("nothing learnt yet about {}\n", job.environment.url),
    };
    match (notice, file) {
        (Some(notice), _) => writeln!(text, "{notice}")?,
        (None, Some(file)) if learned.is_some() => writeln!(text, "file: {file}")?,
        (None, _) => {}
    }
    if !job.tuning.remember {
        writeln!(text, "[tuning] remember = false: this job neither uses nor adds to it")?;
    }
    print(&text)?;
    Ok(exit::DONE)
}

/// `dvbulk tuning reset`.
///
/// # Errors
/// When the job file cannot be read, nothing was learnt about the table, or the file cannot be
/// written.
pub(super) async fn reset(args: &TuningResetArgs) -> anyhow::Result<u8> {
    let job = crate::config::read::load(&args.job)?;
    let forgotten = match TuningStore::of_job(&job) {
        Some(store) => store.forget(args.table.as_deref())?,
        None => 0,
    };
    let kinds = if forgotten == 1 { "kind" } else { "kinds" };
    let mut text = format!("forgot {forgotten} {kinds} of requests\n");
    if ask(&job.ledger_folder, Method::GET, "/status").await.is_ok() {
        text.push_str("a load of this job is running: what it has learnt is kept at its end\n");
    }
    print(&text)?;
    Ok(exit::DONE)
}

/// What was learnt, at `wall_ms`.
fn describe(learned: &Learned, wall_ms: i64) -> String {
    let mut text = String::new();
    let mut line = |l: std::fmt::Arguments<'_>| {
        let written = writeln!(text, "{l}");
        debug_assert!(written.is_ok(), "writing to a String cannot fail");
    };
    line(format_args!(
        "{}, organization {}, {}",
        learned.url,
        learned.organization,
        age(wall_ms, learned.saved_ms)
    ));
    match &learned.environment {
        Some(environment) => {
            let [limits, pace] = lines_of(environment);
            line(format_args!("{limits}"));
            line(format_args!("{pace}"));
        }
        None => line(format_args!("limits not known yet")),
    }
    line(format_args!(
        "{:<24} {:<9} {:>5} {:>9} {:>8} {:>8} {:>8} {:>8}  {:<10} columns  bypass",
        "table", "operation", "rows", "fixed ms", "row ms", "row² µs", "refused", "samples", "age"
    ));
    for table in &learned.tables {
        let [fixed, row, square] = table.cost;
        let columns: String = table.kind.columns.chars().take(8).collect();
        let bypass = if table.kind.bypass.is_empty() { "-" } else { &table.kind.bypass };
        line(format_args!(
            "{:<24} {:<9} {:>5.0} {:>9.1} {:>8.3} {:>8.3} {:>6.2} % {:>8}  {:<10} {columns:<8} {bypass}",
            table.kind.table,
            table.kind.operation,
            table.batch_rows,
            fixed * 1e3,
            row * 1e3,
            square * 1e6,
            table.bad_row_rate * 100.0,
            table.samples,
            age(wall_ms, table.saved_ms),
        ));
    }
    text
}

fn lines_of(environment: &LearnedEnvironment) -> [String; 2] {
    let counted = match (environment.scope.as_str(), environment.servers) {
        ("server", 0) => "counted by identity and server".to_owned(),
        ("server", servers) => format!("counted by identity and server, {servers} servers"),
        ("identity", _) => "counted by identity".to_owned(),
        _ => "not known where it is counted".to_owned(),
    };
    let limits = format!(
        "{counted}; limits of a counter: {:.0} s of execution and {:.0} requests in a window, {:.0} requests at once",
        environment.time_limit_secs, environment.requests_limit, environment.parallel_limit,
    );
    let pace = format!(
        "best: {:.0} requests at once with {} identities; a request gets {:.2} % slower by 1 % more at once, {:.2} % by 1 % more rows in flight; round trip {:.0} ms",
        environment.parallel,
        environment.identities,
        environment.elasticity_parallel,
        environment.elasticity_rows,
        environment.latency_secs * 1e3,
    );
    [limits, pace]
}

/// How long ago, in one unit.
fn age(now_ms: i64, then_ms: i64) -> String {
    let minutes = now_ms.saturating_sub(then_ms).max(0) / 60_000;
    match minutes {
        0 => "just now".to_owned(),
        1..60 => format!("{minutes} min ago"),
        60..2880 => format!("{} h ago", minutes / 60),
        _ => format!("{} d ago", minutes / 1440),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tuning::learned::{LearnedTable, RequestKind, VERSION};

    #[test]
    fn what_was_learnt_for_people() {
        let now = 1_784_000_000_000;
        let table = |name: &str, operation: &str, bypass: &str, minutes: i64| LearnedTable {
            kind: RequestKind {
                table: name.into(),
                operation: operation.into(),
                columns: "9f86d081884c7d659a2feaa0c55ad015".into(),
                bypass: bypass.into(),
            },
            batch_rows: 118.6,
            cost: [0.0512, 0.002_04, 0.000_001_3],
            variance: 0.04,
            hazard: 0.001,
            bad_row_rate: 0.0123,
            batch_ratio: 1.3,
            samples: 4021,
            saved_ms: now - minutes * 60_000,
        };
        let mut learned = Learned {
            version: VERSION,
            organization: "0b3cb4f6-0000-4000-8000-000000000001".into(),
            url: "https://contoso.crm4.dynamics.com".into(),
            saved_ms: now - 125 * 60_000,
            environment: Some(LearnedEnvironment {
                scope: "server".into(),
                servers: 3,
                time_limit_secs: 1200.0,
                requests_limit: 6000.0,
                parallel_limit: 52.0,
                identities: 2,
                parallel: 41.4,
                elasticity_parallel: 0.42,
                elasticity_rows: 0.2,
                latency_secs: 0.0204,
            }),
            tables: vec![
                table("account", "create", "sync+flows", 0),
                table("new_averylongtablename1", "upsert", "", 3 * 1440),
            ],
        };
        insta::assert_snapshot!(describe(&learned, now), @r#"
    https://contoso.crm4.dynamics.com, organization 0b3cb4f6-0000-4000-8000-000000000001, 2 h ago
    counted by identity and server, 3 servers; limits of a counter: 1200 s of execution and 6000 requests in a window, 52 requests at once
    best: 41 requests at once with 2 identities; a request gets 0.42 % slower by 1 % more at once, 0.20 % by 1 % more rows in flight; round trip 20 ms
    table                    operation  rows  fixed ms   row ms  row² µs  refused  samples  age        columns  bypass
    account                  create      119      51.2    2.040    1.300   1.23 %     4021  just now   9f86d081 sync+flows
    new_averylongtablename1  upsert      119      51.2    2.040    1.300   1.23 %     4021  3 d ago    9f86d081 -
    "#);
        learned.environment = None;
        learned.tables.clear();
        insta::assert_snapshot!(describe(&learned, now), @r#"
    https://contoso.crm4.dynamics.com, organization 0b3cb4f6-0000-4000-8000-000000000001, 2 h ago
    limits not known yet
    table                    operation  rows  fixed ms   row ms  row² µs  refused  samples  age        columns  bypass
    "#);
    }
}
