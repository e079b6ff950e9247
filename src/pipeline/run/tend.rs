//! What goes on beside the lanes: orders reach the governor, its view is shown, servers that came
//! are looked for.

use crate::client::attempt::Transport;
use crate::client::request;
use crate::client::response::is_success;
use crate::control::steering::Who;
use crate::pipeline::run::shared::Shared;
use crate::runtime::clock;
use crate::telemetry::metrics::EntitlementUse;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::MissedTickBehavior;

/// How often the governor is looked at.
const LOOK: Duration = Duration::from_millis(250);

/// Runs until it is dropped, or nobody can give orders any more.
pub(super) async fn tend<T: Transport>(shared: Arc<Shared<T>>) {
    let mut orders = shared.steering.orders();
    // Whatever was changed between the governor's making and now.
    orders.mark_changed();
    let mut tick = tokio::time::interval(LOOK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            changed = orders.changed() => {
                if changed.is_err() {
                    return;
                }
                let wanted = orders.borrow_and_update().clone();
                shared.pace.order(wanted);
            }
            _ = tick.tick() => {}
        }
        show(&shared);
        search(&shared);
    }
}

fn show<T: Transport>(shared: &Shared<T>) {
    let view = shared.pace.view(clock::now());
    for (load, table) in shared.meters.loads().iter().zip(&view.tables) {
        let most = (view.parallel_target.ceil() as i64).min(i64::from(table.parallel_max));
        load.parallel_limit.set(most);
    }
    shared.meters.show(view);
    let changes: u64 = Who::ALL.iter().map(|who| shared.steering.changes(*who)).sum();
    let counter = &shared.meters.order_changes;
    counter.inc_by(changes.saturating_sub(counter.get()));
    let Some(counted) = shared.steering.entitlement() else { return };
    let wall_ms = clock::wall_ms();
    let counted = counted.lock();
    for (index, meters) in shared.meters.identities().iter().enumerate() {
        let used_up_at = counted.forecast(index, wall_ms, counted.rate(index, wall_ms));
        *meters.entitlement.lock() = Some(EntitlementUse {
            used: counted.used(index, wall_ms),
            limit: counted.rule().per_identity,
            used_up_in_secs: used_up_at.map(|at| (at - wall_ms).max(0) as f64 / 1000.0),
        });
    }
}

fn search<T: Transport>(shared: &Arc<Shared<T>>) {
    let Some(identity) = shared.pace.search(clock::now()) else { return };
    let shared = Arc::clone(shared);
    tokio::spawn(async move {
        let timeout = shared.settings.request_timeout;
        let reply = shared.transport.attempt(identity, request::who_am_i(), timeout).await;
        let good = reply.as_ref().ok().filter(|r| is_success(r.status));
        shared.pace.found(good.map(|r| &r.headers), clock::now());
    });
}
