//! Single updates, upserts and deletes, rule by rule.

use super::kit::{Kit, code, id, kit, text};
use crate::simulator::call::{Answer, Refusal, Verb};
use crate::simulator::value::Value;

fn patch(
    kit: &mut Kit,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Result<Answer, Refusal> {
    kit.call(Verb::Patch, path, headers, body)
}

#[test]
fn conditions_decide_between_update_and_create() {
    let mut kit = kit();
    let path = format!("new_simples({})", id(1));
    let row = r#"{"new_code":"a"}"#;
    let any = [("If-Match", "*")];
    let none = [("If-None-Match", "*")];
    assert_eq!(code(patch(&mut kit, &path, &any, row)), (404, 0x8004_0217));
    assert_eq!(code(patch(&mut kit, &path, &[("If-Match", "W/\"1\"")], row)), (404, 0x8004_0217));
    assert_eq!(patch(&mut kit, &path, &none, row).expect("created").status, 204);
    assert_eq!(code(patch(&mut kit, &path, &none, row)), (412, 0x8004_0237));
    let noise = [("If-None-Match", "null")];
    assert_eq!(patch(&mut kit, &path, &noise, r#"{"new_quantity":1}"#).expect("noise").status, 204);
    assert_eq!(patch(&mut kit, &path, &any, r#"{"new_quantity":2}"#).expect("updated").status, 204);
    assert_eq!(code(patch(&mut kit, &path, &[("if-match", "W/\"1\"")], row)), (412, 0x8006_0882));
    let simples = kit.model.schema.by_name["new_simple"];
    let version = kit.model.store.row(simples, id(1)).expect("there").version;
    let current = format!("W/\"{version}\"");
    patch(&mut kit, &path, &[("If-Match", &current)], r#"{"new_quantity":3}"#).expect("current");
    assert_eq!(kit.value("new_simple", id(1), "new_quantity"), Value::Int(3));
    assert_eq!(code(patch(&mut kit, &path, &[("If-Match", &current)], row)), (412, 0x8006_0882));
    let other = format!(r#"{{"new_simpleid":"{}"}}"#, id(2));
    assert_eq!(code(patch(&mut kit, &path, &[], &other)), (400, 0x8004_0203));
    assert_eq!(kit.count("new_simple"), 1);
}

#[test]
fn representation_tells_created_from_updated() {
    let mut kit = kit();
    let wanted = [("Prefer", "odata.include-annotations=\"*\", return=representation")];
    let path = format!("new_simples({})", id(1));
    let answer = patch(&mut kit, &path, &wanted, r#"{"new_code":"a"}"#).expect("created");
    assert_eq!(answer.status, 201);
    assert!(text(&answer.body).contains(&id(1).to_string()));
    assert!(answer.headers.iter().all(|(name, _)| *name != "OData-EntityId"));
    let answer = patch(&mut kit, &path, &wanted, r#"{"new_code":"b"}"#).expect("updated");
    assert_eq!(answer.status, 200);
}

#[test]
fn alternate_keys_address_rows() {
    let mut kit = kit();
    let path = "new_simples(new_code='K%201''s')";
    patch(&mut kit, path, &[], r#"{"new_quantity":1}"#).expect("created");
    let answer = patch(&mut kit, "new_simples(new_code='k 1''S ')", &[], r#"{"new_quantity":2}"#);
    let answer = answer.expect("the same key");
    let url = "http://h/api/data/v9.2/new_simples(new_code='k 1''S ')".to_owned();
    assert!(answer.headers.contains(&("OData-EntityId", url)), "{:?}", answer.headers);
    // The key in the body is ignored when the row exists, and wins when it does not.
    patch(&mut kit, path, &[], r#"{"new_code":"other"}"#).expect("ignored");
    assert_eq!(kit.count("new_simple"), 1);
    patch(&mut kit, "new_simples(new_code='x')", &[], r#"{"new_code":"y"}"#).expect("created");
    patch(&mut kit, "new_simples(new_code='y')", &[("If-Match", "*")], "{}").expect("is y");
    for (path, expected) in [
        ("new_simples(new_code='nope')", (404, 0x8006_0891)),
        ("new_simples(new_name='y')", (400, 0x8006_0888)),
        ("new_simples(new_code=5)", (400, 0x8006_0888)),
        ("new_simples(new_code='a%2Fb')", (400, 0x8006_0888)),
        ("new_simples(new_code='a+b')", (400, 0x8006_0888)),
        ("new_simples(new_code='a',new_code='b')", (400, 0x8006_0888)),
        ("new_simples(zzz)", (400, 0x8006_0888)),
        ("new_simples('y')", (400, 0x8006_0888)),
        ("new_sites(new_name='a',new_city='b')", (400, 0x8006_0888)),
        ("new_simple(1)", (404, 0x8006_088a)),
        ("New_simples(new_code='y')", (404, 0x8006_088a)),
    ] {
        let result = patch(&mut kit, path, &[("If-Match", "*")], "{}");
        assert_eq!(code(result), expected, "{path}");
    }
}

#[test]
fn keys_of_several_columns_may_hold_lookups() {
    let mut kit = kit();
    kit.make("new_sites", &format!(r#"{{"new_siteid":"{}"}}"#, id(1)));
    let path = format!("new_meters(_new_site_value={},new_interval=15)", id(1));
    patch(&mut kit, &path, &[], r#"{"new_name":"m"}"#).expect("created");
    patch(&mut kit, &path, &[("If-Match", "*")], r#"{"new_name":"n"}"#).expect("found");
    let twin = format!(r#"{{"new_Site@odata.bind":"new_sites({})","new_interval":15}}"#, id(1));
    assert_eq!(code(kit.post("new_meters", &twin)), (412, 0x8006_0892));
    // Without a value in one column the key is not enforced.
    kit.make("new_meters", r#"{"new_interval":15}"#);
    kit.make("new_meters", r#"{"new_interval":15}"#);
    let decimal = r#"{"new_must":"x","new_decimal2":1.50,"new_day":"2025-01-02","new_choice":1}"#;
    kit.make("new_alltypeses", decimal);
    let path = "new_alltypeses(new_decimal2=1.5,new_day=2025-01-02,new_choice=1)";
    patch(&mut kit, path, &[("If-Match", "*")], "{}").expect("numbers compare by value");
}

#[test]
fn a_moved_key_is_found_at_its_new_place() {
    let mut kit = kit();
    for (n, code) in [(1, "a"), (2, "b")] {
        kit.make("new_simples", &format!(r#"{{"new_simpleid":"{}","new_code":"{code}"}}"#, id(n)));
    }
    let first = format!("new_simples({})", id(1));
    assert_eq!(code(patch(&mut kit, &first, &[], r#"{"new_code":"B"}"#)), (412, 0x8006_0892));
    patch(&mut kit, &first, &[], r#"{"new_code":"c"}"#).expect("free");
    kit.make("new_simples", r#"{"new_code":"A"}"#);
    assert_eq!(code(kit.post("new_simples", r#"{"new_code":"C"}"#)), (412, 0x8006_0892));
}

#[test]
fn one_property_is_set_and_cleared() {
    let mut kit = kit();
    kit.make("new_simples", &format!(r#"{{"new_simpleid":"{}","new_code":"a"}}"#, id(1)));
    let path = |name: &str| format!("new_simples({})/{name}", id(1));
    kit.call(Verb::Put, &path("new_quantity"), &[], r#"{"value":7}"#).expect("set");
    assert_eq!(kit.value("new_simple", id(1), "new_quantity"), Value::Int(7));
    kit.call(Verb::Delete, &path("new_quantity"), &[], "").expect("cleared");
    assert_eq!(kit.value("new_simple", id(1), "new_quantity"), Value::Null);
    for (name, body, expected) in [
        ("new_quantity", r#"{"value":"x"}"#, (400, 0x8004_8d19)),
        ("new_quantity", r#"{"v":1}"#, (400, 0x8004_8d19)),
        ("createdon", r#"{"value":"2025-01-01T00:00:00Z"}"#, (400, 0x8004_1a02)),
        ("nothing", r#"{"value":1}"#, (404, 0x8006_088a)),
    ] {
        assert_eq!(code(kit.call(Verb::Put, &path(name), &[], body)), expected, "{name} {body}");
    }
    let gone = format!("new_simples({})/new_quantity", id(9));
    assert_eq!(code(kit.call(Verb::Put, &gone, &[], r#"{"value":7}"#)), (404, 0x8004_0217));
}

#[test]
fn some_columns_are_written_once() {
    let mut kit = kit();
    let row = format!(
        r#"{{"new_alltypesid":"{}","new_must":"x","new_createonly":"c","importsequencenumber":7}}"#,
        id(1)
    );
    kit.make("new_alltypeses", &row);
    let path = format!("new_alltypeses({})", id(1));
    for (body, expected) in [
        (r#"{"new_createonly":"d"}"#, (400, 0x8004_1a02)),
        (r#"{"importsequencenumber":8}"#, (400, 0x8004_1a02)),
        (r#"{"overriddencreatedon":"2020-01-01T00:00:00Z"}"#, (400, 0x8004_1a02)),
        (r#"{"new_must":null}"#, (400, 0x8004_0200)),
        (r#"{"new_must":""}"#, (400, 0x8004_0200)),
    ] {
        assert_eq!(code(patch(&mut kit, &path, &[], body)), expected, "{body}");
    }
    assert_eq!(kit.value("new_alltypes", id(1), "new_createonly"), Value::Text("c".into()));
}

#[test]
fn money_follows_its_currency() {
    let mut kit = kit();
    let dollar = {
        let t = kit.model.schema.by_name["transactioncurrency"];
        kit.model.store.tables[t].iter().nth(1).expect("planted").id
    };
    let path = format!("opportunities({})", id(1));
    patch(&mut kit, &path, &[], r#"{"name":"o"}"#).expect("created");
    assert_eq!(kit.value("opportunity", id(1), "transactioncurrencyid"), Value::Null);
    patch(&mut kit, &path, &[], r#"{"estimatedvalue":100}"#).expect("default currency");
    assert_eq!(kit.value("opportunity", id(1), "estimatedvalue_base"), Value::Money(1_000_000));
    let bind =
        format!(r#"{{"transactioncurrencyid@odata.bind":"transactioncurrencies({dollar})"}}"#);
    patch(&mut kit, &path, &[], &bind).expect("another currency");
    assert_eq!(kit.value("opportunity", id(1), "estimatedvalue_base"), Value::Money(921_053));
    let none = r#"{"transactioncurrencyid@odata.bind":null}"#;
    assert_eq!(code(patch(&mut kit, &path, &[], none)), (400, 0x8004_8cfb));
}

#[test]
fn deleting_respects_what_holds_a_row() {
    let mut kit = kit();
    kit.make("new_sites", &format!(r#"{{"new_siteid":"{}"}}"#, id(1)));
    kit.make("accounts", &format!(r#"{{"accountid":"{}","name":"a"}}"#, id(2)));
    let meter = format!(
        r#"{{"new_meterid":"{}","new_Site@odata.bind":"new_sites({})","new_Party_account@odata.bind":"accounts({})"}}"#,
        id(3),
        id(1),
        id(2)
    );
    kit.make("new_meters", &meter);
    let delete = |kit: &mut Kit, path: String| kit.call(Verb::Delete, &path, &[], "");
    assert_eq!(code(delete(&mut kit, format!("new_sites({})", id(1)))), (405, 0x8004_0227));
    assert_eq!(delete(&mut kit, format!("accounts({})", id(2))).expect("not held").status, 204);
    assert_eq!(kit.value("new_meter", id(3), "new_party"), Value::Null);
    delete(&mut kit, format!("new_meters({})", id(3))).expect("free");
    delete(&mut kit, format!("new_sites({})", id(1))).expect("free now");
    assert_eq!(code(delete(&mut kit, format!("new_sites({})", id(1)))), (404, 0x8004_0217));
    let user = kit.ctx.caller;
    kit.make("new_sites", "{}");
    assert_eq!(code(delete(&mut kit, format!("systemusers({user})"))), (405, 0x8004_0227));
}

#[test]
fn a_change_set_is_undone_as_a_whole() {
    let mut kit = kit();
    kit.make("new_simples", &format!(r#"{{"new_simpleid":"{}","new_code":"a"}}"#, id(1)));
    kit.make("new_simples", &format!(r#"{{"new_simpleid":"{}","new_code":"z"}}"#, id(2)));
    let mut before = Vec::new();
    kit.model.dump(&mut before).expect("to memory");
    kit.model.begin();
    patch(&mut kit, &format!("new_simples({})", id(1)), &[], r#"{"new_code":"b"}"#).expect("1");
    patch(&mut kit, &format!("new_simples({})", id(1)), &[], r#"{"new_code":"c"}"#).expect("2");
    kit.make("new_simples", &format!(r#"{{"new_simpleid":"{}","new_code":"a"}}"#, id(3)));
    kit.call(Verb::Delete, &format!("new_simples({})", id(2)), &[], "").expect("3");
    assert!(kit.post("new_simples", r#"{"new_code":"C"}"#).is_err());
    kit.model.rollback();
    let mut after = Vec::new();
    kit.model.dump(&mut after).expect("to memory");
    assert_eq!(text(&before), text(&after));
    assert_eq!(code(kit.post("new_simples", r#"{"new_code":"A"}"#)), (412, 0x8006_0892));
    assert_eq!(code(kit.post("new_simples", r#"{"new_code":"Z"}"#)), (412, 0x8006_0892));
    kit.make("new_simples", r#"{"new_code":"b"}"#);
}

#[test]
fn wrong_methods_and_bodies_are_refused() {
    let mut kit = kit();
    for (verb, path, body, status) in [
        (Verb::Patch, "accounts", "{}", 405),
        (Verb::Delete, "accounts", "", 405),
        (Verb::Post, "accounts", "[]", 400),
        (Verb::Post, "accounts", "{\"name\":\"a\"}}", 400),
        (Verb::Post, "accounts", "", 400),
        (Verb::Post, "nothing", "{}", 404),
        (Verb::Post, "accounts/Microsoft.Dynamics.CRM.Nothing", "{}", 404),
        (Verb::Post, "new_meter_contactset", "{}", 400),
        (Verb::Post, "BulkDelete", "{}", 400),
        (Verb::Post, "QualifyLead", "{}", 501),
    ] {
        let refusal = kit.call(verb, path, &[], body).expect_err(path);
        assert_eq!(refusal.status, status, "{path} {body}");
    }
}

#[test]
fn another_may_be_acted_for() {
    let mut kit = kit();
    let users = kit.model.schema.by_name["systemuser"];
    let column = kit.model.schema.tables[users].by_column["fullname"];
    let ada = Value::Text("Ada Moser".into());
    let ada = kit.model.store.tables[users].iter().find(|r| r.values[column] == ada);
    let ada = ada.expect("planted").id;
    kit.ctx.effective_user = ada;
    kit.make("new_sites", &format!(r#"{{"new_siteid":"{}"}}"#, id(1)));
    let caller = Value::Reference(users, kit.ctx.caller);
    assert_eq!(kit.value("new_site", id(1), "createdby"), Value::Reference(users, ada));
    assert_eq!(kit.value("new_site", id(1), "createdonbehalfby"), caller);
    kit.ctx.effective_user = id(77);
    assert_eq!(code(kit.post("new_sites", "{}")), (403, 0x8004_a110));
}
