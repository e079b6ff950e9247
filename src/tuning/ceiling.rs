//! Pure: a ceiling on requests a second through one identity, as the job file sets it: for
//! environments that people work in while a load runs.
//!
//! The token arithmetic is the governor crate's. Its clock is told the time, so that a ceiling
//! runs in virtual time, and nobody waits inside it: a request that may not go yet is told when.

use crate::units::MonoTime;
use governor::clock::{Clock, Reference};
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The time last told, nanoseconds.
#[derive(Clone, Debug, Default)]
struct ToldClock(Arc<AtomicU64>);

impl Clock for ToldClock {
    type Instant = Nanos;
    fn now(&self) -> Nanos {
        Nanos::new(self.0.load(Ordering::Relaxed))
    }
}

/// A ceiling.
#[derive(Debug)]
pub struct Ceiling {
    limiter: RateLimiter<NotKeyed, InMemoryState, ToldClock, NoOpMiddleware<Nanos>>,
    clock: ToldClock,
}

impl Ceiling {
    /// At most `per_second` requests a second, evenly spread: no bursts.
    #[must_use]
    pub fn new(per_second: NonZeroU32) -> Self {
        let clock = ToldClock::default();
        let quota = Quota::per_second(per_second).allow_burst(NonZeroU32::MIN);
        let limiter = RateLimiter::direct_with_clock(quota, clock.clone());
        Self { limiter, clock }
    }

    /// Takes a request's place at `now`, or tells when there is one.
    ///
    /// # Errors
    /// The time at which to ask again.
    pub fn take(&self, now: MonoTime) -> Result<(), MonoTime> {
        let nanos = u64::try_from(now.since_origin().as_nanos()).unwrap_or(u64::MAX);
        self.clock.0.store(nanos, Ordering::Relaxed);
        self.limiter.check().map_err(|not_until| {
            let at = not_until.earliest_possible();
            let wait = at.duration_since(Nanos::new(nanos));
            now + Duration::from(wait).max(Duration::from_micros(1))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_holds_what_the_ceiling_allows_and_never_a_burst() {
        let ceiling = Ceiling::new(NonZeroU32::new(20).expect("not zero"));
        let mut now = MonoTime::from_origin(Duration::from_secs(3600));
        let end = now + Duration::from_secs(60);
        let (mut taken, mut in_second) = (0u32, vec![0u32; 61]);
        while now < end {
            match ceiling.take(now) {
                Ok(()) => {
                    taken += 1;
                    let second = now.since_origin().as_secs() - 3600;
                    in_second[usize::try_from(second).expect("small")] += 1;
                }
                Err(later) => {
                    assert!(later > now, "time must pass");
                    now = later;
                }
            }
        }
        assert!((1195..=1205).contains(&taken), "{taken}");
        assert!(in_second.iter().all(|n| *n <= 21), "{in_second:?}");
    }
}
