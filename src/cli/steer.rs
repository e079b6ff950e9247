//! `dvbulk status`, `set`, `pause`, `resume`, `drain`: talk to a running load.

use crate::cli::args::{PauseArgs, SetArgs, StatusArgs};
use crate::cli::exit;
use crate::cli::run::print;
use crate::config::job::Job;
use crate::control::ask::ask;
use crate::control::change::{Change, words};
use crate::control::orders_status::{LoadOrdersStatus, OrdersStatus};
use crate::control::status::RunStatus;
use crate::control::token::TOKEN_NAME;
use crate::tuning::orders::Range;
use hyper::Method;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::Path;

/// Changes told by `dvbulk status`; all remembered ones stand in its JSON.
const CHANGES_TOLD: usize = 5;

/// `dvbulk status`.
///
/// # Errors
/// When the job file cannot be read or no load of it is running here.
pub(super) async fn status(args: &StatusArgs) -> anyhow::Result<u8> {
    let job = crate::config::read::load(&args.job)?;
    let status = ask(&job.ledger_folder, Method::GET, "/status").await?;
    let text = if args.json {
        let mut text = serde_json::to_string_pretty(&status)?;
        text.push('\n');
        text
    } else {
        let mut text = describe(&status);
        if let Some(page) = &status.page {
            let token = job.ledger_folder.join(TOKEN_NAME);
            text.push_str(&format!("page {page}, steered with the token in {}\n", token.display()));
        }
        text
    };
    io::stdout().write_all(text.as_bytes())?;
    Ok(exit::DONE)
}

/// `dvbulk drain`, and `pause` and `resume` of the whole; `path` is `/pause`, `/resume` or `/drain`.
///
/// # Errors
/// As [`status`], and when the running load refuses.
pub(super) async fn steer(job: &Path, path: &str) -> anyhow::Result<u8> {
    let job: Job = crate::config::read::load(job)?;
    let status = ask(&job.ledger_folder, Method::POST, path).await?;
    print(&format!("{} is {}\n", status.job, status.state))?;
    Ok(exit::DONE)
}

/// `dvbulk set`.
///
/// # Errors
/// As [`status`], and when the change breaks a rule; then nothing is changed.
pub(super) async fn set(args: &SetArgs) -> anyhow::Result<u8> {
    change(&args.job, &Change::set(&args.table, args.settings.iter().map(String::as_str))?).await
}

/// `dvbulk pause` and `dvbulk resume`, of the whole or of one table or identity.
///
/// # Errors
/// As [`set`].
pub(super) async fn pause(args: &PauseArgs, paused: bool) -> anyhow::Result<u8> {
    let one = match (&args.table, &args.identity) {
        (Some(load), _) => Change::PauseLoad { load: load.clone(), paused },
        (None, Some(identity)) => Change::PauseIdentity { identity: identity.clone(), paused },
        (None, None) => return steer(&args.job, if paused { "/pause" } else { "/resume" }).await,
    };
    change(&args.job, &one).await
}

async fn change(job: &Path, change: &Change) -> anyhow::Result<u8> {
    let job: Job = crate::config::read::load(job)?;
    let status = ask(&job.ledger_folder, Method::POST, &change.request()).await?;
    let orders = &status.orders;
    let text = match change {
        Change::Set { load, .. } | Change::PauseLoad { load, .. } => {
            orders.loads.iter().find(|l| l.name == *load).map(describe_load)
        }
        Change::PauseIdentity { identity, .. } => orders
            .identities
            .iter()
            .find(|i| i.name == *identity)
            .map(|i| format!("identity {} is {}", i.name, going(i.paused))),
    };
    print(&format!("{}\n", text.unwrap_or_else(|| "done".to_owned())))?;
    Ok(exit::DONE)
}

const fn going(paused: bool) -> &'static str {
    if paused { "paused" } else { "running" }
}

fn describe_load(load: &LoadOrdersStatus) -> String {
    let range = |[min, max]: [u32; 2]| words(Range { min, max });
    format!(
        "load {} is {}: batch {}, parallel {}, weight {}",
        load.name,
        going(load.paused),
        range(load.batch),
        range(load.parallel),
        load.weight
    )
}

/// What is wanted of a run, as far as it is not the usual.
fn describe_orders(orders: &OrdersStatus) -> String {
    let mut text = String::new();
    let mut line = |l: std::fmt::Arguments<'_>| {
        let written = writeln!(text, "{l}");
        debug_assert!(written.is_ok(), "writing to a String cannot fail");
    };
    if let Some(schedule) = &orders.schedule {
        let until = schedule.until_ms.map_or_else(String::new, |ms| format!(" until {}", utc(ms)));
        let percent = orders.max_share * 100.0;
        line(format_args!("schedule `{}`: {percent:.0} % of the limits{until}", schedule.name));
    }
    for load in orders.loads.iter().filter(|l| l.paused) {
        line(format_args!("load {} is paused by an operator", load.name));
    }
    for identity in &orders.identities {
        if identity.paused {
            line(format_args!("identity {} is paused by an operator", identity.name));
        }
        let Some(counted) = &identity.entitlement else { continue };
        let outlook = match (counted.stopped, counted.room_at_ms, counted.used_up_at_ms) {
            (true, Some(room), _) => format!("; stopped until {}", utc(room)),
            (false, Some(_), _) => "; used up".to_owned(),
            (_, None, Some(at)) => format!("; used up at {} at this rate", utc(at)),
            (_, None, None) => String::new(),
        };
        line(format_args!(
            "identity {:<9} {} of {} operations in 24 h{outlook}",
            identity.name, counted.used, counted.limit
        ));
    }
    for made in orders.recent.iter().rev().take(CHANGES_TOLD).rev() {
        line(format_args!("{} {}: {}", utc(made.wall_ms), made.who.word(), made.text));
    }
    text
}

fn utc(wall_ms: i64) -> String {
    jiff::Timestamp::from_millisecond(wall_ms)
        .map_or_else(|_| "-".to_owned(), |t| t.strftime("%Y-%m-%d %H:%MZ").to_string())
}

/// A run for people.
#[must_use]
pub(super) fn describe(status: &RunStatus) -> String {
    let mut text = String::new();
    let mut line = |l: std::fmt::Arguments<'_>| {
        let written = writeln!(text, "{l}");
        debug_assert!(written.is_ok(), "writing to a String cannot fail");
    };
    line(format_args!(
        "{}: {} for {} (process {}), memory {} of {} MiB",
        status.job,
        status.state,
        humantime::format_duration(std::time::Duration::from_secs(status.elapsed_secs as u64)),
        status.pid,
        status.memory_taken_bytes >> 20,
        status.memory_budget_bytes >> 20
    ));
    line(format_args!(
        "{:<18} {:>10} {:>10} {:>9} {:>8}  {:<9} now",
        "load", "read", "settled", "refused", "rows/s", "sending"
    ));
    for load in &status.loads {
        line(format_args!(
            "{:<18} {:>10} {:>10} {:>9} {:>8.0}  {:<9} {}",
            load.name,
            load.read,
            load.settled(),
            load.refused(),
            load.rows_per_second_now.unwrap_or(load.rows_per_second),
            format!("{}/{}x{}", load.in_flight, load.parallel, load.batch_rows),
            load.reason
        ));
    }
    for identity in &status.identities {
        let throttles: u64 = identity.throttles.values().sum();
        line(format_args!("identity {:<9} throttled {throttles} times", identity.name));
    }
    text.push_str(&describe_orders(&status.orders));
    text
}
