//! What is shown of settled rows: lines of the success and error files, counts, and the memory
//! given back once they are written.

use crate::config::job::SinkFormat;
use crate::pipeline::run::plan::LoadPlan;
use crate::pipeline::run::work::RowRef;
use crate::pipeline::sink::format::{
    ErrorColumns, Stamp, SuccessLine, json_error_line, json_success_line,
};
use crate::record::key::BatchId;
use crate::record::outcome::{RowFault, RowState};
use crate::record::projection::{Projection, TableLines};
use crate::record::refused::{LatestRefused, Refused};
use uuid::Uuid;

/// How one row ended.
#[derive(Clone, Debug)]
pub(super) enum RowEnd {
    /// Well; with the id Dataverse gave, if it gave one.
    Good(RowState, Option<Uuid>),
    /// Refused or lost from sight.
    Bad(RowState, RowFault),
}

impl RowEnd {
    pub(super) const fn state(&self) -> RowState {
        match self {
            Self::Good(state, _) | Self::Bad(state, _) => *state,
        }
    }
}

/// Collects the lines of one load's rows that end together.
pub(super) struct LineWriter<'a> {
    plan: &'a LoadPlan,
    columns: Option<&'a ErrorColumns>,
    lines: TableLines,
    hold: Vec<RowRef>,
}

impl<'a> LineWriter<'a> {
    pub(super) fn new(plan: &'a LoadPlan, columns: Option<&'a ErrorColumns>) -> Self {
        let lines = TableLines {
            table: plan.table,
            success: Vec::new(),
            errors: Vec::new(),
            counts: Vec::new(),
            refused: LatestRefused::default(),
        };
        Self { plan, columns, lines, hold: Vec::new() }
    }

    /// Adds a row that went well; `id` is what Dataverse said, else what was sent.
    pub(super) fn good(
        &mut self,
        row: &RowRef,
        state: RowState,
        id: Option<Uuid>,
        batch: Option<BatchId>,
        at: &Stamp,
    ) {
        let id = id.or_else(|| self.plan.id_of(row.prepared()));
        let line = SuccessLine { key: row.key(), id, state, batch, at };
        match self.plan.files.success {
            SinkFormat::Csv => {
                self.plan.files.success_csv.success_line(&mut self.lines.success, &line);
            }
            SinkFormat::Jsonl => json_success_line(&mut self.lines.success, &line),
        }
        self.count(state);
    }

    /// Adds a row that was refused.
    pub(super) fn bad(&mut self, row: &RowRef, state: RowState, fault: &RowFault, attempts: u32) {
        let (chunk, record) = row.raw();
        match (self.plan.files.errors, self.columns) {
            (SinkFormat::Csv, Some(columns)) => {
                let fields = chunk.fields_of(record);
                let fields = fields.iter().map(|f| &**f);
                columns.error_line(&mut self.lines.errors, fields, fault, attempts);
            }
            (SinkFormat::Csv | SinkFormat::Jsonl, _) => {
                let bytes = chunk.record_bytes(record);
                json_error_line(&mut self.lines.errors, bytes, fault, attempts);
            }
        }
        self.lines.refused.push(Refused::of(self.plan.table, row.key(), fault));
        self.count(state);
    }

    /// Counts a row that stands in no file.
    pub(super) fn count(&mut self, state: RowState) {
        match self.lines.counts.iter_mut().find(|(s, _)| *s == state) {
            Some((_, count)) => *count += 1,
            None => self.lines.counts.push((state, 1)),
        }
    }

    /// Keeps rows (and so the memory of their chunk) until the lines are written.
    pub(super) fn hold(&mut self, rows: Vec<RowRef>) {
        if self.hold.is_empty() {
            self.hold = rows;
        } else {
            self.hold.extend(rows);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lines.counts.is_empty()
    }

    pub(super) fn finish(self) -> Projection {
        Projection { lines: vec![self.lines], hold: Some(Box::new(self.hold)) }
    }
}
