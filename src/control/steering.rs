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

/// The wish in force, and how often "go on" was said: a load that a breaker paused goes on when
/// it is said after that, though the run as a whole never stood still.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Order {
    /// What the run should do.
    pub wish: Wish,
    /// How often [`Wish::Run`] was said.
    pub resumes: u64,
}

/// The one place wishes go to.
#[derive(Clone, Debug)]
pub struct Steering {
    order: watch::Sender<Order>,
}

/// A wish that comes too late.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the run is {}; that cannot be taken back", .0.word())]
pub struct TooLate(pub Wish);

impl Default for Steering {
    fn default() -> Self {
        Self { order: watch::Sender::new(Order { wish: Wish::Run, resumes: 0 }) }
    }
}

impl Steering {
    /// Says what the run should do.
    ///
    /// # Errors
    /// When the run is already ending and the wish would take that back.
    pub fn wish(&self, new: Wish) -> Result<(), TooLate> {
        let mut refused = None;
        self.order.send_if_modified(|order| {
            if order.wish >= Wish::Drain && new < order.wish {
                refused = Some(order.wish);
                return false;
            }
            order.wish = new;
            order.resumes += u64::from(new == Wish::Run);
            true
        });
        refused.map_or(Ok(()), |wish| Err(TooLate(wish)))
    }

    /// The wish in force.
    #[must_use]
    pub fn now(&self) -> Wish {
        self.order.borrow().wish
    }

    /// A listener.
    #[must_use]
    pub fn listen(&self) -> watch::Receiver<Order> {
        self.order.subscribe()
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
