//! One budget of bytes for all records the run holds. A reader takes its share before it reads
//! and the share comes back when the last row of the chunk is settled and shown, so that a
//! stalled server stops the readers instead of filling the memory.

use parking_lot::{Condvar, Mutex};
use std::sync::Arc;

#[derive(Debug)]
struct State {
    taken: u64,
    closed: bool,
}

/// The budget; clones share it.
#[derive(Clone, Debug)]
pub struct Budget {
    total: u64,
    state: Arc<(Mutex<State>, Condvar)>,
}

/// A share of the budget; given back when dropped.
#[derive(Debug)]
pub struct Share {
    bytes: u64,
    budget: Budget,
}

impl Budget {
    /// A budget of `total` bytes.
    #[must_use]
    pub fn new(total: u64) -> Self {
        let state = State { taken: 0, closed: false };
        Self { total, state: Arc::new((Mutex::new(state), Condvar::new())) }
    }

    /// Waits until `bytes` are free and takes them. A share larger than the whole budget is
    /// given when nothing else is taken, so that one large record cannot wait for ever.
    /// `None` when the budget was closed.
    #[must_use]
    pub fn take(&self, bytes: u64) -> Option<Share> {
        let (lock, freed) = &*self.state;
        let mut state = lock.lock();
        while !state.closed && state.taken > 0 && state.taken + bytes > self.total {
            freed.wait(&mut state);
        }
        if state.closed {
            return None;
        }
        state.taken += bytes;
        Some(Share { bytes, budget: self.clone() })
    }

    /// Bytes taken at present.
    #[must_use]
    pub fn taken(&self) -> u64 {
        self.state.0.lock().taken
    }

    /// Bytes there are.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.total
    }

    /// Wakes all who wait, with nothing: the run ends.
    pub fn close(&self) {
        let (lock, freed) = &*self.state;
        lock.lock().closed = true;
        freed.notify_all();
    }
}

impl Share {
    /// Makes the share larger or smaller without waiting: a chunk turned out to be of another
    /// size than was reserved for it.
    pub fn resize(&mut self, bytes: u64) {
        let (lock, freed) = &*self.budget.state;
        let mut state = lock.lock();
        state.taken = state.taken - self.bytes + bytes;
        self.bytes = bytes;
        freed.notify_all();
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let (lock, freed) = &*self.budget.state;
        lock.lock().taken -= self.bytes;
        freed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    #[test]
    fn a_reader_waits_until_a_share_comes_back() {
        let budget = Budget::new(100);
        let first = budget.take(80).expect("open");
        let waiting = {
            let budget = budget.clone();
            thread::spawn(move || budget.take(40).map(|s| s.bytes))
        };
        assert_eq!(budget.taken(), 80);
        drop(first);
        assert_eq!(waiting.join().expect("no panic"), Some(40));
        assert_eq!(budget.taken(), 0);
    }

    #[test]
    fn a_share_larger_than_the_budget_is_given_when_alone() {
        let budget = Budget::new(100);
        assert!(budget.take(500).is_some());
    }

    #[test]
    fn closing_wakes_those_who_wait() {
        let budget = Budget::new(10);
        let _held = budget.take(10);
        let waiting = {
            let budget = budget.clone();
            thread::spawn(move || budget.take(1).is_none())
        };
        budget.close();
        assert!(waiting.join().expect("no panic"));
    }
}
