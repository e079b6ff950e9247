//! Verdicts, row by row of the reference and by property.

use super::*;
use crate::client::attempt::ReplyHeaders;
use crate::pipeline::outcome::faults::KNOWN;
use bytes::Bytes;
use proptest::prelude::*;

const CREATE: Sent = Sent {
    operation: Operation::Create,
    kind: TableKind::Standard,
    form: Form::Bulk,
    ids_known: true,
};
const ELASTIC: Sent = Sent { kind: TableKind::Elastic, ..CREATE };

fn sent(operation: Operation, form: Form) -> Sent {
    Sent { operation, form, ..CREATE }
}

fn reply(status: u16, body: &str) -> ApiReply {
    let headers =
        ReplyHeaders { retry_after: Some(Duration::from_secs(7)), ..ReplyHeaders::default() };
    ApiReply { status, headers, body: Bytes::copy_from_slice(body.as_bytes()) }
}

fn error(code: &str, message: &str) -> String {
    serde_json::json!({"error": {"code": code, "message": message}}).to_string()
}

fn answered(sent: Sent, status: u16, body: &str) -> (Effect, Next, Option<Pressure>) {
    let got = classify(&sent, Ok(&reply(status, body)));
    assert_eq!(got.fault.is_some(), !is_success(status));
    (got.effect, got.next, got.pressure)
}

fn coded(sent: Sent, status: u16, code: &str) -> (Effect, Next, Option<Pressure>) {
    answered(sent, status, &error(code, "text"))
}

fn failed(sent: Sent, failure: &TransportFailure) -> (Effect, Next, Option<Pressure>) {
    let got = classify(&sent, Err(failure));
    (got.effect, got.next, got.pressure)
}

const WAIT: Option<Duration> = Some(Duration::from_secs(7));
const UNKNOWN: Next = Next::Unknown { retry_after: WAIT };

fn refused(category: FaultCategory, retryable: bool) -> (Effect, Next, Option<Pressure>) {
    (Effect::None, Next::RowRefused { category, retryable }, None)
}

#[test]
fn nothing_was_sent() {
    for failure in [
        TransportFailure::Connect("no route".to_owned()),
        TransportFailure::Token(TokenFailure::Unreachable("x".to_owned())),
    ] {
        let again = Next::Retry { shrink: false, retry_after: None };
        assert_eq!(failed(CREATE, &failure), (Effect::None, again, None));
    }
    let refused = TransportFailure::Token(TokenFailure::Refused("x".to_owned()));
    assert_eq!(failed(CREATE, &refused), (Effect::None, Next::Unauthorized, None));
}

#[test]
fn throttles_were_not_applied_and_carry_the_wait() {
    for (code, limit) in [
        ("0x80072321", Throttle::Time),
        ("0x80072322", Throttle::Requests),
        ("-2147015898", Throttle::Concurrency),
    ] {
        for sent in [CREATE, ELASTIC] {
            let next = Next::Throttled { limit, retry_after: WAIT };
            let want = (Effect::None, next, Some(Pressure::Throttled(limit)));
            assert_eq!(coded(sent, 429, code), want);
        }
    }
    let other = Next::Throttled { limit: Throttle::Other, retry_after: WAIT };
    let pressure = Some(Pressure::Throttled(Throttle::Other));
    assert_eq!(coded(CREATE, 429, "0x12345678"), (Effect::None, other.clone(), pressure));
    let gateway = answered(CREATE, 429, "<html>slow down</html>");
    assert_eq!(gateway, (Effect::Unknown, other, pressure));
}

#[test]
fn a_refused_token_is_no_refused_row() {
    for body in ["", "<html>login</html>", &error("", "x"), &error("0x87654321", "x")] {
        assert_eq!(answered(CREATE, 401, body), (Effect::None, Next::Unauthorized, None));
    }
    let (_, next, _) = coded(CREATE, 401, "0x80072560");
    assert!(matches!(next, Next::Systemic { name: "user_not_in_organization", .. }));
}

#[test]
fn taken_keys_are_seen_before_other_refusals() {
    for (code, status) in [
        ("0x80040237", 412),
        ("0x80040237", 400),
        ("0x80040237", 500),
        ("0x80060892", 412),
        ("0x8004e30a", 400),
    ] {
        assert_eq!(coded(CREATE, status, code), (Effect::None, Next::Exists, None), "{code}");
        for operation in [Operation::Update, Operation::Upsert] {
            let got = coded(sent(operation, Form::Bulk), status, code);
            assert_eq!(got, refused(FaultCategory::Duplicate, false));
        }
    }
    // Elastic bulk messages are no transaction, single requests are.
    assert_eq!(coded(ELASTIC, 400, "409"), (Effect::Unknown, Next::Exists, None));
    let single = Sent { form: Form::Single, ..ELASTIC };
    assert_eq!(coded(single, 409, "409"), (Effect::None, Next::Exists, None));
    // A create-only PATCH says 412 without a code.
    assert_eq!(
        coded(sent(Operation::Create, Form::Single), 412, ""),
        (Effect::None, Next::Exists, None)
    );
    assert_eq!(coded(CREATE, 412, "0x80060882"), refused(FaultCategory::State, false));
    assert_eq!(coded(CREATE, 412, "0x80040333"), refused(FaultCategory::Duplicate, false));
}

#[test]
fn refusals_of_a_standard_table_were_rolled_back() {
    for (status, code, category, retryable) in [
        (400, "0x80044331", FaultCategory::Value, false),
        (400, "0x80040200", FaultCategory::Required, false),
        (400, "0x80040217", FaultCategory::Reference, true),
        (404, "0x80060891", FaultCategory::Reference, true),
        (400, "0x80040265", FaultCategory::BusinessRule, false),
        (500, "0x80040265", FaultCategory::BusinessRule, false),
        (400, "0x80048d19", FaultCategory::Value, false),
        (403, "0x80040231", FaultCategory::Access, true),
        (400, "0x80040233", FaultCategory::State, false),
        // Unknown codes and none at all.
        (400, "0x87654321", FaultCategory::Other, false),
        (403, "0x87654321", FaultCategory::Access, true),
        (409, "0x87654321", FaultCategory::Duplicate, false),
        (400, "", FaultCategory::Other, false),
        (400, "0x0", FaultCategory::Other, false),
    ] {
        assert_eq!(coded(CREATE, status, code), refused(category, retryable), "{status} {code}");
    }
    let host = r#"{"Message":"m","ErrorCode":"0x0"}"#;
    assert_eq!(answered(CREATE, 400, host), refused(FaultCategory::Other, false));
    for operation in [Operation::Update, Operation::Delete] {
        let single = sent(operation, Form::Single);
        assert_eq!(coded(single, 404, "0x80040217"), refused(FaultCategory::Missing, true));
        assert_eq!(coded(single, 404, ""), refused(FaultCategory::Missing, true));
    }
    // Elastic: the same refusal leaves open what became of the other rows.
    let (effect, next, _) = coded(ELASTIC, 400, "0x80044331");
    assert_eq!(effect, Effect::Unknown);
    assert!(matches!(next, Next::RowRefused { category: FaultCategory::Value, .. }));
}

#[test]
fn deadlocks_and_young_tables_are_sent_again() {
    let deadlock = error("0x80044150", "Generic SQL error. Sql Number: 1205");
    let shrink = Next::Retry { shrink: true, retry_after: WAIT };
    let want = (Effect::None, shrink.clone(), Some(Pressure::Contention));
    assert_eq!(answered(CREATE, 500, &deadlock), want);
    for number in ["3732", "2766", "2812"] {
        let body = error("0x80044150", &format!("Generic SQL error, SQL {number}."));
        let same = Next::Retry { shrink: false, retry_after: WAIT };
        assert_eq!(answered(CREATE, 500, &body), (Effect::None, same, None));
    }
    for text in ["Generic SQL error.", "Sql Number: 12050", "Sql Number: x1205"] {
        let got = answered(CREATE, 500, &error("0x80044150", text));
        assert_eq!(got, (Effect::Unknown, UNKNOWN, None), "{text}");
    }
    let swallowed = error(
        "0x80040265",
        "The transaction of the SQL command has already been rolled back or committed, see below",
    );
    assert_eq!(answered(CREATE, 400, &swallowed), want);
    for (code, status, shrink) in [
        ("0x80044339", 500, false),
        ("0x80048105", 400, false),
        ("0x80071154", 400, false),
        ("0x8004ed47", 500, false),
        ("0x80040255", 500, true),
    ] {
        let next = Next::Retry { shrink, retry_after: WAIT };
        let want = (Effect::None, next, Some(Pressure::Contention));
        assert_eq!(coded(CREATE, status, code), want, "{code}");
    }
    // Not certain to be rolled back: the status decides.
    let busy = coded(CREATE, 400, "0x8004a001");
    assert_eq!(busy, (Effect::None, shrink, Some(Pressure::Overload)));
    let busy = coded(CREATE, 503, "0x8004a001");
    assert_eq!(busy, (Effect::Unknown, UNKNOWN, Some(Pressure::Overload)));
}

#[test]
fn when_unsure_the_outcome_is_unknown() {
    let overload = Some(Pressure::Overload);
    assert_eq!(coded(CREATE, 500, "0x80044151"), (Effect::Unknown, UNKNOWN, overload));
    assert_eq!(coded(CREATE, 400, "0x80044151"), (Effect::Unknown, UNKNOWN, overload));
    for (status, pressure) in [
        (408, overload),
        (500, None),
        (502, overload),
        (503, overload),
        (504, overload),
        (522, None),
    ] {
        let got = coded(CREATE, status, "0x87654321");
        assert_eq!(got, (Effect::Unknown, UNKNOWN, pressure), "{status}");
    }
    for status in [400, 403, 404, 412] {
        for body in ["<html>gateway</html>", ""] {
            assert_eq!(answered(CREATE, status, body), (Effect::Unknown, UNKNOWN, None));
        }
    }
    let lost = Next::Unknown { retry_after: None };
    let timeout = TransportFailure::Timeout(Duration::from_secs(1));
    assert_eq!(failed(CREATE, &timeout), (Effect::Unknown, lost.clone(), overload));
    let broken = TransportFailure::Broken("reset".to_owned());
    assert_eq!(failed(CREATE, &broken), (Effect::Unknown, lost, None));
}

#[test]
fn success_and_cut_success() {
    for (status, body) in [(200, r#"{"Ids":[]}"#), (201, "{}"), (204, ""), (200, "cut {")] {
        assert_eq!(answered(CREATE, status, body), (Effect::Applied, Next::Done, None));
    }
    let cut = |status| TransportFailure::BodyCut { status, detail: "eof".to_owned() };
    assert_eq!(failed(CREATE, &cut(200)), (Effect::Applied, Next::Done, None));
    let unpinned = Sent { ids_known: false, ..CREATE };
    let lost = Next::Unknown { retry_after: None };
    assert_eq!(failed(unpinned, &cut(200)), (Effect::Applied, lost.clone(), None));
    let update = Sent { ids_known: false, ..sent(Operation::Update, Form::Bulk) };
    assert_eq!(failed(update, &cut(204)), (Effect::Applied, Next::Done, None));
    assert_eq!(failed(CREATE, &cut(400)), (Effect::Unknown, lost.clone(), None));
    assert_eq!(failed(CREATE, &cut(500)), (Effect::Unknown, lost, None));
    assert_eq!(failed(CREATE, &cut(401)), (Effect::None, Next::Unauthorized, None));
    assert_eq!(failed(CREATE, &cut(413)), (Effect::None, Next::TooLarge, None));
    assert!(matches!(failed(CREATE, &cut(429)).1, Next::Throttled { .. }));
}

#[test]
fn what_concerns_the_whole_table_pauses_it() {
    for (status, code, name) in [
        (403, "0x80040220", "privilege_denied"),
        (403, "0x8004a112", "application_user_disabled"),
        (400, "0x80060888", "bad_url"),
        (507, "0x80072325", "storage_full"),
        (404, "0x8006088a", "resource_not_found"),
        (404, "", "resource_not_found"),
        (302, "", "redirected"),
    ] {
        let (effect, next, _) = coded(CREATE, status, code);
        assert_eq!(effect, Effect::None, "{code}");
        let code = crate::client::fault::parse_code(code);
        assert_eq!(next, Next::Systemic { code, name });
    }
}

#[test]
fn too_large_and_unsupported_messages() {
    for body in ["", "<html>413</html>", &error("", "Payload too large")] {
        assert_eq!(answered(CREATE, 413, body), (Effect::None, Next::TooLarge, None));
    }
    let sandbox = error("0x80040224", "Message size exceeded when sending context to Sandbox. 1");
    assert_eq!(answered(CREATE, 400, &sandbox), (Effect::None, Next::TooLarge, None));
    for (status, code, text) in [
        (400, "0x80040203", "CreateMultiple is not enabled on the entity team."),
        (400, "0x80040203", "The message does not support entities of type 'queue'."),
        (501, "0x80040219", "DeleteMultiple has not yet been implemented."),
        (501, "", "no"),
        (400, "0x80040315", "no"),
    ] {
        let body = error(code, text);
        let want = (Effect::None, Next::MessageUnsupported, None);
        assert_eq!(answered(CREATE, status, &body), want, "{text}");
        let single = answered(sent(Operation::Create, Form::Single), status, &body).1;
        assert_ne!(single, Next::MessageUnsupported, "one row has no other message to fall to");
    }
}

#[test]
fn elastic_items_are_settled_one_by_one() {
    let details = r#"[{"RequestIndex":1,"StatusCode":409},{"RequestIndex":2,"StatusCode":201},
        {"RequestIndex":3,"StatusCode":429},{"RequestIndex":4,"StatusCode":503},
        {"RequestIndex":5,"StatusCode":400},{"RequestIndex":6,"StatusCode":449}]"#;
    let body = |details: &str| {
        serde_json::json!({"error": {"code": "409", "message": "m",
            "@Microsoft.PowerApps.CDS.ErrorDetails.Plugin.BulkApiErrorDetails": details}})
        .to_string()
    };
    let (effect, next, pressure) = answered(ELASTIC, 400, &body(details));
    assert_eq!(effect, Effect::Applied);
    assert_eq!(pressure, Some(Pressure::Throttled(Throttle::Other)));
    let Next::ItemResults(items) = next else { panic!("{next:?}") };
    let got: Vec<_> = items.into_iter().map(|i| (i.index, i.status, i.next)).collect();
    assert_eq!(
        got,
        [
            (1, 409, ItemNext::Exists),
            (3, 429, ItemNext::Throttled),
            (4, 503, ItemNext::Unknown),
            (5, 400, ItemNext::Refused(FaultCategory::Value)),
            (6, 449, ItemNext::Retry),
        ]
    );
    // A failure that lists no failed row tells nothing about the rows.
    let all_good = r#"[{"RequestIndex":0,"StatusCode":200}]"#;
    assert_eq!(answered(ELASTIC, 400, &body(all_good)).0, Effect::Unknown);
    // On a standard table the list means nothing.
    let (_, next, _) = answered(CREATE, 400, &body(details));
    assert!(!matches!(next, Next::ItemResults(_)));
    let delete = Sent { operation: Operation::Delete, ..ELASTIC };
    let gone = r#"[{"RequestIndex":0,"StatusCode":404}]"#;
    let Next::ItemResults(items) = answered(delete, 404, &body(gone)).1 else { panic!() };
    assert_eq!(items[0].next, ItemNext::Refused(FaultCategory::Missing));
}

#[test]
fn every_known_code_gets_the_verdict_of_its_class() {
    for known in KNOWN {
        let (effect, next, _) = coded(CREATE, 400, &known.code.to_string());
        let fits = match known.class {
            FaultClass::Throttled(limit) => {
                next == Next::Throttled { limit, retry_after: WAIT } && effect == Effect::None
            }
            FaultClass::Transient { shrink, .. } => {
                next == Next::Retry { shrink, retry_after: WAIT } && effect == Effect::None
            }
            FaultClass::Sql | FaultClass::Ambiguous => next == UNKNOWN && effect == Effect::Unknown,
            FaultClass::Exists => next == Next::Exists && effect == Effect::None,
            FaultClass::Row => {
                let Next::RowRefused { category, retryable } = next else { panic!("{known:?}") };
                category == known.category && retryable == known.retryable
            }
            FaultClass::Systemic => {
                next == Next::Systemic { code: Some(known.code), name: known.name }
            }
            FaultClass::Unsupported => next == Next::MessageUnsupported,
        };
        assert!(fits, "{known:?}: {effect:?}");
    }
}

#[test]
fn faults_of_rows_carry_code_and_message() {
    let fault = Fault::read(&reply(400, &error("0x80044331", "too\nlong")));
    let got = row_fault(&fault, FaultCategory::Value, false);
    assert_eq!((got.code.as_str(), got.message.as_str()), ("0x80044331", "too\\nlong"));
    let fault = Fault::read(&reply(409, &error("409", "x")));
    assert_eq!(row_fault(&fault, FaultCategory::Duplicate, false).code, "HTTP409");
}

fn any_sent() -> impl Strategy<Value = Sent> {
    let operations =
        vec![Operation::Create, Operation::Update, Operation::Upsert, Operation::Delete];
    let kinds = vec![TableKind::Standard, TableKind::Elastic, TableKind::Virtual];
    let forms = vec![Form::Bulk, Form::Single];
    (
        prop::sample::select(operations),
        prop::sample::select(kinds),
        prop::sample::select(forms),
        any::<bool>(),
    )
        .prop_map(|(operation, kind, form, ids_known)| Sent {
            operation,
            kind,
            form,
            ids_known,
        })
}

proptest! {
    #[test]
    fn total_and_cautious(
        sent in any_sent(), status in 0_u16..700, code in any::<u32>(), known in any::<bool>(),
        pick in 0..KNOWN.len(), foreign in any::<bool>(),
    ) {
        let code = if known { KNOWN[pick].code } else { FaultCode(code) };
        let body = if foreign { "<html/>".to_owned() } else { error(&code.to_string(), "m") };
        let (effect, next, _) = answered(sent, status, &body);
        // Done means success and nothing else.
        prop_assert_eq!(next == Next::Done, is_success(status));
        // A gateway's page proves nothing, save for the statuses that mean "not passed on".
        if foreign && !is_success(status) && ![401, 413].contains(&status)
            && !(300..400).contains(&status)
        {
            prop_assert_eq!(effect, Effect::Unknown);
        }
        // What may have been applied is never claimed to be rolled back.
        if matches!(next, Next::Unknown { .. }) {
            prop_assert_eq!(effect, Effect::Unknown);
        }
        if matches!(next, Next::Exists) {
            prop_assert_eq!(sent.operation, Operation::Create);
        }
    }
}
