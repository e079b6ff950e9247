//! What goes on beside the lanes: the governor's view is shown, orders reach it, servers that came
//! are looked for.

use crate::client::attempt::Transport;
use crate::client::request;
use crate::client::response::is_success;
use crate::pipeline::run::shared::Shared;
use crate::runtime::clock;
use std::sync::Arc;
use std::time::Duration;

/// How often the governor is looked at.
const LOOK: Duration = Duration::from_millis(250);

/// Runs until it is dropped.
pub(super) async fn tend<T: Transport>(shared: Arc<Shared<T>>) {
    let mut tick = tokio::time::interval(LOOK);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let now = clock::now();
        let view = shared.pace.view(now);
        for (load, table) in shared.meters.loads().iter().zip(&view.tables) {
            let most = (view.parallel_target.ceil() as i64).min(i64::from(table.parallel_max));
            load.parallel_limit.set(most);
        }
        shared.meters.show(view);
        if let Some(identity) = shared.pace.search(now) {
            let shared = Arc::clone(&shared);
            tokio::spawn(async move {
                let timeout = shared.settings.request_timeout;
                let reply = shared.transport.attempt(identity, request::who_am_i(), timeout).await;
                let good = reply.as_ref().ok().filter(|r| is_success(r.status));
                shared.pace.found(good.map(|r| &r.headers), clock::now());
            });
        }
    }
}
