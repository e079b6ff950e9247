//! What the documents leave open, both ways.
//!
//! Source: `dataverse-web-api.md` §12.

use super::kit::{code, id, kit, kit_with, text};
use crate::simulator::call::{Refusal, RefusalCode, Verb};
use crate::simulator::environment::EnvironmentSettings;
use crate::simulator::refusals::refusal_body;

const CREATE: &str = "new_simples/Microsoft.Dynamics.CRM.CreateMultiple";

fn simple(n: u32) -> String {
    format!(r#"{{"@odata.type":"Microsoft.Dynamics.CRM.new_simple","new_simpleid":"{}"}}"#, id(n))
}

/// Row 13.
#[test]
fn a_row_twice_in_one_create_is_a_duplicate() {
    let mut kit = kit();
    let body = format!(r#"{{"Targets":[{0},{0}]}}"#, simple(1));
    assert_eq!(code(kit.post(CREATE, &body)), (412, 0x8004_0237));
    assert_eq!(kit.count("new_simple"), 0);
}

/// Row 16.
#[test]
fn elastic_failures_list_successes_when_told_to() {
    let settings = EnvironmentSettings { elastic_lists_all: true, ..Default::default() };
    let mut kit = kit_with(settings);
    let item = |n| {
        format!(r#"{{"@odata.type":"Microsoft.Dynamics.CRM.new_event","new_eventid":"{}"}}"#, id(n))
    };
    let path = "new_events/Microsoft.Dynamics.CRM.CreateMultiple";
    let body = format!(r#"{{"Targets":[{0},{0}]}}"#, item(1));
    let refusal = kit.post(path, &body).expect_err("one is taken");
    let expected = format!(
        r#"[{{"RequestIndex":0,"Id":"{0}","StatusCode":201}},{{"RequestIndex":1,"Id":"{0}","StatusCode":409}}]"#,
        id(1)
    );
    assert_eq!(refusal.annotations[0].1, expected);
}

/// Row 19.
#[test]
fn the_code_of_a_message_a_table_lacks_can_be_set() {
    for (settings, expected) in [
        (EnvironmentSettings::default(), 0x8004_0203),
        (
            EnvironmentSettings { unsupported_message_code: 0x8004_0315, ..Default::default() },
            0x8004_0315,
        ),
    ] {
        let mut kit = kit_with(settings);
        let path = "teams/Microsoft.Dynamics.CRM.CreateMultiple";
        let refusal = kit.post(path, r#"{"Targets":[]}"#).expect_err("not offered");
        assert!(refusal.message.contains("is not enabled on the entity team"));
        assert_eq!((refusal.status, refusal.code), (400, RefusalCode::Hex(expected)));
    }
}

/// Row 27.
#[test]
fn a_created_row_that_is_returned_has_no_address_in_a_header() {
    let mut kit = kit();
    let prefer = [("Prefer", "return=representation")];
    let answer = kit.call(Verb::Post, "accounts", &prefer, r#"{"name":"a"}"#).expect("made");
    assert_eq!(answer.status, 201);
    assert!(!answer.headers.iter().any(|(n, _)| n.eq_ignore_ascii_case("odata-entityid")));
    assert!(text(&answer.body).contains("\"accountid\""));
}

/// Rows 31 and 32.
#[test]
fn missing_lookups_are_answered_400_or_404() {
    let by_id = format!(r#"{{"primarycontactid@odata.bind":"/contacts({})"}}"#, id(9));
    let by_key = r#"{"new_Site@odata.bind":"/new_sites(new_code='none')"}"#;
    for (settings, for_id, for_key) in [
        (EnvironmentSettings::default(), 400, 404),
        (
            EnvironmentSettings {
                bind_missing_status: 404,
                bind_key_missing_status: 400,
                ..Default::default()
            },
            404,
            400,
        ),
    ] {
        let mut kit = kit_with(settings);
        assert_eq!(code(kit.post("accounts", &by_id)), (for_id, 0x8004_0217));
        assert_eq!(code(kit.post("new_meters", by_key)), (for_key, 0x8006_0891));
    }
}

/// Row 33.
#[test]
fn a_wrong_name_has_the_code_that_is_set() {
    for given in ["", "0x0"] {
        let code = RefusalCode::Text(given.to_owned());
        let settings = EnvironmentSettings { undeclared_code: code.clone(), ..Default::default() };
        let mut kit = kit_with(settings);
        let body = format!(r#"{{"PrimaryContactId@odata.bind":"/contacts({})"}}"#, id(9));
        let refusal = kit.post("accounts", &body).expect_err("case counts");
        assert_eq!((refusal.status, refusal.code), (400, code));
    }
}

/// Row 36.
#[test]
fn key_values_with_characters_that_do_not_work_are_refused() {
    for status in [400, 404] {
        let settings = EnvironmentSettings { key_characters_status: status, ..Default::default() };
        let mut kit = kit_with(settings);
        for bad in ["%2F", "%3C", "%3E", "*", "%25", "%26", ":", "%5C", "%3F", "%2B"] {
            let path = format!("accounts(accountnumber='a{bad}b')");
            let refusal = kit.call(Verb::Patch, &path, &[], "{}").expect_err(&path);
            assert_eq!(refusal.status, status, "{path}");
        }
    }
}

/// Row 41.
#[test]
fn a_lookup_in_a_key_is_a_bare_id() {
    let mut kit = kit();
    let path = format!("new_meters(_new_site_value=({}),new_interval=5)", id(1));
    assert_eq!(code(kit.call(Verb::Patch, &path, &[], "{}")), (400, 0x8006_0888));
}

/// §13: codes are written in lower case.
#[test]
fn codes_are_lower_case() {
    let body = refusal_body(&Refusal::new(400, 0x8004_8D19, "x"), false);
    assert_eq!(text(&body), r#"{"error":{"code":"0x80048d19","message":"x"}}"#);
}
