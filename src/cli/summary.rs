//! From the meters of a run to its summary.

use crate::cli::exit;
use crate::cli::load::Outcome;
use crate::cli::report::{FileSummary, LoadSummary, RunSummary, StateCounts, Throttles};
use crate::config::job::Job;
use crate::pipeline::run::whole::{LaneEnd, LaneFailed};
use crate::record::outcome::RowState;
use crate::record::throttle::Throttle;
use crate::runtime::signals::Came;
use crate::runtime::usage;
use std::time::Duration;

/// The summary of a run.
pub(super) fn summarize(job: &Job, outcome: &Outcome) -> RunSummary {
    let mut loads: Vec<LoadSummary> = Vec::new();
    for (index, load) in job.tables.iter().enumerate() {
        let meters = &outcome.meters.loads()[index];
        let mut states = StateCounts::default();
        for state in RowState::ALL {
            states.add(state, meters.settled(state));
        }
        let bad = states.bad();
        let good = RowState::ALL.into_iter().filter(|s| s.is_good()).map(|s| states.get(s)).sum();
        let mut files = Vec::new();
        if let Some((success, errors)) = &outcome.files[index] {
            files.push(file("success", success, good));
            files.push(file("errors", errors, bad));
        }
        if let Some((path, rows)) = outcome.unprocessed.get(index).and_then(Option::as_ref) {
            files.push(file("unprocessed", path, *rows));
        }
        let open = u64::try_from(meters.open.get()).unwrap_or(0);
        let in_flight = in_flight(outcome, index).min(open);
        loads.push(LoadSummary {
            name: load.name.clone(),
            table: load.table.clone(),
            operation: load.operation.word(),
            read: meters.read.get(),
            states,
            queued: open - in_flight,
            in_flight,
            settled_now: meters.settled_all().saturating_sub(outcome.settled_before[index]),
            elapsed: outcome.elapsed,
            requests: meters.requests_all(),
            throttles: Throttles::default(),
            files,
        });
    }
    // Throttles belong to identities; the run's total stands with the first load that sent.
    let mut throttles = Throttles::default();
    let mut waited = 0.0_f64;
    for identity in outcome.meters.identities() {
        throttles.execution_time += identity.throttles(Throttle::Time);
        throttles.requests += identity.throttles(Throttle::Requests);
        throttles.concurrency += identity.throttles(Throttle::Concurrency);
        throttles.other += identity.throttles(Throttle::Other);
        waited = waited.max(identity.closed_seconds.get());
    }
    if let Some(first) = loads.first_mut() {
        first.throttles = throttles;
    }
    let (incomplete, code) = why_incomplete(outcome);
    RunSummary {
        job: job.name.clone(),
        environment: job.environment.url.clone(),
        organization: outcome.organization.clone(),
        loads,
        elapsed: outcome.elapsed,
        waited: Duration::from_secs_f64(waited.min(outcome.elapsed.as_secs_f64())),
        usage: usage::now(),
        ledger: job.ledger_folder.display().to_string(),
        incomplete,
        exit: code,
    }
}

/// Rows on the wire whose answers the run did not wait for; the next run settles them.
fn in_flight(outcome: &Outcome, index: usize) -> u64 {
    match outcome.end.loads.get(index) {
        Some(Ok(LaneEnd::Stopped { in_flight })) => *in_flight,
        _ => 0,
    }
}

fn file(kind: &'static str, path: &std::path::Path, rows: u64) -> FileSummary {
    FileSummary { kind, path: path.display().to_string(), rows }
}

fn why_incomplete(outcome: &Outcome) -> (Option<String>, Option<u8>) {
    for end in &outcome.end.loads {
        if let Err(failed) = end {
            let code = match failed {
                LaneFailed::Source(_) => exit::USAGE,
                LaneFailed::Ledger(_) | LaneFailed::Invariant { .. } => exit::LEDGER,
            };
            return (Some(failed.to_string()), Some(code));
        }
    }
    for end in &outcome.end.loads {
        if let Ok(LaneEnd::Paused(why)) = end {
            return (Some(why.clone()), Some(exit::PAUSED));
        }
    }
    if let Some(why) = &outcome.end.sinks {
        return (Some(why.clone()), Some(exit::LEDGER));
    }
    if outcome.end.is_complete() {
        return (None, None);
    }
    match outcome.signal {
        Some(Came::Interrupt) => (Some("interrupted".to_owned()), Some(exit::INTERRUPTED)),
        Some(Came::Terminate) => (Some("asked to end".to_owned()), Some(exit::TERMINATED)),
        None => (Some("drained before the end of the source".to_owned()), Some(exit::DONE)),
    }
}
