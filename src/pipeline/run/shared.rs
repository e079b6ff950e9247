//! What all lanes of a run share.

use crate::client::attempt::{IdentityId, Transport};
use crate::control::steering::Steering;
use crate::pipeline::ledger::Ledger;
use crate::pipeline::send::pace::Pace;
use crate::pipeline::send::retry::RETRY_AFTER_ABSENT;
use crate::record::key::BatchId;
use crate::record::projection::ProjectionQueue;
use crate::record::throttle::Throttle;
use crate::runtime::budget::Budget;
use crate::runtime::clock;
use crate::telemetry::metrics::Meters;
use crate::units::MonoTime;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How a run behaves, from the job file and the command line.
#[derive(Clone, Debug)]
pub struct RunSettings {
    /// Longest time of one attempt.
    pub request_timeout: Duration,
    /// How long failed batches are tried.
    pub retry_deadline: Duration,
    /// Refused rows of one load that pause it.
    pub failed_rows_max: Option<u64>,
    /// Share of refused rows that pauses a load.
    pub failed_share_max: f64,
    /// End instead of waiting for a person when a breaker pauses a load.
    pub no_wait: bool,
    /// Stay up and look for new files this often.
    pub watch: Option<Duration>,
    /// Longest wait for what is on the wire when asked to stop.
    pub shutdown_deadline: Duration,
}

/// What all lanes of a run share.
pub struct Shared<T> {
    /// The wire.
    pub transport: Arc<T>,
    /// The truth.
    pub ledger: Ledger,
    /// The way to the files.
    pub projections: ProjectionQueue,
    /// The counters.
    pub meters: Arc<Meters>,
    /// Wishes of people.
    pub steering: Steering,
    /// Memory for records.
    pub budget: Budget,
    /// How the run behaves.
    pub settings: RunSettings,
    /// Aliases of the identities.
    pub identities: Vec<String>,
    /// Origin of the environment, for links in answers.
    pub origin: String,
    /// Who may send what, when.
    pub pace: Pace,
    next_batch: AtomicU64,
    /// Until when each identity is known to be closed, for the count alone.
    closed: Mutex<Vec<MonoTime>>,
}

impl<T: Transport> Shared<T> {
    /// Puts it together; `next_batch` is the first free batch number.
    #[expect(clippy::too_many_arguments, reason = "made once, at the start of a run")]
    pub fn new(
        transport: Arc<T>,
        ledger: Ledger,
        projections: ProjectionQueue,
        meters: Arc<Meters>,
        steering: Steering,
        budget: Budget,
        settings: RunSettings,
        identities: Vec<String>,
        origin: String,
        pace: Pace,
        next_batch: u64,
    ) -> Self {
        let closed = vec![MonoTime::ZERO; identities.len()];
        Self {
            transport,
            ledger,
            projections,
            meters,
            steering,
            budget,
            settings,
            identities,
            origin,
            pace,
            next_batch: AtomicU64::new(next_batch),
            closed: Mutex::new(closed),
        }
    }

    /// A new batch number.
    pub fn new_batch(&self) -> BatchId {
        BatchId(self.next_batch.fetch_add(1, Ordering::Relaxed))
    }

    /// Counts a 429, and the time an identity is closed by it.
    pub fn throttled(&self, identity: IdentityId, kind: Throttle, retry_after: Option<Duration>) {
        let now = clock::now();
        let until = now + retry_after.unwrap_or(RETRY_AFTER_ABSENT);
        let before = {
            let mut closed = self.closed.lock();
            let place = &mut closed[usize::from(identity.0)];
            let before = (*place).max(now);
            *place = until.max(*place);
            before
        };
        let meters = self.meters.identity(identity);
        meters.throttle(kind);
        meters.closed_seconds.inc_by(until.saturating_since(before).as_secs_f64());
    }
}
