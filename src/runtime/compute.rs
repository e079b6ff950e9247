//! rayon behind one function. Inside the closure: no lock held over other work, no blocking
//! channel; memory permits are taken before.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Hands `work` to the compute pool and does not wait; whoever wants the result passes a channel
/// in that never blocks. Work that panics drops what it owns, so that the channel's other end
/// hears of it; the pool and the process live on.
pub fn spawn(work: impl FnOnce() + Send + 'static) {
    rayon::spawn(move || {
        if catch_unwind(AssertUnwindSafe(work)).is_err() {
            tracing::error!("a computation ended with a panic");
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::oneshot;

    #[tokio::test]
    async fn a_panic_is_heard_as_a_closed_channel_and_the_pool_lives_on() {
        let (send, receive) = oneshot::channel::<u8>();
        spawn(move || {
            let _held = send;
            panic!("on purpose");
        });
        assert!(receive.await.is_err());
        let (send, receive) = oneshot::channel();
        spawn(move || assert!(send.send(42).is_ok()));
        assert_eq!(receive.await, Ok(42));
    }
}
