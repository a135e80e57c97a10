//! Watches histories: keyspace events of exactly the watched keys, with reference counts, on one connection to each
//! primary. A key is subscribed at the primary that has its slot. An event only means "look now"; many events are
//! merged into one.
//!
//! Pub/sub does not repeat events missed while disconnected, and events may be switched off, so watchers also look by
//! a timer.

mod watched;

use std::sync::Arc;

use fred::clients::Client;
use fred::interfaces::{ClientLike, EventInterface, PubsubInterface};
use fred::types::KeyspaceEvent;
use fred::types::config::Server;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::pool::{HEARTBEAT, answers, quit};
use crate::wakeups::{RETRY, until};

pub(crate) use watched::Watcher;
use watched::{Seen, Work};

/// Keys per SUBSCRIBE.
const TOGETHER: usize = 500;

/// Watches one history. Dropping it cancels its subscription.
#[derive(Debug)]
pub struct OrderWatch {
    watcher: Arc<Watcher>,
    key: Arc<str>,
    seen: watch::Receiver<Seen>,
    looks: u64,
}

impl OrderWatch {
    /// Watches a key, which the server `home` announces.
    pub(crate) fn new(watcher: &Arc<Watcher>, key: String, home: Arc<str>) -> Self {
        let (key, seen) = watcher.join(key.into(), home);
        Self { watcher: Arc::clone(watcher), key, seen, looks: 0 }
    }

    /// Waits until there may be something new: once the subscription is active, after each change, and after each gap
    /// in the events. Many changes are merged into one. Reading after this returns misses nothing that happened
    /// before. May be dropped and called again at any time; waits forever when the store is gone.
    pub async fn changed(&mut self) {
        loop {
            let looks = self.seen.borrow_and_update().looks;
            if looks != self.looks {
                self.looks = looks;
                return;
            }
            if self.seen.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Whether the server that has the order has confirmed the subscription.
    #[must_use]
    pub fn listening(&self) -> bool {
        self.seen.borrow().listening
    }
}

impl Drop for OrderWatch {
    fn drop(&mut self) {
        self.watcher.leave(&self.key);
    }
}

/// Keeps a client connected and its subscriptions as wanted, until cancelled.
pub(crate) async fn listen(watcher: Arc<Watcher>, home: Arc<str>, client: Client, stop: CancellationToken) {
    let database = client.client_config().database.unwrap_or(0);
    while !stop.is_cancelled() {
        // Subscribed before connecting, so that nothing is missed.
        let (events, connected) = (client.keyspace_event_rx(), client.reconnect_rx());
        let errors = client.error_rx();
        match client.init().await {
            Ok(task) => {
                let reported = ClientEvents { events, connected, errors, database, home: Arc::clone(&home) };
                tokio::select! {
                    () = stop.cancelled() => {}
                    end = task => {
                        let reason = end.map(|e| e.err().map(|e| e.kind().clone()));
                        tracing::warn!(
                            event = "redis.client_restarted",
                            client = "order_watch",
                            node = %home,
                            ?reason,
                            "the client for watching orders ended; restarting it"
                        );
                    }
                    () = reported.pass_on(&watcher, &client) => {}
                }
            }
            Err(error) => {
                tracing::debug!(node = %home, %error, "the client for watching orders cannot connect")
            }
        }
        watcher.silent(&home);
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(RETRY) => {}
        }
    }
    watcher.forget(&home);
    quit([client]).await;
}

/// Event streams of the client.
struct ClientEvents {
    events: Receiver<KeyspaceEvent>,
    connected: Receiver<Server>,
    errors: Receiver<(fred::error::Error, Option<Server>)>,
    database: u8,
    home: Arc<str>,
}

impl ClientEvents {
    async fn pass_on(mut self, watcher: &Watcher, client: &Client) {
        let mut beat = tokio::time::interval(HEARTBEAT);
        let (mut up, mut settle_at) = (false, None);
        let mut unsettled = watcher.unsettled.subscribe();
        let home = Arc::clone(&self.home);
        loop {
            tokio::select! {
                biased;
                connected = self.connected.recv() => match connected {
                    Ok(_) | Err(RecvError::Lagged(_)) => {
                        watcher.anew(&home);
                        (up, settle_at) = (true, Some(Instant::now()));
                    }
                    Err(RecvError::Closed) => return,
                },
                error = self.errors.recv() => match error {
                    Ok(_) | Err(RecvError::Lagged(_)) => watcher.silent(&home),
                    Err(RecvError::Closed) => return,
                },
                // Before it is connected, nothing can be subscribed.
                changed = unsettled.changed(), if up && settle_at.is_none() => match changed {
                    Ok(()) => settle_at = Some(Instant::now()),
                    Err(_) => return,
                },
                () = until(settle_at) => {
                    settle_at = match settle(watcher, &home, client, self.database).await {
                        Some(false) => None,
                        Some(true) => Some(Instant::now()),
                        None => Some(Instant::now() + RETRY),
                    };
                    // Pass events on in between, however many watchers come and go.
                    if self.drain(watcher).is_err() {
                        return;
                    }
                }
                event = self.events.recv() => match event {
                    Ok(event) => {
                        saw(watcher, &event);
                        if self.drain(watcher).is_err() {
                            return;
                        }
                    }
                    Err(RecvError::Lagged(_)) => watcher.gap(&home),
                    Err(RecvError::Closed) => return,
                },
                _ = beat.tick() => if !answers(client).await { watcher.silent(&home) },
            }
        }
    }

    /// Passes on all waiting events; an error when no more will come.
    fn drain(&mut self, watcher: &Watcher) -> Result<(), TryRecvError> {
        loop {
            match self.events.try_recv() {
                Ok(event) => saw(watcher, &event),
                Err(TryRecvError::Lagged(_)) => watcher.gap(&self.home),
                Err(TryRecvError::Empty) => return Ok(()),
                Err(closed @ TryRecvError::Closed) => return Err(closed),
            }
        }
    }
}

fn saw(watcher: &Watcher, event: &KeyspaceEvent) {
    if let Some(key) = event.key.as_str() {
        watcher.changed(key);
    }
}

/// The channels of some keys.
fn channels(database: u8, keys: &[Arc<str>]) -> Vec<String> {
    keys.iter().map(|key| format!("__keyspace@{database}__:{key}")).collect()
}

/// Updates some subscriptions to match what is watched. Returns whether there is more to do, `None` when it failed.
async fn settle(watcher: &Watcher, home: &Arc<str>, client: &Client, database: u8) -> Option<bool> {
    let Work { subscribe, unsubscribe, more } = watcher.work(home, TOGETHER);
    // Events of keys that could not be unsubscribed are ignored until the next connection.
    let done = tell(client, channels(database, &unsubscribe), false).await
        && tell(client, channels(database, &subscribe), true).await;
    if done {
        watcher.subscribed(home, &subscribe);
        return Some(more);
    }
    watcher.failed(home, subscribe);
    None
}

/// Subscribes to channels, or unsubscribes. Repeating it is harmless.
async fn tell(client: &Client, channels: Vec<String>, subscribe: bool) -> bool {
    if channels.is_empty() {
        return true;
    }
    let reported = match subscribe {
        true => client.subscribe(channels).await,
        false => client.unsubscribe(channels).await,
    };
    if let Err(error) = reported {
        tracing::debug!(%error, "cannot change subscriptions");
        return false;
    }
    // The client does not wait for the reply to a subscription; the reply to a PING after it shows that it was
    // accepted.
    !subscribe || answers(client).await
}
