//! `dvbulk load`: the real thing.

use crate::cli::args::LoadArgs;
use crate::cli::connect::{self, NotConnected};
use crate::cli::exit;
use crate::cli::following::{self, Following};
use crate::cli::tuning_store::TuningStore;
use crate::config::job::{Job, SinkFormat};
use crate::config::orders::request_kind;
use crate::control::server::{ControlServer, Controlled, ListenRefused};
use crate::control::status::RunFacts;
use crate::control::steering::{Steering, Wish};
use crate::pipeline::ledger::fingerprint::{Belongs, LoadBelongs};
use crate::pipeline::ledger::recover::LoadRecovery;
use crate::pipeline::ledger::{Ledger, LedgerOptions, OpenRefused};
use crate::pipeline::run::discover::discover;
use crate::pipeline::run::leftover;
use crate::pipeline::run::plan::LoadPlan;
use crate::pipeline::run::shared::{RunSettings, Shared};
use crate::pipeline::run::whole::{self, LaneEnd, LaneFailed, RunEnd};
use crate::pipeline::send::pace::Pace;
use crate::pipeline::sink::file::{SinkFiles, Sinks, SinksRefused};
use crate::record::projection::{ProjectionQueue, TableLines};
use crate::runtime::budget::Budget;
use crate::runtime::clock;
use crate::runtime::signals::{Came, Signals};
use crate::telemetry::metrics::Meters;
use crate::telemetry::progress::{self, Display};
use crate::tuning::governor::{Beginning, Governor};
use crate::tuning::learned::RequestKind;
use crate::units::MonoTime;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use xxhash_rust::xxh3::xxh3_64;

/// How one run of a job went.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) end: RunEnd,
    pub(super) meters: Arc<Meters>,
    pub(super) elapsed: Duration,
    /// Rows settled before this run, by load.
    pub(super) settled_before: Vec<u64>,
    /// Success and error file of each load.
    pub(super) files: Vec<Option<(PathBuf, PathBuf)>>,
    /// Rows left, of loads that did not end.
    pub(super) unprocessed: Vec<Option<(PathBuf, u64)>>,
    pub(super) signal: Option<Came>,
    pub(super) organization: String,
}

/// Why a load did not begin.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotBegun {
    #[error("{0}")]
    NotConnected(#[from] NotConnected),
    #[error("{code}: {0}", code = .0.code())]
    Ledger(#[from] OpenRefused),
    #[error("{0}")]
    Sinks(#[from] SinksRefused),
    #[error("{0}")]
    Listen(#[from] ListenRefused),
    #[error("nothing was written: {} this load; `dvbulk check` shows them all:\n{}", forbids(.0.len()), .0.join("\n"))]
    Findings(Vec<String>),
    #[error("{0}")]
    Program(String),
}

impl NotBegun {
    pub(super) const fn exit(&self) -> u8 {
        match self {
            Self::NotConnected(error) => error.exit,
            Self::Ledger(_) | Self::Sinks(_) => exit::LEDGER,
            Self::Listen(_) | Self::Findings(_) | Self::Program(_) => exit::USAGE,
        }
    }
}

fn forbids(findings: usize) -> String {
    match findings {
        1 => "1 finding forbids".to_owned(),
        more => format!("{more} findings forbid"),
    }
}

/// Loads a job from its first unsettled row on. Everything before the first write is checked here.
pub(super) async fn load(
    job: &Job,
    args: &LoadArgs,
    display: &Display,
) -> Result<Outcome, NotBegun> {
    let started = clock::now();
    let connected = connect::connect(job).await?;
    let organization = match &connected.organization_name {
        Some(name) => format!("{name} ({})", connected.organization),
        None => connected.organization.to_string(),
    };
    tracing::info!(%organization, url = %job.environment.url, "the organization the job names");
    let (headers, mut wrong) = connect::headers(job, args.watch);
    let findings = connect::preflight(job, &connected.catalog, &headers);
    wrong.extend(findings.iter().filter(|f| connect::is_error(f)).map(|f| {
        let column = f.column.as_deref().map(|c| format!(", column {c}")).unwrap_or_default();
        format!("  {} load {}{column}: {}; {}", f.code, f.load, f.message, f.way_out)
    }));
    if !wrong.is_empty() {
        return Err(NotBegun::Findings(wrong));
    }
    let plans = connect::plans(job, connected.organization, &connected.catalog);
    for plan in &plans {
        tracing::info!(
            load = %plan.spec.name, table = %plan.target.logical_name, message = plan.message.word(),
            class = ?plan.class,
            "planned"
        );
    }

    let queue = ProjectionQueue::new();
    let names: Vec<String> = job.tables.iter().map(|t| t.name.clone()).collect();
    let aliases: Vec<String> = job.identities.iter().map(|i| i.name.clone()).collect();
    let meters = Meters::new(&names, &aliases).map_err(|e| NotBegun::Program(e.to_string()))?;
    let meters = Arc::new(meters);
    meters.memory_budget.set(i64::try_from(job.memory_budget_bytes).unwrap_or(i64::MAX));
    meters.ledger_stands_in(&job.ledger_folder);
    let options = LedgerOptions {
        projections: queue.clone(),
        meters: Some(meters.ledger.clone()),
        ..LedgerOptions::default()
    };
    let belongs = belongs(job, connected.organization, &plans);
    let (ledger, recovery) = Ledger::open(&job.ledger_folder, &belongs, options)?;
    let counted = Arc::clone(&meters);
    let sinks = Sinks::open(
        &job.sink_folder,
        sink_files(&plans, &recovery.loads),
        queue.clone(),
        ledger.clone(),
        Arc::new(move |shown: &TableLines| {
            let load = counted.load(shown.table);
            for (state, rows) in &shown.counts {
                load.settle(*state, *rows);
            }
            counted.refuse(&shown.refused);
        }),
    )?;
    for path in sinks.restarted() {
        tracing::warn!(path = %path.display(), "was gone and is begun anew; earlier lines are not in it");
    }
    let settled_before: Vec<u64> = recovery.loads.iter().map(|l| l.states.settled()).collect();
    if settled_before.iter().any(|rows| *rows > 0) {
        tracing::info!(
            rows = settled_before.iter().sum::<u64>(),
            batches_in_doubt = recovery.loads.iter().map(|l| l.unsettled.len()).sum::<usize>(),
            "going on where an earlier run stopped"
        );
    }

    let store = TuningStore::new(&job.tuning.folder, connected.organization, &job.environment.url);
    let users: Vec<String> = connected.identities.iter().map(|who| who.user.to_string()).collect();
    let steering = following::steering(job, &plans, &users, &store);
    let mut following = Following::begin(job, &steering, &store);
    let facts = RunFacts {
        job: job.name.clone(),
        environment: job.environment.url.clone(),
        started,
        settled_before: settled_before.clone(),
        memory_budget_bytes: job.memory_budget_bytes,
    };
    let controlled = Arc::new(Controlled::new(Arc::clone(&meters), facts, steering.clone()));
    let server =
        ControlServer::start(Arc::clone(&controlled), job.listen, &job.ledger_folder).await?;
    if let Some(address) = server.address {
        say(&format!(
            "page: http://{address}/   metrics: http://{address}/metrics   state: http://{address}/status"
        ));
    }
    let timeout = job.environment.request_timeout;
    let speed = args.service_speed;
    let (found, servers) = discover(&connected.transport, timeout, speed).await;
    let beginning = Beginning {
        atomic: plans.iter().map(|p| p.message.is_atomic(p.target.kind)).collect(),
        start_rows: plans.iter().map(|p| p.spec.batch.start).collect(),
        orders: steering.orders().borrow().clone(),
        found,
    };
    let there = MonoTime::from_origin(clock::now().since_origin().mul_f64(speed));
    let mut governor = Governor::new(beginning, there);
    let kinds: Vec<RequestKind> = plans.iter().map(|plan| request_kind(&plan.spec)).collect();
    if job.tuning.remember
        && let Some(learned) = store.remembered()
    {
        let known = governor.recall(&learned, &kinds, clock::wall_ms());
        tracing::info!(known, of = kinds.len(), "loads begin with what an earlier run learnt");
    }
    let pace = Pace::new(governor, servers, speed);
    let shared = Arc::new(Shared::new(
        Arc::clone(&connected.transport),
        ledger.clone(),
        queue,
        Arc::clone(&meters),
        steering.clone(),
        Budget::new(job.memory_budget_bytes),
        settings(job, args),
        aliases,
        job.environment.url.clone(),
        pace,
        recovery.next_batch,
    ));
    if job.tuning.remember {
        let (shared, url) = (Arc::clone(&shared), job.environment.url.clone());
        let organization = connected.organization.to_string();
        following.remember(Arc::new(move |wall_ms| {
            shared.pace.learned(&organization, &url, &kinds, wall_ms)
        }));
    }
    let listening = listen_for_signals(steering).map_err(|e| NotBegun::Program(e.to_string()))?;
    let showing = tokio::spawn(progress::show(Arc::clone(&meters), display.clone()));
    let seed = xxh3_64(job.name.as_bytes());
    let end = whole::run(
        shared,
        plans.clone(),
        Arc::clone(&connected.catalog),
        recovery.loads,
        &sinks,
        seed,
    )
    .await;
    showing.abort();
    following.end().await;
    let signal = listening.stop();
    controlled.ready.store(false, Ordering::Release);
    drop(server);
    let files = plans
        .iter()
        .map(|plan| sinks.paths(plan.table).map(|(s, e)| (s.to_owned(), e.to_owned())))
        .collect();
    let unprocessed = leftovers(job, args, &plans, &end);
    Ok(Outcome {
        end,
        meters,
        elapsed: clock::now().saturating_since(started),
        settled_before,
        files,
        unprocessed,
        signal,
        organization,
    })
}

/// Writes down what an ended run left, and takes away what an earlier one had left.
fn leftovers(
    job: &Job,
    args: &LoadArgs,
    plans: &[Arc<LoadPlan>],
    end: &RunEnd,
) -> Vec<Option<(PathBuf, u64)>> {
    plans
        .iter()
        .zip(&end.loads)
        .zip(&end.staged)
        .map(|((plan, lane), staged)| {
            if args.watch || matches!(lane, Ok(LaneEnd::Done) | Err(LaneFailed::Source(_))) {
                leftover::remove(&job.sink_folder, plan);
                return None;
            }
            match leftover::write(&job.sink_folder, plan, &staged.read()) {
                Ok(written) => Some(written),
                Err(error) => {
                    tracing::warn!(load = %plan.spec.name, %error, "no unprocessed file");
                    None
                }
            }
        })
        .collect()
}

fn settings(job: &Job, args: &LoadArgs) -> RunSettings {
    RunSettings {
        request_timeout: job.environment.request_timeout,
        retry_deadline: job.breakers.retry_deadline,
        failed_rows_max: job.breakers.failed_rows_max,
        failed_share_max: job.breakers.failed_share_max,
        no_wait: args.no_wait,
        watch: args.watch.then_some(job.watch_interval),
        shutdown_deadline: job.shutdown_deadline,
    }
}

/// What the ledger belongs to. Batch sizes, parallelism, identities and limits may change between
/// two runs of a job; what rows mean may not.
fn belongs(job: &Job, organization: uuid::Uuid, plans: &[Arc<LoadPlan>]) -> Belongs {
    let mut spec = String::new();
    for load in &job.tables {
        let meaning = (
            &load.name,
            &load.table,
            &load.source,
            &load.key,
            load.operation,
            &load.ids,
            load.on_duplicate_key,
            &load.columns,
        );
        // Debug text is stable within a version, and a new version that reads a mapping
        // differently should refuse an open job.
        spec.push_str(&format!("{meaning:?}\n"));
    }
    Belongs {
        job: job.name.clone(),
        spec_hash: xxh3_64(spec.as_bytes()),
        organization,
        loads: plans
            .iter()
            .map(|plan| LoadBelongs {
                name: plan.spec.name.clone(),
                id_prefix: plan.pinned.prefix(),
            })
            .collect(),
    }
}

fn sink_files(plans: &[Arc<LoadPlan>], recovery: &[LoadRecovery]) -> Vec<SinkFiles> {
    plans
        .iter()
        .zip(recovery)
        .map(|(plan, known)| SinkFiles {
            table: plan.table,
            name: plan.spec.name.clone(),
            success_format: plan.files.success,
            success_header: match plan.files.success {
                SinkFormat::Csv => plan.files.success_csv.success_header(),
                SinkFormat::Jsonl => Vec::new(),
            },
            error_format: plan.files.errors,
            error_header: None,
            mark: known.sink,
            catching_up: !known.unprojected.is_empty(),
        })
        .collect()
}

struct Listening {
    task: tokio::task::JoinHandle<()>,
    came: Arc<parking_lot::Mutex<Option<Came>>>,
}

impl Listening {
    fn stop(self) -> Option<Came> {
        self.task.abort();
        *self.came.lock()
    }
}

/// The first signal ends the run in order; the second ends the process, which is safe too.
fn listen_for_signals(steering: Steering) -> std::io::Result<Listening> {
    let mut signals = Signals::listen()?;
    let came = Arc::new(parking_lot::Mutex::new(None));
    let note = Arc::clone(&came);
    let task = tokio::spawn(async move {
        let first = signals.next().await;
        *note.lock() = Some(first);
        say(
            "\nstopping: waiting for the answers to what was sent; once more ends at once (safe: the next run settles it)",
        );
        if steering.wish(Wish::Stop).is_err() {
            tracing::debug!("the run is stopping already");
        }
        let second = signals.next().await;
        say("ended at once; run the same command again to go on");
        leave(match second {
            Came::Interrupt => exit::INTERRUPTED,
            Came::Terminate => exit::TERMINATED,
        });
    });
    Ok(Listening { task, came })
}

#[expect(clippy::exit, reason = "a second signal means now, whatever is still under way")]
fn leave(code: u8) -> ! {
    std::process::exit(i32::from(code));
}

fn say(text: &str) {
    // Nobody to tell if standard error is gone.
    drop(writeln!(std::io::stderr(), "{text}"));
}
