//! The fault script on the wire.

use crate::rig::{Rig, create, header};
use reqwest::{Method, Response, StatusCode};
use std::time::Duration;

async fn faulted(action: &str) -> (Rig, Result<Response, reqwest::Error>) {
    let rig = Rig::new(&format!("[[faults]]\nmatch = {{ first = 1 }}\naction = {action}")).await;
    let answer = rig.try_send(Method::GET, "a", &[], "").await;
    (rig, answer)
}

#[tokio::test]
async fn cuts_happen_before_and_after_the_work() {
    for (action, rows) in [("{ kind='cut-before' }", 0), ("{ kind='cut-after' }", 1)] {
        let script = format!("[[faults]]\nmatch = {{ first = 1 }}\naction = {action}");
        let rig = Rig::new(&script).await;
        assert!(rig.try_send(Method::POST, "a", &[], "{}").await.is_err(), "{action}");
        assert_eq!(rig.rows(), rows, "{action}");
        assert_eq!(rig.sim.stats().faults[0].fired, 1);
        assert_eq!(rig.post("a", "{}").await.status(), StatusCode::NO_CONTENT);
    }
}

#[tokio::test]
async fn a_cut_request_can_be_done_later() {
    let rig = Rig::new(
        "[[faults]]\naction = { kind='commit-later', delay_ms_min=100, delay_ms_max=150 }",
    )
    .await;
    assert!(rig.try_send(Method::POST, "a", &[], "{}").await.is_err());
    assert_eq!(rig.rows(), 0);
    tokio::time::sleep(Duration::from_millis(250)).await;
    assert_eq!(rig.rows(), 1);
}

#[tokio::test]
async fn half_a_body_arrives_and_then_the_end() {
    let (_rig, answer) = faulted("{ kind='half-body' }").await;
    let mut answer = answer.expect("the head arrives");
    let first = answer.chunk().await.expect("the first half").expect("some bytes");
    assert!(first.starts_with(b"{\"UserId\""));
    assert!(answer.chunk().await.is_err());
}

#[tokio::test]
async fn a_slow_body_arrives_in_the_end() {
    let (_rig, answer) = faulted("{ kind='slow-body', bytes_per_sec=2000 }").await;
    assert!(answer.expect("head").text().await.expect("body").ends_with('}'));
}

#[tokio::test]
async fn scripted_answers_come_as_written() {
    let (_rig, answer) =
        faulted("{ kind='status', status=429, retry_after='soon', code='0x80072321' }").await;
    let answer = answer.expect("answer");
    assert_eq!(header(&answer, "retry-after"), "soon");
    assert!(answer.text().await.expect("body").contains("0x80072321"));
    let (_rig, answer) =
        faulted("{ kind='status', status=502, html=true, retry_after_date_secs=9 }").await;
    let answer = answer.expect("answer");
    assert!(header(&answer, "retry-after").ends_with(" GMT"));
    assert!(answer.text().await.expect("body").contains("<html>"));
}

#[tokio::test]
async fn a_hanging_request_ends_with_the_simulator() {
    let rig = Rig::new("[[faults]]\naction = { kind='hang', apply=true }").await;
    let post = rig.post("a", "{}");
    assert!(tokio::time::timeout(Duration::from_millis(100), post).await.is_err());
    assert_eq!(rig.rows(), 1);
    tokio::time::timeout(Duration::from_secs(2), rig.sim.stop()).await.expect("stops");
}

#[tokio::test]
async fn poison_and_deadlocks_strike_operations_inside_batches() {
    let rig = Rig::new(
        "[[faults]]\nname='poison'\nmatch={ body='K-13' }\naction={ kind='poison' }\n\
     [[faults]]\nname='lock'\nmatch={ body='K-14' }\naction={ kind='sql-error' }",
    )
    .await;
    let parts = ["K-12", "K-13", "K-14"].map(|k| create("a", &format!("\"{k}\"")));
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let answer = rig.batch("odata.continue-on-error", &parts).await;
    let text = answer.text().await.expect("body");
    assert!(text.contains("HTTP/1.1 204") && text.contains("0x80040265"), "{text}");
    assert!(text.contains("HTTP/1.1 500") && text.contains("Sql Number: 1205"), "{text}");
    assert_eq!(rig.rows(), 1);
}

#[tokio::test]
async fn a_sql_timeout_may_have_been_done() {
    for (applied, rows) in [("1.0", 1), ("0.0", 0)] {
        let action = format!("{{ kind = 'sql-timeout', applied = {applied} }}");
        let rig = Rig::new(&format!("[[faults]]\naction = {action}")).await;
        let answer = rig.post("a", "{}").await;
        assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert!(answer.text().await.expect("body").contains("0x80044151"));
        assert_eq!(rig.rows(), rows);
    }
}
