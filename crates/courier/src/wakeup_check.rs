//! Checks that the courier receives its own bell events. Events only shorten its sleep, but without them it is late
//! by up to the poll interval, and the operator should know. In a cluster every server sends its own events, so each
//! is checked.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use posthaste_ops::shutdown::Shutdown;
use posthaste_store::{Store, WakeupListener};
use tokio::time::Instant;

use crate::metrics::Meter;

/// How long an event may take to arrive.
const PATIENCE: Duration = Duration::from_secs(2);

/// Rings the courier's own bell every `every` and reports whether the event arrived.
pub(crate) async fn check(store: Store, meter: Arc<Meter>, every: Duration, stop: Shutdown) {
    let hearing = store.wakeup_listener();
    let mut received_before = true;
    loop {
        tokio::select! {
            () = stop.soft.cancelled() => return,
            () = tokio::time::sleep(every) => {}
        }
        let Some(hears) = hears_all(&store, &hearing, &stop).await else { continue };
        meter.hearing(hears);
        if hears != received_before {
            if hears {
                tracing::info!(event = "wakeups.restored", "Redis keyspace events are received again");
            } else {
                tracing::warn!(
                    event = "wakeups.missing",
                    "no Redis keyspace events are received: messages may be late by up to courier.poll"
                );
                meter.alert("no_wakeup_events");
            }
        }
        received_before = hears;
    }
}

/// Rings a bell at every reachable server and waits for all events; `None` if no bell was promoted, or when asked to
/// stop.
async fn hears_all(store: &Store, hearing: &WakeupListener, stop: &Shutdown) -> Option<bool> {
    let mut nodes = BTreeMap::new();
    for p in (0..store.partitions()).filter(|p| store.can_ask(*p)) {
        nodes.entry(store.node_of(p)).or_insert(p);
    }
    let mut promoted = Vec::new();
    for p in nodes.into_values() {
        let before = hearing.bells_of(p);
        // A server that is down is reported elsewhere.
        if store.ring_own_bell(p).await.is_ok() {
            promoted.push((p, before));
        }
    }
    let deaf = || promoted.iter().any(|(p, before)| hearing.bells_of(*p) == *before);
    let until = Instant::now() + PATIENCE;
    while deaf() && Instant::now() < until {
        tokio::select! {
            () = stop.soft.cancelled() => return None,
            () = tokio::time::sleep(Duration::from_millis(50)) => {}
        }
    }
    (!promoted.is_empty()).then(|| !deaf())
}

#[cfg(test)]
mod tests {
    use posthaste_ops::config::HumanDuration;
    use posthaste_ops::shutdown;
    use posthaste_rig::eventually_async;
    use posthaste_rig::servers::Cluster;
    use posthaste_store::{Role, Settings};

    use super::*;

    #[tokio::test]
    async fn a_server_without_events_is_detected_also_when_added_later() {
        let started = tokio::task::spawn_blocking(|| Cluster::start(2, 0, Duration::from_secs(5))).await;
        let mut cluster = started.unwrap().unwrap();
        let settings = Settings { url: cluster.url().into(), partitions: 8, ..Settings::default() };
        let store = Store::connect(settings, Role::Tool).await.unwrap().0;
        let stop = Shutdown::manual(&shutdown::Settings {
            drain_for: HumanDuration::from_millis(1),
            hand_back_for: HumanDuration::from_millis(1),
        });
        let hearing = store.wakeup_listener();
        let ready = async || if hearing.listening() { Ok(()) } else { Err("deaf") };
        eventually_async("events of all servers are received", ready).await;
        assert_eq!(hears_all(&store, &hearing, &stop).await, Some(true));
        // Not the one with the first partition.
        let other = store.node_of(0) == Some(cluster.address(0));
        let other = usize::from(other);
        let flags = |at: usize, flags: &str| {
            cluster.node(at).command(&["CONFIG", "SET", "notify-keyspace-events", flags]).unwrap()
        };
        flags(other, "");
        assert_eq!(hears_all(&store, &hearing, &stop).await, Some(false));
        flags(other, "KEhx");
        assert_eq!(hears_all(&store, &hearing, &stop).await, Some(true));
        let added = cluster.add_primary().unwrap();
        let p = (0..8).find(|p| store.node_of(*p) == Some(cluster.address(other))).unwrap();
        let slot = cluster.slot(&format!("epoch:{{{p}}}")).unwrap();
        cluster.move_slot(slot, other, added).unwrap();
        let moved = async || match store.node_of(p) {
            Some(node) if node == cluster.address(added) && store.can_ask(p) && hearing.listening() => Ok(()),
            node => Err(format!("{node:?}")),
        };
        eventually_async("the partition has moved", moved).await;
        assert_eq!(hears_all(&store, &hearing, &stop).await, Some(true));
        cluster.node(added).command(&["CONFIG", "SET", "notify-keyspace-events", ""]).unwrap();
        assert_eq!(hears_all(&store, &hearing, &stop).await, Some(false));
    }
}
