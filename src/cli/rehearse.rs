//! `dvbulk demo`: made-up files, a local Dataverse, the ordinary load, and the proof.

use crate::cli::args::{DemoArgs, LoadArgs};
use crate::cli::demo::{self, DemoTarget};
use crate::cli::run::print;
use crate::cli::{exit, load, summary};
use crate::record::throttle::Throttle;
use crate::runtime::clock;
use crate::simulator::serve::Simulator;
use crate::simulator::settings::{Settings, UserSettings};
use crate::telemetry::progress::Display;
use anyhow::Context;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;

/// Application users of the rehearsal.
const IDENTITIES: u32 = 4;
/// Simulated seconds per real second, so that nobody waits through five-minute windows.
const SPEED: f64 = 30.0;
/// `dvbulk demo`.
pub(super) async fn run(args: &DemoArgs, display: &Display) -> anyhow::Result<u8> {
    let (folder, keep) = folder(args)?;
    let begun = clock::now();
    say(&format!("making {} rows under {}", args.rows, folder.display()));
    let (rows, seed, share) = (args.rows, args.seed, args.bad_share);
    let place = folder.clone();
    let set = tokio::task::spawn_blocking(move || demo::generate(&place, rows, seed, share))
        .await?
        .with_context(|| {
            format!("cannot write the files of the rehearsal under {}", folder.display())
        })?;
    let took = clock::now().saturating_since(begun);
    say(&format!(
        "{} rows in {} files, {} of them bad on purpose ({:.1} s)",
        set.rows(),
        set.loads.len(),
        set.bad_rows(),
        took.as_secs_f64()
    ));
    let settings = settings(args.seed);
    let target = DemoTarget {
        url: String::new(),
        organization: settings.environment.organization_id.to_string(),
        authority: String::new(),
        tenant: settings.tenant.clone(),
        clients: settings
            .users
            .iter()
            .map(|u| (u.client_id.to_string(), u.secret.clone().unwrap_or_default()))
            .collect(),
    };
    let simulator = Simulator::start(settings, SocketAddr::from(([127, 0, 0, 1], 0))).await?;
    let url = simulator.url();
    say(&format!(
        "a local Dataverse answers at {url}, {SPEED:.0} times as fast as the clock; {IDENTITIES} application users"
    ));
    let job_file = set.write_job(&DemoTarget { url: url.clone(), authority: url, ..target })?;
    let job = crate::config::read::load(&job_file)?;
    let load_args = LoadArgs {
        job: job_file.clone(),
        watch: false,
        no_wait: true,
        summary: None,
        service_speed: SPEED,
    };
    let outcome = load::load(&job, &load_args, display).await?;
    let summary = summary::summarize(&job, &outcome);
    print(&summary.human())?;
    let code = summary.exit_code();
    if code != exit::DONE && code != exit::WITH_FAILURES {
        return Ok(code);
    }
    let verified = demo::verify(&set, &job.sink_folder);
    let stats = simulator.stats();
    simulator.stop().await;
    let proved = verified.is_ok() && summary.is_balanced() && summary.is_complete();
    let mut text = String::new();
    match &verified {
        Ok(()) => writeln!(
            text,
            "proved: the error files hold the {} bad rows and no other; the local Dataverse answered {} requests, {} with 429, {} of its requests came inside a wait it had asked for",
            set.bad_rows(),
            stats.requests,
            outcome_throttles(&outcome),
            stats.inside_retry_after - stats.inside_retry_after_racing,
        )?,
        Err(differences) => {
            writeln!(text, "NOT proved:")?;
            for difference in differences {
                writeln!(text, "  {difference}")?;
            }
        }
    }
    if keep || !proved {
        writeln!(text, "files: {}   job: {}", folder.display(), job_file.display())?;
        writeln!(
            text,
            "a load of your own: copy the job file, point it at your environment, then\n  dvbulk check JOB.toml && dvbulk load JOB.toml\nwhile it runs: curl http://ADDRESS/metrics (the address is printed at the start), dvbulk status JOB.toml"
        )?;
    }
    print(&text)?;
    if !keep && proved {
        std::fs::remove_dir_all(&folder)
            .with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    Ok(if proved { exit::DONE } else { exit::WITH_FAILURES })
}

fn outcome_throttles(outcome: &load::Outcome) -> u64 {
    let identities = outcome.meters.identities();
    identities.iter().flat_map(|i| Throttle::ALL.map(|k| i.throttles(k))).sum()
}

fn say(text: &str) {
    // Nobody to tell if standard error is gone.
    drop(writeln!(io::stderr(), "{text}"));
}

fn settings(seed: u64) -> Settings {
    let mut settings = Settings {
        seed,
        speed: SPEED,
        users: (1..=IDENTITIES).map(UserSettings::numbered).collect(),
        ..Settings::default()
    };
    settings.latency.scale = 1.0;
    settings
}

fn folder(args: &DemoArgs) -> anyhow::Result<(PathBuf, bool)> {
    if let Some(folder) = &args.folder {
        if folder.join("ledger").exists() {
            anyhow::bail!(
                "{} holds an earlier rehearsal; remove it or name another folder",
                folder.display()
            );
        }
        return Ok((std::path::absolute(folder)?, true));
    }
    let name = format!("dvbulk-demo-{}", std::process::id());
    Ok((std::env::temp_dir().join(name), args.keep))
}
