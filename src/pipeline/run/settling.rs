//! Rows reach their end, and batches their children: the ledger first, what people see behind it.

use crate::client::attempt::Transport;
use crate::pipeline::ledger::record::{LedgerRecord, Outcome, RowFail};
use crate::pipeline::run::intake::settle;
use crate::pipeline::run::lane::{Lane, LaneFailed};
use crate::pipeline::run::lines::{LineWriter, RowEnd};
use crate::pipeline::run::work::Work;
use crate::pipeline::sink::format::Stamp;
use crate::record::outcome::{RowFault, RowState};
use crate::record::projection::Projection;
use crate::runtime::clock;
use std::time::Duration;
use uuid::Uuid;

impl<T: Transport> Lane<T> {
    pub(super) fn settle_now(&mut self, work: Work, ends: Vec<RowEnd>) -> Result<(), LaneFailed> {
        let mut records = Vec::with_capacity(1);
        let projection = self.settle_into(&mut records, work, &ends)?;
        drop(self.shared.ledger.append(&records, Some(projection)));
        if ends.iter().any(|end| end.state().is_bad()) {
            self.judge_failures();
        }
        Ok(())
    }

    pub(super) fn settle_into(
        &self,
        records: &mut Vec<LedgerRecord>,
        work: Work,
        ends: &[RowEnd],
    ) -> Result<Projection, LaneFailed> {
        let at_ms = clock::wall_ms();
        let stamp = Stamp::at(at_ms);
        let columns = self.columns.clone();
        let mut lines = LineWriter::new(&self.plan, columns.as_deref());
        let mut states: Vec<(RowState, u32)> = Vec::with_capacity(1);
        let mut server_ids = Vec::new();
        let keep_ids = self.server_gives_ids() || self.plan.ids_are_learnt();
        {
            let mut staged = self.staged.write();
            for (row, end) in work.rows.iter().zip(ends) {
                let state = end.state();
                match states.last_mut() {
                    Some((last, count)) if *last == state => *count += 1,
                    _ => states.push((state, 1)),
                }
                settle(&mut staged.states, row.ordinal(), state)?;
                match end {
                    RowEnd::Good(_, id) => {
                        lines.good(row, state, *id, Some(work.id), &stamp);
                        if keep_ids && let Some(id) = id {
                            staged.ids.insert(row.ordinal(), *id);
                        }
                        server_ids.push(id.unwrap_or_default());
                    }
                    RowEnd::Bad(_, fault) => {
                        lines.bad(row, state, fault, work.attempts);
                        server_ids.push(Uuid::nil());
                        records.push(LedgerRecord::RowFail(Box::new(RowFail {
                            table: self.plan.table,
                            row: row.ordinal(),
                            state,
                            fault: fault.clone(),
                            attempts: work.attempts,
                            batch: Some(work.id),
                        })));
                    }
                }
            }
        }
        let bad = ends.iter().filter(|end| end.state().is_bad()).count() as u64;
        self.shared.pace.settled(self.plan.table, ends.len() as u64 - bad, bad);
        let took = work.first_sent.map_or(Duration::ZERO, |t| clock::now().saturating_since(t));
        let outcome = Outcome {
            batch: work.id,
            at_ms,
            attempts: work.attempts,
            service_request_id: work.service_request_id.clone(),
            duration_ms: u32::try_from(took.as_millis()).unwrap_or(u32::MAX),
            states,
            server_ids: keep_ids.then_some(server_ids),
        };
        records.push(LedgerRecord::Outcome(Box::new(outcome)));
        lines.hold(work.rows);
        Ok(lines.finish())
    }

    /// Makes children of a batch: one of the rows that have their end, one for each group of rows
    /// that go on. The parent, the children and the ends are one append, so a crash leaves either
    /// the parent in doubt or all of them.
    pub(super) fn split(
        &mut self,
        parent: Work,
        settled: Vec<(usize, RowEnd)>,
        groups: Vec<(Vec<usize>, bool, Option<RowFault>)>,
    ) -> Result<(), LaneFailed> {
        let mut works: Vec<Work> = Vec::new();
        let mut intents = Vec::new();
        let mut child = |lane: &Self, rows: Vec<usize>, doubt: bool, fault: Option<RowFault>| {
            let rows = rows.into_iter().map(|i| parent.rows[i].clone()).collect();
            let mut work = Work::new(lane.shared.new_batch(), rows, &lane.plan, lane.message);
            if parent.case.apart {
                work.take_apart();
            }
            work.case.doubt = doubt;
            work.case.failing_since = parent.case.failing_since;
            work.attempts = parent.attempts;
            work.first_sent = parent.first_sent;
            work.service_request_id.clone_from(&parent.service_request_id);
            intents.push(lane.intent(&mut work, Some(parent.id)));
            if let Some(fault) = fault {
                work.begin_probe(&lane.plan, fault);
            }
            work
        };
        let (done, ends): (Vec<usize>, Vec<RowEnd>) = settled.into_iter().unzip();
        let ended = (!done.is_empty()).then(|| child(self, done, parent.case.doubt, None));
        for (rows, doubt, fault) in groups {
            works.push(child(self, rows, doubt, fault));
        }
        let children = ended.iter().chain(&works).map(|w| w.id).collect();
        let mut records = vec![LedgerRecord::Split { batch: parent.id, children }];
        records.extend(intents);
        let mut any_bad = false;
        let projection = match ended {
            Some(work) => {
                any_bad = ends.iter().any(|end| end.state().is_bad());
                Some(self.settle_into(&mut records, work, &ends)?)
            }
            None => None,
        };
        let ticket = self.shared.ledger.append(&records, projection);
        self.intents.push_back((ticket, works));
        if any_bad {
            self.judge_failures();
        }
        Ok(())
    }

    /// Pauses the load when too many of its rows were refused.
    ///
    /// Source: `delivery-guarantees.md` §8: more than 1,000, or more than 1 % after 1,000 settled.
    pub(super) fn judge_failures(&mut self) {
        let (failed, settled) = self.refused_and_settled();
        let (failed, settled) = (failed - self.forgiven.0, settled - self.forgiven.1);
        let settings = &self.shared.settings;
        let too_many = settings.failed_rows_max.is_some_and(|max| failed > max);
        let share = failed as f64 / settled.max(1) as f64;
        if too_many || (settled >= 1000 && share > settings.failed_share_max) {
            self.pause(format!(
                "DV0504: {failed} of {settled} rows were refused ({:.1} %), more than [breakers] allows; look at the error file, then resume or end the run",
                share * 100.0
            ));
        }
    }

    /// Rows refused and rows settled, over all runs of the job.
    pub(super) fn refused_and_settled(&self) -> (u64, u64) {
        let staged = self.staged.read();
        let refused = RowState::ALL
            .into_iter()
            .filter(|state| state.is_bad())
            .map(|state| staged.states.count(state))
            .sum();
        (refused, staged.states.settled())
    }
}
