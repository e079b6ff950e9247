//! `/_sim/…`, the port and its connections.

use crate::rig::Rig;
use reqwest::{Method, StatusCode};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

#[tokio::test]
async fn the_simulator_can_be_looked_into_and_stopped() {
    let rig = Rig::new("").await;
    rig.post("accounts", "{}").await;
    let sim = rig.sim.url();
    let get = |path: &str| rig.http.get(format!("{sim}/_sim/{path}")).send();
    let text = get("stats").await.expect("stats").text().await.expect("body");
    let stats: serde_json::Value = serde_json::from_str(&text).expect("json");
    assert_eq!(stats["operations"]["create"]["rows"], 1);
    let log = get("requests").await.expect("log").text().await.expect("body");
    assert!(log.contains("\"table\":\"accounts\"") && log.ends_with("}\n"), "{log}");
    rig.http.post(format!("{sim}/_sim/shutdown")).send().await.expect("told");
    tokio::time::timeout(Duration::from_secs(2), rig.sim.stopped()).await.expect("stopped");
}

#[tokio::test]
async fn a_closed_port_refuses_and_an_opened_one_still_has_its_rows() {
    let mut rig = Rig::new("").await;
    rig.post("a", "{}").await;
    rig.sim.close_port().await;
    let refused = rig.try_send(Method::POST, "a", &[], "{}").await.expect_err("closed");
    assert!(refused.is_connect(), "{refused:?}");
    rig.sim.open_port().await.expect("the port is still free");
    assert_eq!(rig.post("a", "{}").await.status(), StatusCode::NO_CONTENT);
    assert_eq!(rig.rows(), 2);
}

#[tokio::test]
async fn idle_connections_are_closed() {
    let rig = Rig::new("[http]\nidle_secs = 1").await;
    let mut stream = TcpStream::connect(rig.sim.addr()).await.expect("connects");
    let ask = "GET /api/data/v9.2/x HTTP/1.1\r\nHost: x\r\n\r\n";
    stream.write_all(ask.as_bytes()).await.expect("sent");
    let mut got = Vec::new();
    let read = stream.read_to_end(&mut got);
    let ended = tokio::time::timeout(Duration::from_secs(5), read).await;
    ended.expect("closed in time").expect("closed in order");
    assert!(got.starts_with(b"HTTP/1.1 401"), "{}", String::from_utf8_lossy(&got));
}
