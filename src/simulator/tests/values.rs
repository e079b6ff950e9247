//! Values of every column type, rule by rule.

use super::kit::{Kit, code, id, kit, kit_with};
use crate::simulator::environment::{EnvironmentSettings, ExcessDigits, ReadOnlyColumns};
use crate::simulator::value::Value;

fn body(kit: &mut Kit, n: u32, member: &str) -> String {
    let id = id(n);
    let comma = if member.is_empty() { "" } else { "," };
    kit.ctx.now_ms += 1;
    format!(r#"{{"new_alltypesid":"{id}","new_must":"x"{comma}{member}}}"#)
}

#[test]
fn values_are_stored_as_sent() {
    let mut kit = kit();
    kit.make("new_simples", &format!(r#"{{"new_simpleid":"{}","new_code":"S'1"}}"#, id(900)));
    kit.make("accounts", &format!(r#"{{"accountid":"{}","name":"a"}}"#, id(901)));
    let simples = kit.model.schema.by_name["new_simple"];
    let accounts = kit.model.schema.by_name["account"];
    let text = |t: &str| Value::Text(t.into());
    let simple = format!("new_simples({})", id(900).to_string().to_uppercase());
    let cases: Vec<(String, &str, Value)> = vec![
        (r#""new_short":"äöüß€12345""#.into(), "new_short", text("äöüß€12345")),
        (r#""new_short":"12345678😀""#.into(), "new_short", text("12345678😀")),
        (r#""new_short":"""#.into(), "new_short", Value::Null),
        (r#""new_short":"a\n\t\"\u00e9""#.into(), "new_short", text("a\n\t\"é")),
        (r#""new_whole":-100"#.into(), "new_whole", Value::Int(-100)),
        (r#""new_whole":"42""#.into(), "new_whole", Value::Int(42)),
        (r#""new_big":9223372036854775807"#.into(), "new_big", Value::Int(i64::MAX)),
        (r#""new_decimal":0.0000000001"#.into(), "new_decimal", Value::Decimal(1)),
        (r#""new_decimal":-1.5e3"#.into(), "new_decimal", Value::Decimal(-15_000_000_000_000)),
        (r#""new_decimal2":1000.00"#.into(), "new_decimal2", Value::Decimal(10_000_000_000_000)),
        (r#""new_money":-12.3456"#.into(), "new_money", Value::Money(-123_456)),
        (r#""new_float":1e-3"#.into(), "new_float", Value::Double(0.001)),
        (r#""new_flag":true"#.into(), "new_flag", Value::Bool(true)),
        (r#""new_choice":3"#.into(), "new_choice", Value::Int(3)),
        (r#""new_choice":"3""#.into(), "new_choice", Value::Int(3)),
        (
            r#""new_choices":"100000002, 100000000,100000002""#.into(),
            "new_choices",
            Value::Options([100_000_000, 100_000_002].into()),
        ),
        (r#""new_choices":"""#.into(), "new_choices", Value::Null),
        (
            r#""new_instant":"2025-03-01T09:30:00+02:00""#.into(),
            "new_instant",
            Value::Time(1_740_814_200_000),
        ),
        (
            r#""new_instant":"2025-03-01T09:30:00.1234567Z""#.into(),
            "new_instant",
            Value::Time(1_740_821_400_000),
        ),
        (r#""new_wall":"2025-03-01T09:30:00""#.into(), "new_wall", Value::Time(1_740_821_400_000)),
        (r#""new_wall":"2025-03-01T09:30:00Z""#.into(), "new_wall", Value::Time(1_740_821_400_000)),
        (r#""new_day":"2024-02-29""#.into(), "new_day", Value::Day(19_782)),
        (r#""new_day":"1753-01-01""#.into(), "new_day", Value::Day(-79_257)),
        (format!(r#""new_guid":"{}""#, id(5)), "new_guid", Value::Guid(id(5))),
        (r#""new_image":"iVBORw0KGgo=""#.into(), "new_image", text("iVBORw0KGgo=")),
        (
            format!(r#""new_Lookup@odata.bind":"/{simple}""#),
            "new_lookup",
            Value::Reference(simples, id(900)),
        ),
        (
            r#""new_Lookup@odata.bind":"new_simples(new_code='s''1')""#.into(),
            "new_lookup",
            Value::Reference(simples, id(900)),
        ),
        (
            r#""new_Lookup@odata.bind":"new_simples(new_code='S%27%271')""#.into(),
            "new_lookup",
            Value::Reference(simples, id(900)),
        ),
        (
            format!(r#""new_Lookup@odata.bind":"https://other/api/data/v9.1/{simple}""#),
            "new_lookup",
            Value::Reference(simples, id(900)),
        ),
        (
            format!(
                r#""new_Lookup@odata.bind":"/api/data/v9.2/new_simples(new_simpleid={})""#,
                id(900)
            ),
            "new_lookup",
            Value::Reference(simples, id(900)),
        ),
        (
            format!(
                r#""new_Customer_contact":null,"new_Customer_account@odata.bind":"accounts({})""#,
                id(901)
            ),
            "new_customer",
            Value::Reference(accounts, id(901)),
        ),
        (r#""new_Lookup":null"#.into(), "new_lookup", Value::Null),
        (
            r#""new_choice":1,"new_choice@OData.Community.Display.V1.FormattedValue":"One""#.into(),
            "new_choice",
            Value::Int(1),
        ),
        (r#""@odata.etag":"W/\"1\"","new_code":"e""#.into(), "new_code", text("e")),
    ];
    for (n, (member, column, expected)) in (1u32..).zip(cases) {
        let body = body(&mut kit, n, &member);
        kit.make("new_alltypeses", &body);
        assert_eq!(kit.value("new_alltypes", id(n), column), expected, "{member}");
    }
}

#[test]
fn values_dataverse_refuses_are_refused() {
    let mut kit = kit();
    kit.make("accounts", &format!(r#"{{"accountid":"{}","name":"a"}}"#, id(901)));
    let account = format!("accounts({})", id(901));
    let cases: Vec<(String, (u16, u32))> = vec![
        (r#""new_short":"12345678901""#.into(), (400, 0x8004_4331)),
        (r#""new_short":"123456789😀""#.into(), (400, 0x8004_4331)),
        (r#""new_short":"a\u0001""#.into(), (400, 0x8004_0278)),
        (r#""new_short":5"#.into(), (400, 0x8004_8d19)),
        (r#""new_whole":101"#.into(), (400, 0x8004_432f)),
        (r#""new_whole":1.0"#.into(), (400, 0x8004_8d19)),
        (r#""new_whole":3000000000"#.into(), (400, 0x8004_8d19)),
        (r#""new_big":"5""#.into(), (400, 0x8004_8d19)),
        (r#""new_big":9223372036854775808"#.into(), (400, 0x8004_8d19)),
        (r#""new_decimal":"1.5""#.into(), (400, 0x8004_8d19)),
        (r#""new_decimal":0.00000000001"#.into(), (400, 0x8004_022c)),
        (r#""new_decimal":1e300"#.into(), (400, 0x8004_4330)),
        (r#""new_decimal2":1000.01"#.into(), (400, 0x8004_4330)),
        (r#""new_decimal2":1.001"#.into(), (400, 0x8004_022c)),
        (r#""new_decimal2":-0.01"#.into(), (400, 0x8004_4330)),
        (r#""new_money":"1""#.into(), (400, 0x8004_8d19)),
        (r#""new_money2":1000001"#.into(), (400, 0x8004_4330)),
        (r#""new_float":1e12"#.into(), (400, 0x8004_4330)),
        (r#""new_float":"1""#.into(), (400, 0x8004_8d19)),
        (r#""new_flag":"true""#.into(), (400, 0x8004_8d19)),
        (r#""new_flag":1"#.into(), (400, 0x8004_8d19)),
        (r#""new_choice":4"#.into(), (400, 0x8004_431a)),
        (r#""new_choice":"One""#.into(), (400, 0x8004_8d19)),
        (r#""new_choices":"1""#.into(), (400, 0x8006_1005)),
        (r#""new_choices":100000000"#.into(), (400, 0x8004_8d19)),
        (r#""new_instant":"2025-03-01T09:30:00""#.into(), (400, 0x8004_8d19)),
        (r#""new_instant":"2025-03-01""#.into(), (400, 0x8004_8d19)),
        (r#""new_instant":"2025-02-29T00:00:00Z""#.into(), (400, 0x8004_8d19)),
        (r#""new_instant":"1752-12-31T23:59:59Z""#.into(), (400, 0x8004_0239)),
        (r#""new_instant":"2025-03-01T09:30:00+02:00Z""#.into(), (400, 0x8004_8d19)),
        (r#""new_wall":"2025-03-01T09:30:00+01:00""#.into(), (400, 0x8004_8d19)),
        (r#""new_day":"2025-03-01T00:00:00Z""#.into(), (400, 0x8004_8d19)),
        (r#""new_day":"1752-12-31""#.into(), (400, 0x8004_0239)),
        (r#""new_day":"01.03.2025""#.into(), (400, 0x8004_8d19)),
        (r#""new_guid":"{11110000-0000-4000-8000-000000000005}""#.into(), (400, 0x8004_8d19)),
        (r#""new_image":"?""#.into(), (400, 0x8007_2553)),
        (r#""new_file":"x""#.into(), (400, 0x8004_8d19)),
        (r#""new_readonly":"x""#.into(), (400, 0x8004_1a01)),
        (r#""createdon":"2025-03-01T09:30:00Z""#.into(), (400, 0x8004_1a01)),
        (r#""new_must":"y""#.into(), (400, 0x8004_8d19)),
        (r#""new_unknown":1"#.into(), (400, 0x8004_8d19)),
        (r#""New_Short":"x""#.into(), (400, 0x8004_8d19)),
        (r#""new_lookup@odata.bind":"/new_simples(x)""#.into(), (400, 0x8004_8d19)),
        (format!(r#""new_Lookup@odata.bind":"/new_simples({})""#, id(7)), (400, 0x8004_0217)),
        (r#""new_Lookup@odata.bind":"new_simples(new_code='q')""#.into(), (404, 0x8006_0891)),
        (r#""new_Lookup@odata.bind":"new_simples(new_name='q')""#.into(), (400, 0x8006_0888)),
        (format!(r#""new_Lookup@odata.bind":"/{account}""#), (400, 0x8004_8d19)),
        (format!(r#""new_Customer_contact@odata.bind":"/{account}""#), (400, 0x8004_8d19)),
        (r#""new_Lookup@odata.bind":"/nothings(1)""#.into(), (404, 0x8006_088a)),
        (r#""_new_lookup_value":"x""#.into(), (400, 0x8006_0888)),
        (r#""new_Lookup":{"nocode":"deep"}"#.into(), (400, 0x8004_8d19)),
        (r#""@odata.type":"Microsoft.Dynamics.CRM.account""#.into(), (400, 0x8004_8d19)),
        (r#""statecode":1,"statuscode":2"#.into(), (400, 0x8004_8408)),
        (r#""statuscode":2"#.into(), (400, 0x8004_8408)),
    ];
    for (member, expected) in cases {
        let body = body(&mut kit, 1, &member);
        assert_eq!(code(kit.post("new_alltypeses", &body)), expected, "{member}");
    }
    assert_eq!(code(kit.post("new_alltypeses", r#"{"new_code":"c"}"#)), (400, 0x8004_0200));
    assert_eq!(kit.count("new_alltypes"), 0);
}

#[test]
fn what_the_documents_leave_open_can_be_set() {
    let mut kit = kit_with(EnvironmentSettings {
        excess_digits: ExcessDigits::Round,
        read_only_columns: ReadOnlyColumns::Ignore,
        bind_missing_status: 404,
        ..EnvironmentSettings::default()
    });
    let row = body(&mut kit, 1, r#""new_decimal2":1.005,"createdon":"2025-03-01T09:30:00Z""#);
    kit.make("new_alltypeses", &row);
    assert_eq!(kit.value("new_alltypes", id(1), "new_decimal2"), Value::Decimal(10_000_000_000));
    let row = body(&mut kit, 2, &format!(r#""new_Lookup@odata.bind":"new_simples({})""#, id(7)));
    assert_eq!(code(kit.post("new_alltypeses", &row)), (404, 0x8004_0217));
}

#[test]
fn owners_are_users_or_teams_that_can_own() {
    let mut kit = kit();
    let find = |kit: &Kit, table: &str, column: &str, value: &str| {
        let t = kit.model.schema.by_name[table];
        let c = kit.model.schema.tables[t].by_column[column];
        let wanted = Value::Text(value.into());
        let row = kit.model.store.tables[t].iter().find(|r| r.values[c] == wanted);
        row.expect("planted").id
    };
    let (ada, eva) = (
        find(&kit, "systemuser", "fullname", "Ada Moser"),
        find(&kit, "systemuser", "fullname", "Eva Gone"),
    );
    let (sales, access) =
        (find(&kit, "team", "name", "Sales"), find(&kit, "team", "name", "Field Access"));
    let post = |kit: &mut Kit, n: u32, owner: String| {
        let body = format!(r#"{{"new_siteid":"{}","ownerid@odata.bind":"{owner}"}}"#, id(n));
        kit.post("new_sites", &body)
    };
    post(&mut kit, 1, format!("/systemusers({ada})")).expect("a user");
    post(&mut kit, 2, format!("teams({sales})")).expect("a team");
    post(&mut kit, 3, format!("systemusers(ownerid={ada})")).expect("by the principal's key");
    let (users, teams) = (kit.model.schema.by_name["systemuser"], kit.model.schema.by_name["team"]);
    assert_eq!(kit.value("new_site", id(1), "owninguser"), Value::Reference(users, ada));
    assert_eq!(kit.value("new_site", id(2), "owningteam"), Value::Reference(teams, sales));
    assert_eq!(kit.value("new_site", id(2), "owninguser"), Value::Null);
    for (owner, expected) in [
        (format!("systemusers({eva})"), (400, 0x8004_0225)),
        (format!("teams({access})"), (400, 0x8004_0229)),
        (format!("systemusers(systemuserid={ada})"), (400, 0x8006_0888)),
        (format!("accounts({ada})"), (400, 0x8004_8d19)),
    ] {
        assert_eq!(code(post(&mut kit, 4, owner.clone())), expected, "{owner}");
    }
    let null = format!(r#"{{"new_siteid":"{}","ownerid@odata.bind":null}}"#, id(4));
    assert_eq!(code(kit.post("new_sites", &null)), (400, 0x8004_0229));
}
