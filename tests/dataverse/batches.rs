//! `$batch`: order, errors, change sets and what refers to what.

use crate::rig::{Rig, change_set, create};
use reqwest::{Method, StatusCode};

#[tokio::test]
async fn a_batch_stops_at_the_first_error_or_goes_on_as_asked() {
    let rig = Rig::new("").await;
    let parts = [create("a", "{}"), create("a", "\"bad\""), create("a", "{}")];
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let stopped = rig.batch("x", &parts).await;
    assert_eq!(stopped.status(), StatusCode::BAD_REQUEST);
    let text = stopped.text().await.expect("body");
    assert_eq!(text.matches("HTTP/1.1 ").count(), 2, "{text}");
    assert!(text.contains("Location: http://127.0.0.1"));
    assert!(text.contains("0x80044331"));
    assert_eq!(rig.rows(), 1);
    let went_on = rig.batch("odata.continue-on-error", &parts).await;
    assert_eq!(went_on.status(), StatusCode::OK);
    assert_eq!(went_on.text().await.expect("body").matches("HTTP/1.1 204").count(), 2);
    assert_eq!(rig.rows(), 3);
    assert_eq!(rig.sim.stats().batch_operations["create"].refused, 2);
}

#[tokio::test]
async fn a_change_set_is_all_or_nothing() {
    let rig = Rig::new("").await;
    let good = create("a", "{}");
    let bad = create("a", "\"bad\"");
    let answer = rig.batch("x", &[&change_set(&[&good, &bad, &good])]).await;
    assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
    let text = answer.text().await.expect("body");
    assert_eq!(text.matches("HTTP/1.1 ").count(), 1, "one answer for the set: {text}");
    assert!(text.contains("Content-ID: 2"));
    assert_eq!(rig.rows(), 0);
}

#[tokio::test]
async fn parts_of_a_change_set_refer_to_earlier_ones() {
    let rig = Rig::new("").await;
    let first = create("accounts", "{}");
    let second = create("contacts", "{\"x@odata.bind\":\"$1\"}");
    let third = "Content-Type: application/http\r\n\r\nPATCH $1 HTTP/1.1\r\n\
             Content-Type: application/json\r\n\r\n{}";
    let answer = rig.batch("x", &[&change_set(&[&first, &second, third])]).await;
    assert_eq!(answer.status(), StatusCode::OK);
    rig.sim.with_model(|m| {
        assert_eq!(m.rows[1].1, "{\"x@odata.bind\":\"/accounts(1)\"}");
        assert_eq!(m.rows[2].0, "accounts(1)");
    });
    let outside = rig.batch("x", &[&create("contacts", "{\"x@odata.bind\":\"$1\"}")]).await;
    assert!(outside.text().await.expect("body").contains("does not exist in the batch context"));
}

#[tokio::test]
async fn whole_batches_are_refused_before_any_part_runs() {
    let rig = Rig::new("[http]\nbatch_operations_max = 2").await;
    let one = create("a", "{}");
    let answer = rig.batch("x", &[&one, &one, &one]).await;
    assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
    let get = "Content-Type: application/http\r\n\r\nGET a HTTP/1.1\r\n\r\n";
    let answer = rig.batch("x", &[&one, &change_set(&[get])]).await;
    assert!(answer.text().await.expect("body").contains("\"ExceptionType\""));
    let json = rig.try_send(Method::POST, "$batch", &[], "{\"requests\":[]}").await.expect("ok");
    assert_eq!(json.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
    assert_eq!(rig.rows(), 0);
}

#[tokio::test]
async fn operations_of_a_batch_can_count_one_by_one() {
    let rig = Rig::new("[protection]\nrequests_max = 3\ncount_batch_parts = true").await;
    let one = create("a", "{}");
    let answer = rig.batch("odata.continue-on-error", &[&one, &one, &one]).await;
    let text = answer.text().await.expect("body");
    assert_eq!(text.matches("HTTP/1.1 204").count(), 2, "the batch itself was one: {text}");
    assert!(text.contains("HTTP/1.1 429") && text.contains("Retry-After: "), "{text}");
}
