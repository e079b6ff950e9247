//! Pure: the words in which the governor is asked and told.

use crate::record::throttle::Throttle;
use crate::units::MonoTime;
use std::time::Duration;

/// What a request carries.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cargo {
    /// Rows in one bulk message.
    Bulk,
    /// Rows as single operations in a `$batch`.
    Apart,
    /// A question about rows.
    Question,
}

/// Leave to send one request; given back when it landed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Permit {
    /// Number of the request.
    pub id: u64,
    /// Identity to send through, in job order.
    pub identity: u16,
    /// Web server to send to, where servers count apart.
    pub server: Option<u32>,
}

/// Answer to "may a request of this load go now?".
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Admission {
    /// Yes.
    Go(Permit),
    /// Not now. Ask again at the time, or whenever a request landed.
    Wait(Option<MonoTime>, Why),
}

/// Why a request may not go now.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Why {
    /// A person paused the load, or every identity.
    Paused,
    /// The load has as many requests under way as it may have.
    TableParallel,
    /// Other loads have their turn.
    Turn,
    /// The ramp is being climbed.
    Learning,
    /// More at once would be slower.
    Knee,
    /// A limit of the window is spent as fast as it comes back.
    Window {
        /// Identity that may send next.
        identity: u16,
        /// Of what kind.
        kind: Throttle,
        /// Used in the window.
        used: f64,
        /// Limit of it.
        limit: f64,
    },
    /// As many at once as the service lets an identity have.
    Concurrency {
        /// Identity.
        identity: u16,
        /// Limit.
        limit: u32,
    },
    /// Closed by a throttle.
    Throttled {
        /// Identity that opens first.
        identity: u16,
        /// What closed it.
        kind: Throttle,
        /// When it opens.
        until: MonoTime,
    },
    /// The job's requests a second.
    Ceiling {
        /// Identity.
        identity: u16,
    },
    /// The schedule allows nothing now.
    Schedule,
    /// The 24-hour entitlement is used up.
    Entitlement {
        /// Identity.
        identity: u16,
    },
}

/// How a request ended.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Outcome {
    /// Well, for all that could be well (single refusals within a `$batch` are part of it).
    Done,
    /// Refused for what is in its rows.
    Refused,
    /// Failed in passing; nothing applied.
    Passing,
    /// The time limit was met.
    TimedOut,
    /// Nobody knows, or it tells nothing about the service's speed.
    Lost,
    /// 429.
    Throttled {
        /// Limit.
        kind: Throttle,
        /// Wait asked for.
        retry_after: Option<Duration>,
    },
}

/// What came back.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Landing {
    /// How it ended.
    pub outcome: Outcome,
    /// Execution seconds left, by the headers.
    pub time_remaining_secs: Option<f64>,
    /// Requests left, by the headers.
    pub requests_remaining: Option<f64>,
    /// Server that answered, if it can be told.
    pub server: Option<u32>,
}
