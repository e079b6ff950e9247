//! Elastic tables, rule by rule.

use super::kit::{Kit, code, id, kit};
use crate::simulator::call::{Refusal, RefusalCode, Verb};
use crate::simulator::value::Value;

fn path(message: &str) -> String {
    format!("new_events/Microsoft.Dynamics.CRM.{message}")
}

fn event(n: u32, rest: &str) -> String {
    format!(
        r#"{{"@odata.type":"Microsoft.Dynamics.CRM.new_event","new_eventid":"{}"{rest}}}"#,
        id(n)
    )
}

fn targets(items: &[String]) -> String {
    format!(r#"{{"Targets":[{}]}}"#, items.join(","))
}

fn stored(kit: &Kit, n: u32, partition: Option<&str>, column: &str) -> Option<Value> {
    let t = kit.model.schema.by_name["new_event"];
    let place = kit.model.store.place_in_partition(t, id(n), partition)?;
    let row = kit.model.store.tables[t].row(place)?;
    Some(row.values[kit.model.schema.tables[t].by_column[column]].clone())
}

fn details(refusal: &Refusal) -> &str {
    let found = refusal.annotations.iter().find(|(n, _)| n.ends_with("BulkApiErrorDetails"));
    &found.expect("the items are listed").1
}

#[test]
fn each_row_succeeds_or_fails_for_itself() {
    let mut kit = kit();
    kit.make(&path("CreateMultiple"), &targets(&[event(1, "")]));
    let body = targets(&[event(2, ""), event(1, ""), event(3, "")]);
    let refusal = kit.post(&path("CreateMultiple"), &body).expect_err("one is taken");
    assert_eq!((refusal.status, &refusal.code), (409, &RefusalCode::Text("409".into())));
    let expected = format!(r#"[{{"RequestIndex":1,"Id":"{}","StatusCode":409}}]"#, id(1));
    assert_eq!(details(&refusal), expected);
    assert_eq!(kit.count("new_event"), 3);
    let long = "x".repeat(101);
    let body = targets(&[
        event(4, &format!(r#","new_name":"{long}""#)),
        event(1, ""),
        event(5, r#","new_name":"ok""#),
    ]);
    let refusal = kit.post(&path("CreateMultiple"), &body).expect_err("two fail");
    assert_eq!(refusal.status, 400);
    assert!(details(&refusal).contains(r#""RequestIndex":0"#));
    assert_eq!(stored(&kit, 5, None, "new_name"), Some(Value::Text("ok".into())));
    // What cannot be read refuses everything.
    let body = targets(&[event(6, ""), event(7, r#","nothing":1"#)]);
    assert_eq!(code(kit.post(&path("CreateMultiple"), &body)), (400, 0x8004_8d19));
    assert_eq!(stored(&kit, 6, None, "new_name"), None);
}

#[test]
fn a_partition_is_part_of_the_identity() {
    let mut kit = kit();
    let body = targets(&[event(1, r#","partitionid":"p","new_name":"in p""#), event(1, "")]);
    kit.make(&path("CreateMultiple"), &body);
    assert_eq!(kit.count("new_event"), 2);
    let own = Value::Text(id(1).to_string().into());
    assert_eq!(stored(&kit, 1, None, "partitionid"), Some(own));
    let update = targets(&[event(1, r#","partitionid":"p","new_name":"new""#)]);
    kit.make(&path("UpdateMultiple"), &update);
    assert_eq!(stored(&kit, 1, Some("p"), "new_name"), Some(Value::Text("new".into())));
    assert_eq!(stored(&kit, 1, None, "new_name"), Some(Value::Null));
    let missing = targets(&[event(1, r#","partitionid":"q""#)]);
    assert_eq!(kit.post(&path("UpdateMultiple"), &missing).expect_err("q").status, 404);
    let keyed = format!("new_events(new_eventid={},partitionid='p')", id(1));
    let cut = kit.call(Verb::Delete, &format!("new_events({})?partitionId=q", id(1)), &[], "");
    assert_eq!(code(cut), (404, 0x8004_0217));
    kit.call(Verb::Delete, &keyed, &[], "").expect("deleted");
    kit.make(&path("DeleteMultiple"), &targets(&[event(1, "")]));
    assert_eq!(kit.count("new_event"), 0);
}

#[test]
fn an_upsert_replaces_the_row() {
    let mut kit = kit();
    kit.make(&path("CreateMultiple"), &targets(&[event(1, r#","new_name":"a","new_count":1"#)]));
    let answer = kit.make(&path("UpsertMultiple"), &targets(&[event(1, r#","new_count":2"#)]));
    assert!(answer.headers.iter().any(|(name, _)| *name == "x-ms-session-token"));
    assert_eq!(stored(&kit, 1, None, "new_name"), Some(Value::Null));
    assert_eq!(stored(&kit, 1, None, "new_count"), Some(Value::Int(2)));
    let path = format!("new_events({})", id(1));
    let must = [("If-Match", "*")];
    kit.call(Verb::Patch, &path, &must, r#"{"new_name":"b"}"#).expect("an update keeps the rest");
    assert_eq!(stored(&kit, 1, None, "new_count"), Some(Value::Int(2)));
}

#[test]
fn a_change_set_is_not_atomic() {
    let mut kit = kit();
    kit.model.begin();
    kit.make("new_events", &format!(r#"{{"new_eventid":"{}"}}"#, id(1)));
    kit.make("new_sites", "{}");
    kit.model.rollback();
    assert_eq!((kit.count("new_event"), kit.count("new_site")), (1, 0));
}

#[test]
fn what_elastic_tables_do_not_take_is_refused() {
    let mut kit = kit();
    for (member, expected) in
        [(r#""statecode":0"#, (400, 0x8004_8408)), (r#""partitionid":"a/b""#, (400, 0x8004_0278))]
    {
        assert_eq!(code(kit.post("new_events", &format!("{{{member}}}"))), expected, "{member}");
    }
    let answer = kit.make("new_events", r#"{"partitionid":"p"}"#);
    let (_, url) = answer.headers.iter().find(|(n, _)| *n == "OData-EntityId").expect("an address");
    assert!(url.ends_with(",partitionid='p')"), "{url}");
}
