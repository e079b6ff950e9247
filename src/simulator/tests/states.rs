//! Lifecycle states, rule by rule.

use super::kit::{Kit, code, id, kit};
use crate::simulator::call::{Answer, Refusal, Verb};
use crate::simulator::value::Value;

fn planted() -> Kit {
    let mut kit = kit();
    kit.make("accounts", &format!(r#"{{"accountid":"{}","name":"a"}}"#, id(1)));
    let case = format!(
        r#"{{"incidentid":"{}","title":"t","customerid_account@odata.bind":"accounts({})"}}"#,
        id(2),
        id(1)
    );
    kit.make("incidents", &case);
    kit.make("opportunities", &format!(r#"{{"opportunityid":"{}","name":"o"}}"#, id(3)));
    kit
}

fn patch(kit: &mut Kit, path: &str, body: &str) -> Result<Answer, Refusal> {
    kit.call(Verb::Patch, path, &[], body)
}

fn pair(kit: &Kit, table: &str, n: u32) -> (Value, Value) {
    (kit.value(table, id(n), "statecode"), kit.value(table, id(n), "statuscode"))
}

#[test]
fn plain_rows_change_state_freely_with_valid_pairs() {
    let mut kit = planted();
    let account = format!("accounts({})", id(1));
    patch(&mut kit, &account, r#"{"statecode":1}"#).expect("with the default reason");
    assert_eq!(pair(&kit, "account", 1), (Value::Int(1), Value::Int(2)));
    patch(&mut kit, &account, r#"{"name":"b"}"#).expect("inactive rows can be changed");
    for body in [r#"{"statecode":0,"statuscode":2}"#, r#"{"statuscode":1}"#] {
        assert_eq!(code(patch(&mut kit, &account, body)), (400, 0x8004_8408), "{body}");
    }
    patch(&mut kit, &account, r#"{"statecode":0,"statuscode":1}"#).expect("active again");
    assert_eq!(code(patch(&mut kit, &account, r#"{"statecode":null}"#)), (400, 0x8004_0233));
    assert_eq!(code(patch(&mut kit, &account, r#"{"statecode":7}"#)), (400, 0x8004_431a));
}

#[test]
fn cases_are_closed_by_their_message() {
    let mut kit = planted();
    assert_eq!(code(kit.post("incidents", r#"{"title":"t"}"#)), (400, 0x8004_0200));
    let case = format!("incidents({})", id(2));
    assert_eq!(
        code(patch(&mut kit, &case, r#"{"statecode":1,"statuscode":5}"#)),
        (400, 0x8004_0233)
    );
    let close = |status: i32| {
        format!(
            r#"{{"IncidentResolution":{{"@odata.type":"Microsoft.Dynamics.CRM.incidentresolution",
                "subject":"done","incidentid@odata.bind":"/incidents({})"}},"Status":{status}}}"#,
            id(2)
        )
    };
    let task = format!(
        r#"{{"activityid":"{}","subject":"s","regardingobjectid_incident_task@odata.bind":"incidents({})"}}"#,
        id(4),
        id(2)
    );
    kit.make("tasks", &task);
    assert_eq!(code(kit.post("CloseIncident", &close(5))), (400, 0x8004_440a));
    patch(&mut kit, &format!("tasks({})", id(4)), r#"{"statecode":1}"#).expect("done");
    assert_eq!(code(kit.post("CloseIncident", &close(6))), (400, 0x8004_8408));
    assert_eq!(code(kit.post("CloseIncident", "{}")), (400, 0x8004_0203));
    assert_eq!(kit.count("incidentresolution"), 0);
    assert_eq!(kit.make("CloseIncident", &close(1000)).status, 204);
    assert_eq!(pair(&kit, "incident", 2), (Value::Int(1), Value::Int(1000)));
    assert_eq!(kit.count("incidentresolution"), 1);
    assert_eq!(code(kit.post("CloseIncident", &close(5))), (400, 0x8004_04cf));
    assert_eq!(code(patch(&mut kit, &case, r#"{"title":"u"}"#)), (400, 0x8004_0230));
    patch(&mut kit, &case, r#"{"statecode":0}"#).expect("opened again");
    patch(&mut kit, &case, r#"{"statecode":2}"#).expect("cancelled");
    assert_eq!(code(kit.post("CloseIncident", &close(5))), (400, 0x8004_4411));
}

#[test]
fn opportunities_are_won_and_lost_by_their_messages() {
    let mut kit = planted();
    let row = format!("opportunities({})", id(3));
    for state in [1, 2] {
        let body = format!(r#"{{"statecode":{state}}}"#);
        assert_eq!(code(patch(&mut kit, &row, &body)), (400, 0x8004_0233));
    }
    let close = |status: i32| {
        format!(
            r#"{{"OpportunityClose":{{"subject":"x","opportunityid@odata.bind":"/opportunities({})"}},
                "Status":{status}}}"#,
            id(3)
        )
    };
    assert_eq!(code(kit.post("WinOpportunity", &close(4))), (400, 0x8004_8408));
    kit.make("WinOpportunity", &close(-1));
    assert_eq!(pair(&kit, "opportunity", 3), (Value::Int(1), Value::Int(3)));
    assert_eq!(code(kit.post("LoseOpportunity", &close(4))), (400, 0x8004_0515));
    assert_eq!(code(patch(&mut kit, &row, r#"{"name":"p"}"#)), (400, 0x8004_0230));
    patch(&mut kit, &row, r#"{"statecode":0}"#).expect("opened again");
    kit.make("LoseOpportunity", &close(5));
    assert_eq!(pair(&kit, "opportunity", 3), (Value::Int(2), Value::Int(5)));
}
