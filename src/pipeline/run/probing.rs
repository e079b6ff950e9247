//! Asking the target: which ids of a batch are present, and which ids a text key stands for.

use crate::client::attempt::{ApiReply, Transport};
use crate::client::{odata, request, response};
use crate::config::job::OnExisting;
use crate::pipeline::outcome::settle::{Heard, ProbeEnd, decide, read_probe};
use crate::pipeline::run::landing::said;
use crate::pipeline::run::lane::{Lane, LaneFailed};
use crate::pipeline::run::lines::RowEnd;
use crate::pipeline::run::work::{Phase, Work};
use crate::record::outcome::{FaultCategory, RowFault, RowState};
use crate::units::MonoTime;

/// Tries to read the ids of rows that are written already.
const LEARNING_TRIES: u32 = 6;

/// Text keys compare without case and trailing blanks.
///
/// Source: `dataverse-web-api.md` §13.
fn folded(key: &str) -> String {
    key.trim_end_matches(' ').to_lowercase()
}

impl<T: Transport> Lane<T> {
    pub(super) fn probe_landed(
        &mut self,
        mut work: Work,
        heard: Heard,
        reply: Option<ApiReply>,
        now: MonoTime,
    ) -> Result<(), LaneFailed> {
        let pk = &self.plan.target.primary_id;
        let page = match (heard, &reply) {
            (Heard::Applied, Some(reply)) => {
                match response::presence(&reply.body, pk, &self.shared.origin) {
                    Ok(page) => page,
                    Err(error) => {
                        self.delay(work, 1, None, error.to_string(), now);
                        return Ok(());
                    }
                }
            }
            (Heard::Systemic(fault) | Heard::Refused(fault), _) => {
                // Without the right to read, an invisible row looks absent: better stand still.
                self.pause(format!(
                    "cannot ask which rows of {} are present ({}: {}); grant organization-wide read and resume",
                    self.plan.target.logical_name, fault.code, fault.message
                ));
                self.ready.push_front(work);
                return Ok(());
            }
            (Heard::Unauthorized(fault), _) => {
                work.case.reauthorizations += 1;
                if work.case.reauthorizations > 2 {
                    work.case.reauthorizations = 0;
                    self.pause(format!("{}: {}", fault.code, fault.message));
                }
                self.ready.push_front(work);
                return Ok(());
            }
            (other, _) => {
                work.case.failures += 1;
                let failures = work.case.failures;
                self.delay(work, failures, None, said(&other), now);
                return Ok(());
            }
        };
        let Phase::Probe { fault, mut queries, mut present, was_apart } = work.phase else {
            return Ok(());
        };
        present.extend(page.rows.iter().map(|row| row.id));
        queries.pop_front();
        if let Some(next) = page.next {
            queries.push_front(request::get(next));
        }
        if !queries.is_empty() {
            work.phase = Phase::Probe { fault, queries, present, was_apart };
            self.ready.push_front(work);
            return Ok(());
        }
        work.phase = if was_apart { Phase::Apart } else { Phase::Bulk };
        work.case.failures = 0;
        let found: Vec<bool> = work
            .rows
            .iter()
            .map(|row| self.plan.id_of(row.prepared()).is_some_and(|id| present.contains(&id)))
            .collect();
        let ends = read_probe(&work.case, &found);
        self.probed(work, &ends, fault, now)
    }

    pub(super) fn probed(
        &mut self,
        mut work: Work,
        ends: &[ProbeEnd],
        fault: RowFault,
        now: MonoTime,
    ) -> Result<(), LaneFailed> {
        if ends.iter().all(|end| *end == ProbeEnd::Refused) {
            // None of the ids is there: the key that is taken is another one. A doubt stays, so
            // that each refused row is asked for once more before it is called failed.
            if work.rows.len() == 1 {
                let ends = vec![RowEnd::Bad(RowState::Failed, fault)];
                return self.settle_all(work, ends);
            }
            let heard = Heard::Refused(fault);
            let step = decide(&mut work.case, heard, now, self.shared.settings.retry_deadline);
            return self.carry_out(work, step, String::new(), None, now);
        }
        let mut settled = Vec::new();
        let mut again = Vec::new();
        for (index, end) in ends.iter().enumerate() {
            match end {
                ProbeEnd::Written => settled.push((index, RowEnd::Good(self.plan.good(), None))),
                ProbeEnd::Foreign => settled.push((index, self.foreign())),
                ProbeEnd::Again | ProbeEnd::Refused => again.push(index),
            }
        }
        if again.is_empty() {
            return self.settle_all(work, settled.into_iter().map(|(_, end)| end).collect());
        }
        let doubt = work.case.doubt;
        self.split(work, settled, vec![(again, doubt, None)])
    }

    /// A row that is there though this ledger never sent it.
    pub(super) fn foreign(&self) -> RowEnd {
        match self.plan.spec.on_existing {
            OnExisting::Skip => RowEnd::Good(RowState::Existing, None),
            OnExisting::Fail => RowEnd::Bad(
                RowState::Failed,
                RowFault {
                    code: "DV0506".to_owned(),
                    category: FaultCategory::Duplicate,
                    message: "a row with this id exists, and this ledger never sent it: the same job ran before with another ledger, or the id is taken; set on_existing = \"skip\" to keep such rows"
                        .to_owned(),
                    retryable: false,
                },
            ),
        }
    }

    pub(super) fn learn_landed(
        &mut self,
        mut work: Work,
        heard: Heard,
        reply: Option<ApiReply>,
        now: MonoTime,
    ) -> Result<(), LaneFailed> {
        let Phase::Learn { mut queries, column, mut ids, mut ends } = work.phase else {
            return Ok(());
        };
        let page = match (&heard, &reply) {
            (Heard::Applied, Some(reply)) => {
                response::ids_by_text(&reply.body, &self.plan.target.primary_id, &column).ok()
            }
            _ => None,
        };
        match page {
            Some(page) => {
                ids.extend(page.into_iter().map(|(key, id)| (folded(&key), id)));
                queries.pop_front();
                work.case.failures = 0;
            }
            None if work.case.failures >= LEARNING_TRIES => {
                tracing::warn!(
                    load = %self.plan.spec.name, said = %said(&heard),
                    "ids of upserted rows could not be read; they are missing in the success file"
                );
                queries.clear();
            }
            None => {
                work.case.failures += 1;
                let failures = work.case.failures;
                work.phase = Phase::Learn { queries, column, ids, ends };
                self.delay(work, failures, None, said(&heard), now);
                return Ok(());
            }
        }
        if !queries.is_empty() {
            work.phase = Phase::Learn { queries, column, ids, ends };
            self.ready.push_front(work);
            return Ok(());
        }
        for (row, end) in work.rows.iter().zip(&mut ends) {
            if let RowEnd::Good(_, id @ None) = end {
                let address = String::from_utf8_lossy(row.address());
                *id = odata::text_of_predicate(&address)
                    .and_then(|(_, key)| ids.get(&folded(&key)).copied());
            }
        }
        work.phase = Phase::Bulk;
        self.settle_now(work, ends)
    }
}
