//! Whether the service can store what it is given.

use std::convert::Infallible;
use std::time::Duration;

use posthaste_ops::health::Condition;
use posthaste_store::{Store, Trouble, Troubles, Work};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

/// How often the store is asked.
const EVERY: Duration = Duration::from_secs(1);
/// How long it may take to answer.
const WITHIN: Duration = Duration::from_secs(2);

/// Keeps the condition true to what the store waits for at the start; for as long as it is awaited.
pub(crate) async fn while_connecting(troubles: &Troubles, condition: &Condition) -> Infallible {
    let tell = |trouble: Option<Trouble>| match trouble {
        Some(trouble) => condition.failed(format!("waiting at the start: {}", trouble.text())),
        None => condition.failed("connecting to Redis"),
    };
    troubles.follow(Work::Accept, tell).await
}

/// Keeps the condition true to the store until `stop`: ready is who can store. Nobody needs to call for that: the store looks
/// at its servers by itself.
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
            // Whoever balances load must not take it away: what can be asked is served, and what can't is served by nobody.
            Ok(()) => match store.missing_words() {
                Some(missing) => condition.ok_but(format!("missing: {missing}")),
                None => condition.ok(),
            },
            Err(why) => condition.failed(why),
        }
    }
}

async fn look(store: &Store, troubles: &Troubles) -> Result<(), String> {
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
