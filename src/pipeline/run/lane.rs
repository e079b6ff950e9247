//! The loop of one load: rows in, batches out, answers in, until nothing is left. It waits for
//! whatever comes first and never holds a request's slot while it waits for anything else.

use crate::client::attempt::{ApiReply, IdentityId, Transport, TransportFailure};
use crate::config::job::IdRule;
use crate::control::steering::Wish;
use crate::limits;
use crate::pipeline::ledger::record::LedgerRecord;
use crate::pipeline::ledger::recover::{LoadRecovery, Unprojected};
use crate::pipeline::ledger::{LedgerFailed, Ticket};
use crate::pipeline::run::feed::{Inflow, Prepared};
use crate::pipeline::run::plan::LoadPlan;
use crate::pipeline::run::shared::Shared;
use crate::pipeline::run::staged::SharedStaged;
use crate::pipeline::run::work::{Phase, RowRef, Work};
use crate::pipeline::send::message::Message;
use crate::pipeline::sink::format::ErrorColumns;
use crate::record::key::{BatchId, Ordinal, TableId};
use crate::record::outcome::RowFault;
use crate::record::projection::SinkWork;
use crate::runtime::clock;
use crate::telemetry::metrics::LoadMeters;
use crate::telemetry::waiting::Waiting;
use crate::tuning::admission::{Admission, Cargo, Permit, Why};
use crate::units::MonoTime;
use hashbrown::HashMap;
use rand::SeedableRng;
use rand::rngs::SmallRng;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{Id, JoinSet};

/// Longest time rows wait for a full batch when nothing else comes from the source.
const LINGER: Duration = Duration::from_millis(200);

/// Why a lane ended before its load was done.
#[derive(Debug, thiserror::Error)]
pub enum LaneFailed {
    /// The ledger cannot be written.
    #[error(transparent)]
    Ledger(#[from] LedgerFailed),
    /// The source cannot be read any further.
    #[error("{0}")]
    Source(String),
    /// Something that must hold does not.
    #[error("{code}: {detail}")]
    Invariant {
        /// `DV…`.
        code: &'static str,
        /// What and where.
        detail: String,
    },
}

/// How a lane ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum LaneEnd {
    /// Every row is settled and no more will come.
    Done,
    /// Asked to end; rows are left.
    Stopped {
        /// Rows on the wire whose answers were not waited for any longer.
        in_flight: u64,
    },
    /// A breaker paused it and nobody was to be waited for.
    Paused(String),
}

/// A recovered batch being put together from the rows read again.
#[derive(Debug)]
pub(super) struct Reassembly {
    pub(super) rows: Vec<RowRef>,
    pub(super) wanted: u64,
    pub(super) payload_hash: u64,
    pub(super) faults: Vec<(usize, RowFault)>,
}

type Landed = (Result<ApiReply, TransportFailure>, MonoTime);

pub(super) struct Lane<T> {
    pub(super) shared: Arc<Shared<T>>,
    pub(super) plan: Arc<LoadPlan>,
    pub(super) staged: SharedStaged,
    pub(super) message: Message,
    pub(super) rng: SmallRng,
    /// Columns of the error file, once the first file of a delimited source was opened.
    pub(super) columns: Option<Arc<ErrorColumns>>,

    inflow: mpsc::Receiver<Inflow>,
    /// The chunk being converted whose turn it is.
    converting: Option<oneshot::Receiver<Prepared>>,
    /// The feed is gone.
    source_ended: bool,
    /// The feed said it gave everything.
    source_complete: bool,
    /// Everything known at present was given.
    source_idle: bool,
    idle: watch::Sender<bool>,

    pub(super) reassembly: BTreeMap<BatchId, Reassembly>,
    pub(super) reassembly_of: HashMap<Ordinal, BatchId>,
    pub(super) unprojected: HashMap<Ordinal, Unprojected>,

    /// Rows that wait for a batch. They are put into one as late as can be, so that its size is
    /// what was learnt last.
    pub(super) filling: VecDeque<RowRef>,
    filling_since: MonoTime,
    /// Rows of the next batch.
    pub(super) batch_rows: usize,
    /// Batches whose intent is on its way to the disk, in order.
    pub(super) intents: VecDeque<(Ticket, Vec<Work>)>,
    /// Batches that may go.
    pub(super) ready: VecDeque<Work>,
    /// Batches that wait for their next attempt.
    pub(super) delayed: BTreeMap<(MonoTime, BatchId), (Work, String)>,
    flights: JoinSet<Landed>,
    flying: HashMap<Id, (Work, Permit, MonoTime)>,
    /// Why a breaker holds the load.
    pub(super) paused: Option<String>,
    resumes_seen: u64,
    /// Refused and settled rows when a person last said "go on": they have seen those.
    pub(super) forgiven: (u64, u64),
    /// Why the governor held the next request back, and when to ask again.
    held: Option<(Option<MonoTime>, Why)>,
}

impl<T: Transport> Lane<T> {
    pub(super) fn new(
        shared: Arc<Shared<T>>,
        plan: Arc<LoadPlan>,
        staged: SharedStaged,
        recovery: LoadRecovery,
        inflow: mpsc::Receiver<Inflow>,
        idle: watch::Sender<bool>,
        seed: u64,
    ) -> Self {
        let mut reassembly = BTreeMap::new();
        let mut reassembly_of = HashMap::new();
        for batch in recovery.unsettled {
            reassembly_of.extend(batch.rows.iter().map(|row| (row, batch.batch)));
            let wanted = batch.rows.len();
            let payload_hash = batch.payload_hash;
            let empty = Reassembly { rows: Vec::new(), wanted, payload_hash, faults: Vec::new() };
            reassembly.insert(batch.batch, empty);
        }
        let message = plan.message;
        Self {
            shared,
            plan,
            staged,
            message,
            rng: SmallRng::seed_from_u64(seed),
            columns: None,
            inflow,
            converting: None,
            source_ended: false,
            source_complete: false,
            source_idle: false,
            idle,
            reassembly,
            reassembly_of,
            unprojected: recovery.unprojected,
            filling: VecDeque::new(),
            filling_since: MonoTime::ZERO,
            batch_rows: 1,
            intents: VecDeque::new(),
            ready: VecDeque::new(),
            delayed: BTreeMap::new(),
            flights: JoinSet::new(),
            flying: HashMap::new(),
            paused: None,
            resumes_seen: 0,
            forgiven: (0, 0),
            held: None,
        }
    }

    pub(super) fn table(&self) -> TableId {
        self.plan.table
    }

    pub(super) fn meters(&self) -> &LoadMeters {
        self.shared.meters.load(self.plan.table)
    }

    /// Runs until the load is done or the run ends.
    pub(super) async fn run(mut self) -> Result<LaneEnd, LaneFailed> {
        let mut wish = self.shared.steering.listen();
        let mut slots = self.shared.pace.changes();
        let mut stop_by: Option<MonoTime> = None;
        loop {
            let order = *wish.borrow_and_update();
            let asked = order.wish;
            slots.borrow_and_update();
            let now = clock::now();
            if asked == Wish::Stop {
                let by = *stop_by.get_or_insert(now + self.shared.settings.shutdown_deadline);
                if self.flying.is_empty() || now >= by {
                    let in_flight =
                        self.flying.values().map(|(work, ..)| work.rows.len() as u64).sum();
                    return Ok(LaneEnd::Stopped { in_flight });
                }
            } else {
                if self.paused.is_some() && order.resumes > self.resumes_seen {
                    self.resume();
                }
                self.resumes_seen = order.resumes;
                if let Some(why) = &self.paused
                    && (self.shared.settings.no_wait || asked == Wish::Drain)
                    && self.flying.is_empty()
                {
                    return Ok(LaneEnd::Paused(why.clone()));
                }
                self.wake_delayed(now);
                self.fill_batches(now);
                let sends = asked != Wish::Pause && self.paused.is_none();
                self.shared.pace.wants(self.table(), sends && !self.ready.is_empty(), self.left());
                if sends {
                    self.send();
                    self.shared.pace.wants(self.table(), !self.ready.is_empty(), self.left());
                }
            }
            if let Some(end) = self.finished()? {
                if end == LaneEnd::Done {
                    *self.meters().waiting.lock() = Waiting::Done;
                }
                self.idle.send_replace(true);
                return Ok(end);
            }
            let is_idle = self.is_empty() && self.source_idle;
            self.idle.send_if_modified(|idle| std::mem::replace(idle, is_idle) != is_idle);
            self.explain(asked);

            let wants_rows = asked <= Wish::Drain && self.wants_rows();
            let wake = self.next_wake(stop_by);
            tokio::select! {
                biased;
                changed = wish.changed() => if changed.is_err() { return Ok(LaneEnd::Stopped { in_flight: 0 }) },
                Some(landed) = self.flights.join_next_with_id(), if !self.flights.is_empty() => {
                    self.land(landed)?;
                }
                durable = first_ticket(&mut self.intents), if !self.intents.is_empty() => {
                    durable?;
                    if let Some((_, works)) = self.intents.pop_front() {
                        self.ready.extend(works);
                    }
                }
                prepared = ready_chunk(&mut self.converting),
                    if self.converting.is_some() && wants_rows =>
                {
                    self.converting = None;
                    self.take_chunk(prepared?).await?;
                }
                item = self.inflow.recv(),
                    if self.converting.is_none() && wants_rows && !self.source_ended =>
                {
                    self.take_inflow(item)?;
                }
                changed = slots.changed(), if self.held.is_some() => {
                    if changed.is_err() { return Ok(LaneEnd::Stopped { in_flight: 0 }) }
                }
                () = tokio::time::sleep(wake.unwrap_or(Duration::from_secs(3600))), if wake.is_some() => {}
            }
        }
    }

    fn take_inflow(&mut self, item: Option<Inflow>) -> Result<(), LaneFailed> {
        match item {
            Some(Inflow::Chunk(receiver)) => {
                self.source_idle = false;
                self.converting = Some(receiver);
            }
            Some(Inflow::Partition(record)) => {
                self.source_idle = false;
                self.record(&[LedgerRecord::Partition(Box::new(record))]);
            }
            Some(Inflow::Columns(columns)) => {
                let header = SinkWork::ErrorHeader(self.table(), columns.header().to_vec());
                self.shared.projections.push(header);
                self.columns = Some(columns);
            }
            Some(Inflow::PartitionEnd(partition, records)) => {
                let table = self.table();
                self.record(&[LedgerRecord::PartitionEnd { table, partition, records }]);
            }
            Some(Inflow::Idle) => self.source_idle = true,
            Some(Inflow::Complete) => {
                self.source_complete = true;
                self.source_idle = true;
            }
            Some(Inflow::Failed(why)) => return Err(LaneFailed::Source(why)),
            None => {
                self.source_ended = true;
                self.source_idle = true;
            }
        }
        Ok(())
    }

    /// Appends records whose durability nothing waits for by itself: they precede, in the one
    /// log, the intents that depend on them.
    pub(super) fn record(&self, records: &[LedgerRecord]) {
        drop(self.shared.ledger.append(records, None));
    }

    /// The end of the lane, once nothing is left to do.
    fn finished(&self) -> Result<Option<LaneEnd>, LaneFailed> {
        if !self.is_empty() || self.converting.is_some() || !self.source_ended {
            return Ok(None);
        }
        if !self.source_complete {
            return Ok(Some(LaneEnd::Stopped { in_flight: 0 }));
        }
        if let Some((batch, open)) = self.reassembly.first_key_value() {
            return Err(LaneFailed::Invariant {
                code: "DV0404",
                detail: format!(
                    "load {}: batch {} was begun with {} rows, and the source now has {} of them",
                    self.plan.spec.name,
                    batch.0,
                    open.wanted,
                    open.rows.len()
                ),
            });
        }
        Ok(Some(LaneEnd::Done))
    }

    /// Nothing of what was read is left to do.
    fn is_empty(&self) -> bool {
        self.filling.is_empty()
            && self.intents.is_empty()
            && self.ready.is_empty()
            && self.delayed.is_empty()
            && self.flying.is_empty()
    }

    /// Batches made ahead of need: some keep senders from waiting for the disk; more would only be
    /// of a size that was learnt too early.
    fn ahead(&self) -> usize {
        4 + self.flying.len() / 2
    }

    fn queued(&self) -> usize {
        let ahead: usize = self.intents.iter().map(|(_, works)| works.len()).sum();
        ahead + self.ready.len() + self.delayed.len()
    }

    fn wants_rows(&self) -> bool {
        self.paused.is_none() && self.filling.len() < self.batch_rows.max(64) * self.ahead()
    }

    /// Rows of the load that are not on the wire yet, as far as the source's size tells.
    fn left(&self) -> Option<u64> {
        let meters = self.meters();
        let bytes = *meters.source_bytes.lock();
        let read = meters.read.get();
        let flying: usize = self.flying.values().map(|(work, ..)| work.rows.len()).sum();
        let open = u64::try_from(meters.open.get()).unwrap_or(0).saturating_sub(flying as u64);
        if self.source_ended || self.source_complete {
            return Some(open);
        }
        if self.shared.settings.watch.is_some() || bytes.total == 0 || bytes.read == 0 || read == 0
        {
            return None;
        }
        let unread = bytes.total.saturating_sub(bytes.read) as f64;
        Some(open + (read as f64 * unread / bytes.read as f64) as u64)
    }

    fn next_wake(&self, stop_by: Option<MonoTime>) -> Option<Duration> {
        let now = clock::now();
        let linger = (!self.filling.is_empty()).then(|| self.filling_since + LINGER);
        let held = self.held.and_then(|(until, _)| until);
        [linger, held, self.delayed.keys().next().map(|(at, _)| *at), stop_by]
            .into_iter()
            .flatten()
            .min()
            .map(|at| at.saturating_since(now) + Duration::from_millis(1))
    }

    /// Makes batches of the rows that wait, as many as are needed soon. A part of a batch goes when
    /// the source has no more, or gives none for a while.
    fn fill_batches(&mut self, now: MonoTime) {
        let mut full = Vec::new();
        while !self.filling.is_empty() && self.queued() + full.len() < self.ahead() {
            let bytes_max = limits::BODY_BYTES_MAX;
            let mut bytes = 0;
            let mut take = 0;
            for row in self.filling.iter().take(self.batch_rows) {
                let more = self.plan.bodies.item_bytes(&row.body(&self.plan)) + 1;
                if take > 0 && bytes + more > bytes_max {
                    break;
                }
                bytes += more;
                take += 1;
            }
            let cut_by_bytes = take < self.batch_rows.min(self.filling.len());
            let starved = self.source_ended
                || self.source_idle
                || now.saturating_since(self.filling_since) >= LINGER;
            if take < self.batch_rows && !cut_by_bytes && !starved {
                break;
            }
            full.push(self.filling.drain(..take).collect());
            self.filling_since = now;
            self.choose_batch_rows();
        }
        if self.filling.is_empty() {
            self.filling_since = now;
        }
        self.intend(full);
    }

    /// Asks how many rows the next batch carries.
    fn choose_batch_rows(&mut self) {
        let mut rows = self.shared.pace.batch_rows(self.table());
        if self.message == Message::Batch {
            rows = rows.min(limits::BATCH_OPERATIONS_MAX);
        }
        self.batch_rows = rows;
        *self.meters().batch_size.lock() = u32::try_from(rows).unwrap_or(u32::MAX);
    }

    fn wake_delayed(&mut self, now: MonoTime) {
        while let Some(entry) = self.delayed.first_entry() {
            if entry.key().0 > now {
                break;
            }
            let (work, _) = entry.remove();
            self.ready.push_front(work);
        }
    }

    /// Sends while a batch is ready and the governor lets it go.
    fn send(&mut self) {
        self.held = None;
        while let Some(work) = self.ready.front() {
            let cargo = match work.phase {
                Phase::Bulk => Cargo::Bulk,
                Phase::Apart => Cargo::Apart,
                Phase::Probe { .. } | Phase::Learn { .. } => Cargo::Question,
            };
            let now = clock::now();
            let permit = match self.shared.pace.admit(self.table(), work.rows.len(), cargo, now) {
                Admission::Go(permit) => permit,
                Admission::Wait(until, why) => {
                    self.held = Some((until, why));
                    return;
                }
            };
            let Some(mut work) = self.ready.pop_front() else { return };
            let mut request = match work.request(&self.plan, self.message) {
                Ok(request) => request,
                Err(error) => {
                    // Only a row that grew past the body limit by escaping leads here.
                    self.shared.pace.cancel(permit, now);
                    self.unsendable(work, &error.to_string());
                    continue;
                }
            };
            self.shared.pace.address(permit, &mut request);
            work.attempts += 1;
            if work.attempts > 1 {
                self.meters().retries.inc();
            }
            work.first_sent.get_or_insert(now);
            let meters = self.meters();
            meters.in_flight.inc();
            meters.batch_rows.observe(work.rows.len() as f64);
            meters.body_bytes.inc_by(request.body.as_ref().map_or(0, |(_, b)| b.len() as u64));
            let shared = Arc::clone(&self.shared);
            let timeout = shared.settings.request_timeout;
            let identity = IdentityId(permit.identity);
            let flight = self.flights.spawn(async move {
                let result = shared.transport.attempt(identity, request, timeout).await;
                (result, clock::now())
            });
            self.flying.insert(flight.id(), (work, permit, now));
        }
    }

    fn land(
        &mut self,
        landed: Result<(Id, Landed), tokio::task::JoinError>,
    ) -> Result<(), LaneFailed> {
        let (id, result, at) = match landed {
            Ok((id, (result, at))) => (id, result, at),
            // The attempt's task panicked: nobody knows how far the request got.
            Err(error) => {
                (error.id(), Err(TransportFailure::Broken(error.to_string())), clock::now())
            }
        };
        let Some((work, permit, sent)) = self.flying.remove(&id) else {
            return Ok(());
        };
        self.meters().in_flight.dec();
        self.landed(work, permit, result, at, at.saturating_since(sent))
    }

    /// Names what holds the load at this moment.
    fn explain(&self, asked: Wish) {
        let mut waiting = self.meters().waiting.lock();
        *waiting = if let Some(why) = &self.paused {
            Waiting::Breaker(why.clone())
        } else if asked == Wish::Pause {
            Waiting::Operator
        } else if let (Some((_, why)), false) = (self.held, self.ready.is_empty()) {
            self.waiting_for(why)
        } else if self.ready.is_empty() && !self.intents.is_empty() {
            Waiting::Ledger
        } else if let (true, Some(((until, _), (_, reason)))) =
            (self.flying.is_empty(), self.delayed.first_key_value())
        {
            Waiting::Backoff { reason: reason.clone(), until: *until }
        } else if self.converting.is_some() {
            Waiting::Conversion
        } else if self.source_idle && self.is_empty() {
            Waiting::Idle
        } else {
            Waiting::Source
        };
    }

    /// The governor's reason in words for people.
    fn waiting_for(&self, why: Why) -> Waiting {
        let alias = |identity: u16| {
            self.shared.identities.get(usize::from(identity)).cloned().unwrap_or_default()
        };
        match why {
            Why::Paused => Waiting::Operator,
            Why::TableParallel => Waiting::Parallel,
            Why::Turn => Waiting::Turn,
            Why::Learning => Waiting::Learning,
            Why::Knee => Waiting::Knee,
            Why::Window { identity, kind, used, limit } => Waiting::Window {
                identity: alias(identity),
                limit: kind.sentence(),
                used: used as u64,
                of: limit as u64,
            },
            Why::Concurrency { identity, limit } => {
                Waiting::Concurrency { identity: alias(identity), limit }
            }
            Why::Throttled { identity, kind, until } => Waiting::Throttled {
                limit: kind.sentence(),
                identity: alias(identity),
                until: self.shared.pace.opens(until),
            },
            Why::Ceiling { identity } => Waiting::Ceiling { identity: alias(identity) },
            Why::Schedule => Waiting::Schedule,
            Why::Entitlement { identity } => Waiting::Entitlement { identity: alias(identity) },
        }
    }

    /// Holds the load until a person resumes it.
    pub(super) fn pause(&mut self, reason: String) {
        if self.paused.is_some() {
            return;
        }
        tracing::error!(load = %self.plan.spec.name, %reason, "paused; nothing more is sent");
        let table = Some(self.table());
        self.record(&[LedgerRecord::Pause { table, reason: reason.clone() }]);
        self.paused = Some(reason);
    }

    fn resume(&mut self) {
        if self.paused.take().is_some() {
            self.forgiven = self.refused_and_settled();
            tracing::info!(load = %self.plan.spec.name, "resumed");
            let table = Some(self.table());
            let reason = "operator".to_owned();
            self.record(&[LedgerRecord::Resume { table, reason }]);
        }
    }

    /// Whether ids come back from Dataverse.
    pub(super) fn server_gives_ids(&self) -> bool {
        self.plan.spec.ids == IdRule::Dataverse
    }
}

async fn first_ticket(intents: &mut VecDeque<(Ticket, Vec<Work>)>) -> Result<(), LedgerFailed> {
    match intents.front_mut() {
        Some((ticket, _)) => ticket.await.map(|_| ()),
        None => std::future::pending().await,
    }
}

async fn ready_chunk(
    converting: &mut Option<oneshot::Receiver<Prepared>>,
) -> Result<Prepared, LaneFailed> {
    match converting {
        Some(receiver) => receiver.await.map_err(|_| LaneFailed::Invariant {
            code: "DV0499",
            detail: "a chunk's conversion ended with a panic; its rows are not settled".to_owned(),
        }),
        None => std::future::pending().await,
    }
}
