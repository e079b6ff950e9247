//! Associations and binds, rule by rule.

use super::kit::{Kit, code, id, kit};
use crate::simulator::call::Verb;
use crate::simulator::value::Value;

fn planted() -> Kit {
    let mut kit = kit();
    kit.make("new_meters", &format!(r#"{{"new_meterid":"{}","new_serial":"M1"}}"#, id(1)));
    kit.make("contacts", &format!(r#"{{"contactid":"{}","emailaddress1":"a@b.c"}}"#, id(2)));
    kit.make("accounts", &format!(r#"{{"accountid":"{}","name":"a"}}"#, id(3)));
    kit
}

#[test]
fn rows_are_linked_many_to_many() {
    let mut kit = planted();
    let path = format!("new_meters({})/new_meter_contact/$ref", id(1));
    let body = |url: &str| format!(r#"{{"@odata.id":"{url}"}}"#);
    let contact = format!("http://h/api/data/v9.2/contacts({})", id(2));
    assert_eq!(kit.make(&path, &body(&contact)).status, 204);
    assert_eq!(code(kit.post(&path, &body(&contact))), (412, 0x8004_0237));
    // The other side sees the same link.
    let back = format!("contacts({})/new_meter_contact", id(2));
    let meter = format!("/api/data/v9.2/new_meters({})", id(1));
    assert_eq!(code(kit.post(&format!("{back}/$ref"), &body(&meter))), (412, 0x8004_0237));
    assert_eq!(kit.count("new_meter_contact"), 1);
    let cut = format!("{back}({})/$ref", id(1));
    assert_eq!(kit.call(Verb::Delete, &cut, &[], "").expect("linked").status, 204);
    assert_eq!(code(kit.call(Verb::Delete, &cut, &[], "")), (404, 0x8004_0217));
    for url in [
        format!("contacts({})", id(2)),
        format!("/contacts({})", id(2)),
        "contacts(emailaddress1='A@B.C')".to_owned(),
    ] {
        kit.make(&path, &body(&url));
        let cut = format!("{path}?$id=http://h/api/data/v9.2/contacts({})", id(2));
        kit.call(Verb::Delete, &cut, &[], "").expect("linked");
    }
    for (url, expected) in [
        (format!("contacts({})", id(9)), (404, 0x8004_0217)),
        (format!("accounts({})", id(3)), (400, 0x8004_8d19)),
        ("nothings(1)".to_owned(), (404, 0x8006_088a)),
    ] {
        assert_eq!(code(kit.post(&path, &body(&url))), expected, "{url}");
    }
    kit.make(&path, &body(&contact));
    kit.call(Verb::Delete, &format!("contacts({})", id(2)), &[], "").expect("links go with it");
    assert_eq!(kit.count("new_meter_contact"), 0);
}

#[test]
fn lookups_are_set_from_both_ends() {
    let mut kit = planted();
    let (accounts, contacts) =
        (kit.model.schema.by_name["account"], kit.model.schema.by_name["contact"]);
    let body = |set: &str, n: u32| format!(r#"{{"@odata.id":"{set}({})"}}"#, id(n));
    let single = format!("accounts({})/primarycontactid/$ref", id(3));
    kit.call(Verb::Put, &single, &[], &body("contacts", 2)).expect("set");
    let contact = Value::Reference(contacts, id(2));
    assert_eq!(kit.value("account", id(3), "primarycontactid"), contact);
    kit.call(Verb::Delete, &single, &[], "").expect("cleared");
    assert_eq!(kit.value("account", id(3), "primarycontactid"), Value::Null);
    assert_eq!(code(kit.call(Verb::Put, &single, &[], &body("accounts", 3))), (400, 0x8004_8d19));
    let many = format!("accounts({})/contact_customer_accounts/$ref", id(3));
    kit.make(&many, &body("contacts", 2));
    let account = Value::Reference(accounts, id(3));
    assert_eq!(kit.value("contact", id(2), "parentcustomerid"), account);
    // Clearing through the name of the other target changes nothing.
    let other = format!("contacts({})/parentcustomerid_contact/$ref", id(2));
    kit.call(Verb::Delete, &other, &[], "").expect("nothing to clear");
    assert_eq!(kit.value("contact", id(2), "parentcustomerid"), account);
    let cut = format!("accounts({})/contact_customer_accounts({})/$ref", id(3), id(2));
    kit.call(Verb::Delete, &cut, &[], "").expect("taken out");
    assert_eq!(kit.value("contact", id(2), "parentcustomerid"), Value::Null);
    for (verb, path, status) in [
        (Verb::Post, single.as_str(), 405),
        (Verb::Put, many.as_str(), 405),
        (Verb::Delete, many.as_str(), 400),
    ] {
        let refusal = kit.call(verb, path, &[], &body("contacts", 2)).expect_err(path);
        assert_eq!(refusal.status, status, "{path}");
    }
    let unknown = format!("accounts({})/PrimaryContactId/$ref", id(3));
    assert_eq!(code(kit.call(Verb::Put, &unknown, &[], "{}")), (404, 0x8006_088a));
}
