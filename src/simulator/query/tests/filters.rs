//! Filters: what they find, what is refused.

use super::super::{World, compile, filter, plan};
use super::{Small, id};
use crate::simulator::value::Value;

#[test]
fn filters_select_rows() {
    let small = Small::new();
    let one = "00000000-0000-0000-0000-000000000001";
    let eleven = "00000000-0000-0000-0000-00000000000B";
    let cases: &[(&str, &[&str])] = &[
        ("name eq 'BETA'", &["beta"]),
        ("name eq 'arger %26 sohne'", &["Ärger & Söhne"]),
        ("contains(name,'S%C3%B6hne')", &["Ärger & Söhne"]),
        ("not(contains(name,'hne'))", &["beta"]),
        ("not  (name eq 'beta')", &["Ärger & Söhne"]),
        ("startswith(name,'b') or endswith(name,'e')", &["Ärger & Söhne", "beta"]),
        ("revenue gt 1249.99 and revenue le 1250", &["Ärger & Söhne"]),
        ("1250 eq revenue", &["Ärger & Söhne"]),
        ("revenue eq 0 or name eq 'x' and name eq 'beta'", &["beta"]),
        ("(revenue eq 0 or name eq 'x') and name eq 'beta'", &["beta"]),
        ("telephone1 eq null", &["Ärger & Söhne", "beta"]),
        ("telephone1 ne 'x'", &["Ärger & Söhne", "beta"]),
        ("null ne telephone1", &[]),
        (&format!("accountid eq {one}"), &["Ärger & Söhne"]),
        (&format!("_primarycontactid_value eq {eleven}"), &["Ärger & Söhne", "beta"]),
        ("primarycontactid/fullname eq 'o''neil'", &["Ärger & Söhne", "beta"]),
        ("createdon ge 2023-11-16T00:00:00Z", &["beta"]),
        ("createdon lt 2023-11-16", &["Ärger & Söhne"]),
        ("name eq accountnumber", &[]),
        ("contact_customer_accounts/any(c:c/fullname eq 'zed')", &["beta"]),
        ("contact_customer_accounts/any(c: c/donotemail eq true)", &["Ärger & Söhne"]),
        ("contact_customer_accounts/all(c:c/donotemail eq false)", &["beta"]),
        (
            &format!(
                "Microsoft.Dynamics.CRM.In(PropertyName='accountid',PropertyValues=[\"{one}\"])"
            ),
            &["Ärger & Söhne"],
        ),
        (
            "Microsoft.Dynamics.CRM.In(PropertyName=@p1,PropertyValues=@p2)&@p1='accountnumber'\
             &@p2=[\"a-2\",\"x\"]",
            &["beta"],
        ),
        (
            "Microsoft.Dynamics.CRM.NotIn(PropertyName='accountnumber',PropertyValues=['A-2'])",
            &["Ärger & Söhne"],
        ),
        (
            "Microsoft.Dynamics.CRM.Between(PropertyName='revenue',PropertyValues=['1','2000'])",
            &["Ärger & Söhne"],
        ),
        (
            "Microsoft.Dynamics.CRM.On(PropertyName='createdon',PropertyValue='2023-11-15')",
            &["Ärger & Söhne"],
        ),
        ("Microsoft.Dynamics.CRM.LastXMonths(PropertyName='createdon',PropertyValue=1)", &[]),
        ("Microsoft.Dynamics.CRM.EqualUserId(PropertyName='ownerid')", &["Ärger & Söhne", "beta"]),
    ];
    for (filter, names) in cases {
        for url in [
            format!("accounts?$select=name&$filter={filter}"),
            format!("accounts?%24filter={}", filter.replace(' ', "+")),
        ] {
            assert_eq!(&small.column(&url, "name"), names, "{url}");
        }
    }
}

#[test]
fn bad_queries_are_refused() {
    let small = Small::new();
    const BAD: u32 = 0x8006_0888;
    let cases = [
        ("nothings", 404, 0x8006_088a),
        ("Accounts", 404, 0x8006_088a),
        ("accounts(00000000-0000-0000-0000-00000000ffff)", 404, 0x8004_0217),
        ("accounts(accountnumber='nope')", 404, 0x8006_0891),
        ("accounts(name='beta')", 400, BAD),
        ("accounts(17)", 400, BAD),
        ("accounts(00000000-0000-0000-0000-000000000001)/nothing", 404, 0x8006_088a),
        ("accounts?$skip=1", 400, BAD),
        ("accounts?$format=json", 400, BAD),
        ("accounts?$search=x", 400, BAD),
        ("accounts?$select=nothing", 400, BAD),
        ("accounts?$select=ownerid_x", 400, BAD),
        ("accounts?$orderby=nothing", 400, BAD),
        ("accounts?$orderby=name up", 400, BAD),
        ("accounts?$expand=nothing", 400, BAD),
        ("accounts?$filter=name in ('a','b')", 400, BAD),
        ("accounts?$filter=name eq 5", 400, BAD),
        ("accounts?$filter=revenue eq '5'", 400, BAD),
        ("accounts?$filter=accountid eq 'x'", 400, BAD),
        ("accounts?$filter=name eq", 400, BAD),
        ("accounts?$filter=name eq 'a' or", 400, BAD),
        ("accounts?$filter=(name eq 'a'", 400, BAD),
        ("accounts?$filter=not name eq 'a'", 400, BAD),
        ("accounts?$filter=tolower(name) eq 'a'", 400, BAD),
        ("accounts?$filter=name eq @p1", 400, BAD),
        ("accounts?$filter=contains(revenue,'1')", 400, BAD),
        (
            "accounts?$filter=Microsoft.Dynamics.CRM.In(PropertyName='no',PropertyValues=['a'])",
            400,
            0x8004_1103,
        ),
        ("accounts?$filter=Microsoft.Dynamics.CRM.Nonsense(PropertyName='name')", 400, BAD),
    ];
    for (url, status, code) in cases {
        assert_eq!(small.refused(url), (status, code), "{url}");
    }
    let deep = format!("accounts?$filter={}name eq 'a'{}", "(".repeat(500), ")".repeat(500));
    assert_eq!(small.refused(&deep), (400, BAD));
}

#[test]
fn lookups_of_hundreds_of_keys_touch_only_their_rows() {
    let mut small = Small::new();
    for n in 0..2_000_u128 {
        let code = Value::Text(format!("c{n}").into());
        small.insert("new_site", 0x1_0000 + n, &[("new_code", code)]);
    }
    let ids: Vec<String> =
        (0..300_u128).map(|n| format!("\"{}\"", id(0x1_0000 + n * 3)).to_uppercase()).collect();
    let codes: Vec<String> = (0..300).map(|n| format!("'C{}'", n * 3)).collect();
    let table = small.model.schema.by_name["new_site"];
    let world = World::of(&small.model, &small.ctx);
    for (property, values) in [("new_siteid", ids), ("new_code", codes)] {
        let text = format!(
            "Microsoft.Dynamics.CRM.In(PropertyName='{property}',PropertyValues=[{}])",
            values.join(",")
        );
        let expr = filter::parse(&text, &Default::default()).unwrap();
        let test = compile::compile(&world, table, &expr).unwrap();
        let planned = plan::candidates(&world, table, &test).unwrap();
        assert_eq!(planned.len(), 300, "{property}");
        let url = format!("new_sites?$select=new_code&$filter={text}");
        assert_eq!(small.column(&url, "new_code").len(), 300, "{property}");
    }
}

#[test]
fn aliases_stand_for_values_and_properties() {
    let small = Small::new();
    let url = "contacts?$select=lastname&$filter=contains(@p1,'e') and @p2 eq @p3&$orderby=@p4 \
               desc&@p1=lastname&@p2=_parentcustomerid_value&@p4=lastname";
    let ids = format!("{url}&@p3={}", id(1));
    assert_eq!(small.column(&ids, "lastname"), ["O'Neil"]);
    assert_eq!(small.refused(url), (400, 0x8006_0888));
    let unknown = "contacts?$orderby=@p9";
    assert_eq!(small.refused(unknown), (400, 0x8006_0888));
    let bad = "contacts?$filter=@p1 eq 'x'&@p1=nowhere";
    assert_eq!(small.refused(bad), (400, 0x8006_0888));
}

#[test]
fn a_list_of_columns_may_end_with_a_comma() {
    let small = Small::new();
    assert_eq!(small.column("accounts?$select=name,&$orderby=name desc&$top=1", "name"), ["beta"]);
    assert_eq!(small.refused("accounts?$select=name,,revenue"), (400, 0x8006_0888));
    assert_eq!(small.refused("accounts?$select=,"), (400, 0x8006_0888));
}

#[test]
fn guids_are_not_texts() {
    let small = Small::new();
    let quoted = format!("accounts?$filter=accountid eq '{}'", id(1));
    assert_eq!(small.refused(&quoted), (400, 0x8006_0888));
    let bare = format!("accounts?$filter=accountid eq {}", id(1));
    assert_eq!(small.column(&bare, "accountnumber"), ["A-1"]);
}
