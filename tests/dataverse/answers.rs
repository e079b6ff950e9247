//! Tokens, standing headers, users, bodies, and the model behind it all.

use crate::rig::{Rig, change_set, change_set_from, create, header};
use dvbulk::simulator::serve::Simulator;
use dvbulk::simulator::settings::Settings;
use reqwest::{Method, StatusCode};

#[tokio::test]
async fn a_token_opens_the_data_endpoint_and_answers_carry_the_standing_headers() {
    let rig = Rig::new("").await;
    let answer = rig.try_send(Method::GET, "WhoAmI", &[], "").await.expect("answer");
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(header(&answer, "x-ms-dop-hint"), "5");
    assert_eq!(header(&answer, "x-ms-ratelimit-burst-remaining-xrm-requests"), "5999");
    let time = header(&answer, "x-ms-ratelimit-time-remaining-xrm-requests");
    assert!(time == "1,200.00" || time == "1,199.99", "{time}");
    assert_eq!(header(&answer, "odata-version"), "4.0");
    assert!(header(&answer, "set-cookie").starts_with("ARRAffinity=node-0"));
    assert!(answer.text().await.expect("body").contains("5e000000-0000-4000-8000-000000000001"));
    rig.sim.stop().await;
}

#[tokio::test]
async fn requests_without_a_valid_token_are_challenged() {
    let mut rig = Rig::new("").await;
    rig.token = "nonsense".to_owned();
    let answer = rig.try_send(Method::GET, "WhoAmI", &[], "").await.expect("answer");
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
    assert!(header(&answer, "www-authenticate").contains("authorization_uri="));
    assert_eq!(rig.sim.stats().unauthorized, 1);
}

#[tokio::test]
async fn users_the_organization_does_not_take_are_refused() {
    let user = |n: u32, rest: &str| {
        format!(
            "[[users]]\nname='app-{n}'\nclient_id='a0000000-0000-4000-8000-{n:012}'\n\
         secret='pretended-secret-{n}'\nsystem_user_id='5e000000-0000-4000-8000-{n:012}'\n{rest}\n"
        )
    };
    let mut rig =
        Rig::new(&format!("{}{}", user(1, "member=false"), user(2, "disabled=true"))).await;
    for (n, code) in [(1, "0x80072560"), (2, "0x8004a112")] {
        rig.token = rig.token_for(n).await;
        let answer = rig.try_send(Method::GET, "WhoAmI", &[], "").await.expect("answer");
        assert_eq!(answer.status(), StatusCode::FORBIDDEN);
        assert!(answer.text().await.expect("body").contains(code));
    }
}

#[tokio::test]
async fn the_managed_identity_endpoint_asks_for_its_header() {
    let rig = Rig::new("").await;
    let url = format!(
        "{}/metadata/identity/oauth2/token?api-version=2018-02-01&resource={}",
        rig.sim.url(),
        rig.sim.url()
    );
    let bare = rig.http.get(&url).send().await.expect("answer");
    assert_eq!(bare.status(), StatusCode::BAD_REQUEST);
    let full = rig.http.get(&url).header("Metadata", "true").send().await.expect("answer");
    let body: serde_json::Value =
        serde_json::from_str(&full.text().await.expect("body")).expect("json");
    assert_eq!(body["expires_in"], "3599");
}

#[tokio::test]
async fn impersonation_reaches_the_model() {
    let rig = Rig::new("").await;
    let id = "5e000000-0000-4000-8000-000000000002";
    let answer = rig.try_send(Method::GET, "x", &[("MSCRMCallerID", id)], "").await.expect("ok");
    assert!(answer.text().await.expect("body").contains(id));
    let other = [("CallerObjectId", "00000000-0000-4000-8000-000000000009")];
    let answer = rig.try_send(Method::GET, "x", &other, "").await.expect("answer");
    assert_eq!(answer.status(), StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_body_over_the_limit_is_answered_413() {
    let rig = Rig::new("[http]\nbody_bytes_max = 10").await;
    assert_eq!(rig.post("a", "12345678901").await.status(), StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(rig.post("a", "1234567890").await.status(), StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn bulk_answers_can_hold_wrong_ids() {
    let settings = Settings::parse("[[faults]]\naction = { kind = 'wrong-ids' }").expect("valid");
    let addr = "127.0.0.1:0".parse().expect("address");
    let rig = Rig::over(Simulator::start(settings, addr).await.expect("starts")).await;
    let id = "6a7e5c1e-0d56-4e60-8a0b-0a3a3a8c2b11";
    let targets = format!(
        "{{\"Targets\":[{{\"@odata.type\":\"Microsoft.Dynamics.CRM.account\",\
         \"accountid\":\"{id}\",\"name\":\"x\"}}]}}"
    );
    let done = rig.post("accounts/Microsoft.Dynamics.CRM.CreateMultiple", &targets).await;
    let text = done.text().await.expect("body");
    assert!(text.contains("\"Ids\":[\"") && !text.contains(id), "{text}");
}

#[tokio::test]
async fn the_token_endpoint_can_be_down() {
    let rig = Rig::new("").await;
    let sim = rig.sim.url();
    let script = "[[faults]]\nmatch={ operation='token' }\naction={ kind='status', status=503 }";
    let set = rig.http.post(format!("{sim}/_sim/faults")).body(script).send().await.expect("set");
    assert_eq!(set.status(), StatusCode::OK);
    let down = rig.http.post(rig.sim.token_url()).body("").send().await.expect("answer");
    assert_eq!(down.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(rig.post("a", "{}").await.status(), StatusCode::NO_CONTENT);
    let bad = rig.http.post(format!("{sim}/_sim/faults")).body("x = 1").send().await.expect("set");
    assert_eq!(bad.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn the_model_answers_bulk_messages_and_batches() {
    let addr = "127.0.0.1:0".parse().expect("address");
    let sim = Simulator::start(Settings::default(), addr).await.expect("starts");
    let rig = Rig::over(sim).await;
    let who = rig.try_send(Method::GET, "WhoAmI()", &[], "").await.expect("answer");
    assert!(who.text().await.expect("body").contains("\"OrganizationId\""));
    let account = "{\"@odata.type\":\"Microsoft.Dynamics.CRM.account\",\"name\":";
    let targets = format!("{{\"Targets\":[{account}\"one\"}},{account}\"two\"}}]}}");
    let done = rig.post("accounts/Microsoft.Dynamics.CRM.CreateMultiple", &targets).await;
    assert_eq!(done.status(), StatusCode::OK);
    let ids: serde_json::Value =
        serde_json::from_str(&done.text().await.expect("body")).expect("json");
    assert_eq!(ids["Ids"].as_array().expect("ids").len(), 2);
    let first = create("accounts", "{\"name\":\"three\"}");
    let second =
        create("contacts", "{\"lastname\":\"Ng\",\"parentcustomerid_account@odata.bind\":\"$1\"}");
    let unknown = create("accounts", "{\"no_such_column\":1}");
    let answer = rig
        .batch(
            "odata.continue-on-error",
            &[&change_set(&[&first, &second]), &change_set_from(3, &[&first, &unknown])],
        )
        .await;
    let text = answer.text().await.expect("body");
    assert_eq!(text.matches("HTTP/1.1 204").count(), 2, "{text}");
    assert!(text.contains("0x80048d19"), "{text}");
    let dump = rig.http.get(format!("{}/_sim/dump?table=account", rig.sim.url()));
    let rows = dump.send().await.expect("dump").text().await.expect("body");
    assert_eq!(rows.lines().count(), 3, "the failed change set left nothing: {rows}");
    let stats = rig.sim.stats();
    assert_eq!(stats.operations["CreateMultiple"].rows, 2);
}
