//! What is fixed for a load while it runs.

use crate::catalog::model::{Table, TableKind};
use crate::config::job::{IdRule, SinkFormat, SourceFormat, TableClass, TableLoad};
use crate::pipeline::batch::encode::BodyWriter;
use crate::pipeline::outcome::settle::Case;
use crate::pipeline::send::class;
use crate::pipeline::send::message::{self, Message};
use crate::pipeline::sink::format::CsvStyle;
use crate::record::key::TableId;
use crate::record::outcome::{Operation, RowState};
use crate::record::pinned::PinnedIds;
use crate::record::prepared::PreparedRow;
use std::sync::Arc;
use uuid::Uuid;

/// Facts of one load.
#[derive(Clone, Debug)]
pub struct LoadPlan {
    /// Number in the job.
    pub table: TableId,
    /// What the job says.
    pub spec: TableLoad,
    /// The target.
    pub target: Arc<Table>,
    /// Resolved class.
    pub class: TableClass,
    /// Message its rows begin with.
    pub message: Message,
    /// Writes bodies for the target.
    pub bodies: BodyWriter,
    /// Ids of rows that get derived ones.
    pub pinned: PinnedIds,
    /// Loads whose rows it refers to by staged key.
    pub parents: Vec<TableId>,
    /// How its files are written.
    pub files: FileStyle,
}

/// How the files of a load are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FileStyle {
    /// Format of the success file.
    pub success: SinkFormat,
    /// Format of the error file: that of the source, so that it can be loaded again as it is.
    pub errors: SinkFormat,
    /// Dialect of the success file.
    pub success_csv: CsvStyle,
    /// Dialect of the error file.
    pub error_csv: CsvStyle,
}

impl FileStyle {
    /// From the job's wishes and the source's format.
    #[must_use]
    pub fn new(success: SinkFormat, source: &SourceFormat, excel_safe: bool) -> Self {
        let (errors, delimiter, quote) = match source {
            SourceFormat::Csv { delimiter, quote } => (SinkFormat::Csv, *delimiter, *quote),
            SourceFormat::Jsonl => (SinkFormat::Jsonl, b',', b'"'),
        };
        Self {
            success,
            errors,
            success_csv: CsvStyle { delimiter: b',', quote: b'"', excel_safe },
            error_csv: CsvStyle { delimiter, quote, excel_safe },
        }
    }
}

impl LoadPlan {
    /// Puts the facts of a load together.
    #[must_use]
    pub fn new(
        table: TableId,
        spec: &TableLoad,
        target: Arc<Table>,
        pinned: PinnedIds,
        parents: Vec<TableId>,
        files: FileStyle,
    ) -> Self {
        let class = match spec.class {
            TableClass::Auto => class::class_of(&target),
            said => said,
        };
        let message = message::choose(&target, spec.operation, &spec.ids);
        let bodies = BodyWriter::new(&target.logical_name, &target.primary_id, &target.entity_set);
        Self { table, spec: spec.clone(), target, class, message, bodies, pinned, parents, files }
    }

    /// The id of a row, when it is known before sending.
    #[must_use]
    pub fn id_of(&self, row: &PreparedRow) -> Option<Uuid> {
        match self.spec.ids {
            IdRule::Pinned => Some(self.pinned.id(row.ordinal)),
            IdRule::Column(_) => row.id,
            IdRule::Dataverse | IdRule::AlternateKey(_) => None,
        }
    }

    /// What is known about a batch of `rows` that was never sent.
    #[must_use]
    pub fn fresh_case(&self, rows: usize) -> Case {
        let ids_known = matches!(self.spec.ids, IdRule::Pinned | IdRule::Column(_));
        // Only a create whose ids Dataverse makes up does something new each time it is sent.
        let repeatable = ids_known || self.spec.operation != Operation::Create;
        Case::fresh(self.spec.operation, rows, ids_known, repeatable)
    }

    /// The state of a row that went well.
    #[must_use]
    pub const fn good(&self) -> RowState {
        match self.spec.operation {
            Operation::Create => RowState::Created,
            Operation::Update => RowState::Updated,
            Operation::Upsert => RowState::Upserted,
            Operation::Delete => RowState::Deleted,
        }
    }

    /// Whether ids are known only by asking for the row behind its alternate key.
    #[must_use]
    pub const fn ids_are_learnt(&self) -> bool {
        matches!(self.spec.ids, IdRule::AlternateKey(_))
            && matches!(self.spec.operation, Operation::Upsert | Operation::Update)
    }

    /// Whether the table is elastic.
    #[must_use]
    pub fn is_elastic(&self) -> bool {
        self.target.kind == TableKind::Elastic
    }
}
