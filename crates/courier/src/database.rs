//! Health condition of the database for the admin port: whether sending is stopped, and which partitions are missing.

use std::time::Duration;

use posthaste_ops::health::Condition;
use posthaste_store::Store;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

/// How often it is checked.
const EVERY: Duration = Duration::from_secs(1);

/// Keeps the condition up to date with the store until `stop`.
pub(crate) async fn watch(store: Store, condition: Condition, stop: CancellationToken) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        match store.stopped() {
            None => match store.missing_words() {
                Some(missing) => condition.ok_but(format!("missing: {missing}")),
                None => condition.ok(),
            },
            Some(why) => condition.failed(why.to_string()),
        }
    }
}
