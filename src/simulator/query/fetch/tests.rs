//! `FetchXML` over the small world.

use crate::simulator::query::tests::{Small, id};
use crate::simulator::query::url::encode;
use crate::simulator::value::Value;
use serde_json::json;

fn url(set: &str, xml: &str) -> String {
    format!("{set}?fetchXml={}", encode(xml))
}

fn rows(small: &Small, set: &str, xml: &str) -> Vec<serde_json::Value> {
    small.get(&url(set, xml))["value"].as_array().unwrap().clone()
}

fn contact_names(small: &Small, inside: &str) -> Vec<String> {
    let xml = format!(
        "<fetch><entity name='contact'><attribute name='fullname'/>{inside}</entity></fetch>"
    );
    rows(small, "contacts", &xml)
        .iter()
        .map(|r| r["fullname"].as_str().unwrap_or("-").to_owned())
        .collect()
}

#[test]
fn conditions_select_rows() {
    let small = Small::new();
    let one = id(1);
    let cases: &[(&str, &[&str])] = &[
        ("<condition attribute='fullname' operator='eq' value='ZED'/>", &["zed"]),
        ("<condition attribute='fullname' operator='ne' value='ZED'/>", &["O'Neil", "Ünal"]),
        ("<condition attribute='fullname' operator='like' value='%ne%'/>", &["O'Neil"]),
        ("<condition attribute='fullname' operator='not-like' value='%e%'/>", &["Ünal"]),
        ("<condition attribute='fullname' operator='begins-with' value='u'/>", &["Ünal"]),
        ("<condition attribute='fullname' operator='ends-with' value='L'/>", &["O'Neil", "Ünal"]),
        (
            "<condition attribute='fullname' operator='in'><value>zed</value><value>unal</value>\
             </condition>",
            &["Ünal", "zed"],
        ),
        (
            "<condition attribute='fullname' operator='not-in'><value>zed</value></condition>",
            &["O'Neil", "Ünal"],
        ),
        ("<condition attribute='telephone1' operator='null'/>", &["O'Neil", "Ünal", "zed"]),
        ("<condition attribute='telephone1' operator='not-null'/>", &[]),
        ("<condition attribute='donotemail' operator='eq' value='1'/>", &["Ünal"]),
        (
            &format!("<condition attribute='parentcustomerid' operator='eq' value='{{{one}}}'/>"),
            &["O'Neil", "Ünal"],
        ),
        (
            "<filter type='or'><condition attribute='fullname' operator='eq' value='zed'/>\
             <filter type='and'><condition attribute='donotemail' operator='eq' value='true'/>\
             </filter></filter>",
            &["Ünal", "zed"],
        ),
        (
            "<condition attribute='fullname' operator='eq' valueof='lastname'/>",
            &["O'Neil", "Ünal", "zed"],
        ),
    ];
    for (condition, names) in cases {
        let got = contact_names(&small, &format!("<filter>{condition}</filter>"));
        assert_eq!(&got, names, "{condition}");
    }
    assert_eq!(
        contact_names(&small, "<order attribute='fullname' descending='true'/>"),
        ["zed", "Ünal", "O'Neil"]
    );
}

#[test]
fn joins_bring_columns_of_other_tables() {
    let small = Small::new();
    let xml = |kind: &str, filter: &str| {
        format!(
            "<fetch><entity name='account'><attribute name='name'/><attribute \
             name='primarycontactid'/><link-entity name='contact' from='parentcustomerid' \
             to='accountid' link-type='{kind}' alias='c'><attribute name='fullname'/>{filter}\
             </link-entity><order attribute='fullname' entityname='c'/></entity></fetch>"
        )
    };
    let got = |kind: &str, filter: &str| -> Vec<(String, Option<String>)> {
        rows(&small, "accounts", &xml(kind, filter))
            .iter()
            .map(|r| {
                let text = |n: &str| r[n].as_str().map(str::to_owned);
                assert!(r["_primarycontactid_value"].is_string());
                (text("name").unwrap(), text("c.fullname"))
            })
            .collect()
    };
    let pair = |a: &str, c: Option<&str>| (a.to_owned(), c.map(str::to_owned));
    assert_eq!(
        got("inner", ""),
        [
            pair("Ärger & Söhne", Some("O'Neil")),
            pair("Ärger & Söhne", Some("Ünal")),
            pair("beta", Some("zed"))
        ]
    );
    let filter = "<filter><condition attribute='fullname' operator='eq' value='zed'/></filter>";
    assert_eq!(got("inner", filter), [pair("beta", Some("zed"))]);
    assert_eq!(got("outer", filter), [pair("Ärger & Söhne", None), pair("beta", Some("zed"))]);
    let outside = "<fetch><entity name='contact'><attribute name='fullname' alias='who'/>\
                   <link-entity name='account' from='accountid' to='parentcustomerid' \
                   link-type='outer' alias='a'/><filter><condition entityname='a' \
                   attribute='name' operator='eq' value='beta'/></filter></entity></fetch>";
    assert_eq!(rows(&small, "contacts", outside)[0]["who"], "zed");
}

#[test]
fn pages_follow_the_cookie() {
    let mut small = Small::new();
    for n in 0..23 {
        small.insert(
            "new_site",
            0x1000 + n,
            &[("new_name", Value::Text(format!("s{n:02}").into()))],
        );
    }
    for order in ["", "<order attribute='new_name' descending='true'/>"] {
        // As Microsoft's samples send it with the first page.
        let mut cookie = String::from(" paging-cookie=''");
        let mut seen = Vec::new();
        for page in 1.. {
            let xml = format!(
                "<fetch count='10' page='{page}'{cookie}><entity name='new_site'><attribute \
                 name='new_name'/>{order}</entity></fetch>"
            );
            let body = small.get_with(
                &url("new_sites", &xml),
                &[("Prefer", "odata.include-annotations=\"*\"")],
            );
            seen.extend(
                body["value"].as_array().unwrap().iter().map(|r| r["new_name"].to_string()),
            );
            let more = body["@Microsoft.Dynamics.CRM.morerecords"].as_bool();
            let Some(note) = body["@Microsoft.Dynamics.CRM.fetchxmlpagingcookie"].as_str() else {
                assert_eq!((page, more), (3, None));
                break;
            };
            assert_eq!(more, Some(true));
            let encoded = note.split("pagingcookie=\"").nth(1).unwrap();
            let encoded = encoded.split('"').next().unwrap();
            let once = crate::simulator::query::url::decode(encoded, false).unwrap();
            let twice = crate::simulator::query::url::decode(&once, false).unwrap();
            assert!(twice.starts_with("<cookie page=\""), "{twice}");
            let escaped = twice.replace('<', "&lt;").replace('"', "&quot;").replace('>', "&gt;");
            cookie = format!(" paging-cookie=\"{escaped}\"");
        }
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), 23);
    }
    let second = "<fetch count='10' page='2'><entity name='new_site'/></fetch>";
    assert_eq!(rows(&small, "new_sites", second).len(), 10);
    let high = "<fetch count='5000' page='12'><entity name='new_site'/></fetch>";
    assert_eq!(small.refused(&url("new_sites", high)), (400, 0x8004_430A));
    let plain = small.get(&url("new_sites", "<fetch count='5'><entity name='new_site'/></fetch>"));
    assert!(plain["@Microsoft.Dynamics.CRM.morerecords"].is_null());
}

#[test]
fn aggregates_count_and_group() {
    let small = Small::new();
    let xml = "<fetch aggregate='true'><entity name='contact'><attribute name='contactid' \
               aggregate='count' alias='n'/><attribute name='parentcustomerid' groupby='true' \
               alias='p'/><order alias='n' descending='true'/></entity></fetch>";
    assert_eq!(
        rows(&small, "contacts", xml),
        [json!({"p": id(1).to_string(), "n": 2}), json!({"p": id(2).to_string(), "n": 1})]
    );
    let xml = "<fetch aggregate='true'><entity name='account'><attribute name='revenue' \
               aggregate='sum' alias='s'/><attribute name='revenue' aggregate='avg' alias='a'/>\
               <attribute name='revenue' aggregate='max' alias='m'/><attribute name='telephone1' \
               aggregate='countcolumn' alias='t'/><attribute name='primarycontactid' \
               aggregate='countcolumn' distinct='true' alias='d'/></entity></fetch>";
    assert_eq!(
        rows(&small, "accounts", xml),
        [json!({"s": 1250, "a": 625, "m": 1250, "t": 0, "d": 1})]
    );
    let xml = "<fetch aggregate='true'><entity name='account'><attribute name='createdon' \
               groupby='true' dategrouping='month' alias='month'/><attribute name='accountid' \
               aggregate='count' alias='n'/></entity></fetch>";
    assert_eq!(rows(&small, "accounts", xml), [json!({"month": 11, "n": 2})]);
    let distinct = "<fetch distinct='true'><entity name='contact'><attribute \
                    name='parentcustomerid'/></entity></fetch>";
    assert_eq!(rows(&small, "contacts", distinct).len(), 2);
}

#[test]
fn nulls_are_left_out_and_bad_queries_refused() {
    let small = Small::new();
    let all = rows(
        &small,
        "contacts",
        "<fetch top='1'><entity name='contact'><all-attributes/></entity></fetch>",
    );
    let row = all[0].as_object().unwrap();
    assert!(row.contains_key("fullname") && !row.contains_key("telephone1"));
    assert!(row.values().all(|v| !v.is_null()));
    let entity = |inside: &str| format!("<fetch><entity name='contact'>{inside}</entity></fetch>");
    let cases = [
        ("<fetch>".to_owned(), 0x8004_0203),
        ("<fetch/>".to_owned(), 0x8004_0203),
        ("<fetch><entity name='account'/></fetch>".to_owned(), 0x8004_0203),
        ("<fetch><entity name='nope'/></fetch>".to_owned(), 0x8004_1102),
        (entity("<attribute name='nope'/>"), 0x8004_1103),
        (entity("<filter><condition attribute='nope' operator='null'/></filter>"), 0x8004_1103),
        (entity("<filter><condition attribute='fullname' operator='nope'/></filter>"), 0x8006_0888),
        (
            entity("<filter><condition attribute='contactid' operator='eq' value='x'/></filter>"),
            0x8004_0203,
        ),
        (entity("<link-entity name='account' from='accountid' to='nope'/>"), 0x8004_1103),
    ];
    for (xml, code) in cases {
        assert_eq!(small.refused(&url("contacts", &xml)), (400, code), "{xml}");
    }
    let elastic = "<fetch><entity name='new_event'><link-entity name='account' from='accountid' \
                   to='new_eventid'/></entity></fetch>";
    let set = &small.model.schema.table("new_event").unwrap().set;
    assert_eq!(small.refused(&url(set, elastic)).1, 0x8004_8d0b);
}
