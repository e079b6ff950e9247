//! Pure: what to do next with a batch, from what was just heard about it and what is known of its
//! earlier attempts. This is where a row is kept from being lost or doubled.
//!
//! The rule behind every arm: a batch whose attempt may have been applied (`doubt`) is sent again
//! with the same ids, so that the target's primary key decides; a row is called failed only when
//! no earlier attempt can have made it.
//!
//! Source: `delivery-guarantees.md` §6 (ambiguous outcomes), §8 (retry), §10 (poison rows).

use crate::limits::{BATCH_OPERATIONS_MAX, SPLIT_BATCH_ROWS_MAX};
use crate::record::outcome::{FaultCategory, Operation, RowFault};
use crate::tuning::resolve::Rescue;
use crate::units::MonoTime;
use std::time::Duration;

/// Consecutive failures that ask for a smaller batch before a batch is halved.
const SHRINKS_BEFORE_HALVING: u32 = 2;
/// Refused tokens in a row before the load pauses: more would lock the account.
const REAUTHORIZATIONS_MAX: u32 = 2;

/// What is known about a batch besides its rows.
#[derive(Clone, Debug)]
pub struct Case {
    /// What happens to its rows.
    pub operation: Operation,
    /// Rows in it; at least 1.
    pub rows: usize,
    /// The rows' ids were chosen before sending, so the target can be asked for them.
    pub ids_known: bool,
    /// Sending it twice leaves the same rows as sending it once.
    pub repeatable: bool,
    /// An earlier attempt may have been applied, by this process or one before it.
    pub doubt: bool,
    /// Its rows travel as single operations of one `$batch`.
    pub apart: bool,
    /// Attempts in a row that ended without a definite answer.
    pub failures: u32,
    /// Of those, the ones a smaller batch might have avoided.
    pub shrinks: u32,
    /// Tokens refused in a row.
    pub reauthorizations: u32,
    /// When the present row of failures began.
    pub failing_since: Option<MonoTime>,
    /// The cheapest way to save the good rows once one is refused, where something is known of it.
    pub rescue: Option<Rescue>,
}

impl Case {
    /// A batch that was never sent.
    #[must_use]
    pub const fn fresh(
        operation: Operation,
        rows: usize,
        ids_known: bool,
        repeatable: bool,
    ) -> Self {
        Self {
            operation,
            rows,
            ids_known,
            repeatable,
            doubt: false,
            apart: false,
            failures: 0,
            shrinks: 0,
            reauthorizations: 0,
            failing_since: None,
            rescue: None,
        }
    }
}

/// What one answer (or its absence) says about the whole batch.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Heard {
    /// Applied, all rows.
    Applied,
    /// Not applied, for a passing reason.
    NotApplied {
        /// A smaller batch might pass.
        shrink: bool,
        /// What was said.
        fault: RowFault,
    },
    /// Nobody knows whether it was applied.
    InDoubt {
        /// A smaller batch might pass.
        shrink: bool,
        /// What was said.
        fault: RowFault,
    },
    /// Not applied: a unique key of at least one row is taken, perhaps by an earlier attempt.
    Exists(RowFault),
    /// Not applied: at least one row breaks a rule.
    Refused(RowFault),
    /// Not applied: the body is too large.
    TooLarge(RowFault),
    /// Not applied: the token was refused.
    Unauthorized(RowFault),
    /// Not applied, and no other batch of this load will be.
    Systemic(RowFault),
}

/// What to do next with the batch.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Step {
    /// Every row reached its good end.
    Settle,
    /// Send the same rows again after the backoff for this many failures.
    Resend {
        /// Failures in a row, for the backoff.
        failures: u32,
    },
    /// Send the same rows again at once, with a new token.
    Reauthorize,
    /// Ask the target which of the ids are present.
    Probe(RowFault),
    /// Make this many batches of it; at least 2.
    Split(u32),
    /// Send its rows as single operations in one `$batch`.
    TakeApart,
    /// Every row (usually one) failed for this reason.
    Refuse(RowFault),
    /// Every row was sent and nobody can say what became of it.
    GiveUpInDoubt(RowFault),
    /// Stop sending for this load and tell a person.
    Pause(RowFault),
}

/// Takes one answer for the whole batch into account.
pub fn decide(case: &mut Case, heard: Heard, now: MonoTime, deadline: Duration) -> Step {
    let step = match heard {
        Heard::Applied => Step::Settle,
        Heard::NotApplied { shrink, fault } => failed(case, shrink, fault, now, deadline),
        Heard::InDoubt { shrink, fault } => {
            case.doubt = true;
            if case.repeatable {
                failed(case, shrink, fault, now, deadline)
            } else {
                Step::GiveUpInDoubt(fault)
            }
        }
        Heard::Exists(fault) => {
            // Only a create can have taken the key itself.
            if case.operation == Operation::Create && case.ids_known {
                Step::Probe(fault)
            } else {
                refused(case, fault)
            }
        }
        Heard::Refused(fault) => refused(case, fault),
        Heard::TooLarge(fault) => {
            if case.rows > 1 {
                Step::Split(2)
            } else {
                refused(case, fault)
            }
        }
        Heard::Unauthorized(fault) => {
            case.reauthorizations += 1;
            if case.reauthorizations > REAUTHORIZATIONS_MAX {
                Step::Pause(fault)
            } else {
                Step::Reauthorize
            }
        }
        Heard::Systemic(fault) => Step::Pause(fault),
    };
    if !matches!(step, Step::Resend { .. } | Step::Reauthorize) {
        case.failures = 0;
        case.shrinks = 0;
        case.failing_since = None;
    }
    if !matches!(step, Step::Reauthorize) {
        case.reauthorizations = 0;
    }
    step
}

fn failed(
    case: &mut Case,
    shrink: bool,
    fault: RowFault,
    now: MonoTime,
    deadline: Duration,
) -> Step {
    case.failures += 1;
    case.shrinks += u32::from(shrink);
    let since = *case.failing_since.get_or_insert(now);
    if now.saturating_since(since) > deadline {
        let given_up = RowFault {
            code: "DV0508".to_owned(),
            category: FaultCategory::Transient,
            message: format!(
                "given up after {} attempts in {}s; the last answer was {}: {}",
                case.failures,
                now.saturating_since(since).as_secs(),
                fault.code,
                fault.message
            ),
            retryable: true,
        };
        return if case.doubt { Step::GiveUpInDoubt(given_up) } else { Step::Refuse(given_up) };
    }
    // Halving a batch in doubt is safe: its rows keep their ids, and the halves keep the doubt.
    if case.shrinks >= SHRINKS_BEFORE_HALVING && case.rows > 1 {
        return Step::Split(2);
    }
    Step::Resend { failures: case.failures }
}

/// A rule is broken by at least one row of the batch.
fn refused(case: &mut Case, fault: RowFault) -> Step {
    let fits_apart = case.rows <= BATCH_OPERATIONS_MAX;
    match case.rescue {
        Some(Rescue::Apart) if !case.apart && case.rows > 1 && fits_apart => {
            return Step::TakeApart;
        }
        Some(Rescue::Apart) if !case.apart && case.rows > 1 => {
            case.apart = true;
            let parts = case.rows.div_ceil(BATCH_OPERATIONS_MAX);
            return Step::Split(u32::try_from(parts).unwrap_or(u32::MAX));
        }
        Some(Rescue::Split(parts)) if !case.apart && case.rows > 1 => {
            let most = u32::try_from(case.rows).unwrap_or(u32::MAX);
            return Step::Split(parts.clamp(2, most));
        }
        _ => {}
    }
    // A `$batch` refused as a whole cannot be taken apart further, only made smaller.
    if case.rows > SPLIT_BATCH_ROWS_MAX || (case.apart && case.rows > 1) {
        // Halves that fit into a `$batch` go as one at once: asking first which half is bad would
        // cost a request more.
        case.apart |= case.rows.div_ceil(2) <= SPLIT_BATCH_ROWS_MAX;
        return Step::Split(2);
    }
    if case.rows > 1 {
        return Step::TakeApart;
    }
    // One row. An earlier attempt may have made it, and the refusal (a key taken, say) may be
    // that row's own shadow: ask before calling it failed.
    if case.doubt && case.ids_known && case.operation == Operation::Create {
        return Step::Probe(fault);
    }
    Step::Refuse(fault)
}

/// What one row of a `$batch` or of an elastic message heard.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RowStep {
    /// Good.
    Settle,
    /// Failed for this reason.
    Refuse(RowFault),
    /// To be sent again, alone or with its like; `doubt` says whether it may have been applied.
    Again {
        /// It may have been applied.
        doubt: bool,
    },
    /// Ask the target whether it is present.
    Probe(RowFault),
    /// Sent, not repeatable, and nobody can say what became of it.
    GiveUpInDoubt(RowFault),
    /// Stop sending for this load; the row itself goes again later.
    Pause(RowFault),
}

/// Takes the answer for one row into account; `case` is that of its batch.
#[must_use]
pub fn decide_row(case: &Case, heard: Heard) -> RowStep {
    match heard {
        Heard::Applied => RowStep::Settle,
        Heard::NotApplied { .. } => RowStep::Again { doubt: case.doubt },
        Heard::InDoubt { fault, .. } => {
            if case.repeatable {
                RowStep::Again { doubt: true }
            } else {
                RowStep::GiveUpInDoubt(fault)
            }
        }
        Heard::Exists(fault) if case.operation == Operation::Create && case.ids_known => {
            RowStep::Probe(fault)
        }
        Heard::Exists(fault) | Heard::Refused(fault) | Heard::TooLarge(fault) => {
            if case.operation == Operation::Delete
                && case.doubt
                && fault.category == FaultCategory::Missing
            {
                // Our own earlier attempt removed it.
                RowStep::Settle
            } else if case.doubt && case.ids_known && case.operation == Operation::Create {
                RowStep::Probe(fault)
            } else {
                RowStep::Refuse(fault)
            }
        }
        Heard::Unauthorized(_) => RowStep::Again { doubt: case.doubt },
        Heard::Systemic(fault) => RowStep::Pause(fault),
    }
}

/// What a presence probe says about one row.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ProbeEnd {
    /// It is there and this job wrote it.
    Written,
    /// It is there and this ledger never sent it.
    Foreign,
    /// It is not there and goes again.
    Again,
    /// It is not there, and the refusal that led to the probe stands.
    Refused,
}

/// Reads a probe of a whole batch: `present[i]` tells whether row `i` was found.
///
/// | present | earlier doubt | meaning |
/// |---|---|---|
/// | all or some | yes | those are ours; the rest goes again |
/// | all or some | no | another ledger or another job wrote those; the rest goes again |
/// | none | any | the key taken is another one: the refusal stands for one row, else take apart |
#[must_use]
pub fn read_probe(case: &Case, present: &[bool]) -> Vec<ProbeEnd> {
    let none = !present.iter().any(|p| *p);
    present
        .iter()
        .map(|found| match (found, case.doubt) {
            (true, true) => ProbeEnd::Written,
            (true, false) => ProbeEnd::Foreign,
            (false, _) if none => ProbeEnd::Refused,
            (false, _) => ProbeEnd::Again,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(code: &str, category: FaultCategory) -> RowFault {
        RowFault { code: code.into(), category, message: "said".into(), retryable: false }
    }
    fn at(secs: u64) -> MonoTime {
        MonoTime::from_origin(Duration::from_secs(secs))
    }
    const HOUR: Duration = Duration::from_secs(3600);

    fn pinned(rows: usize) -> Case {
        Case::fresh(Operation::Create, rows, true, true)
    }
    fn server_ids(rows: usize) -> Case {
        Case::fresh(Operation::Create, rows, false, false)
    }

    #[test]
    fn an_unknown_end_is_sent_again_only_when_that_is_harmless() {
        let doubt =
            || Heard::InDoubt { shrink: false, fault: fault("cut", FaultCategory::Transient) };
        let mut case = pinned(100);
        assert_eq!(decide(&mut case, doubt(), at(0), HOUR), Step::Resend { failures: 1 });
        assert!(case.doubt);
        let mut case = server_ids(100);
        assert!(matches!(decide(&mut case, doubt(), at(0), HOUR), Step::GiveUpInDoubt(_)));
    }

    #[test]
    fn doubt_survives_a_later_definite_answer() {
        let mut case = pinned(1);
        let doubt = Heard::InDoubt { shrink: false, fault: fault("cut", FaultCategory::Transient) };
        decide(&mut case, doubt, at(0), HOUR);
        let refused = Heard::Refused(fault("0x80044331", FaultCategory::Value));
        assert!(
            matches!(decide(&mut case, refused, at(1), HOUR), Step::Probe(_)),
            "the first attempt may have made the row"
        );
    }

    #[test]
    fn a_taken_key_is_probed_for_pinned_creates_and_bisected_otherwise() {
        let taken = || Heard::Exists(fault("0x80040237", FaultCategory::Duplicate));
        assert!(matches!(decide(&mut pinned(100), taken(), at(0), HOUR), Step::Probe(_)));
        assert_eq!(decide(&mut server_ids(100), taken(), at(0), HOUR), Step::Split(2));
        assert_eq!(decide(&mut server_ids(63), taken(), at(0), HOUR), Step::TakeApart);
        assert!(matches!(decide(&mut server_ids(1), taken(), at(0), HOUR), Step::Refuse(_)));
    }

    #[test]
    fn bad_rows_cost_a_bounded_number_of_requests() {
        // The refused request, then its two halves; every row of a `$batch` is answered.
        fn cost(rows: usize, bad: usize) -> usize {
            let heard = Heard::Refused(fault("0x80044331", FaultCategory::Value));
            let mut case = pinned(rows);
            match decide(&mut case, heard, at(0), HOUR) {
                Step::Split(2) if case.apart => 1 + 2,
                Step::Split(2) if bad == 1 => 1 + 1 + cost(rows.div_ceil(2), 1),
                Step::Split(2) => {
                    1 + cost(rows.div_ceil(2), bad / 2) + cost(rows / 2, bad - bad / 2)
                }
                Step::TakeApart => 1 + 1,
                other => panic!("{other:?}"),
            }
        }
        // The figures of `delivery-guarantees.md` §10.
        assert_eq!(cost(1000, 1), 9);
        assert!(cost(1000, 10) <= 31, "{}", cost(1000, 10));
        assert_eq!(cost(100, 1), 3);
        assert_eq!(cost(63, 1), 2);
    }

    #[test]
    fn timeouts_make_the_batch_smaller_and_keep_the_doubt() {
        let slow = || Heard::InDoubt {
            shrink: true,
            fault: fault("0x80044151", FaultCategory::Transient),
        };
        let mut case = pinned(100);
        assert_eq!(decide(&mut case, slow(), at(0), HOUR), Step::Resend { failures: 1 });
        assert_eq!(decide(&mut case, slow(), at(1), HOUR), Step::Split(2));
        assert!(case.doubt);
    }

    #[test]
    fn the_deadline_ends_retries_and_tells_doubt_from_failure() {
        let down = || Heard::NotApplied {
            shrink: false,
            fault: fault("connect", FaultCategory::Transient),
        };
        let mut case = pinned(10);
        assert!(matches!(decide(&mut case, down(), at(0), HOUR), Step::Resend { .. }));
        assert!(
            matches!(decide(&mut case, down(), at(3601), HOUR), Step::Refuse(f) if f.code == "DV0508")
        );
        let mut case = pinned(10);
        case.doubt = true;
        decide(&mut case, down(), at(0), HOUR);
        assert!(matches!(decide(&mut case, down(), at(3601), HOUR), Step::GiveUpInDoubt(_)));
    }

    #[test]
    fn refused_tokens_pause_before_the_account_is_locked() {
        let no = || Heard::Unauthorized(fault("401", FaultCategory::Access));
        let mut case = pinned(10);
        assert_eq!(decide(&mut case, no(), at(0), HOUR), Step::Reauthorize);
        assert_eq!(decide(&mut case, no(), at(1), HOUR), Step::Reauthorize);
        assert!(matches!(decide(&mut case, no(), at(2), HOUR), Step::Pause(_)));
    }

    #[test]
    fn a_missing_row_after_an_own_delete_is_deleted() {
        let mut case = Case::fresh(Operation::Delete, 1, true, true);
        let gone = || Heard::Refused(fault("0x80040217", FaultCategory::Missing));
        assert!(matches!(decide_row(&case, gone()), RowStep::Refuse(_)));
        case.doubt = true;
        assert_eq!(decide_row(&case, gone()), RowStep::Settle);
    }

    #[test]
    fn a_probe_is_read_by_its_table() {
        let mut case = pinned(3);
        assert_eq!(read_probe(&case, &[false; 3]), [ProbeEnd::Refused; 3]);
        assert_eq!(
            read_probe(&case, &[true, false, true]),
            [ProbeEnd::Foreign, ProbeEnd::Again, ProbeEnd::Foreign]
        );
        case.doubt = true;
        assert_eq!(read_probe(&case, &[true; 3]), [ProbeEnd::Written; 3]);
    }
}
