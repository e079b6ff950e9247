//! Bulk messages, rule by rule.

use super::kit::{Kit, code, id, kit, kit_with};
use crate::simulator::environment::{EnvironmentSettings, RepeatedTarget};
use crate::simulator::value::Value;

fn targets(table: &str, items: &[String]) -> String {
    let items: Vec<String> = items
        .iter()
        .map(|item| format!(r#"{{"@odata.type":"Microsoft.Dynamics.CRM.{table}",{item}}}"#))
        .collect();
    format!(r#"{{"Targets":[{}]}}"#, items.join(","))
}

fn path(message: &str) -> String {
    format!("new_simples/Microsoft.Dynamics.CRM.{message}")
}

fn simple(n: u32, rest: &str) -> String {
    format!(r#""new_simpleid":"{}"{rest}"#, id(n))
}

fn quantity(kit: &Kit, n: u32) -> Value {
    kit.value("new_simple", id(n), "new_quantity")
}

#[test]
fn updates_are_all_or_nothing() {
    let mut kit = kit();
    let rows = [simple(1, r#","new_quantity":1"#), simple(2, r#","new_quantity":2"#)];
    kit.make(&path("CreateMultiple"), &targets("new_simple", &rows));
    let update = targets(
        "new_simple",
        &[simple(1, r#","new_quantity":10"#), simple(2, r#","new_quantity":20,"new_code":"c""#)],
    );
    let answer = kit.make(&path("UpdateMultiple"), &update);
    assert_eq!((answer.status, answer.rows, answer.body.len()), (204, 2, 0));
    assert_eq!((quantity(&kit, 1), quantity(&kit, 2)), (Value::Int(10), Value::Int(20)));
    for (items, expected) in [
        (vec![simple(1, r#","new_quantity":5"#), simple(3, "")], (404, 0x8004_0217)),
        (vec![simple(1, r#","new_quantity":5"#), r#""new_name":"x""#.into()], (400, 0x8004_8d19)),
        (vec![simple(1, r#","new_code":"C ""#)], (412, 0x8006_0892)),
        (vec![r#""@odata.id":"new_simples(new_code='c')""#.into()], (400, 0x8004_8d19)),
    ] {
        let refusal = kit.post(&path("UpdateMultiple"), &targets("new_simple", &items));
        assert_eq!(code(refusal), expected, "{items:?}");
        assert_eq!(quantity(&kit, 1), Value::Int(10));
    }
    let missing = kit.post(&path("UpdateMultiple"), &targets("new_simple", &[simple(3, "")]));
    let text = missing.expect_err("missing").message;
    assert_eq!(text, format!("Simple With Ids = {} Do Not Exist", id(3)));
}

#[test]
fn upserts_by_id_and_by_key() {
    let mut kit = kit();
    let by_key =
        |key: &str, rest: &str| format!(r#""@odata.id":"new_simples(new_code='{key}')"{rest}"#);
    let body = targets(
        "new_simple",
        &[
            simple(1, r#","new_quantity":1"#),
            by_key("a", r#","new_quantity":2"#),
            by_key("A", r#","new_quantity":3"#),
        ],
    );
    assert_eq!(kit.make(&path("UpsertMultiple"), &body).status, 204);
    assert_eq!(kit.count("new_simple"), 2);
    let with_key = |key: &str| targets("new_simple", &[by_key(key, r#","new_code":"a""#)]);
    kit.make(&path("UpsertMultiple"), &with_key("a"));
    let refused = kit.post(&path("UpsertMultiple"), &with_key("b"));
    let refused = refused.expect_err("key columns in the body of a new row");
    assert_eq!(refused.message, "An unexpected error occurred.");
    assert_eq!(code(Err(refused)), (400, 0x8004_0216));
    for item in [
        r#""new_name":"neither""#.to_owned(),
        r#""@odata.id":"accounts(accountnumber='a')""#.to_owned(),
        format!(r#""@odata.id":"new_simples({})","new_simpleid":"{}""#, id(5), id(6)),
    ] {
        let body = targets("new_simple", std::slice::from_ref(&item));
        assert_eq!(code(kit.post(&path("UpsertMultiple"), &body)), (400, 0x8004_8d19), "{item}");
    }
    assert_eq!(kit.count("new_simple"), 2);
}

#[test]
fn repeats_in_one_request_follow_the_setting() {
    let twice = targets(
        "new_simple",
        &[simple(1, r#","new_quantity":5"#), simple(1, r#","new_quantity":6"#)],
    );
    let mut kit = kit();
    assert_eq!(code(kit.post(&path("CreateMultiple"), &twice)), (412, 0x8004_0237));
    kit.make(&path("UpsertMultiple"), &twice);
    assert_eq!(quantity(&kit, 1), Value::Int(6));
    kit.make(&path("UpdateMultiple"), &twice);
    assert_eq!(quantity(&kit, 1), Value::Int(5));
    let mut strict = kit_with(EnvironmentSettings {
        repeated_update: RepeatedTarget::Refuse,
        repeated_upsert: RepeatedTarget::Refuse,
        ..EnvironmentSettings::default()
    });
    assert_eq!(code(strict.post(&path("UpsertMultiple"), &twice)), (400, 0x8004_0216));
    assert_eq!(strict.count("new_simple"), 0);
}

#[test]
fn the_request_itself_must_be_right() {
    let mut kit = kit();
    let one = r#"{"@odata.type":"Microsoft.Dynamics.CRM.new_simple"}"#;
    for (path_text, body, expected) in [
        (
            path("CreateMultiple"),
            r#"{"Targets":[{"new_name":"a"}]}"#.to_owned(),
            (400, 0x8004_8d19),
        ),
        (
            path("CreateMultiple"),
            targets("new_site", &[r#""new_name":"a""#.into()]),
            (400, 0x8004_8d19),
        ),
        (path("CreateMultiple"), "{}".to_owned(), (400, 0x8004_8d19)),
        (path("CreateMultiple"), format!(r#"{{"Targets":[{one}],"More":1}}"#), (400, 0x8004_8d19)),
        (path("CreateMultiple"), format!(r#"{{"Targets":[{one}]"#), (400, 0x8004_8d19)),
        (path("CreateMultiple"), format!(r#"{{"Targets":[{one},]}}"#), (400, 0x8004_8d19)),
        (path("DeleteMultiple"), targets("new_simple", &[simple(1, "")]), (501, 0x8004_0219)),
        ("teams/Microsoft.Dynamics.CRM.CreateMultiple".into(), "{}".into(), (400, 0x8004_0203)),
        ("nothings/Microsoft.Dynamics.CRM.CreateMultiple".into(), "{}".into(), (404, 0x8006_088a)),
    ] {
        assert_eq!(code(kit.post(&path_text, &body)), expected, "{path_text} {body}");
    }
    assert_eq!(kit.count("new_simple"), 0);
    assert_eq!(kit.make(&path("CreateMultiple"), r#"{"Targets":[]}"#).rows, 0);
}

#[test]
fn rows_of_different_shape_do_not_mix() {
    let mut kit = kit();
    let items = [
        simple(1, r#","new_name":"a","new_code":"1","new_quantity":1"#),
        simple(2, r#","new_quantity":2"#),
        simple(3, r#","new_code":"3","new_name":"c""#),
        simple(4, r#","new_name":"d","new_active":true,"new_quantity":4"#),
    ];
    kit.make(&path("CreateMultiple"), &targets("new_simple", &items));
    let text = |t: &str| Value::Text(t.into());
    for (n, name, code, quantity) in [
        (1, text("a"), text("1"), Value::Int(1)),
        (2, Value::Null, Value::Null, Value::Int(2)),
        (3, text("c"), text("3"), Value::Null),
        (4, text("d"), Value::Null, Value::Int(4)),
    ] {
        assert_eq!(kit.value("new_simple", id(n), "new_name"), name);
        assert_eq!(kit.value("new_simple", id(n), "new_code"), code);
        assert_eq!(kit.value("new_simple", id(n), "new_quantity"), quantity);
    }
}
