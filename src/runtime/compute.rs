//! rayon behind one async function. Inside the closure: no lock, no channel, no blocking wait;
//! memory permits are taken before and kept outside.

use std::panic::{AssertUnwindSafe, catch_unwind};
use tokio::sync::oneshot;

/// The work panicked; its result is lost, the pool is not.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a computation ended with a panic")]
pub struct ComputeFailed;

/// Runs `work` on the compute pool and waits for it without blocking the executor. When the
/// caller is dropped meanwhile, the work still ends by itself and its result is dropped.
///
/// # Errors
/// If the work panics.
pub async fn run<T, F>(work: F) -> Result<T, ComputeFailed>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    let (send, receive) = oneshot::channel();
    rayon::spawn(move || {
        let result = catch_unwind(AssertUnwindSafe(work)).map_err(|_| ComputeFailed);
        // The caller may have gone; then nobody needs the result.
        drop(send.send(result));
    });
    receive.await.unwrap_or(Err(ComputeFailed))
}

/// Hands `work` to the compute pool and does not wait; whoever wants the result passes a channel
/// in that never blocks.
pub fn spawn(work: impl FnOnce() + Send + 'static) {
    rayon::spawn(work);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn gives_the_result_and_survives_a_panic() {
        assert_eq!(run(|| 6 * 7).await, Ok(42));
        assert_eq!(run(|| -> u8 { panic!("on purpose") }).await, Err(ComputeFailed));
        assert_eq!(run(|| "still alive").await, Ok("still alive"));
    }
}
