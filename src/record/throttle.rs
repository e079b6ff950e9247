//! Pure: the kinds of service-protection limit.

/// Which service-protection limit closed a gate.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Throttle {
    /// Requests in the window.
    Requests,
    /// Execution time in the window.
    Time,
    /// Requests at once.
    Concurrency,
    /// The answer did not say.
    Other,
}

impl Throttle {
    /// All kinds.
    pub const ALL: [Self; 4] = [Self::Requests, Self::Time, Self::Concurrency, Self::Other];

    /// Word used in labels.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Time => "execution_time",
            Self::Concurrency => "concurrency",
            Self::Other => "other",
        }
    }

    /// What a person is told while waiting.
    #[must_use]
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::Requests => "request limit",
            Self::Time => "execution-time limit",
            Self::Concurrency => "concurrency limit",
            Self::Other => "throttled",
        }
    }
}
