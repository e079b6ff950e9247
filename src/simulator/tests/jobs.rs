//! Deleting what queries find, later.

use super::kit::{Kit, code, id, kit, text};
use crate::simulator::call::Verb;
use crate::simulator::value::Value;
use serde_json::{Value as Tree, json};
use uuid::Uuid;

fn job(table: &str, conditions: Tree) -> Tree {
    json!({
        "JobName": "clean", "SendEmailNotification": false, "ToRecipients": [],
        "CCRecipients": [], "RecurrencePattern": "", "StartDateTime": "2025-01-01T00:00:00Z",
        "QuerySet": [{
            "@odata.type": "Microsoft.Dynamics.CRM.QueryExpression", "EntityName": table,
            "ColumnSet": {}, "Criteria": {"FilterOperator": "And", "Conditions": conditions},
        }],
    })
}

fn start(kit: &mut Kit, job: &Tree) -> Uuid {
    let answer = kit.make("BulkDelete", &job.to_string());
    let body: Tree = serde_json::from_str(text(&answer.body)).expect("JSON");
    body["JobId"].as_str().and_then(|id| id.parse().ok()).expect("an id")
}

fn state(kit: &mut Kit, job: Uuid) -> (i64, i64) {
    let path = format!("asyncoperations({job})?$select=statecode,statuscode");
    let answer = kit.call(Verb::Get, &path, &[], "").expect("the job is there");
    let body: Tree = serde_json::from_str(text(&answer.body)).expect("JSON");
    let number = |name: &str| body[name].as_i64().expect("a number");
    (number("statecode"), number("statuscode"))
}

#[test]
fn rows_that_queries_find_are_deleted_some_time_later() {
    let mut kit = kit();
    for n in 1..=4 {
        let body = format!(r#"{{"accountid":"{}","name":"n{n}"}}"#, id(n));
        kit.make("accounts", &body);
    }
    let values = json!([{"Value": id(1), "Type": "System.Guid"}, {"Value": id(2)}]);
    let wanted =
        job("account", json!([{"AttributeName": "accountid", "Operator": "In", "Values": values}]));
    let first = start(&mut kit, &wanted);
    let wanted = job(
        "account",
        json!([{"AttributeName": "name", "Operator": "Equal", "Values": [{"Value": "N3"}]}]),
    );
    let second = start(&mut kit, &wanted);
    assert_eq!(state(&mut kit, first), (0, 0));
    assert_eq!(kit.count("account"), 4);
    kit.ctx.now_ms += 2_000;
    assert_eq!(state(&mut kit, first), (3, 30));
    assert_eq!(state(&mut kit, second), (3, 30));
    assert_eq!(kit.count("account"), 1);
    assert_eq!(kit.value("account", id(4), "name"), Value::Text("n4".into()));
}

#[test]
fn rows_that_are_held_stay_and_the_job_says_so() {
    let mut kit = kit();
    kit.make("new_sites", &format!(r#"{{"new_siteid":"{}","new_name":"s"}}"#, id(1)));
    let meter = format!(r#"{{"new_name":"m","new_Site@odata.bind":"/new_sites({})"}}"#, id(1));
    kit.make("new_meters", &meter);
    let job = start(&mut kit, &job("new_site", json!([])));
    kit.ctx.now_ms += 2_000;
    assert_eq!(state(&mut kit, job), (3, 31));
    assert_eq!(kit.count("new_site"), 1);
}

#[test]
fn jobs_that_cannot_run_are_refused() {
    let mut kit = kit();
    let mut broken = job("account", json!([]));
    broken["QuerySet"] = json!([]);
    assert_eq!(code(kit.post("BulkDelete", &broken.to_string())), (400, 0x8004_0203));
    let unknown = job("nowhere", json!([]));
    assert_eq!(code(kit.post("BulkDelete", &unknown.to_string())), (400, 0x8004_1102));
    let column = json!([{"AttributeName": "nope", "Operator": "Null"}]);
    let unknown = job("account", column);
    assert_eq!(code(kit.post("BulkDelete", &unknown.to_string())), (400, 0x8004_1103));
    assert_eq!(code(kit.post("BulkDelete", "{}")), (400, 0x8004_0203));
    assert_eq!(code(kit.post("BulkDelete", r#"{"Jobname":"x"}"#)), (400, 0x8004_8d19));
}
