//! A few empty requests before the first row: how many web servers answer, whether they count
//! apart, how far away they are.

use crate::client::attempt::{ApiReply, IdentityId, Transport};
use crate::client::request;
use crate::client::response::is_success;
use crate::pipeline::send::retry::RETRY_AFTER_MAX;
use crate::pipeline::send::servers::Servers;
use crate::runtime::clock;
use crate::tuning::discovery::{Discovery, Found, PINGS_AT_ONCE, Ping};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

/// Longest time for all of it; what is not known by then is learnt from the load.
const DISCOVERY_MAX: Duration = Duration::from_secs(10);

/// Pings through the first identity, without cookies. `speed` is the service's clock over ours.
pub async fn discover<T: Transport>(
    transport: &Arc<T>,
    timeout: Duration,
    speed: f64,
) -> (Found, Servers) {
    let mut servers = Servers::default();
    let mut discovery = Discovery::default();
    let began = clock::now();
    while discovery.wants_more() && clock::now().saturating_since(began) < DISCOVERY_MAX {
        let mut pings = JoinSet::new();
        let mut throttled = None;
        for _ in 0..PINGS_AT_ONCE {
            let transport = Arc::clone(transport);
            pings.spawn(async move {
                let sent = clock::now();
                let reply =
                    transport.attempt(IdentityId(0), request::who_am_i(), timeout).await.ok();
                (reply, clock::now().saturating_since(sent))
            });
        }
        while let Some(back) = pings.join_next().await {
            match back {
                Ok((Some(reply), took)) if is_success(reply.status) => {
                    discovery.note(ping(&mut servers, &reply, took.mul_f64(speed)));
                }
                Ok((Some(reply), _)) if reply.status == 429 => {
                    throttled = throttled.max(reply.headers.retry_after);
                    discovery.failed();
                }
                _ => discovery.failed(),
            }
        }
        if let Some(wait) = throttled {
            // Somebody spent this identity's limits: nothing more is asked, and the wait is obeyed.
            tracing::warn!(secs = wait.as_secs_f64(), "throttled before the first row");
            tokio::time::sleep(wait.min(RETRY_AFTER_MAX)).await;
            break;
        }
    }
    let found = discovery.found();
    tracing::info!(
        scope = found.scope.word(),
        servers = found.servers,
        counters = found.headers,
        round_trip_ms = found.latency_secs / speed * 1000.0,
        "what the environment tells about its limits"
    );
    (found, servers)
}

fn ping(servers: &mut Servers, reply: &ApiReply, took: Duration) -> Ping {
    Ping {
        server: servers.number(&reply.headers),
        requests_remaining: reply.headers.requests_remaining,
        round_trip_secs: took.as_secs_f64(),
    }
}
