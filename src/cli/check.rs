//! `dvbulk check`: everything a job needs is looked at, nothing is written.

use crate::catalog::check::{Finding, Severity};
use crate::catalog::model::Catalog;
use crate::cli::args::CheckArgs;
use crate::cli::connect;
use crate::cli::{exit, report};
use crate::config::effective;
use crate::config::job::{Bounds, Job, LookupBy, TableClass, TableLoad};
use crate::pipeline::source::open;
use crate::pipeline::transform::mapping::RowProgram;
use crate::pipeline::transform::run::convert_chunk;
use crate::record::key::{PartitionId, TableId};
use crate::record::staged::{Found, StagedRows};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::sync::Arc;
use uuid::Uuid;

/// Faults of one kind shown per load.
const EXAMPLES: usize = 3;

/// `dvbulk check`.
pub(super) async fn run(args: &CheckArgs) -> anyhow::Result<u8> {
    let job = crate::config::read::load(&args.job)?;
    let connected = connect::connect(&job).await.map_err(super::load::NotBegun::from)?;
    let (headers, wrong) = connect::headers(&job, false);
    let mut findings: Vec<Finding> = wrong.into_iter().map(source_finding).collect();
    findings.extend(connect::preflight(&job, &connected.catalog, &headers));
    let broken = findings.iter().any(connect::is_error);
    let mut sampled = Vec::new();
    if args.sample > 0 && !broken {
        for load in &job.tables {
            let (sample, found) = sample(&job, load, &connected.catalog, args.sample);
            findings.extend(found);
            sampled.push((load.name.clone(), sample));
        }
    }
    let errors = findings.iter().any(connect::is_error);
    let classes: Vec<TableClass> = job
        .tables
        .iter()
        .map(|load| match connected.catalog.table(&load.table) {
            Some(target) => connect::class_of(load, target),
            None => load.class,
        })
        .collect();
    let text = if args.json {
        let mut text = serde_json::to_string_pretty(&serde_json::json!({
            "job": job.name,
            "environment": job.environment.url,
            "organization": connected.organization,
            "sampled": sampled.iter().map(|(name, s)| serde_json::json!({
                "load": name, "records": s.records, "unfit": s.unfit,
            })).collect::<Vec<_>>(),
            "tuning": tuning_json(&job, &classes),
            "findings": report::findings_json(&findings),
        }))?;
        text.push('\n');
        text
    } else {
        let mut text = String::new();
        writeln!(
            text,
            "organization {} at {}, {} identit{}",
            connected.organization_name.as_deref().unwrap_or("(name not readable)"),
            job.environment.url,
            connected.identities.len(),
            if connected.identities.len() == 1 { "y" } else { "ies" },
        )?;
        text.push_str(&effective::describe_tuning(&job, &classes));
        for (name, sample) in &sampled {
            writeln!(
                text,
                "load {name}: {} records converted, {} would be refused before sending",
                sample.records, sample.unfit
            )?;
        }
        text.push_str(&report::findings_human(&findings));
        text
    };
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => return Err(error.into()),
        _ => {}
    }
    Ok(if errors { exit::WITH_FAILURES } else { exit::DONE })
}

/// Bounds, schedule and entitlement in force, as data.
fn tuning_json(job: &Job, classes: &[TableClass]) -> serde_json::Value {
    let bounds = |b: Bounds| serde_json::json!({ "min": b.min, "max": b.max, "start": b.start });
    let loads = job.tables.iter().zip(classes).map(|(load, class)| {
        let load = job.tuning.settled(load, *class);
        serde_json::json!({
            "load": load.name,
            "class": class.word(),
            "batch": bounds(load.batch),
            "parallel": bounds(load.parallel),
            "weight": load.weight,
        })
    });
    let schedule = job.tuning.schedule.as_ref().map(|schedule| {
        let entries = schedule.entries().iter().map(ToString::to_string).collect::<Vec<_>>();
        serde_json::json!({ "time_zone": schedule.zone_name(), "entries": entries })
    });
    let entitlement = job.tuning.entitlement.map(|rule| {
        let policy = rule.policy.word();
        serde_json::json!({ "per_identity": rule.per_identity, "policy": policy })
    });
    serde_json::json!({
        "loads": loads.collect::<Vec<_>>(),
        "schedule": schedule,
        "entitlement": entitlement,
        "remember": job.tuning.remember,
        "folder": job.tuning.folder,
    })
}

fn source_finding(message: String) -> Finding {
    Finding {
        severity: Severity::Error,
        check: "source",
        code: "DV0125",
        load: String::new(),
        column: None,
        message,
        way_out: String::new(),
    }
}

#[derive(Default)]
struct Sample {
    records: u64,
    unfit: u64,
}

/// Parents are not loaded yet, so every staged key is taken for present.
struct AllPresent;

impl StagedRows for AllPresent {
    fn find(&self, _load: TableId, _key_hash: u128, _key: &[u8]) -> Found {
        Found::Id(Uuid::nil())
    }
}

/// Converts the first records of a load as they would be sent.
fn sample(job: &Job, load: &TableLoad, catalog: &Catalog, wanted: u64) -> (Sample, Vec<Finding>) {
    let mut sample = Sample::default();
    let mut kinds: BTreeMap<String, (u64, Vec<String>)> = BTreeMap::new();
    let outcome = convert(job, load, catalog, wanted, &mut sample, &mut kinds);
    let mut findings: Vec<Finding> = kinds
        .into_iter()
        .map(|(code, (rows, examples))| Finding {
            severity: Severity::Warning,
            check: "sample",
            code: leak_free(&code),
            load: load.name.clone(),
            column: None,
            message: format!(
                "{rows} of {} sampled records would be refused, e.g. {}",
                sample.records,
                examples.join(" | ")
            ),
            way_out: format!("`dvbulk explain {code}` tells cause and ways out"),
        })
        .collect();
    if let Err(message) = outcome {
        findings.push(source_finding(format!("load {}: {message}", load.name)));
    }
    let staged = load
        .columns
        .iter()
        .filter_map(|c| c.lookup.as_ref())
        .any(|l| l.targets.iter().any(|via| matches!(via.by, LookupBy::Staged(_))));
    if staged {
        tracing::debug!(load = %load.name, "lookups by staged key are resolved when loading only");
    }
    (sample, findings)
}

/// The codes of conversion are a closed set of literals; findings want them so.
fn leak_free(code: &str) -> &'static str {
    crate::cli::explain::find(code).map_or("DV0126", |page| page.code)
}

fn convert(
    job: &Job,
    load: &TableLoad,
    catalog: &Catalog,
    wanted: u64,
    sample: &mut Sample,
    kinds: &mut BTreeMap<String, (u64, Vec<String>)>,
) -> Result<(), String> {
    let files = open::matching(&load.source.path).map_err(|e| e.to_string())?;
    for (index, file) in files.iter().enumerate() {
        let partition = PartitionId(u32::try_from(index).unwrap_or(u32::MAX));
        let mut source =
            open::open_source(file, &load.source.format, partition).map_err(|e| e.to_string())?;
        let program = RowProgram::compile(load, &job.tables, catalog, source.format())
            .map_err(|f| f.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))?;
        while let Some(chunk) = source.next_chunk().map_err(|e| e.to_string())? {
            let lines: Vec<u64> = chunk.records.iter().map(|r| r.line).collect();
            let name = Arc::clone(&chunk.file);
            let prepared = convert_chunk(&program, Arc::new(chunk), &AllPresent);
            for (row, line) in prepared.rows.iter().zip(lines) {
                sample.records += 1;
                if let Some(fault) = &row.fault {
                    sample.unfit += 1;
                    let kind = kinds.entry(fault.code.clone()).or_default();
                    kind.0 += 1;
                    if kind.1.len() < EXAMPLES {
                        kind.1.push(format!("{name}:{line}: {}", fault.message));
                    }
                }
                if sample.records >= wanted {
                    return Ok(());
                }
            }
        }
    }
    Ok(())
}
