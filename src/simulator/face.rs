//! What all requests of one simulator share: model, limits, script, counts, clock.

use super::backend::Backend;
use super::contention::{Contention, VirtualClock};
use super::faults::{Facts, FaultRule, FaultScript, Stage, Strike};
use super::latency::{Chances, Work, course};
use super::limits::{Permit, Protection, Remaining, Throttle};
use super::nodes::Nodes;
use super::settings::Settings;
use super::sharing::Left;
use super::stats::{Counters, Place, Stats};
use super::token::TokenService;
use parking_lot::{Mutex, MutexGuard};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

/// Shared state; every lock is held for one step of a request, never over an await.
pub(super) struct Face<B> {
    pub(super) settings: Settings,
    pub(super) stopped: CancellationToken,
    pub(super) counters: Mutex<Counters>,
    pub(super) tokens: Mutex<TokenService>,
    pub(super) clock: VirtualClock,
    pub(super) contention: Arc<Contention>,
    backend: Mutex<B>,
    nodes: Mutex<Nodes>,
    protection: Mutex<Protection>,
    script: Mutex<FaultScript>,
    scripted: AtomicBool,
    chance: Mutex<StdRng>,
}

impl<B: Backend> Face<B> {
    /// # Errors
    /// No thread can be had.
    pub(super) fn start(
        settings: Settings,
        tokens: TokenService,
        backend: B,
    ) -> std::io::Result<Self> {
        let names = settings.users.iter().map(|u| u.name.clone()).collect();
        let rules = &settings.protection;
        let counters = Counters::new(names, rules.servers, settings.http.request_log_max);
        let nodes = Nodes::new(rules, &settings.servers_change);
        let protection = Protection::new(rules.clone(), &settings.foreign, &settings.users);
        let clock = VirtualClock::start(settings.speed);
        Ok(Self {
            stopped: CancellationToken::new(),
            counters: Mutex::new(counters),
            tokens: Mutex::new(tokens),
            contention: Contention::start(&settings, clock)?,
            clock,
            backend: Mutex::new(backend),
            nodes: Mutex::new(nodes),
            protection: Mutex::new(protection),
            scripted: AtomicBool::new(!settings.faults.is_empty()),
            script: Mutex::new(FaultScript::new(settings.seed, settings.faults.clone())),
            chance: Mutex::new(StdRng::seed_from_u64(settings.seed)),
            settings,
        })
    }

    pub(super) fn backend(&self) -> MutexGuard<'_, B> {
        self.backend.lock()
    }

    /// Virtual time since the start.
    pub(super) fn since_start(&self) -> Duration {
        self.clock.now().since_origin()
    }

    pub(super) fn draw(&self) -> f64 {
        self.chance.lock().random()
    }

    pub(super) fn stats(&self) -> Stats {
        let faults = self.script.lock().counts();
        self.counters.lock().snapshot(self.clock.uptime(), self.since_start(), faults)
    }

    pub(super) fn replace_faults(&self, rules: Vec<FaultRule>) {
        self.scripted.store(!rules.is_empty(), Ordering::Release);
        *self.script.lock() = FaultScript::new(self.settings.seed, rules);
    }

    pub(super) fn strike(&self, stage: Stage, facts: &Facts<'_>) -> Option<Strike> {
        if !self.scripted.load(Ordering::Acquire) {
            return None;
        }
        self.script.lock().strike(stage, facts)
    }

    /// The server a request reaches that names `cookie`, if any.
    pub(super) fn reach(self: &Arc<Self>, cookie: Option<u32>) -> Reached<B> {
        let chance = self.draw();
        let mut nodes = self.nodes.lock();
        if nodes.advance(self.since_start()) {
            self.protection.lock().keep_servers(nodes.alive());
        }
        let server = nodes.choose(cookie, chance);
        nodes.begin(server);
        Reached { face: Arc::clone(self), server }
    }

    /// Where a request of `user` at `server` counts.
    pub(super) fn place(&self, user: usize, server: u32) -> Place {
        Place { user, server, counter: self.protection.lock().counter(server) }
    }

    pub(super) fn admit(&self, user: usize, server: u32) -> Result<Permit, Throttle> {
        let chance = self.draw();
        self.protection.lock().admit(self.clock.now(), user, server, chance)
    }

    pub(super) fn complete(&self, permit: Permit, busy: Duration) {
        self.protection.lock().complete(self.clock.now(), permit, busy);
    }

    pub(super) fn remaining(&self, user: usize, server: u32) -> Remaining {
        self.protection.lock().remaining(self.clock.now(), user, server)
    }

    /// Begins the work of a request: who hears when it is over, and whether it then ends in a
    /// deadlock.
    pub(super) fn work(&self, works: &[Work], batch: bool) -> (oneshot::Receiver<Left>, bool) {
        let chances = {
            let mut chance = self.chance.lock();
            let mut draw = || chance.random();
            Chances { noise: [draw(), draw()], timeout: draw(), deadlock: draw(), moment: draw() }
        };
        let mut deadlock = false;
        let left = self.contention.arrive(|others| {
            let latency = &self.settings.latency;
            let course = course(latency, works, batch, others, self.since_start(), chances);
            deadlock = course.deadlock;
            course.share
        });
        (left, deadlock)
    }
}

/// The server a request has reached; it leaves when dropped.
pub(super) struct Reached<B: Backend> {
    face: Arc<Face<B>>,
    pub(super) server: u32,
}

impl<B: Backend> Drop for Reached<B> {
    fn drop(&mut self) {
        self.face.nodes.lock().end(self.server);
    }
}

/// A request that is being served; books its time and leaves when dropped.
pub(super) struct Running<B: Backend> {
    face: Arc<Face<B>>,
    permit: Option<Permit>,
    user: usize,
    server: u32,
    /// Virtual time it has cost.
    pub(super) busy: Duration,
}

impl<B: Backend> Running<B> {
    pub(super) fn begin(face: &Arc<Face<B>>, permit: Permit, user: usize, server: u32) -> Self {
        Self { face: Arc::clone(face), permit: Some(permit), user, server, busy: Duration::ZERO }
    }
}

impl<B: Backend> Drop for Running<B> {
    fn drop(&mut self) {
        if let Some(permit) = self.permit.take() {
            self.face.complete(permit, self.busy);
            self.face.counters.lock().book(self.user, self.server, self.busy);
        }
    }
}
