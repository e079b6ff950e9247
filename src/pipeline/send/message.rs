//! Pure: which Web API message carries the rows of a load.

use crate::catalog::model::{Table, TableKind};
use crate::config::job::IdRule;
use crate::record::outcome::Operation;

/// How rows travel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Message {
    /// `CreateMultiple`.
    CreateMultiple,
    /// `UpdateMultiple`.
    UpdateMultiple,
    /// `UpsertMultiple`.
    UpsertMultiple,
    /// `DeleteMultiple`, elastic tables only.
    DeleteMultiple,
    /// `$batch` of single operations with continue-on-error.
    Batch,
}

impl Message {
    /// Name used in the URL, in logs and labels.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::CreateMultiple => "CreateMultiple",
            Self::UpdateMultiple => "UpdateMultiple",
            Self::UpsertMultiple => "UpsertMultiple",
            Self::DeleteMultiple => "DeleteMultiple",
            Self::Batch => "$batch",
        }
    }

    /// Whether one bad row makes Dataverse refuse them all.
    #[must_use]
    pub fn is_atomic(self, kind: TableKind) -> bool {
        self != Self::Batch && kind != TableKind::Elastic
    }
}

/// The message for a load, from what the table offers.
///
/// Rows with derived ids on an elastic table go by upsert: there a repeated create is no error
/// that tells anything, while a repeated upsert of the complete row is harmless.
///
/// Source: `dataverse-web-api.md` §2.5–2.7; `delivery-guarantees.md` §4 (elastic tables).
#[must_use]
pub fn choose(table: &Table, operation: Operation, ids: &IdRule) -> Message {
    let offered = table.messages;
    match operation {
        Operation::Create if table.kind == TableKind::Elastic && *ids != IdRule::Dataverse => {
            if offered.upsert {
                Message::UpsertMultiple
            } else {
                Message::Batch
            }
        }
        Operation::Create if offered.create => Message::CreateMultiple,
        Operation::Update if offered.update => Message::UpdateMultiple,
        Operation::Upsert if offered.upsert => Message::UpsertMultiple,
        Operation::Delete if offered.delete && table.kind == TableKind::Elastic => {
            Message::DeleteMultiple
        }
        Operation::Create | Operation::Update | Operation::Upsert | Operation::Delete => {
            Message::Batch
        }
    }
}
