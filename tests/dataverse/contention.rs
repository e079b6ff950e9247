//! Requests that share the database, in running time.

use crate::rig::Rig;
use dvbulk::simulator::serve::Simulator;
use dvbulk::simulator::settings::Settings;
use reqwest::StatusCode;

/// Simulated time a request takes alone, seconds.
const ALONE: f64 = 6.0;
/// Requests at once.
const AT_ONCE: u32 = 8;
/// Requests of each of them.
const EACH: u32 = 6;

/// How far the time over HTTP is from the time on paper, as a share, for a load of known shape:
/// `AT_ONCE` clients each send the next request when the last is answered.
async fn off_by() -> f64 {
    let rig = Rig::new(&format!(
        "speed = 60.0\n[latency]\nscale = 1.0\nnoise_sigma = 0.0\ncontention_sigma = 0.05\n\
         contention_kappa = 0.005\nread = {{ a = {ALONE}, b = 0.0, d = 0.0 }}"
    ))
    .await;
    rig.post("warm", "{}").await;
    let before = rig.sim.stats();
    let client = || async {
        for _ in 0..EACH {
            assert_eq!(rig.post("a", "{}").await.status(), StatusCode::NO_CONTENT);
        }
    };
    futures_util::future::join_all((0..AT_ONCE).map(|_| client())).await;
    let after = rig.sim.stats();
    let c = f64::from(AT_ONCE);
    let slow = (0.005 * c).mul_add(c - 1.0, 0.05f64.mul_add(c - 1.0, 1.0));
    let want = f64::from(EACH) * ALONE * slow;
    let spent = after.execution_secs - before.execution_secs;
    assert!(spent < want * c * 1.001, "booked more than the server can have worked");
    (after.virtual_secs - before.virtual_secs) / want - 1.0
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn compressed_time_is_kept_within_three_per_cent() {
    let mut tries = Vec::new();
    // Others may hold the processors of this machine for a while.
    for _ in 0..5 {
        let off = off_by().await;
        if off.abs() < 0.03 {
            return;
        }
        tries.push(off);
    }
    panic!("off by {tries:?}");
}

#[tokio::test]
async fn requests_beside_each_other_can_deadlock() {
    let settings = Settings::parse(
        "speed = 100.0\n[latency]\nscale = 1.0\nnoise_sigma = 0.0\ndeadlock_hazard = 1e9",
    )
    .expect("settings");
    let addr = "127.0.0.1:0".parse().expect("address");
    let rig = Rig::over(Simulator::start(settings, addr).await.expect("starts")).await;
    let body =
        "{\"Targets\":[{\"@odata.type\":\"Microsoft.Dynamics.CRM.account\",\"name\":\"x\"}]}";
    let path = "accounts/Microsoft.Dynamics.CRM.CreateMultiple";
    assert_eq!(rig.post(path, body).await.status(), StatusCode::OK, "alone none does");
    let (one, two) = tokio::join!(rig.post(path, body), rig.post(path, body));
    let mut texts = Vec::new();
    for answer in [one, two] {
        texts.push((answer.status().as_u16(), answer.text().await.expect("body")));
    }
    texts.sort();
    assert_eq!((texts[0].0, texts[1].0), (200, 500), "the second met the first: {texts:?}");
    assert!(texts[1].1.contains("0x80044150") && texts[1].1.contains("Sql Number: 1205"));
    let stats = rig.sim.stats();
    assert_eq!((stats.deadlocks, stats.rows_written), (1, 2), "the victim left nothing");
}
