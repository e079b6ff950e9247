//! Rows that are made together.

use super::kit::{code, id, kit};
use crate::simulator::call::Verb;
use crate::simulator::value::Value;

#[test]
fn a_row_is_made_together_with_its_related_rows() {
    let mut kit = kit();
    let body = format!(
        r#"{{"accountid":"{}","name":"A",
            "primarycontactid":{{"contactid":"{}","lastname":"P",
                "Contact_Tasks":[{{"subject":"one"}},{{"subject":"two"}}]}},
            "contact_customer_accounts":[{{"contactid":"{}","lastname":"C"}}]}}"#,
        id(1),
        id(2),
        id(3)
    );
    kit.make("accounts", &body);
    let contact = kit.model.schema.by_name["contact"];
    let account = kit.model.schema.by_name["account"];
    let primary = kit.value("account", id(1), "primarycontactid");
    assert_eq!(primary, Value::Reference(contact, id(2)));
    let parent = kit.value("contact", id(3), "parentcustomerid");
    assert_eq!(parent, Value::Reference(account, id(1)));
    assert_eq!((kit.count("contact"), kit.count("task")), (2, 2));
}

#[test]
fn rows_of_both_sides_of_a_relationship_are_linked() {
    let mut kit = kit();
    kit.make("new_meters", r#"{"new_name":"M","new_meter_contact":[{"lastname":"L"}]}"#);
    assert_eq!((kit.count("contact"), kit.count("new_meter_contact")), (1, 1));
}

#[test]
fn nothing_stays_when_one_of_them_is_refused() {
    let mut kit = kit();
    let long = "x".repeat(201);
    let cases = [
        (r#"{"name":"A","primarycontactid":{"nowhere":1}}"#.to_owned(), 0x8004_8d19),
        (format!(r#"{{"name":"A","Account_Tasks":[{{"subject":"{long}"}}]}}"#), 0x8004_4331),
        (r#"{"name":"A","Account_Tasks":{}}"#.to_owned(), 0x8004_8d19),
        (
            r#"{"name":"A","primarycontactid":{"lastname":"a"},"primarycontactid":{}}"#.to_owned(),
            0x8004_8d19,
        ),
        (
            r#"{"name":"A","contact_customer_accounts":[
                {"lastname":"a","parentcustomerid_account":{"name":"B"}},
                {"lastname":"a","emailaddress1":7}]}"#
                .to_owned(),
            0x8004_8d19,
        ),
    ];
    for (body, expected) in cases {
        assert_eq!(code(kit.post("accounts", &body)), (400, expected), "{body}");
    }
    assert_eq!((kit.count("account"), kit.count("contact"), kit.count("task")), (0, 0, 0));
    kit.make("accounts", &format!(r#"{{"accountid":"{}","name":"A"}}"#, id(1)));
    let path = format!("accounts({})", id(1));
    let body = r#"{"Account_Tasks":[{"subject":"s"}]}"#;
    assert_eq!(code(kit.call(Verb::Patch, &path, &[], body)), (400, 0x8004_8d19));
}
