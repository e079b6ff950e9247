//! What people want of the run, and who listens to it.

use tokio::sync::watch;

/// What the run should do. Later wishes override earlier ones, except that an ending run cannot
/// be resumed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Wish {
    /// Go on.
    Run,
    /// Send nothing new; keep everything.
    Pause,
    /// Read nothing new, send what was read, then end.
    Drain,
    /// Send nothing new, wait for what is on the wire, then end; resumable.
    Stop,
}

impl Wish {
    /// Word used in `/status`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Run => "running",
            Self::Pause => "paused",
            Self::Drain => "draining",
            Self::Stop => "stopping",
        }
    }
}

/// The one place wishes go to.
#[derive(Clone, Debug)]
pub struct Steering {
    wish: watch::Sender<Wish>,
}

/// A wish that comes too late.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the run is {}; that cannot be taken back", .0.word())]
pub struct TooLate(pub Wish);

impl Default for Steering {
    fn default() -> Self {
        Self { wish: watch::Sender::new(Wish::Run) }
    }
}

impl Steering {
    /// Says what the run should do.
    ///
    /// # Errors
    /// When the run is already ending and the wish would take that back.
    pub fn wish(&self, new: Wish) -> Result<(), TooLate> {
        let mut refused = None;
        self.wish.send_if_modified(|wish| {
            if *wish >= Wish::Drain && new < *wish {
                refused = Some(*wish);
                return false;
            }
            let changed = *wish != new;
            *wish = new;
            changed
        });
        refused.map_or(Ok(()), |wish| Err(TooLate(wish)))
    }

    /// The present wish.
    #[must_use]
    pub fn now(&self) -> Wish {
        *self.wish.borrow()
    }

    /// A listener.
    #[must_use]
    pub fn listen(&self) -> watch::Receiver<Wish> {
        self.wish.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ending_run_cannot_be_resumed_but_can_be_hurried() {
        let steering = Steering::default();
        assert_eq!(steering.wish(Wish::Pause), Ok(()));
        assert_eq!(steering.wish(Wish::Run), Ok(()));
        assert_eq!(steering.wish(Wish::Drain), Ok(()));
        assert_eq!(steering.wish(Wish::Pause), Err(TooLate(Wish::Drain)));
        assert_eq!(steering.now(), Wish::Drain);
        assert_eq!(steering.wish(Wish::Stop), Ok(()));
    }
}
