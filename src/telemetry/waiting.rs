//! Pure: why a lane does not send more right now, as a closed set of reasons.

use crate::units::MonoTime;
use std::fmt::Write;

/// The one thing that holds a lane at this moment.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Waiting {
    /// Not begun.
    #[default]
    Starting,
    /// Loads whose rows it refers to are not done.
    Parents(Vec<String>),
    /// The source gives rows slower than they are sent.
    Source,
    /// Conversion is slower than sending.
    Conversion,
    /// As many requests at once as the job file or a person allows the load.
    Parallel,
    /// The execution seconds or requests of the window are spent as fast as they come back.
    Window {
        /// Alias of the identity that may send next.
        identity: String,
        /// What is counted, in words.
        limit: &'static str,
        /// Used within the window, seconds or requests.
        used: u64,
        /// Limit of it.
        of: u64,
    },
    /// As many requests at once as the service lets an identity have.
    Concurrency {
        /// Alias of the identity.
        identity: String,
        /// The limit.
        limit: u32,
    },
    /// More requests at once would slow each other by as much as they add.
    Knee,
    /// Feeling how many requests at once are best.
    Learning,
    /// Other loads have their turn, by weight.
    Turn,
    /// A schedule allows nothing, or less, at this hour.
    Schedule,
    /// The 24-hour entitlement of every identity is used up.
    Entitlement {
        /// Alias of the identity that was used up last.
        identity: String,
    },
    /// As many requests at once as its identities may have.
    Identities,
    /// Identities send as many requests a second as the job file allows.
    Ceiling {
        /// Alias of the identity that may send next.
        identity: String,
    },
    /// Every identity is throttled.
    Throttled {
        /// Kind of limit, in words.
        limit: &'static str,
        /// Alias of the identity that opens first.
        identity: String,
        /// When it opens.
        until: MonoTime,
    },
    /// Failed requests wait for their next attempt.
    Backoff {
        /// What was heard last.
        reason: String,
        /// When the next one goes.
        until: MonoTime,
    },
    /// Intents wait for the disk.
    Ledger,
    /// A person paused it.
    Operator,
    /// A breaker paused it.
    Breaker(String),
    /// Nothing more to come at present.
    Idle,
    /// Finished.
    Done,
}

impl Waiting {
    /// Word for labels and JSON.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Parents(_) => "parents",
            Self::Source => "source",
            Self::Conversion => "conversion",
            Self::Parallel => "parallel",
            Self::Window { .. } => "window",
            Self::Concurrency { .. } => "concurrency_limit",
            Self::Knee => "knee",
            Self::Learning => "learning",
            Self::Turn => "turn",
            Self::Schedule => "schedule",
            Self::Entitlement { .. } => "entitlement",
            Self::Identities => "identities",
            Self::Ceiling { .. } => "ceiling",
            Self::Throttled { .. } => "throttled",
            Self::Backoff { .. } => "backoff",
            Self::Ledger => "ledger",
            Self::Operator => "operator",
            Self::Breaker(_) => "breaker",
            Self::Idle => "idle",
            Self::Done => "done",
        }
    }

    /// One clause for the progress line, e.g. "paused 12 s: execution-time limit, identity app-2".
    #[must_use]
    pub fn sentence(&self, now: MonoTime) -> String {
        let secs = |until: &MonoTime| until.saturating_since(now).as_secs_f64().ceil();
        let mut text = String::new();
        let written = match self {
            Self::Starting => write!(text, "starting"),
            Self::Parents(names) => write!(text, "waiting for {}", names.join(", ")),
            Self::Source => write!(text, "limited by the source"),
            Self::Conversion => write!(text, "limited by conversion"),
            Self::Parallel => write!(text, "limited by parallel of the load"),
            Self::Window { identity, limit, used, of } => {
                write!(text, "limited by the {limit} of identity {identity} ({used} of {of})")
            }
            Self::Concurrency { identity, limit } => {
                write!(text, "limited by {limit} requests at once of identity {identity}")
            }
            Self::Knee => write!(text, "limited by the server: more at once would be slower"),
            Self::Learning => write!(text, "learning how much at once is best"),
            Self::Turn => write!(text, "other loads have their turn"),
            Self::Schedule => write!(text, "limited by the schedule"),
            Self::Entitlement { identity } => {
                write!(text, "stopped by the 24-hour entitlement of identity {identity}")
            }
            Self::Identities => write!(text, "limited by requests at once of the identities"),
            Self::Ceiling { identity } => {
                write!(text, "limited by requests_per_second of identity {identity}")
            }
            Self::Throttled { limit, identity, until } => {
                write!(text, "paused {} s: {limit}, identity {identity}", secs(until))
            }
            Self::Backoff { reason, until } => {
                write!(text, "next attempt in {} s: {reason}", secs(until))
            }
            Self::Ledger => write!(text, "limited by the ledger's disk"),
            Self::Operator => write!(text, "paused by operator"),
            Self::Breaker(why) => write!(text, "paused: {why}"),
            Self::Idle => write!(text, "waiting for new files"),
            Self::Done => write!(text, "done"),
        };
        debug_assert!(written.is_ok(), "writing to a String cannot fail");
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_throttle_names_limit_identity_and_seconds_left() {
        let until = MonoTime::from_origin(Duration::from_millis(51_500));
        let waiting =
            Waiting::Throttled { limit: "execution-time limit", identity: "app-2".into(), until };
        let now = MonoTime::from_origin(Duration::from_secs(40));
        assert_eq!(waiting.sentence(now), "paused 12 s: execution-time limit, identity app-2");
    }
}
