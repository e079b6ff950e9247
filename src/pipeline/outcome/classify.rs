//! Pure: what one attempt means, on three independent axes: what the server did, what the sender
//! does next, and whether the server is under pressure.
//!
//! Source: `delivery-guarantees.md` §6.1; `dataverse-web-api.md` §1.6, §2.6, §2.7, §10.

use crate::catalog::model::TableKind;
use crate::client::attempt::{ApiReply, TokenFailure, TransportFailure};
use crate::client::fault::{Fault, FaultCode, FaultShape, ItemFault};
use crate::client::response::is_success;
use crate::pipeline::outcome::faults::{self, FaultClass};
use crate::record::outcome::{FaultCategory, Operation, RowFault};
use crate::record::throttle::Throttle;
use std::time::Duration;

/// What an attempt was about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sent {
    /// What it does with rows.
    pub operation: Operation,
    /// How the table is stored.
    pub kind: TableKind,
    /// How many rows it could carry.
    pub form: Form,
    /// Whether we know the ids of the rows without the answer (pinned or given).
    pub ids_known: bool,
}

/// How rows were carried.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    /// A `…Multiple` message.
    Bulk,
    /// One row: a request of its own, or a part of a batch.
    Single,
}

/// What the server did with the rows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Effect {
    /// Nothing: not reached, or rolled back.
    None,
    /// Everything; with [`Next::ItemResults`], everything but the rows listed.
    Applied,
    /// Nobody can say.
    Unknown,
}

/// What the sender does next.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Next {
    /// Settle the rows. For a create by bulk message the ids are still to be read and compared.
    Done,
    /// Close the identity's gate and send again afterwards.
    Throttled {
        /// Which limit.
        limit: Throttle,
        /// How long the service says to wait.
        retry_after: Option<Duration>,
    },
    /// Send again after a pause.
    Retry {
        /// Fewer rows or fewer requests at once would help.
        shrink: bool,
        /// How long the service says to wait.
        retry_after: Option<Duration>,
    },
    /// Settle by sending the same again, or by asking, after a pause. A create whose rows were
    /// made but whose ids were lost ([`Effect::Applied`]) must not be sent again.
    Unknown {
        /// How long the service says to wait.
        retry_after: Option<Duration>,
    },
    /// A key or id of the create is taken: ask which rows are there.
    Exists,
    /// At least one row is refused: take the batch apart, or refuse the single row.
    RowRefused {
        /// What kind of trouble.
        category: FaultCategory,
        /// Whether it may pass later without a change of its data.
        retryable: bool,
    },
    /// Every row of the table would be refused: pause the table.
    Systemic {
        /// The code, when there is one.
        code: Option<FaultCode>,
        /// Its name.
        name: &'static str,
    },
    /// The identity's token was refused or cannot be had: forget it, and retire the identity when
    /// that happens again and again.
    Unauthorized,
    /// Send the rows in halves.
    TooLarge,
    /// The table does not take this message: send its rows by batch from now on.
    MessageUnsupported,
    /// Elastic: every row is settled by itself; rows not listed were applied.
    ItemResults(Vec<ItemResult>),
}

/// What became of one row that an elastic bulk message did not apply.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ItemResult {
    /// Its index in the batch, from 0; still to be checked against the batch's length.
    pub index: u32,
    /// HTTP-like status.
    pub status: u16,
    /// What to do with it.
    pub next: ItemNext,
}

/// What to do with one row of an elastic bulk message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ItemNext {
    /// A row with this id and partition is there.
    Exists,
    /// Send it again; the store was busy.
    Throttled,
    /// Send it again.
    Retry,
    /// Nobody can say whether it was applied.
    Unknown,
    /// Refuse it.
    Refused(FaultCategory),
}

/// Signs of load, for those who tune parallelism and batch size.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pressure {
    /// A limit was hit.
    Throttled(Throttle),
    /// Requests got in each other's way: deadlocks, locks.
    Contention,
    /// The server was too slow or too busy.
    Overload,
}

/// What one attempt means.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Verdict {
    /// What the server did.
    pub effect: Effect,
    /// What to do next.
    pub next: Next,
    /// Sign of load.
    pub pressure: Option<Pressure>,
    /// What the answer said, when it was not a success.
    pub fault: Option<Box<Fault>>,
}

/// What one attempt means; every outcome means something.
#[must_use]
pub fn classify(sent: &Sent, outcome: Result<&ApiReply, &TransportFailure>) -> Verdict {
    let (effect, next, pressure, fault) = match outcome {
        Ok(reply) if is_success(reply.status) => (Effect::Applied, Next::Done, None, None),
        Ok(reply) => {
            let fault = Fault::read(reply);
            let (effect, next, pressure) = of_fault(sent, &fault, reply.headers.retry_after);
            (effect, next, pressure, Some(Box::new(fault)))
        }
        Err(failure) => {
            let (effect, next, pressure) = of_failure(sent, failure);
            (effect, next, pressure, None)
        }
    };
    Verdict { effect, next, pressure, fault }
}

type Axes = (Effect, Next, Option<Pressure>);

fn of_failure(sent: &Sent, failure: &TransportFailure) -> Axes {
    let again = Next::Retry { shrink: false, retry_after: None };
    let unknown = Next::Unknown { retry_after: None };
    match failure {
        TransportFailure::Token(TokenFailure::Refused(_)) => {
            (Effect::None, Next::Unauthorized, None)
        }
        TransportFailure::Token(TokenFailure::Unreachable(_)) | TransportFailure::Connect(_) => {
            (Effect::None, again, None)
        }
        TransportFailure::Timeout(_) => (Effect::Unknown, unknown, Some(Pressure::Overload)),
        TransportFailure::Broken(_) => (Effect::Unknown, unknown, None),
        TransportFailure::BodyCut { status, .. } => match status {
            200..=299 if sent.operation != Operation::Create || sent.ids_known => {
                (Effect::Applied, Next::Done, None)
            }
            200..=299 => (Effect::Applied, unknown, None),
            401 => (Effect::None, Next::Unauthorized, None),
            413 => (Effect::None, Next::TooLarge, None),
            429 => {
                let limit = Throttle::Other;
                let next = Next::Throttled { limit, retry_after: None };
                (Effect::Unknown, next, Some(Pressure::Throttled(limit)))
            }
            _ => (Effect::Unknown, unknown, None),
        },
    }
}

fn of_fault(sent: &Sent, fault: &Fault, retry_after: Option<Duration>) -> Axes {
    let elastic_bulk = sent.kind == TableKind::Elastic && sent.form == Form::Bulk;
    // An elastic bulk message is no transaction: some rows may stand though it failed.
    let refused = if elastic_bulk { Effect::Unknown } else { Effect::None };
    let known = fault.code.and_then(faults::known);
    if let Some(FaultClass::Throttled(limit)) = known.map(|k| k.class) {
        let next = Next::Throttled { limit, retry_after };
        return (Effect::None, next, Some(Pressure::Throttled(limit)));
    }
    if elastic_bulk {
        let items = fault.elastic_items.as_deref().unwrap_or_default();
        let results = item_results(sent.operation, items);
        if !results.is_empty() {
            let busy = results.iter().any(|r| r.next == ItemNext::Throttled);
            let pressure = busy.then_some(Pressure::Throttled(Throttle::Other));
            return (Effect::Applied, Next::ItemResults(results), pressure);
        }
    }
    if sent.form == Form::Bulk && says_message_is_unsupported(fault) {
        return (Effect::None, Next::MessageUnsupported, None);
    }
    if sent.form == Form::Bulk && fault.message.contains(SANDBOX_MESSAGE_TOO_LARGE) {
        return (refused, Next::TooLarge, None);
    }
    if fault.message.contains(ROLLED_BACK_BEFORE) && !elastic_bulk && fault.status < 500 {
        let next = Next::Retry { shrink: true, retry_after };
        return (Effect::None, next, Some(Pressure::Contention));
    }
    match known {
        // An unknown entity set answers 404 with the code of a transient fault (§13).
        Some(known) if !(fault.code == Some(HTTP_ERROR) && fault.status == 404) => {
            of_known(sent, fault, known, refused, retry_after)
        }
        _ => of_status(sent, fault, refused, retry_after),
    }
}

const HTTP_ERROR: FaultCode = FaultCode(0x8006_088a);
const DOES_NOT_EXIST: FaultCode = FaultCode(0x8004_0217);

/// Source: `dataverse-web-api.md` §1.5, plug-in registered on a bulk message.
const SANDBOX_MESSAGE_TOO_LARGE: &str = "Message size exceeded when sending context to Sandbox";

/// A deadlock swallowed by a plug-in.
///
/// Source: `dataverse-web-api.md` §1.6.
const ROLLED_BACK_BEFORE: &str =
    "transaction of the SQL command has already been rolled back or committed";

/// Second line of defence behind the check of metadata.
///
/// Source: `dataverse-web-api.md` §2.5, §2.6.
fn says_message_is_unsupported(fault: &Fault) -> bool {
    matches!(fault.status, 400 | 404 | 405 | 501)
        && [
            "is not enabled on the entity",
            "does not support entities of type",
            "has not yet been implemented",
        ]
        .iter()
        .any(|text| fault.message.contains(text))
}

fn of_known(
    sent: &Sent,
    fault: &Fault,
    known: &faults::KnownFault,
    refused: Effect,
    retry_after: Option<Duration>,
) -> Axes {
    match known.class {
        FaultClass::Throttled(limit) => {
            let next = Next::Throttled { limit, retry_after };
            (Effect::None, next, Some(Pressure::Throttled(limit)))
        }
        FaultClass::Transient { shrink, rolled_back } => {
            let contention = rolled_back.then_some(Pressure::Contention);
            let pressure = contention.or(Some(Pressure::Overload));
            if rolled_back || fault.status < 500 {
                (refused, Next::Retry { shrink, retry_after }, pressure)
            } else {
                (Effect::Unknown, Next::Unknown { retry_after }, pressure)
            }
        }
        FaultClass::Sql => match sql_number(&fault.message) {
            Some(1205) => {
                let next = Next::Retry { shrink: true, retry_after };
                (refused, next, Some(Pressure::Contention))
            }
            // Seen while a new table's procedures are being built.
            Some(3732 | 2766 | 2812) => (refused, Next::Retry { shrink: false, retry_after }, None),
            _ => (Effect::Unknown, Next::Unknown { retry_after }, None),
        },
        FaultClass::Ambiguous => {
            (Effect::Unknown, Next::Unknown { retry_after }, Some(Pressure::Overload))
        }
        FaultClass::Exists if sent.operation == Operation::Create => (refused, Next::Exists, None),
        FaultClass::Exists | FaultClass::Row => {
            let missing = known.code == DOES_NOT_EXIST
                && matches!(sent.operation, Operation::Update | Operation::Delete);
            let category = if missing { FaultCategory::Missing } else { known.category };
            (refused, Next::RowRefused { category, retryable: known.retryable }, None)
        }
        FaultClass::Systemic => {
            (refused, Next::Systemic { code: Some(known.code), name: known.name }, None)
        }
        FaultClass::Unsupported if sent.form == Form::Bulk => {
            (Effect::None, Next::MessageUnsupported, None)
        }
        FaultClass::Unsupported => {
            (refused, Next::Systemic { code: Some(known.code), name: known.name }, None)
        }
    }
}

/// The verdict when the code says nothing: the status, and who wrote the body.
fn of_status(sent: &Sent, fault: &Fault, refused: Effect, retry_after: Option<Duration>) -> Axes {
    let from_service = matches!(fault.shape, FaultShape::OData | FaultShape::Exception);
    let row = |category, retryable| (refused, Next::RowRefused { category, retryable }, None);
    let systemic = |name| (refused, Next::Systemic { code: fault.code, name }, None);
    // Elastic tables give an HTTP status as code, which is nearer to the row than the outer one.
    match fault.http_code.unwrap_or(fault.status) {
        401 => (Effect::None, Next::Unauthorized, None),
        413 => (refused, Next::TooLarge, None),
        429 => {
            let limit = Throttle::Other;
            let effect = if from_service { refused } else { Effect::Unknown };
            let next = Next::Throttled { limit, retry_after };
            (effect, next, Some(Pressure::Throttled(limit)))
        }
        300..=399 => systemic("redirected"),
        501 if sent.form == Form::Bulk && from_service => {
            (Effect::None, Next::MessageUnsupported, None)
        }
        400..=499 if !from_service => (Effect::Unknown, Next::Unknown { retry_after }, None),
        408 => (Effect::Unknown, Next::Unknown { retry_after }, Some(Pressure::Overload)),
        404 if fault.code == Some(HTTP_ERROR) => systemic("resource_not_found"),
        404 if sent.form == Form::Bulk
            && sent.kind != TableKind::Elastic
            && fault.code.is_none() =>
        {
            systemic("resource_not_found")
        }
        404 => row(FaultCategory::Missing, true),
        409 | 412 if sent.operation == Operation::Create && fault.code.is_none() => {
            (refused, Next::Exists, None)
        }
        409 => row(FaultCategory::Duplicate, false),
        412 => row(FaultCategory::State, false),
        403 => row(FaultCategory::Access, true),
        400..=499 => row(FaultCategory::Other, false),
        502..=504 => (Effect::Unknown, Next::Unknown { retry_after }, Some(Pressure::Overload)),
        _ => (Effect::Unknown, Next::Unknown { retry_after }, None),
    }
}

fn item_results(operation: Operation, items: &[ItemFault]) -> Vec<ItemResult> {
    let failed = items.iter().filter(|item| !is_success(item.status));
    failed
        .map(|item| ItemResult {
            index: item.index,
            status: item.status,
            next: match item.status {
                409 if operation == Operation::Create => ItemNext::Exists,
                409 => ItemNext::Refused(FaultCategory::Duplicate),
                404 => ItemNext::Refused(FaultCategory::Missing),
                412 => ItemNext::Refused(FaultCategory::State),
                401 | 403 => ItemNext::Refused(FaultCategory::Access),
                429 => ItemNext::Throttled,
                // Failed with its neighbours; conflicting write.
                424 | 449 => ItemNext::Retry,
                400 | 413 => ItemNext::Refused(FaultCategory::Value),
                408 | 500..=599 => ItemNext::Unknown,
                _ => ItemNext::Refused(FaultCategory::Other),
            },
        })
        .collect()
}

/// The first number of the text that is one of the SQL errors the loader knows.
fn sql_number(message: &str) -> Option<u32> {
    message
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter_map(|word| word.parse().ok())
        .find(|number| matches!(number, 1205 | 3732 | 2766 | 2812))
}

/// The row's fault for the error file, from what the service said.
#[must_use]
pub fn row_fault(fault: &Fault, category: FaultCategory, retryable: bool) -> RowFault {
    let code = match (fault.code, fault.http_code) {
        (Some(code), _) => code.to_string(),
        (None, status) => format!("HTTP{}", status.unwrap_or(fault.status)),
    };
    RowFault { code, category, message: fault.message.clone(), retryable }
}

#[cfg(test)]
mod tests;
