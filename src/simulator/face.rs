//! What all requests of one simulator share: model, limits, script, counts, clock.

use super::backend::Backend;
use super::faults::{Facts, FaultRule, FaultScript, Stage, Strike};
use super::latency::{Course, Load, Work, course, service_time};
use super::limits::{Permit, Protection, Remaining, Throttle};
use super::settings::Settings;
use super::stats::{Counters, Stats};
use super::token::TokenService;
use crate::runtime::clock;
use crate::units::MonoTime;
use parking_lot::{Mutex, MutexGuard};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Shared state; every lock is held for one step of a request, never over an await.
pub(super) struct Face<B> {
    pub(super) settings: Settings,
    pub(super) stopped: CancellationToken,
    pub(super) counters: Mutex<Counters>,
    pub(super) tokens: Mutex<TokenService>,
    backend: Mutex<B>,
    protection: Mutex<Protection>,
    script: Mutex<FaultScript>,
    scripted: AtomicBool,
    chance: Mutex<StdRng>,
    next_server: AtomicU32,
    running: AtomicU32,
    running_rows: AtomicU64,
    started: MonoTime,
}

impl<B: Backend> Face<B> {
    pub(super) fn new(settings: Settings, tokens: TokenService, backend: B) -> Self {
        let names = settings.users.iter().map(|u| u.name.clone()).collect();
        let counters =
            Counters::new(names, settings.protection.servers, settings.http.request_log_max);
        Self {
            stopped: CancellationToken::new(),
            counters: Mutex::new(counters),
            tokens: Mutex::new(tokens),
            backend: Mutex::new(backend),
            protection: Mutex::new(Protection::new(settings.protection.clone())),
            scripted: AtomicBool::new(!settings.faults.is_empty()),
            script: Mutex::new(FaultScript::new(settings.seed, settings.faults.clone())),
            chance: Mutex::new(StdRng::seed_from_u64(settings.seed)),
            next_server: AtomicU32::new(0),
            running: AtomicU32::new(0),
            running_rows: AtomicU64::new(0),
            started: clock::now(),
            settings,
        }
    }

    pub(super) fn backend(&self) -> MutexGuard<'_, B> {
        self.backend.lock()
    }

    /// Real time since the start.
    pub(super) fn uptime(&self) -> Duration {
        clock::now().saturating_since(self.started)
    }

    /// Virtual time since the start.
    pub(super) fn since_start(&self) -> Duration {
        self.uptime().mul_f64(self.settings.speed)
    }

    fn virtual_now(&self) -> MonoTime {
        MonoTime::from_origin(self.since_start())
    }

    /// Virtual time as the real time it takes here.
    pub(super) fn real(&self, time: Duration) -> Duration {
        time.div_f64(self.settings.speed)
    }

    pub(super) fn draw(&self) -> f64 {
        self.chance.lock().random()
    }

    pub(super) fn stats(&self) -> Stats {
        let faults = self.script.lock().counts();
        self.counters.lock().snapshot(self.uptime(), faults)
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

    /// The server an affinity cookie names, else the next one.
    pub(super) fn server(&self, cookie: Option<u32>) -> u32 {
        let servers = self.settings.protection.servers;
        match cookie {
            Some(server) if server < servers => server,
            _ => self.next_server.fetch_add(1, Ordering::Relaxed) % servers,
        }
    }

    pub(super) fn admit(&self, user: usize, server: u32) -> Result<Permit, Throttle> {
        let chance = self.draw();
        self.protection.lock().admit(self.virtual_now(), user, server, chance)
    }

    pub(super) fn complete(&self, permit: Permit, busy: Duration) {
        self.protection.lock().complete(self.virtual_now(), permit, busy);
    }

    pub(super) fn remaining(&self, user: usize, server: u32) -> Remaining {
        self.protection.lock().remaining(self.virtual_now(), user, server)
    }

    /// How the request will go in virtual time, given what else runs.
    fn plan(&self, works: &[Work], concurrent: u32, rows_elsewhere: u64) -> Course {
        let latency = &self.settings.latency;
        if latency.scale <= 0.0 {
            return Course::Completes(Duration::ZERO);
        }
        let (noise, end) = {
            let mut chance = self.chance.lock();
            ([chance.random(), chance.random()], chance.random())
        };
        let since_start = self.since_start();
        let load = Load { concurrent, rows_elsewhere, since_start, chance: noise };
        course(latency, service_time(latency, works, load), end)
    }
}

/// A request that is being served; books its time and leaves when dropped.
pub(super) struct Running<B: Backend> {
    face: Arc<Face<B>>,
    permit: Option<Permit>,
    rows: u64,
    /// How it will go.
    pub(super) course: Course,
    /// Virtual time it has cost.
    pub(super) busy: Duration,
}

impl<B: Backend> Running<B> {
    pub(super) fn begin(face: &Arc<Face<B>>, permit: Permit, works: &[Work]) -> Self {
        let rows = works.iter().map(|w| u64::from(w.rows)).sum();
        let concurrent = face.running.fetch_add(1, Ordering::Relaxed) + 1;
        let elsewhere = face.running_rows.fetch_add(rows, Ordering::Relaxed);
        let course = face.plan(works, concurrent, elsewhere);
        let (Course::Completes(busy) | Course::TimesOut(busy)) = course;
        Self { face: Arc::clone(face), permit: Some(permit), rows, course, busy }
    }
}

impl<B: Backend> Drop for Running<B> {
    fn drop(&mut self) {
        self.face.running.fetch_sub(1, Ordering::Relaxed);
        self.face.running_rows.fetch_sub(self.rows, Ordering::Relaxed);
        if let Some(permit) = self.permit.take() {
            self.face.complete(permit, self.busy);
        }
    }
}
