//! What an answer leads to: rows settled, batches sent again, probed, halved or taken apart,
//! identities closed, loads paused. The decisions are made in `outcome`; this file carries them
//! out, in the ledger first.

use crate::client::attempt::{ApiReply, IdentityId, Transport, TransportFailure};
use crate::client::{multipart, response};
use crate::pipeline::outcome::classify::{Form, Sent, classify};
use crate::pipeline::outcome::settle::{Heard, RowStep, Step, decide, decide_row};
use crate::pipeline::outcome::tell::{Told, tell};
use crate::pipeline::run::lane::{Lane, LaneFailed};
use crate::pipeline::run::lines::RowEnd;
use crate::pipeline::run::work::{Phase, Work};
use crate::pipeline::send::message::Message;
use crate::pipeline::send::retry;
use crate::record::outcome::{FaultCategory, RowFault, RowState};
use crate::runtime::clock;
use crate::telemetry::metrics::RequestEnd;
use crate::tuning::admission::{Outcome, Permit};
use crate::units::MonoTime;
use std::time::Duration;
use uuid::Uuid;

impl<T: Transport> Lane<T> {
    /// Takes an answer, or its absence, into account.
    pub(super) fn landed(
        &mut self,
        mut work: Work,
        permit: Permit,
        result: Result<ApiReply, TransportFailure>,
        now: MonoTime,
        took: Duration,
    ) -> Result<(), LaneFailed> {
        if let Ok(reply) = &result {
            work.service_request_id.clone_from(&reply.headers.service_request_id);
        }
        let form = match work.phase {
            Phase::Bulk => Form::Bulk,
            Phase::Apart | Phase::Probe { .. } | Phase::Learn { .. } => Form::Single,
        };
        let verdict = classify(&self.sent(form, &work), result.as_ref());
        let told = tell(&verdict, result.as_ref().err());
        self.count(&work, permit, &told, took);
        let identity = IdentityId(permit.identity);
        let headers = result.as_ref().ok().map(|reply| &reply.headers);
        self.shared.pace.landed(permit, outcome(&told, result.as_ref().err()), headers, now);
        match (told, &work.phase) {
            (Told::Throttled { kind, retry_after }, _) => {
                self.shared.throttled(identity, kind, retry_after);
                tracing::debug!(
                    load = %self.plan.spec.name, batch = work.id.0, limit = kind.word(),
                    secs = retry_after.map(|wait| wait.as_secs_f64()), "throttled"
                );
                self.ready.push_front(work);
                Ok(())
            }
            (Told::Unsupported(fault), _) => {
                tracing::warn!(
                    load = %self.plan.spec.name, message = self.message.word(), said = %fault.message,
                    "the table does not take this message; its rows go as single operations from now on"
                );
                self.message = Message::Batch;
                work.take_apart();
                self.ready.push_front(work);
                Ok(())
            }
            (Told::Items(items), _) => {
                let mut answers = vec![Heard::Applied; work.rows.len()];
                for (index, heard) in items {
                    match answers.get_mut(index) {
                        Some(answer) => *answer = heard,
                        None => tracing::warn!(index, "an answer speaks of a row not sent"),
                    }
                }
                self.rows_landed(work, answers, Vec::new())
            }
            (Told::Whole { heard, retry_after }, phase) => {
                if matches!(heard, Heard::Unauthorized(_)) {
                    self.shared.transport.forget_token(identity);
                }
                match phase {
                    Phase::Probe { .. } => self.probe_landed(work, heard, result.ok(), now),
                    Phase::Learn { .. } => self.learn_landed(work, heard, result.ok(), now),
                    Phase::Apart => {
                        self.apart_landed(work, heard, retry_after, result.ok(), permit, now)
                    }
                    Phase::Bulk => self.bulk_landed(work, heard, retry_after, result.ok(), now),
                }
            }
        }
    }

    fn sent(&self, form: Form, work: &Work) -> Sent {
        Sent {
            operation: self.plan.spec.operation,
            kind: self.plan.target.kind,
            form,
            ids_known: work.case.ids_known,
        }
    }

    fn count(&self, work: &Work, permit: Permit, told: &Told, took: Duration) {
        let meters = self.meters();
        let end = match told {
            Told::Throttled { .. } => RequestEnd::Throttled,
            Told::Items(_) => RequestEnd::Done,
            Told::Unsupported(_) => RequestEnd::Systemic,
            Told::Whole { heard, .. } => match heard {
                Heard::Applied => RequestEnd::Done,
                Heard::NotApplied { .. } | Heard::Unauthorized(_) => RequestEnd::NotApplied,
                Heard::InDoubt { .. } => RequestEnd::InDoubt,
                Heard::Exists(_) | Heard::Refused(_) | Heard::TooLarge(_) => RequestEnd::Refused,
                Heard::Systemic(_) => RequestEnd::Systemic,
            },
        };
        meters.request(end);
        if end == RequestEnd::Done {
            meters.request_seconds.observe(took.as_secs_f64());
        }
        let writes = matches!(work.phase, Phase::Bulk | Phase::Apart);
        if writes && end != RequestEnd::Throttled {
            let operations = work.rows.len() as u64;
            meters.entitlement.inc_by(operations);
            let identity = usize::from(permit.identity);
            self.shared.steering.note_operations(identity, operations, clock::wall_ms());
        }
    }

    fn bulk_landed(
        &mut self,
        mut work: Work,
        heard: Heard,
        retry_after: Option<Duration>,
        reply: Option<ApiReply>,
        now: MonoTime,
    ) -> Result<(), LaneFailed> {
        if heard != Heard::Applied {
            let deadline = self.shared.settings.retry_deadline;
            let why = said(&heard);
            let rows = work.rows.len();
            work.case.rescue = Some(self.shared.pace.rescue(self.plan.table, rows));
            let step = decide(&mut work.case, heard, now, deadline);
            return self.carry_out(work, step, why, retry_after, now);
        }
        match self.applied(&work, reply.as_ref()) {
            Ok(ids) => self.settle_good(work, ids),
            Err(Applied::Unreadable(why)) if work.case.repeatable => {
                // Committed, but the answer cannot be read: sending it again will tell.
                work.case.doubt = true;
                self.delay(work, 1, None, why, now);
                Ok(())
            }
            Err(Applied::Unreadable(why)) => {
                let fault = in_doubt_fault(&why);
                let ends = vec![RowEnd::Bad(RowState::Ambiguous, fault); work.rows.len()];
                self.settle_all(work, ends)
            }
            Err(Applied::OtherIds(detail)) => Err(LaneFailed::Invariant { code: "DV0505", detail }),
        }
    }

    fn apart_landed(
        &mut self,
        mut work: Work,
        heard: Heard,
        retry_after: Option<Duration>,
        reply: Option<ApiReply>,
        permit: Permit,
        now: MonoTime,
    ) -> Result<(), LaneFailed> {
        let parts = reply.as_ref().and_then(|reply| {
            let content_type = reply.headers.content_type.as_deref()?;
            match multipart::read_batch(content_type, &reply.body, clock::wall_ms()) {
                Ok(parts) | Err(multipart::ReadBatchError::Truncated(parts)) => Some(parts),
                Err(_) => None,
            }
        });
        let Some(parts) = parts else {
            let heard = match heard {
                // A success without readable parts tells nothing about any row.
                Heard::Applied => Heard::InDoubt {
                    shrink: false,
                    fault: in_doubt_fault("the answer to the $batch could not be read"),
                },
                other => other,
            };
            let why = said(&heard);
            let deadline = self.shared.settings.retry_deadline;
            let step = decide(&mut work.case, heard, now, deadline);
            return self.carry_out(work, step, why, retry_after, now);
        };
        let mut answers = Vec::with_capacity(work.rows.len());
        let mut ids = Vec::with_capacity(work.rows.len());
        for index in 0..work.rows.len() {
            let Some(part) = parts.get(index) else {
                // Stopped or cut before this one: it may have run.
                let fault = in_doubt_fault("the answer ends before this operation");
                answers.push(Heard::InDoubt { shrink: false, fault });
                ids.push(None);
                continue;
            };
            let part: ApiReply = part.clone().into();
            let link = part.headers.entity_id.as_deref();
            ids.push(link.and_then(|l| response::entity_id(l, &self.shared.origin).ok().flatten()));
            let verdict = classify(&self.sent(Form::Single, &work), Ok(&part));
            answers.push(match tell(&verdict, None) {
                Told::Whole { heard, .. } => heard,
                Told::Throttled { kind, retry_after } => {
                    self.shared.throttled(IdentityId(permit.identity), kind, retry_after);
                    self.shared.pace.refused(permit, kind, retry_after, now);
                    Heard::NotApplied { shrink: false, fault: in_doubt_fault("throttled") }
                }
                Told::Unsupported(fault) => Heard::Systemic(fault),
                Told::Items(_) => Heard::Applied,
            });
        }
        self.rows_landed(work, answers, ids)
    }

    /// Every row has an answer of its own.
    pub(super) fn rows_landed(
        &mut self,
        work: Work,
        answers: Vec<Heard>,
        ids: Vec<Option<Uuid>>,
    ) -> Result<(), LaneFailed> {
        let mut settled: Vec<(usize, RowEnd)> = Vec::new();
        let mut again: [Vec<usize>; 2] = [Vec::new(), Vec::new()];
        let mut probe: Vec<(usize, RowFault)> = Vec::new();
        let mut pause = None;
        let good = self.plan.good();
        for (index, heard) in answers.into_iter().enumerate() {
            match decide_row(&work.case, heard) {
                RowStep::Settle => {
                    let id = ids.get(index).copied().flatten();
                    settled.push((index, RowEnd::Good(good, id)));
                }
                RowStep::Refuse(fault) => {
                    settled.push((index, RowEnd::Bad(RowState::Failed, fault)));
                }
                RowStep::GiveUpInDoubt(fault) => {
                    settled.push((index, RowEnd::Bad(RowState::Ambiguous, fault)));
                }
                RowStep::Again { doubt } => again[usize::from(doubt)].push(index),
                RowStep::Probe(fault) => probe.push((index, fault)),
                RowStep::Pause(fault) => {
                    again[usize::from(work.case.doubt)].push(index);
                    pause = Some(fault);
                }
            }
        }
        if let Some(fault) = pause {
            self.pause(format!("{}: {}", fault.code, fault.message));
        }
        if settled.len() == work.rows.len() {
            return self.settle_all(work, settled.into_iter().map(|(_, end)| end).collect());
        }
        let [certain, doubtful] = again;
        let mut groups = Vec::new();
        for (rows, doubt) in [(certain, false), (doubtful, true)] {
            if !rows.is_empty() {
                groups.push((rows, doubt, None));
            }
        }
        for (index, fault) in probe {
            groups.push((vec![index], work.case.doubt, Some(fault)));
        }
        self.split(work, settled, groups)
    }

    pub(super) fn carry_out(
        &mut self,
        mut work: Work,
        step: Step,
        why: String,
        retry_after: Option<Duration>,
        now: MonoTime,
    ) -> Result<(), LaneFailed> {
        match step {
            Step::Settle => self.settle_good(work, None),
            Step::Resend { failures } => {
                self.delay(work, failures, retry_after, why, now);
                Ok(())
            }
            Step::Reauthorize => {
                self.ready.push_front(work);
                Ok(())
            }
            Step::Probe(fault) => {
                work.begin_probe(&self.plan, fault);
                self.ready.push_front(work);
                Ok(())
            }
            Step::Split(parts) => {
                self.meters().splits.inc();
                let doubt = work.case.doubt;
                let parts = (parts.max(2) as usize).min(work.rows.len());
                let all: Vec<usize> = (0..work.rows.len()).collect();
                let size = work.rows.len().div_ceil(parts.max(1));
                let groups = all.chunks(size).map(|rows| (rows.to_vec(), doubt, None)).collect();
                self.split(work, Vec::new(), groups)
            }
            Step::TakeApart => {
                self.meters().splits.inc();
                work.take_apart();
                self.ready.push_front(work);
                Ok(())
            }
            Step::Refuse(fault) => {
                let ends = vec![RowEnd::Bad(RowState::Failed, fault); work.rows.len()];
                self.settle_all(work, ends)
            }
            Step::GiveUpInDoubt(fault) => {
                let ends = vec![RowEnd::Bad(RowState::Ambiguous, fault); work.rows.len()];
                self.settle_all(work, ends)
            }
            Step::Pause(fault) => {
                self.pause(format!("{}: {}", fault.code, fault.message));
                self.ready.push_front(work);
                Ok(())
            }
        }
    }

    pub(super) fn delay(
        &mut self,
        work: Work,
        failures: u32,
        retry_after: Option<Duration>,
        why: String,
        now: MonoTime,
    ) {
        let backoff = retry::backoff(failures, &mut self.rng);
        let at = now
            + retry_after.map_or(backoff, |said| said.min(retry::RETRY_AFTER_MAX) + backoff / 8);
        tracing::debug!(load = %self.plan.spec.name, batch = work.id.0, failures, %why, "again later");
        self.delayed.insert((at, work.id), (work, why));
    }

    /// A batch of rows that Dataverse gave ids to and whose attempt nobody can repeat.
    pub(super) fn give_up_in_doubt(&mut self, work: Work) {
        let fault = in_doubt_fault("the process ended while this request was under way");
        let ends = vec![RowEnd::Bad(RowState::Ambiguous, fault); work.rows.len()];
        if let Err(error) = self.settle_all(work, ends) {
            self.pause(error.to_string());
        }
    }

    pub(super) fn unsendable(&mut self, work: Work, why: &str) {
        let fault = RowFault {
            code: "DV0314".to_owned(),
            category: FaultCategory::Value,
            message: why.to_owned(),
            retryable: false,
        };
        let step = if work.rows.len() > 1 { Step::Split(2) } else { Step::Refuse(fault) };
        if let Err(error) = self.carry_out(work, step, String::new(), None, clock::now()) {
            self.pause(error.to_string());
        }
    }

    /// Whether a success is what was asked for; the ids Dataverse gave, if it gives them.
    fn applied(&self, work: &Work, reply: Option<&ApiReply>) -> Result<Option<Vec<Uuid>>, Applied> {
        if self.message != Message::CreateMultiple {
            return Ok(None);
        }
        // The status said yes and the body was cut: with known ids that is all there is to know.
        let Some(reply) = reply else { return Ok(None) };
        let body = &reply.body[..];
        let ids = response::created_ids(body).map_err(|e| Applied::Unreadable(e.to_string()))?;
        if ids.len() != work.rows.len() {
            return Err(Applied::OtherIds(format!(
                "load {}, batch {}: {} rows were sent and {} ids came back",
                self.plan.spec.name,
                work.id.0,
                work.rows.len(),
                ids.len()
            )));
        }
        for (row, id) in work.rows.iter().zip(&ids) {
            if let Some(sent) = self.plan.id_of(row.prepared())
                && sent != *id
            {
                return Err(Applied::OtherIds(format!(
                    "load {}, batch {}: id {sent} was sent and {id} came back",
                    self.plan.spec.name, work.id.0
                )));
            }
        }
        Ok(self.server_gives_ids().then_some(ids))
    }

    fn settle_good(&mut self, work: Work, ids: Option<Vec<Uuid>>) -> Result<(), LaneFailed> {
        let good = self.plan.good();
        let ends = match ids {
            Some(ids) => ids.into_iter().map(|id| RowEnd::Good(good, Some(id))).collect(),
            None => vec![RowEnd::Good(good, None); work.rows.len()],
        };
        self.settle_all(work, ends)
    }

    /// Every row of the batch has its end: outcome to the ledger, lines behind it. Rows that a key
    /// addressed are asked for their ids first, since files and later loads need them.
    ///
    /// Source: `dataverse-web-api.md` §2.4: `UpsertMultiple` answers 204 without ids.
    pub(super) fn settle_all(
        &mut self,
        mut work: Work,
        ends: Vec<RowEnd>,
    ) -> Result<(), LaneFailed> {
        let unknown = |end: &RowEnd| matches!(end, RowEnd::Good(_, None));
        if self.plan.ids_are_learnt() && ends.iter().any(unknown) {
            match work.begin_learning(&self.plan, ends) {
                Ok(()) => {
                    self.ready.push_front(work);
                    Ok(())
                }
                Err(ends) => self.settle_now(work, ends),
            }
        } else {
            self.settle_now(work, ends)
        }
    }
}

/// What an answer tells of the service's speed and limits.
fn outcome(told: &Told, failure: Option<&TransportFailure>) -> Outcome {
    match told {
        Told::Throttled { kind, retry_after } => {
            Outcome::Throttled { kind: *kind, retry_after: *retry_after }
        }
        Told::Items(_) => Outcome::Done,
        Told::Unsupported(_) => Outcome::Lost,
        Told::Whole { heard, .. } => match heard {
            Heard::Applied => Outcome::Done,
            Heard::Exists(_) | Heard::Refused(_) | Heard::TooLarge(_) => Outcome::Refused,
            _ if failure.is_some_and(TransportFailure::surely_not_sent) => Outcome::Lost,
            _ if matches!(failure, Some(TransportFailure::Timeout(_))) => Outcome::TimedOut,
            Heard::InDoubt { shrink: true, .. } => Outcome::TimedOut,
            Heard::NotApplied { .. } => Outcome::Passing,
            Heard::InDoubt { .. } | Heard::Unauthorized(_) | Heard::Systemic(_) => Outcome::Lost,
        },
    }
}

enum Applied {
    Unreadable(String),
    OtherIds(String),
}

pub(super) fn in_doubt_fault(why: &str) -> RowFault {
    RowFault {
        code: "DV0507".to_owned(),
        category: FaultCategory::Transient,
        message: format!("sent, and nobody can say whether it was applied: {why}"),
        retryable: false,
    }
}

pub(super) fn said(heard: &Heard) -> String {
    match heard {
        Heard::Applied => String::new(),
        Heard::NotApplied { fault, .. }
        | Heard::InDoubt { fault, .. }
        | Heard::Exists(fault)
        | Heard::Refused(fault)
        | Heard::TooLarge(fault)
        | Heard::Unauthorized(fault)
        | Heard::Systemic(fault) => format!("{}: {}", fault.code, fault.message),
    }
}
