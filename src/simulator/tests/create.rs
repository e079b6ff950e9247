//! Single creates, rule by rule.

use super::kit::{code, id, kit, text};
use crate::simulator::call::Verb;
use crate::simulator::value::Value;

#[test]
fn the_caller_learns_who_he_is() {
    let mut kit = kit();
    let answer = kit.call(Verb::Get, "WhoAmI", &[], "").expect("answered");
    let user = kit.ctx.caller;
    assert!(text(&answer.body).contains(&format!("\"UserId\":\"{user}\"")));
    kit.ctx.caller = id(1);
    kit.ctx.effective_user = id(1);
    assert_eq!(code(kit.call(Verb::Get, "WhoAmI", &[], "")), (403, 0x8007_2560));
}

#[test]
fn a_row_is_created_with_the_columns_the_service_keeps() {
    let mut kit = kit();
    let body = format!(
        r#"{{"@odata.type":"Microsoft.Dynamics.CRM.account","accountid":"{}","name":"Å","revenue":12.5,
            "overriddencreatedon":"2001-02-03T04:05:06+01:00"}}"#,
        id(1).to_string().to_uppercase()
    );
    let answer = kit.make("accounts", &body);
    assert_eq!(answer.status, 204);
    let url = format!("http://h/api/data/v9.2/accounts({})", id(1));
    assert!(answer.headers.contains(&("OData-EntityId", url)));
    let users = kit.model.schema.by_name["systemuser"];
    let caller = Value::Reference(users, kit.ctx.caller);
    for (column, expected) in [
        ("name", Value::Text("Å".into())),
        ("createdon", Value::Time(981_169_506_000)),
        ("overriddencreatedon", Value::Time(1_750_000_000_000)),
        ("modifiedon", Value::Time(1_750_000_000_000)),
        ("createdby", caller.clone()),
        ("ownerid", caller.clone()),
        ("owninguser", caller),
        ("owningteam", Value::Null),
        ("statecode", Value::Int(0)),
        ("statuscode", Value::Int(1)),
        ("revenue", Value::Money(125_000)),
        ("revenue_base", Value::Money(125_000)),
        ("exchangerate", Value::Decimal(10_000_000_000)),
    ] {
        assert_eq!(kit.value("account", id(1), column), expected, "{column}");
    }
}

#[test]
fn create_multiple_answers_ids_in_order_and_is_all_or_nothing() {
    let mut kit = kit();
    let item = |n: u32, code: &str| {
        format!(
            r#"{{"@odata.type":"Microsoft.Dynamics.CRM.new_simple","new_simpleid":"{}","new_code":"{code}"}}"#,
            id(n)
        )
    };
    let path = "new_simples/Microsoft.Dynamics.CRM.CreateMultiple";
    let answer = kit.make(path, &format!(r#"{{"Targets":[{},{}]}}"#, item(2, "a"), item(1, "b")));
    let ids = format!("\"Ids\":[\"{}\",\"{}\"]", id(2), id(1));
    assert!(text(&answer.body).contains(&ids), "{}", text(&answer.body));
    assert_eq!((answer.status, answer.rows), (200, 2));
    let again = format!(r#"{{"Targets":[{},{}]}}"#, item(3, "c"), item(1, "d"));
    assert_eq!(code(kit.post(path, &again)), (412, 0x8004_0237));
    let taken = format!(r#"{{"Targets":[{},{}]}}"#, item(3, "c"), item(4, "A  "));
    let refusal = kit.post(path, &taken).expect_err("the key is taken");
    assert!(
        refusal
            .annotations
            .iter()
            .any(|(n, v)| n.ends_with("DuplicateEntity") && *v == id(2).to_string())
    );
    assert_eq!(code(Err(refusal)), (412, 0x8006_0892));
    assert_eq!(kit.count("new_simple"), 2);
    // What was undone can be done: indexes were undone as well.
    kit.make(path, &format!(r#"{{"Targets":[{}]}}"#, item(3, "c")));
}
