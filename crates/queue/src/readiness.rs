//! Reports whether the service can store orders.

use std::convert::Infallible;
use std::time::Duration;

use posthaste_ops::health::Condition;
use posthaste_store::{ServerTrouble, ServerTroubles, Store, Work};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

/// How often to check the store.
const EVERY: Duration = Duration::from_secs(1);
/// Timeout of a check.
const WITHIN: Duration = Duration::from_secs(2);

/// Reports the store's troubles at startup as the condition, for as long as this is awaited.
pub(crate) async fn while_connecting(troubles: &ServerTroubles, condition: &Condition) -> Infallible {
    let tell = |trouble: Option<ServerTrouble>| match trouble {
        Some(trouble) => condition.failed(format!("waiting at startup: {}", trouble.text())),
        None => condition.failed("connecting to Redis"),
    };
    troubles.follow(Work::Accept, tell).await
}

/// Reports the store's condition until `stop`: the service is ready when it can store. This needs no traffic: the
/// store checks its servers itself.
pub(crate) async fn watch(store: Store, condition: Condition, stop: CancellationToken) {
    let troubles = store.troubles();
    let mut changes = troubles.watch();
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
            Ok(()) = changes.changed() => {}
        }
        match look(&store, &troubles).await {
            // A load balancer must not remove this replica: reachable partitions are served, and no other replica
            // could serve the rest.
            Ok(()) => match store.missing_words() {
                Some(missing) => condition.ok_but(format!("missing: {missing}")),
                None => condition.ok(),
            },
            Err(why) => condition.failed(why),
        }
    }
}

async fn look(store: &Store, troubles: &ServerTroubles) -> Result<(), String> {
    if let Some(why) = store.stopped() {
        return Err(why.to_string());
    }
    if let Some(trouble) = troubles.preventing(Work::Accept) {
        return Err(trouble.text());
    }
    match timeout(WITHIN, store.server_time()).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("the store does not answer".to_owned()),
    }
}
