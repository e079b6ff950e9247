//! The database all requests share, in running time: a thread of its own sleeps until the next
//! request is done and wakes its waiter.
//!
//! A thread, because tokio's timers tick in milliseconds: at speed 60 a tick is 60 simulated
//! milliseconds, a sleeping thread is late by a twentieth of that.

use super::settings::Settings;
use super::sharing::{Left, Share, Sharing};
use crate::runtime::clock;
use crate::units::MonoTime;
use parking_lot::{Condvar, Mutex};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

/// The simulated clock: virtual time since the start, `speed` times as fast as the real one.
#[derive(Clone, Copy, Debug)]
pub(super) struct VirtualClock {
    started: MonoTime,
    speed: f64,
}

impl VirtualClock {
    /// Starts now.
    pub(super) fn start(speed: f64) -> Self {
        Self { started: clock::now(), speed }
    }

    /// Real time since the start.
    pub(super) fn uptime(&self) -> Duration {
        clock::now().saturating_since(self.started)
    }

    /// Virtual time since the start.
    pub(super) fn now(&self) -> MonoTime {
        MonoTime::from_origin(self.virtual_of(self.uptime()))
    }

    /// Real time as the virtual time that passes in it.
    pub(super) fn virtual_of(&self, time: Duration) -> Duration {
        Duration::try_from_secs_f64(time.as_secs_f64() * self.speed).unwrap_or(Duration::MAX)
    }

    /// Virtual time as the real time it takes here.
    pub(super) fn real(&self, time: Duration) -> Duration {
        Duration::try_from_secs_f64(time.as_secs_f64() / self.speed).unwrap_or(Duration::MAX)
    }
}

/// Requests that run, and who waits for them.
pub(super) struct Contention {
    clock: VirtualClock,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    sharing: Sharing,
    waiting: HashMap<u64, oneshot::Sender<Left>>,
    next_id: u64,
    /// What the thread sleeps for.
    planned: Option<MonoTime>,
    stopped: bool,
}

impl Contention {
    /// An empty database; a thread keeps its time until [`Contention::stop`].
    pub(super) fn start(settings: &Settings, clock: VirtualClock) -> std::io::Result<Arc<Self>> {
        let state = State {
            sharing: Sharing::new(settings.latency.clone()),
            waiting: HashMap::new(),
            next_id: 0,
            planned: None,
            stopped: false,
        };
        let contention =
            Arc::new(Self { clock, state: Mutex::new(state), changed: Condvar::new() });
        // Without service times nobody ever waits.
        if settings.latency.scale > 0.0 {
            let kept = Arc::clone(&contention);
            std::thread::Builder::new()
                .name("simulated-database".to_owned())
                .spawn(move || kept.keep_time())?;
        }
        Ok(contention)
    }

    /// A request begins: `share` makes its share of the database of how many others run. The
    /// receiver hears when it leaves.
    pub(super) fn arrive(&self, share: impl FnOnce(u32) -> Share) -> oneshot::Receiver<Left> {
        let (tell, told) = oneshot::channel();
        let mut state = self.state.lock();
        let now = self.clock.now();
        state.tell(now);
        let id = state.next_id;
        state.next_id += 1;
        state.waiting.insert(id, tell);
        let share = share(state.sharing.requests());
        state.sharing.arrive(now, id, share);
        // Some have no work at all.
        state.tell(now);
        // A new one makes the others later, never earlier: the thread need not hear of most.
        let next = state.sharing.next_event();
        if next.is_some_and(|next| state.planned.is_none_or(|planned| next < planned)) {
            self.changed.notify_one();
        }
        told
    }

    /// Ends the thread. Who still waits hears nothing more.
    pub(super) fn stop(&self) {
        self.state.lock().stopped = true;
        self.changed.notify_one();
    }

    fn keep_time(&self) {
        let mut state = self.state.lock();
        while !state.stopped {
            let now = self.clock.now();
            state.tell(now);
            state.planned = state.sharing.next_event();
            match state.planned {
                None => self.changed.wait(&mut state),
                Some(at) => {
                    let wait = self.clock.real(at.saturating_since(now));
                    self.changed.wait_for(&mut state, wait);
                }
            }
        }
        state.waiting.clear();
    }
}

impl State {
    /// Goes on to `now` and tells who has left.
    fn tell(&mut self, now: MonoTime) {
        for left in self.sharing.advance(now) {
            // A waiter that is gone, its simulator being stopped, need not hear.
            if let Some(tell) = self.waiting.remove(&left.id) {
                let _gone = tell.send(left);
            }
        }
    }
}
