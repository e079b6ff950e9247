//! The threads in front of a lane. One reads files, one after the other, into chunks of whole
//! records; one hands chunks to the compute pool and keeps their order. Both stop by themselves
//! when memory is used up, and end when the lane is gone.

use crate::catalog::model::Catalog;
use crate::config::job::{SourceFormat, TableLoad};
use crate::control::steering::{Steering, Wish};
use crate::pipeline::ledger::fingerprint::FileFingerprint;
use crate::pipeline::ledger::record::PartitionRecord;
use crate::pipeline::ledger::recover::PartitionInfo;
use crate::pipeline::run::plan::LoadPlan;
use crate::pipeline::run::staged::{SharedStaged, StagedView};
use crate::pipeline::sink::format::ErrorColumns;
use crate::pipeline::source::open;
use crate::pipeline::transform::mapping::RowProgram;
use crate::pipeline::transform::run::convert_chunk;
use crate::record::chunk::{RawChunk, RecordFormat};
use crate::record::key::PartitionId;
use crate::record::prepared::PreparedChunk;
use crate::runtime::budget::{Budget, Share};
use crate::runtime::compute;
use crate::telemetry::metrics::Meters;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, UNIX_EPOCH};
use tokio::sync::{mpsc, oneshot, watch};

/// Chunks between the reading and the converting thread.
const RAW_CHUNKS: usize = 2;
/// Chunks being converted or waiting for the lane.
const PREPARED_CHUNKS: usize = 4;
/// Memory charged for a chunk per byte read: the records, their converted form, the bodies of
/// batches in flight and the lines of the files.
const BYTES_HELD_PER_BYTE: u64 = 5;
/// How often a waiting thread looks whether it should end.
const GLANCE: Duration = Duration::from_millis(100);

/// A converted chunk and the memory it holds.
pub(super) type Prepared = (PreparedChunk, Share);

/// What a lane receives, in order.
#[derive(Debug)]
pub(super) enum Inflow {
    /// A file begins.
    Partition(PartitionRecord),
    /// Columns of the error file.
    Columns(Arc<ErrorColumns>),
    /// Rows, once converted.
    Chunk(oneshot::Receiver<Prepared>),
    /// A file ended after this many records.
    PartitionEnd(PartitionId, u64),
    /// Nothing more at present.
    Idle,
    /// Nothing more at all.
    Complete,
    /// The source cannot be read.
    Failed(String),
}

enum Step {
    Say(Inflow),
    Convert(RawChunk, Arc<RowProgram>, Share),
}

/// What the threads of one load need.
pub(super) struct Feed {
    pub(super) plan: Arc<LoadPlan>,
    /// What is remembered of the load's own rows.
    pub(super) staged: SharedStaged,
    /// All loads of the job.
    pub(super) loads: Arc<[TableLoad]>,
    pub(super) catalog: Arc<Catalog>,
    pub(super) partitions: Vec<PartitionInfo>,
    /// Files that hold rows still to be settled or shown.
    pub(super) needed: BTreeSet<PartitionId>,
    /// Done before this run, every row shown: read again only for their keys.
    pub(super) parents: Vec<(SharedStaged, watch::Receiver<bool>)>,
    pub(super) budget: Budget,
    pub(super) steering: Steering,
    pub(super) meters: Arc<Meters>,
    pub(super) watch: Option<Duration>,
}

/// Starts the threads.
///
/// # Errors
/// When the system gives no thread.
pub(super) fn start(feed: Feed) -> io::Result<mpsc::Receiver<Inflow>> {
    let (raw_in, raw_out) = crossbeam::channel::bounded::<Step>(RAW_CHUNKS);
    let (lane_in, lane_out) = mpsc::channel(PREPARED_CHUNKS);
    let parents = feed.plan.parents.iter().zip(&feed.parents);
    let view =
        Arc::new(StagedView(parents.map(|(table, (s, _))| (*table, Arc::clone(s))).collect()));
    let name = feed.plan.spec.name.clone();
    thread::Builder::new().name(format!("convert {name}")).spawn(move || {
        for step in raw_out {
            let item = match step {
                Step::Say(item) => item,
                Step::Convert(chunk, program, share) => {
                    let (send, receive) = oneshot::channel();
                    let view = Arc::clone(&view);
                    compute::spawn(move || {
                        let mut share = share;
                        let prepared = convert_chunk(&program, Arc::new(chunk), &*view);
                        let held = prepared.memory_bytes() + prepared.raw.memory_bytes();
                        share.resize((held as u64).saturating_mul(2));
                        // The lane may be gone; then nobody needs the rows.
                        drop(send.send((prepared, share)));
                    });
                    Inflow::Chunk(receive)
                }
            };
            if lane_in.blocking_send(item).is_err() {
                return;
            }
        }
    })?;
    thread::Builder::new().name(format!("read {name}")).spawn(move || {
        let mut reader = Reader { feed, out: raw_in, program: None };
        if let Err(Stopped::Because(why)) = reader.read_all() {
            reader.say(Inflow::Failed(why)).unwrap_or_default();
        }
    })?;
    Ok(lane_out)
}

/// Why reading ended early.
enum Stopped {
    /// The run ends.
    Gone,
    /// The source is at fault.
    Because(String),
}

struct Reader {
    feed: Feed,
    out: crossbeam::channel::Sender<Step>,
    /// Program for the header it was made for.
    program: Option<(Arc<RecordFormat>, Arc<RowProgram>)>,
}

impl Reader {
    fn say(&self, item: Inflow) -> Result<(), ()> {
        self.out.send(Step::Say(item)).map_err(|_| ())
    }

    fn tell(&self, item: Inflow) -> Result<(), Stopped> {
        self.say(item).map_err(|()| Stopped::Gone)
    }

    fn is_ending(&self) -> bool {
        self.feed.steering.now() >= Wish::Drain
    }

    fn read_all(&mut self) -> Result<(), Stopped> {
        let known = std::mem::take(&mut self.feed.partitions);
        let mut paths: Vec<PathBuf> = Vec::new();
        for (index, info) in known.iter().enumerate() {
            let path = PathBuf::from(&info.path);
            let partition = partition(index)?;
            self.feed.staged.write().files.push(path.clone());
            let was_finished = info.records.is_some() && !self.feed.needed.contains(&partition);
            if !path.exists() && was_finished && self.feed.watch.is_some() {
                // A finished file that was taken away; its rows are in the ledger.
                tracing::info!(file = %info.path, "was loaded before and is gone; passed over");
            } else {
                self.wait_for_parents()?;
                self.read_file(&path, partition, Some(info))?;
            }
            paths.push(path);
        }
        let mut said_idle = false;
        loop {
            let new = self.new_files(&paths)?;
            self.forecast(&paths, &new);
            for path in &new {
                self.wait_for_parents()?;
                let partition = partition(paths.len())?;
                self.feed.staged.write().files.push(path.clone());
                paths.push(path.clone());
                self.read_file(path, partition, None)?;
                said_idle = false;
            }
            if !new.is_empty() {
                continue;
            }
            let Some(interval) = self.feed.watch else { break };
            if self.is_ending() {
                break;
            }
            if !said_idle {
                self.tell(Inflow::Idle)?;
                said_idle = true;
            }
            self.rest(interval)?;
        }
        self.tell(Inflow::Complete)
    }

    /// Sleeps, and wakes early when the run ends.
    fn rest(&self, interval: Duration) -> Result<(), Stopped> {
        let mut left = interval;
        while !left.is_zero() {
            let step = left.min(GLANCE);
            thread::sleep(step);
            left -= step;
            match self.feed.steering.now() {
                Wish::Stop => return Err(Stopped::Gone),
                Wish::Drain => return Ok(()),
                Wish::Run | Wish::Pause => {}
            }
        }
        Ok(())
    }

    /// Rows that refer to rows of other loads wait until those have nothing left that they know.
    fn wait_for_parents(&self) -> Result<(), Stopped> {
        use crate::telemetry::waiting::Waiting;
        loop {
            let open = self.feed.parents.iter().any(|(_, idle)| !*idle.borrow());
            if !open {
                return Ok(());
            }
            let meters = self.feed.meters.load(self.feed.plan.table);
            let names = self
                .feed
                .plan
                .parents
                .iter()
                .zip(&self.feed.parents)
                .filter(|(_, (_, idle))| !*idle.borrow())
                .map(|(table, _)| self.feed.meters.load(*table).name.clone())
                .collect();
            *meters.waiting.lock() = Waiting::Parents(names);
            if self.is_ending() {
                return Err(Stopped::Gone);
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn new_files(&self, known: &[PathBuf]) -> Result<Vec<PathBuf>, Stopped> {
        match open::matching(&self.feed.plan.spec.source.path) {
            Ok(found) => Ok(found
                .into_iter()
                .filter(|path| {
                    !known.contains(path) && (self.feed.watch.is_none() || is_complete(path))
                })
                .collect()),
            Err(crate::pipeline::source::SourceError::NothingMatches(_))
                if self.feed.watch.is_some() || !known.is_empty() =>
            {
                Ok(Vec::new())
            }
            Err(error) => Err(Stopped::Because(error.to_string())),
        }
    }

    /// How much there is to read; packed files count as four times their size.
    fn forecast(&self, known: &[PathBuf], new: &[PathBuf]) {
        let size = |path: &PathBuf| {
            let bytes = fs::metadata(path).map_or(0, |m| m.len());
            match path.extension().and_then(|e| e.to_str()) {
                Some("gz" | "zst") => bytes.saturating_mul(4),
                _ => bytes,
            }
        };
        let total = known.iter().chain(new).map(size).sum();
        self.feed.meters.load(self.feed.plan.table).source_bytes.lock().total = total;
    }

    fn read_file(
        &mut self,
        path: &Path,
        partition: PartitionId,
        known: Option<&PartitionInfo>,
    ) -> Result<(), Stopped> {
        let because = |why: String| Stopped::Because(why);
        let fingerprint = fingerprint(path)
            .map_err(|error| because(format!("cannot read {}: {error}", path.display())))?;
        match known {
            Some(info) => {
                let changed = |what: String| {
                    because(format!(
                        "DV0404: {} is not the file this job began with: {what}; put the old file back, with its time (cp -p), or load the new one under another name",
                        path.display()
                    ))
                };
                let (before, now) = (info.fingerprint.bytes, fingerprint.bytes);
                if now > before {
                    return Err(changed(format!("it had {before} bytes and has {now} now")));
                }
                info.fingerprint
                    .check(&fingerprint, now)
                    .map_err(|change| changed(change.to_string()))?;
            }
            None => self.tell(Inflow::Partition(PartitionRecord {
                table: self.feed.plan.table,
                partition,
                path: path.display().to_string(),
                fingerprint,
            }))?,
        }
        let mut source = open::open_source(path, &self.feed.plan.spec.source.format, partition)
            .map_err(|error| because(error.to_string()))?;
        let program = self.program_for(source.format())?;
        let load = self.feed.meters.load(self.feed.plan.table);
        let before = load.source_bytes.lock().read;
        loop {
            if self.is_ending() {
                return Err(Stopped::Gone);
            }
            let reserve = crate::limits::CHUNK_BYTES as u64 * BYTES_HELD_PER_BYTE;
            let Some(mut share) = self.feed.budget.take(reserve) else {
                return Err(Stopped::Gone);
            };
            let chunk = source.next_chunk().map_err(|error| because(error.to_string()))?;
            let Some(chunk) = chunk else { break };
            share.resize(chunk.memory_bytes() as u64 * BYTES_HELD_PER_BYTE);
            load.source_bytes.lock().read = before + source.position().offset;
            self.out
                .send(Step::Convert(chunk, Arc::clone(&program), share))
                .map_err(|_| Stopped::Gone)?;
        }
        if known.is_none_or(|info| info.records.is_none()) {
            self.tell(Inflow::PartitionEnd(partition, source.position().index))?;
        }
        Ok(())
    }

    /// The mapping made for this header; files of one load may order their columns differently,
    /// but the error file has one header, so they must have the same ones.
    fn program_for(&mut self, format: &Arc<RecordFormat>) -> Result<Arc<RowProgram>, Stopped> {
        if let Some((made_for, program)) = &self.program
            && made_for == format
        {
            return Ok(Arc::clone(program));
        }
        let plan = &self.feed.plan;
        let header = match &**format {
            RecordFormat::Delimited { header, .. } => Some(&header[..]),
            RecordFormat::Json => None,
        };
        if let (Some((made_for, _)), SourceFormat::Csv { .. }) =
            (&self.program, &plan.spec.source.format)
            && made_for != format
        {
            return Err(Stopped::Because(format!(
                "load {}: its files have different header lines; give them the same columns in the same order, or make two loads of them",
                plan.spec.name
            )));
        }
        let program = RowProgram::compile(&plan.spec, &self.feed.loads, &self.feed.catalog, format)
            .map(Arc::new)
            .map_err(|findings| {
                let texts: Vec<String> = findings.iter().map(ToString::to_string).collect();
                Stopped::Because(format!("load {}: {}", plan.spec.name, texts.join("; ")))
            })?;
        if let Some(header) = header {
            let columns = ErrorColumns::new(plan.files.error_csv, header);
            self.tell(Inflow::Columns(Arc::new(columns)))?;
        }
        self.program = Some((Arc::clone(format), Arc::clone(&program)));
        Ok(program)
    }
}

fn partition(index: usize) -> Result<PartitionId, Stopped> {
    u32::try_from(index)
        .ok()
        .filter(|i| *i < crate::record::key::Ordinal::PARTITION_COUNT)
        .map(PartitionId)
        .ok_or_else(|| Stopped::Because("more files than a load can number".to_owned()))
}

/// Files still being written carry such names by convention; they are taken once renamed.
fn is_complete(path: &Path) -> bool {
    let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
    !name.starts_with(['.', '~'])
        && ![".tmp", ".part", ".partial", ".writing", ".filepart", ".crdownload"]
            .iter()
            .any(|end| name.ends_with(end))
}

fn fingerprint(path: &Path) -> io::Result<FileFingerprint> {
    let mut file = File::open(path)?;
    let metadata = file.metadata()?;
    let modified = metadata.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
    let modified_ms = i64::try_from(modified.as_millis()).unwrap_or(i64::MAX);
    FileFingerprint::read(&mut file, metadata.len(), modified_ms)
}
