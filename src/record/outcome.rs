//! Pure: what can become of a row.

/// What a table load does with its rows.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Operation {
    /// Make new rows.
    Create,
    /// Change rows that exist.
    Update,
    /// Change rows, making those that are missing.
    Upsert,
    /// Remove rows.
    Delete,
}

impl Operation {
    /// The word used in job files, sinks and labels.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Upsert => "upsert",
            Self::Delete => "delete",
        }
    }
}

/// The one final state of a row. Together with rows queued and in flight these make up the
/// accounting identity: rows read = sum over all states.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum RowState {
    /// Made by this job.
    Created = 1,
    /// Changed by this job.
    Updated = 2,
    /// Made or changed; the Web API does not tell which.
    Upserted = 3,
    /// Removed by this job.
    Deleted = 4,
    /// Was there already, not written by this job, and left as it was.
    Existing = 5,
    /// Left out by the job's own filter.
    Filtered = 6,
    /// Refused before sending: it cannot be converted or breaks a rule of the target.
    Rejected = 7,
    /// Refused before sending: its key stands in the source before.
    DuplicateInput = 8,
    /// Refused by Dataverse.
    Failed = 9,
    /// Never sent because the run was ended by a person or a breaker.
    Cancelled = 10,
    /// Sent, and nobody can say whether it was applied.
    Ambiguous = 11,
}

impl RowState {
    /// All states, in the order reports list them.
    pub const ALL: [Self; 11] = [
        Self::Created,
        Self::Updated,
        Self::Upserted,
        Self::Deleted,
        Self::Existing,
        Self::Filtered,
        Self::Rejected,
        Self::DuplicateInput,
        Self::Failed,
        Self::Cancelled,
        Self::Ambiguous,
    ];

    /// The word used in sinks, reports and labels.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Updated => "updated",
            Self::Upserted => "upserted",
            Self::Deleted => "deleted",
            Self::Existing => "existing",
            Self::Filtered => "filtered",
            Self::Rejected => "rejected",
            Self::DuplicateInput => "duplicate_input",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Ambiguous => "ambiguous",
        }
    }

    /// The number written to the ledger.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// From the number written to the ledger.
    #[must_use]
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.code() == code)
    }

    /// Whether the row stands in the success file.
    #[must_use]
    pub const fn is_good(self) -> bool {
        matches!(
            self,
            Self::Created | Self::Updated | Self::Upserted | Self::Deleted | Self::Existing
        )
    }

    /// Whether the row stands in the error file.
    #[must_use]
    pub const fn is_bad(self) -> bool {
        matches!(self, Self::Rejected | Self::DuplicateInput | Self::Failed | Self::Ambiguous)
    }
}

/// Why a row was refused, by us or by Dataverse; becomes the `__code`, `__category` and
/// `__message` columns of the error file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RowFault {
    /// `DV…` for our own checks (see `dvbulk explain`), `0x…` (eight lower-case digits) for Dataverse.
    pub code: String,
    /// Closed set of words a person can filter by.
    pub category: FaultCategory,
    /// One sentence: column, value and rule.
    pub message: String,
    /// Whether loading the error file again later may succeed without a change of the data.
    pub retryable: bool,
}

/// What kind of trouble a refused row is in.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum FaultCategory {
    /// The record itself is malformed (ragged, not UTF-8, too large).
    Source = 1,
    /// A value does not fit its column.
    Value = 2,
    /// A required value is missing.
    Required = 3,
    /// A referenced row is missing or was refused itself.
    Reference = 4,
    /// A key or id is taken.
    Duplicate = 5,
    /// The row to change or delete is not there.
    Missing = 6,
    /// The state of the row or its parent forbids it.
    State = 7,
    /// A privilege or owner problem.
    Access = 8,
    /// A plug-in or flow on the target refused it.
    BusinessRule = 9,
    /// Everything else Dataverse refuses.
    Other = 10,
    /// Given up after the retry deadline; data may be fine.
    Transient = 11,
}

impl FaultCategory {
    /// All categories.
    pub const ALL: [Self; 11] = [
        Self::Source,
        Self::Value,
        Self::Required,
        Self::Reference,
        Self::Duplicate,
        Self::Missing,
        Self::State,
        Self::Access,
        Self::BusinessRule,
        Self::Other,
        Self::Transient,
    ];

    /// The word used in the error file and in labels.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Value => "value",
            Self::Required => "required",
            Self::Reference => "reference",
            Self::Duplicate => "duplicate",
            Self::Missing => "missing",
            Self::State => "state",
            Self::Access => "access",
            Self::BusinessRule => "business_rule",
            Self::Other => "other",
            Self::Transient => "transient",
        }
    }

    /// From the number written to the ledger.
    #[must_use]
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|c| *c as u8 == code)
    }
}
