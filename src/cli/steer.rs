//! `dvbulk status`, `pause`, `resume`, `drain`: talk to a running load.

use crate::cli::args::{JobArgs, StatusArgs};
use crate::cli::exit;
use crate::config::job::Job;
use crate::control::ask::ask;
use crate::control::status::RunStatus;
use crate::control::token::TOKEN_NAME;
use hyper::Method;
use std::fmt::Write as _;
use std::io::{self, Write as _};

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

/// `dvbulk pause|resume|drain`; `path` is `/pause`, `/resume` or `/drain`.
///
/// # Errors
/// As [`status`], and when the running load refuses.
pub(super) async fn steer(args: &JobArgs, path: &str) -> anyhow::Result<u8> {
    let job: Job = crate::config::read::load(&args.job)?;
    let status = ask(&job.ledger_folder, Method::POST, path).await?;
    writeln!(io::stdout(), "{} is {}", status.job, status.state)?;
    Ok(exit::DONE)
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
    text
}
