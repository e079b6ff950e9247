//! Pure: from what an attempt means on its three axes to what the settling rules want to hear.

use crate::client::attempt::TransportFailure;
use crate::client::fault::{Fault, FaultCode};
use crate::pipeline::outcome::classify::{Effect, ItemNext, Next, Verdict};
use crate::pipeline::outcome::faults;
use crate::pipeline::outcome::settle::Heard;
use crate::record::outcome::{FaultCategory, RowFault};
use crate::record::throttle::Throttle;
use std::time::Duration;

/// What one attempt tells about its batch.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Told {
    /// Close the identity, send again afterwards.
    Throttled {
        /// Which limit.
        kind: Throttle,
        /// How long to wait.
        retry_after: Option<Duration>,
    },
    /// The table does not take the message.
    Unsupported(RowFault),
    /// Rows that were not applied, by index; all others were.
    Items(Vec<(usize, Heard)>),
    /// The whole batch has one answer.
    Whole {
        /// The answer.
        heard: Heard,
        /// Not before this long from now, if the service says so.
        retry_after: Option<Duration>,
    },
}

/// Puts a verdict into words; `failure` is why there was no answer, when there was none.
#[must_use]
pub fn tell(verdict: &Verdict, failure: Option<&TransportFailure>) -> Told {
    let fault = |category| row_fault(verdict.fault.as_deref(), failure, category);
    let whole = |heard, retry_after| Told::Whole { heard, retry_after };
    match &verdict.next {
        Next::Done => whole(Heard::Applied, None),
        Next::Throttled { limit, retry_after } => {
            Told::Throttled { kind: *limit, retry_after: *retry_after }
        }
        Next::Retry { shrink, retry_after } => {
            let fault = fault(FaultCategory::Transient);
            let heard = match verdict.effect {
                Effect::None => Heard::NotApplied { shrink: *shrink, fault },
                Effect::Applied | Effect::Unknown => Heard::InDoubt { shrink: *shrink, fault },
            };
            whole(heard, *retry_after)
        }
        Next::Unknown { retry_after } => {
            let fault = fault(FaultCategory::Transient);
            let shrink = verdict.pressure.is_some();
            whole(Heard::InDoubt { shrink, fault }, *retry_after)
        }
        Next::Exists => whole(Heard::Exists(fault(FaultCategory::Duplicate)), None),
        Next::RowRefused { category, retryable } => {
            let mut fault = fault(*category);
            fault.retryable = *retryable;
            whole(Heard::Refused(fault), None)
        }
        Next::Systemic { .. } => whole(Heard::Systemic(fault(FaultCategory::Access)), None),
        Next::Unauthorized => whole(Heard::Unauthorized(fault(FaultCategory::Access)), None),
        Next::TooLarge => whole(Heard::TooLarge(fault(FaultCategory::Value)), None),
        Next::MessageUnsupported => Told::Unsupported(fault(FaultCategory::Other)),
        Next::ItemResults(items) => Told::Items(
            items
                .iter()
                .map(|item| {
                    let mut fault = fault(FaultCategory::Transient);
                    fault.code = item.status.to_string();
                    let heard = match item.next {
                        ItemNext::Exists => {
                            fault.category = FaultCategory::Duplicate;
                            Heard::Exists(fault)
                        }
                        ItemNext::Throttled | ItemNext::Retry => {
                            Heard::NotApplied { shrink: false, fault }
                        }
                        ItemNext::Unknown => Heard::InDoubt { shrink: false, fault },
                        ItemNext::Refused(category) => {
                            fault.category = category;
                            Heard::Refused(fault)
                        }
                    };
                    (item.index as usize, heard)
                })
                .collect(),
        ),
    }
}

fn row_fault(
    fault: Option<&Fault>,
    failure: Option<&TransportFailure>,
    category: FaultCategory,
) -> RowFault {
    let (code, message) = match (fault, failure) {
        (Some(fault), _) => {
            let code = match fault.code {
                Some(FaultCode(code)) => format!("0x{code:08x}"),
                None => format!("http_{}", fault.status),
            };
            (code, fault.message.clone())
        }
        (None, Some(failure)) => ("DV0509".to_owned(), failure.to_string()),
        (None, None) => ("DV0509".to_owned(), "no answer".to_owned()),
    };
    let known = fault.and_then(|f| f.code).and_then(faults::known);
    RowFault { code, category, message, retryable: known.is_some_and(|k| k.retryable) }
}
