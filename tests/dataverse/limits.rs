//! Service protection and service time.

use crate::rig::{Rig, header};
use reqwest::{Method, StatusCode};
use std::time::Duration;

#[tokio::test]
async fn service_protection_refuses_and_counts_who_does_not_wait() {
    let rig = Rig::new("speed = 100.0\n[protection]\nrequests_max = 2").await;
    rig.post("a", "{}").await;
    rig.post("a", "{}").await;
    let refused = rig.post("a", "{}").await;
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(header(&refused, "retry-after"), "3");
    assert!(refused.text().await.expect("body").contains("0x80072322"));
    tokio::time::sleep(Duration::from_millis(80)).await;
    assert_eq!(rig.post("a", "{}").await.status(), StatusCode::TOO_MANY_REQUESTS);
    let stats = rig.sim.stats();
    assert_eq!(stats.throttled.requests, 2);
    assert_eq!((stats.inside_retry_after, stats.inside_retry_after_racing), (1, 0));
    assert_eq!(rig.rows(), 2);
}

#[tokio::test]
async fn servers_count_apart_and_the_cookie_pins() {
    let rig = Rig::new("[protection]\nservers = 2\nrequests_max = 2").await;
    for _ in 0..4 {
        assert_eq!(rig.post("a", "{}").await.status(), StatusCode::NO_CONTENT);
    }
    let cookie = [("Cookie", "x=y; ARRAffinity=node-1")];
    let pinned = rig.try_send(Method::POST, "a", &cookie, "{}").await.expect("answer");
    assert_eq!(pinned.status(), StatusCode::TOO_MANY_REQUESTS);
    let stats = rig.sim.stats();
    assert_eq!(stats.servers, [2, 3]);
    assert_eq!(stats.affinity_cookies_returned, 1);
}

#[tokio::test]
async fn concurrency_is_limited_while_service_takes_time() {
    let rig = Rig::new(
        "speed = 10.0\n[protection]\nconcurrent_max = 1\n[latency]\nscale = 1.0\n\
     noise_sigma = 0.0\nread = { a = 3.0, b = 0.0, d = 0.0 }",
    )
    .await;
    let (one, two) = tokio::join!(rig.post("a", "{}"), rig.post("a", "{}"));
    let mut statuses = [one.status().as_u16(), two.status().as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [204, 429]);
    assert_eq!(rig.sim.stats().throttled.concurrency, 1);
}

#[tokio::test]
async fn work_goes_on_when_the_client_hangs_up() {
    let rig =
        Rig::new("[latency]\nscale = 1.0\nnoise_sigma = 0.0\nread = { a = 0.2, b = 0.0, d = 0.0 }")
            .await;
    let post = rig.post("a", "{}");
    assert!(tokio::time::timeout(Duration::from_millis(60), post).await.is_err());
    assert_eq!(rig.rows(), 0);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(rig.rows(), 1);
}

#[tokio::test]
async fn overlong_requests_fail_or_complete() {
    for (fails, status, rows, left) in [
        ("1.0", StatusCode::INTERNAL_SERVER_ERROR, 0, "960.00"),
        ("0.0", StatusCode::NO_CONTENT, 1, "940.00"),
    ] {
        let rig = Rig::new(&format!(
            "speed = 2000.0\n[latency]\nscale = 1.0\nnoise_sigma = 0.0\n\
             timeout_fails = {fails}\nread = {{ a = 130.0, b = 0.0, d = 0.0 }}"
        ))
        .await;
        assert_eq!(rig.post("a", "{}").await.status(), status);
        assert_eq!(rig.rows(), rows);
        let next = rig.try_send(Method::GET, "a", &[], "").await.expect("answer");
        let time = header(&next, "x-ms-ratelimit-time-remaining-xrm-requests");
        assert_eq!(time, left, "both were booked");
    }
}
