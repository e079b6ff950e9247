//! Pure: how long to wait before the same batch goes again when the server names no time.

use rand::Rng;
use std::time::Duration;

/// Least upper bound of the first wait.
pub const BACKOFF_MIN: Duration = Duration::from_millis(500);
/// Longest wait.
pub const BACKOFF_MAX: Duration = Duration::from_secs(60);
/// Wait after a throttle that names no time.
///
/// Source: `dataverse-web-api.md` §1.2: about 30 s was observed in real runs.
pub const RETRY_AFTER_ABSENT: Duration = Duration::from_secs(30);
/// Longest `Retry-After` believed; a longer one is cut to this.
///
/// Source: `dataverse-web-api.md` §1.1: the window is 300 s, so a longer wait cannot be due to it.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(320);

/// Exponential backoff with full jitter: uniform between an eighth and the whole of
/// `BACKOFF_MIN · 2^failures`, at most `BACKOFF_MAX`. The floor keeps a burst of failed batches
/// from coming back at once.
pub fn backoff(failures: u32, rng: &mut impl Rng) -> Duration {
    let cap = BACKOFF_MIN.saturating_mul(1 << failures.min(7)).min(BACKOFF_MAX);
    cap.mul_f64(rng.random_range(0.125..=1.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand::rngs::SmallRng;

    #[test]
    fn waits_grow_and_stay_within_bounds() {
        let mut rng = SmallRng::seed_from_u64(7);
        for failures in 0..200 {
            let wait = backoff(failures, &mut rng);
            assert!(wait >= BACKOFF_MIN / 8 && wait <= BACKOFF_MAX, "{wait:?}");
        }
        let mean = |failures| {
            let mut rng = SmallRng::seed_from_u64(1);
            (0..400).map(|_| backoff(failures, &mut rng).as_secs_f64()).sum::<f64>() / 400.0
        };
        assert!(mean(4) > 4.0 * mean(1));
    }
}
