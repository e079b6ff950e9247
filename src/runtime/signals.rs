//! Signals: the first asks the run to stop in order, the second ends the process.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Which signal came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Came {
    /// Ctrl-C.
    Interrupt,
    /// `kill`, a service manager.
    Terminate,
}

/// Listens for SIGINT and SIGTERM.
#[derive(Debug)]
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// Begins to listen.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn listen() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// The next signal.
    pub async fn next(&mut self) -> Came {
        tokio::select! {
            _ = self.interrupt.recv() => Came::Interrupt,
            _ = self.terminate.recv() => Came::Terminate,
        }
    }
}
