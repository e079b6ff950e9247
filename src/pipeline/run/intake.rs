//! Rows become batches: known ones are passed over or shown again, doubles and unfit ones go to
//! the error file, rows of batches in doubt rejoin their batch, the rest fill new ones.

use crate::client::attempt::Transport;
use crate::config::job::{IdRule, OnDuplicateKey};
use crate::pipeline::ledger::ranges::{OrdinalRanges, OrdinalRun};
use crate::pipeline::ledger::record::{Intent, LedgerRecord, RowFail};
use crate::pipeline::ledger::recover::Unprojected;
use crate::pipeline::ledger::states::Standing;
use crate::pipeline::run::feed::Prepared;
use crate::pipeline::run::lane::{Lane, LaneFailed};
use crate::pipeline::run::lines::LineWriter;
use crate::pipeline::run::work::{HeldChunk, RowRef, Work};
use crate::pipeline::sequence::keymap::Inserted;
use crate::pipeline::sink::format::Stamp;
use crate::record::key::{BatchId, Ordinal};
use crate::record::outcome::{FaultCategory, RowFault, RowState};
use crate::record::prepared::{PreparedRow, key_hash};
use crate::record::projection::SinkWork;
use crate::runtime::clock;
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_64;

/// What becomes of one row that was read.
enum Fate {
    /// Settled and shown before this run.
    Known,
    /// Settled before this run, its line was not yet synced.
    ShowAgain(Unprojected),
    /// Belongs to a batch that was begun before this run.
    Rejoin(BatchId),
    /// Not to be sent.
    Refuse(RowState, RowFault),
    /// Left out without a line.
    Skip,
    /// Into a new batch.
    Fill,
}

impl<T: Transport> Lane<T> {
    /// Takes the rows of a converted chunk in.
    pub(super) async fn take_chunk(&mut self, prepared: Prepared) -> Result<(), LaneFailed> {
        let (prepared, share) = prepared;
        let chunk = Arc::new(HeldChunk { prepared, _share: share });
        let count = chunk.prepared.rows.len();
        let was_behind = !self.unprojected.is_empty();
        let columns = self.columns.clone();
        let plan = Arc::clone(&self.plan);
        let mut lines = LineWriter::new(&plan, columns.as_deref());
        let mut records = Vec::new();
        let mut skipped = OrdinalRanges::default();
        // Those of earlier runs were counted when this one began.
        let mut newly_read = 0u32;
        let mut rejoined = Vec::new();
        {
            let staged = Arc::clone(&self.staged);
            let mut staged = staged.write();
            for index in 0..count {
                let row = RowRef { chunk: Arc::clone(&chunk), row: index as u32 };
                let fate = self.fate(&row, &mut staged);
                let ordinal = row.ordinal();
                match fate {
                    Fate::Known => {}
                    Fate::ShowAgain(shown) => {
                        show_again(&mut lines, &row, &shown);
                    }
                    Fate::Rejoin(batch) => rejoined.push((batch, row)),
                    Fate::Refuse(state, fault) => {
                        newly_read += 1;
                        lines.bad(&row, state, &fault, 0);
                        settle(&mut staged.states, ordinal, state)?;
                        records.push(LedgerRecord::RowFail(Box::new(RowFail {
                            table: plan.table,
                            row: ordinal,
                            state,
                            fault,
                            attempts: 0,
                            batch: None,
                        })));
                    }
                    Fate::Skip => {
                        newly_read += 1;
                        lines.count(RowState::Filtered);
                        settle(&mut staged.states, ordinal, RowState::Filtered)?;
                        push(&mut skipped, ordinal)?;
                    }
                    Fate::Fill => {
                        newly_read += 1;
                        if let Some(id) = id_to_keep(&plan.spec.ids, row.prepared()) {
                            staged.ids.insert(ordinal, id);
                        }
                        let run = OrdinalRun { first: ordinal, count: 1 };
                        staged.states.set_run(run, Standing::Pending).map_err(illegal)?;
                        self.filling.push_back(row);
                    }
                }
            }
        }
        let meters = self.meters();
        meters.read.inc_by(u64::from(newly_read));
        meters.open.add(i64::from(newly_read));
        if !skipped.is_empty() {
            records.push(LedgerRecord::Skip {
                table: plan.table,
                rows: skipped,
                state: RowState::Filtered,
            });
        }
        if !lines.is_empty() {
            lines.hold(vec![RowRef { chunk: Arc::clone(&chunk), row: 0 }]);
            let refused = records.len();
            let ticket = self.shared.ledger.append_when_room(&records, Some(lines.finish())).await;
            if was_behind && self.unprojected.is_empty() {
                ticket.await?;
                self.shared.projections.push(SinkWork::CaughtUp(plan.table));
            }
            if refused > 0 {
                self.judge_failures();
            }
        }
        drop(chunk);
        for (batch, row) in rejoined {
            self.rejoin(batch, row);
        }
        Ok(())
    }

    fn fate(&mut self, row: &RowRef, staged: &mut super::staged::Staged) -> Fate {
        let prepared = row.prepared();
        let ordinal = prepared.ordinal;
        let has_key = !prepared.key.is_empty();
        // Also for rows of earlier runs: later rows must find their doubles and parents.
        let double = if has_key {
            match staged.keys.insert(prepared.key_hash, ordinal) {
                Inserted::Fresh => self.double_address(row, staged),
                Inserted::Duplicate(first) => Some((first, "key")),
            }
        } else {
            None
        };
        match staged.states.get(ordinal) {
            Standing::Settled(_) => {
                if let Some(id) = id_to_keep(&self.plan.spec.ids, prepared) {
                    staged.ids.insert(ordinal, id);
                }
                return match self.unprojected.remove(&ordinal) {
                    Some(shown) => Fate::ShowAgain(shown),
                    None => Fate::Known,
                };
            }
            Standing::Pending => {
                if let Some(batch) = self.reassembly_of.remove(&ordinal) {
                    if let Some(id) = id_to_keep(&self.plan.spec.ids, prepared) {
                        staged.ids.insert(ordinal, id);
                    }
                    return Fate::Rejoin(batch);
                }
            }
            Standing::Unseen => {}
        }
        if let Some(fault) = &prepared.fault {
            return Fate::Refuse(RowState::Rejected, (**fault).clone());
        }
        match double {
            None => Fate::Fill,
            Some((_, "key")) if self.plan.spec.on_duplicate_key == OnDuplicateKey::First => {
                Fate::Skip
            }
            Some((first, what)) => {
                let fault = RowFault {
                    code: "DV0207".to_owned(),
                    category: FaultCategory::Duplicate,
                    message: format!(
                        "{what} {:?} stands in record {} of file {} before; keep one of them, or set on_duplicate_key",
                        String::from_utf8_lossy(if what == "key" {
                            row.key()
                        } else {
                            row.address()
                        }),
                        first.index() + 1,
                        first.partition().0 + 1,
                    ),
                    retryable: false,
                };
                Fate::Refuse(RowState::DuplicateInput, fault)
            }
        }
    }

    /// Two records may have different keys and yet name one target row: never in flight together.
    fn double_address(
        &self,
        row: &RowRef,
        staged: &mut super::staged::Staged,
    ) -> Option<(Ordinal, &'static str)> {
        let prepared = row.prepared();
        let (hash, what) = match (&self.plan.spec.ids, prepared.id) {
            (IdRule::Column(_), Some(id)) => (key_hash(id.as_bytes()), "id"),
            (IdRule::AlternateKey(_), _) if !prepared.address.is_empty() => {
                (key_hash(row.address()), "address")
            }
            _ => return None,
        };
        match staged.keys.insert(hash ^ 1, prepared.ordinal) {
            Inserted::Fresh => None,
            Inserted::Duplicate(first) => Some((first, what)),
        }
    }

    /// Freezes batches and sends their intents to the disk.
    pub(super) fn intend(&mut self, batches: Vec<Vec<RowRef>>) {
        if batches.is_empty() {
            return;
        }
        let mut records = Vec::with_capacity(batches.len());
        let mut works = Vec::with_capacity(batches.len());
        for rows in batches {
            let mut work = Work::new(self.shared.new_batch(), rows, &self.plan, self.message);
            records.push(self.intent(&mut work, None));
            works.push(work);
        }
        let ticket = self.shared.ledger.append(&records, None);
        self.intents.push_back((ticket, works));
    }

    /// The intent of a batch; builds its body.
    pub(super) fn intent(&self, work: &mut Work, parent: Option<BatchId>) -> LedgerRecord {
        let hash = self.payload_hash(work);
        LedgerRecord::Intent(Intent {
            batch: work.id,
            parent,
            table: self.plan.table,
            operation: self.plan.spec.operation,
            rows: ranges(&work.rows),
            payload_hash: hash,
        })
    }

    /// Hash over what the rows will look like on the target.
    fn payload_hash(&self, work: &mut Work) -> u64 {
        let body = work.bulk_body(&self.plan);
        let hash = xxh3_64(&body);
        if !work.case.apart {
            work.body = Some(body);
        }
        hash
    }

    /// A row of a batch in doubt was read again; the batch goes once it is whole.
    fn rejoin(&mut self, batch: BatchId, row: RowRef) {
        let Some(open) = self.reassembly.get_mut(&batch) else { return };
        if let Some(fault) = &row.prepared().fault {
            open.faults.push((open.rows.len(), (**fault).clone()));
        }
        open.rows.push(row);
        if (open.rows.len() as u64) < open.wanted {
            return;
        }
        let Some(whole) = self.reassembly.remove(&batch) else { return };
        let mut work = Work::new(batch, whole.rows, &self.plan, self.message);
        work.case.doubt = true;
        if let Some((_, fault)) = whole.faults.into_iter().next() {
            // It was fit to be sent before; ask what became of it instead of guessing.
            work.begin_probe(&self.plan, fault);
        } else if self.payload_hash(&mut work) != whole.payload_hash {
            tracing::warn!(
                load = %self.plan.spec.name,
                batch = batch.0,
                "rows look different from what was sent before; one of the two versions stands"
            );
        }
        if !work.case.repeatable {
            self.give_up_in_doubt(work);
            return;
        }
        self.ready.push_back(work);
    }
}

/// Shows a row whose end the ledger knew and the files did not.
fn show_again(lines: &mut LineWriter<'_>, row: &RowRef, shown: &Unprojected) {
    let at = Stamp::at(shown.at_ms.unwrap_or_else(clock::wall_ms));
    if shown.state.is_good() {
        lines.good(row, shown.state, shown.id, shown.batch, &at);
    } else if let Some(fault) = &shown.fault {
        lines.bad(row, shown.state, fault, shown.attempts);
    } else {
        lines.count(shown.state);
    }
}

/// An id that cannot be computed again from the row's number.
fn id_to_keep(rule: &IdRule, row: &PreparedRow) -> Option<uuid::Uuid> {
    match rule {
        IdRule::Column(_) => row.id,
        IdRule::Pinned | IdRule::Dataverse | IdRule::AlternateKey(_) => None,
    }
}

pub(super) fn ranges(rows: &[RowRef]) -> OrdinalRanges {
    OrdinalRanges::from_ascending(rows.iter().map(RowRef::ordinal)).unwrap_or_else(|error| {
        // Batches are filled in read order and split into ascending parts.
        unreachable_order(&error)
    })
}

fn unreachable_order(error: &dyn std::fmt::Display) -> ! {
    panic!("rows of a batch must ascend: {error}")
}

fn push(ranges: &mut OrdinalRanges, row: Ordinal) -> Result<(), LaneFailed> {
    ranges.push(OrdinalRun { first: row, count: 1 }).map_err(illegal)
}

pub(super) fn settle(
    states: &mut crate::pipeline::ledger::states::RowStates,
    row: Ordinal,
    state: RowState,
) -> Result<(), LaneFailed> {
    states.settle(row, state).map_err(illegal)
}

pub(super) fn illegal(error: impl std::fmt::Display) -> LaneFailed {
    LaneFailed::Invariant { code: "DV0499", detail: error.to_string() }
}
