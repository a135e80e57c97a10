//! Whether the service can store what it is given.

use std::time::Duration;

use posthaste_ops::health::Condition;
use posthaste_store::Store;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

/// How often the store is asked.
const EVERY: Duration = Duration::from_secs(1);
/// How long it may take to answer.
const WITHIN: Duration = Duration::from_secs(2);

/// Keeps the condition true to the store until `stop`: ready is who can store.
pub(crate) async fn watch(store: Store, condition: Condition, stop: CancellationToken) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        match look(&store).await {
            Ok(()) => condition.ok(),
            Err(why) => condition.failed(why),
        }
    }
}

async fn look(store: &Store) -> Result<(), String> {
    if let Some(why) = store.stopped() {
        return Err(why.to_string());
    }
    match timeout(WITHIN, store.server_time()).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("the store does not answer".to_owned()),
    }
}
