//! Web servers, what they count, and what they let a client know of it.

use crate::rig::{Notes, Rig, header};
use reqwest::{Method, Response, StatusCode};
use std::collections::BTreeSet;
use std::time::Duration;

const REQUESTS: &str = "x-ms-ratelimit-burst-remaining-xrm-requests";
const TIME: &str = "x-ms-ratelimit-time-remaining-xrm-requests";

async fn get(rig: &Rig<Notes>, cookie: Option<&str>) -> Response {
    let headers: Vec<_> = cookie.iter().map(|c| ("Cookie", *c)).collect();
    rig.try_send(Method::GET, "a", &headers, "").await.expect("answer")
}

/// The server an answer names, which its cookie and `X-Source` agree on.
fn server(answer: &Response) -> String {
    let cookie = header(answer, "set-cookie").split(';').next().unwrap_or("").to_owned();
    let source = header(answer, "x-source").rsplit(", ").next().unwrap_or("").to_owned();
    assert_eq!(cookie, format!("ARRAffinity={source}"));
    source
}

#[tokio::test]
async fn many_nodes_can_share_one_counter_and_still_name_themselves() {
    let rig = Rig::new("[protection]\nservers = 8\nscope = 'user'\nrequests_max = 20").await;
    let mut servers = BTreeSet::new();
    for n in 1..=16 {
        let answer = get(&rig, None).await;
        assert_eq!(header(&answer, REQUESTS), (20 - n).to_string());
        servers.insert(server(&answer));
    }
    assert_eq!(servers.len(), 8);
    for _ in 0..4 {
        let answer = get(&rig, Some("ARRAffinity=node-5")).await;
        assert_eq!(server(&answer), "node-5", "a cookie leads there all the same");
    }
    assert_eq!(get(&rig, None).await.status(), StatusCode::TOO_MANY_REQUESTS);
}

#[tokio::test]
async fn cookies_of_a_server_that_is_gone_lead_elsewhere() {
    let rig = Rig::new(
        "speed = 100.0\n[protection]\nservers = 4\nrequests_max = 9\n\
         [[servers_change]]\nafter_secs = 40\nservers = 2\n\
         [[servers_change]]\nafter_secs = 80\nservers = 6",
    )
    .await;
    let cookie = Some("ARRAffinity=node-3");
    let before = get(&rig, cookie).await;
    assert_eq!((server(&before).as_str(), header(&before, REQUESTS)), ("node-3", "8"));
    while rig.sim.stats().virtual_secs < 41.0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(["node-0", "node-1"].contains(&server(&get(&rig, cookie).await).as_str()));
    while rig.sim.stats().virtual_secs < 81.0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let mut servers = BTreeSet::new();
    for _ in 0..6 {
        servers.insert(server(&get(&rig, cookie).await));
    }
    let want = ["node-0", "node-1", "node-4", "node-5", "node-6", "node-7"];
    assert_eq!(servers, want.map(str::to_owned).into());
}

#[tokio::test]
async fn cookies_need_not_hold_and_servers_need_not_tell_their_names() {
    let rig = Rig::new("[protection]\nservers = 2\ncookies_hold = false").await;
    let mut servers = BTreeSet::new();
    for _ in 0..4 {
        servers.insert(server(&get(&rig, Some("ARRAffinity=node-1")).await));
    }
    assert_eq!(servers.len(), 2);
    let rig = Rig::new("[protection]\nservers = 2\nserver_token = false").await;
    let answer = get(&rig, None).await;
    assert_eq!((header(&answer, "set-cookie"), header(&answer, "x-source")), ("", ""));
    assert_eq!(header(&answer, REQUESTS), "5999", "the counters are another matter");
}

#[tokio::test]
async fn the_least_busy_server_gets_the_next_request() {
    let rig = Rig::new(
        "[protection]\nservers = 4\nrouting = 'least-connections'\n[latency]\nscale = 1.0\n\
         noise_sigma = 0.0\nread = { a = 0.2, b = 0.0, d = 0.0 }",
    )
    .await;
    let all = (get(&rig, None), get(&rig, None), get(&rig, None), get(&rig, None));
    let (a, b, c, d) = tokio::join!(all.0, all.1, all.2, all.3);
    let servers: BTreeSet<_> = [a, b, c, d].iter().map(server).collect();
    assert_eq!(servers.len(), 4, "each went where nobody was");
}

#[tokio::test]
async fn headers_can_be_late_off_or_in_the_time_of_the_client() {
    let rig = Rig::new("[protection]\nheaders_lag_secs = 100").await;
    get(&rig, None).await;
    assert_eq!(header(&get(&rig, None).await, REQUESTS), "6000", "nothing is known yet");
    let rig = Rig::new("[protection]\nheaders_factor = 0.5").await;
    assert_eq!(header(&get(&rig, None).await, REQUESTS), "2999");
    let work = "[latency]\nscale = 1.0\nnoise_sigma = 0.0\nread = { a = 60.0, b = 0.0, d = 0.0 }";
    let rig = Rig::new(&format!("speed = 600.0\n[protection]\n{work}")).await;
    assert_eq!(header(&get(&rig, None).await, TIME), "1,140.00");
    let real = format!("speed = 600.0\n[protection]\nheaders_real_secs = true\n{work}");
    let rig = Rig::new(&real).await;
    assert_eq!(header(&get(&rig, None).await, TIME), "1.90", "1140 s at 600 times the speed");
}

#[tokio::test]
async fn others_can_spend_what_a_user_has() {
    let rig =
        Rig::new("speed = 1000.0\n[[foreign]]\nuser = 'app-1'\nshare = 1.0\nrequest_secs = 4.0")
            .await;
    while rig.sim.stats().virtual_secs < 310.0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let refused = get(&rig, None).await;
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    assert!(refused.text().await.expect("body").contains("0x80072321"));
    let mut other = rig;
    other.token = other.token_for(2).await;
    assert_eq!(get(&other, None).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn statistics_tell_simulated_time_and_what_was_spent_where() {
    let rig = Rig::new(
        "speed = 50.0\n[protection]\nservers = 2\n[latency]\nscale = 1.0\nnoise_sigma = 0.0\n\
         read = { a = 2.0, b = 0.0, d = 0.0 }",
    )
    .await;
    for _ in 0..3 {
        rig.post("a", "{}").await;
    }
    get(&rig, None).await;
    let url = format!("{}/_sim/stats", rig.sim.url());
    let text = rig.http.get(url).send().await.expect("stats").text().await.expect("body");
    let stats: serde_json::Value = serde_json::from_str(&text).expect("json");
    let near = |value: &serde_json::Value, want: f64| {
        (value.as_f64().expect("a number") - want).abs() < 1e-3
    };
    assert_eq!((&stats["rows"], &stats["rows_written"]), (&4.into(), &3.into()));
    assert!(near(&stats["execution_secs"], 8.0), "{text}");
    for (lane, server) in [(&stats["lanes"][0], 0), (&stats["lanes"][1], 1)] {
        assert_eq!((&lane["user"], &lane["server"]), (&"app-1".into(), &server.into()));
        assert!(lane["requests"] == 2 && near(&lane["execution_secs"], 4.0), "{text}");
    }
    let (real, simulated) = (&stats["uptime_secs"], stats["virtual_secs"].as_f64());
    assert!(simulated > Some(8.0), "{text}");
    let ratio = simulated.unwrap_or(0.0) / real.as_f64().expect("a number");
    assert!((ratio / 50.0 - 1.0).abs() < 0.01, "{text}");
    for request in rig.sim.requests() {
        let real_ms = request.at_virtual_secs / 50.0 * 1000.0;
        assert!((real_ms - request.at_ms as f64).abs() < 5.0, "{request:?}");
    }
}
