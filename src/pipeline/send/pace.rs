//! The governor as all lanes share it: one lock, the process's clock, the servers' cookies.

use crate::client::attempt::{ApiRequest, ReplyHeaders};
use crate::pipeline::send::servers::Servers;
use crate::record::key::{IdentityId, TableId};
use crate::record::throttle::Throttle;
use crate::tuning::admission::{Admission, Cargo, Landing, Outcome, Permit};
use crate::tuning::governor::Governor;
use crate::tuning::learned::{Learned, RequestKind};
use crate::tuning::orders::Orders;
use crate::tuning::resolve::Rescue;
use crate::tuning::view::View;
use crate::units::MonoTime;
use parking_lot::Mutex;
use std::time::Duration;
use tokio::sync::watch;

/// Added to each wait, so that a clock that runs a little fast, or a late answer, brings no request
/// into the closed window.
const GUARD: Duration = Duration::from_millis(50);

/// The shared governor.
#[derive(Debug)]
pub struct Pace {
    governor: Mutex<Governor>,
    servers: Mutex<Servers>,
    /// Seconds of the service's windows that pass in a second here: 1, except against a simulator
    /// whose clock runs faster.
    speed: f64,
    /// Counts what may let a waiting lane go on.
    changed: watch::Sender<u64>,
}

impl Pace {
    /// Shares a governor whose time runs `speed` times as fast as the process's clock.
    #[must_use]
    pub fn new(governor: Governor, servers: Servers, speed: f64) -> Self {
        Self {
            governor: Mutex::new(governor),
            servers: Mutex::new(servers),
            speed,
            changed: watch::Sender::new(0),
        }
    }

    fn there(&self, now: MonoTime) -> MonoTime {
        if self.speed == 1.0 {
            return now;
        }
        MonoTime::from_origin(now.since_origin().mul_f64(self.speed))
    }

    fn here(&self, at: MonoTime) -> MonoTime {
        if self.speed == 1.0 {
            return at;
        }
        MonoTime::from_origin(at.since_origin().div_f64(self.speed))
    }

    /// A wait the service asked for, in its own time. A little is added here, where it is the
    /// wire and the two clocks that count, not the service's speed.
    fn wait_there(&self, wait: Duration) -> Duration {
        (wait + GUARD).mul_f64(self.speed)
    }

    /// Asks for leave to send a request of `rows` rows; times in the answer are the process's.
    pub fn admit(&self, table: TableId, rows: usize, cargo: Cargo, now: MonoTime) -> Admission {
        let rows = u32::try_from(rows).unwrap_or(u32::MAX);
        let place = usize::from(table.0);
        let said = self.governor.lock().admit(place, rows, cargo, self.there(now));
        match said {
            Admission::Go(permit) => Admission::Go(permit),
            Admission::Wait(until, why) => Admission::Wait(until.map(|at| self.here(at)), why),
        }
    }

    /// When a lane that is closed opens, in the process's time.
    #[must_use]
    pub fn opens(&self, until: MonoTime) -> MonoTime {
        self.here(until)
    }

    /// Addresses a request to the server it was admitted for.
    pub fn address(&self, permit: Permit, request: &mut ApiRequest) {
        let Some(server) = permit.server else { return };
        if let Some(cookie) = self.servers.lock().cookie(server) {
            request.headers.push(("Cookie", cookie.to_owned()));
        }
    }

    /// A request is back.
    pub fn landed(
        &self,
        permit: Permit,
        outcome: Outcome,
        headers: Option<&ReplyHeaders>,
        now: MonoTime,
    ) {
        let outcome = match outcome {
            Outcome::Throttled { kind, retry_after } => Outcome::Throttled {
                kind,
                retry_after: retry_after.map(|wait| self.wait_there(wait)),
            },
            other => other,
        };
        let landing = Landing {
            outcome,
            time_remaining_secs: headers.and_then(|h| h.time_remaining_secs),
            requests_remaining: headers.and_then(|h| h.requests_remaining),
            server: headers.and_then(|h| self.servers.lock().number(h)),
        };
        self.governor.lock().landed(permit, landing, self.there(now));
        self.stir();
    }

    /// A request that was admitted did not leave.
    pub fn cancel(&self, permit: Permit, now: MonoTime) {
        self.governor.lock().cancel(permit, self.there(now));
        self.stir();
    }

    /// An operation within an answer was refused by a limit.
    pub fn refused(
        &self,
        permit: Permit,
        kind: Throttle,
        retry_after: Option<Duration>,
        now: MonoTime,
    ) {
        let wait = retry_after.map(|wait| self.wait_there(wait));
        self.governor.lock().refused_within(permit, kind, wait, self.there(now));
    }

    /// Tells what a load has to send: `ready` now, and `left` rows in all when that is known.
    pub fn wants(&self, table: TableId, ready: bool, left: Option<u64>) {
        let changed = {
            let mut governor = self.governor.lock();
            governor.left(usize::from(table.0), left);
            governor.wants(usize::from(table.0), ready)
        };
        if changed && !ready {
            self.stir();
        }
    }

    /// Rows of the next batch.
    pub fn batch_rows(&self, table: TableId) -> usize {
        self.governor.lock().batch_rows(usize::from(table.0)).max(1) as usize
    }

    /// How the good rows of a refused batch are best saved.
    pub fn rescue(&self, table: TableId, rows: usize) -> Rescue {
        let rows = u32::try_from(rows).unwrap_or(u32::MAX);
        self.governor.lock().rescue(usize::from(table.0), rows)
    }

    /// Rows that came to their end.
    pub fn settled(&self, table: TableId, good: u64, bad: u64) {
        self.governor.lock().settled(usize::from(table.0), good, bad);
    }

    /// Obeys new orders.
    pub fn order(&self, orders: Orders) {
        self.governor.lock().order(orders);
        self.stir();
    }

    /// The identity to look for new servers through, if it is time.
    pub fn search(&self, now: MonoTime) -> Option<IdentityId> {
        self.governor.lock().search(self.there(now)).map(IdentityId)
    }

    /// What a search brought.
    pub fn found(&self, headers: Option<&ReplyHeaders>, now: MonoTime) {
        let server = headers.and_then(|h| self.servers.lock().number(h));
        self.governor.lock().found(server, self.there(now));
        self.stir();
    }

    /// What people see.
    pub fn view(&self, now: MonoTime) -> View {
        self.governor.lock().view(self.there(now))
    }

    /// What is worth keeping for the next run.
    pub fn learned(
        &self,
        organization: &str,
        url: &str,
        kinds: &[RequestKind],
        wall_ms: i64,
    ) -> Learned {
        self.governor.lock().learned(organization, url, kinds, wall_ms)
    }

    /// Tells when something changed that may let a waiting lane go on.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Wakes the lanes that wait.
    pub fn stir(&self) {
        self.changed.send_modify(|count| *count = count.wrapping_add(1));
    }
}
