//! Watching histories: keyspace events of exactly the keys that somebody watches, counted by reference, on one
//! connection to each primary; a key is subscribed at the one that has its slot. An event is a flag that says "look now"; many are one.
//!
//! Pub/sub forgets who was away, and events may be switched off: whoever watches also looks by a timer.

mod watched;

use std::sync::Arc;

use fred::clients::Client;
use fred::interfaces::{ClientLike, EventInterface, PubsubInterface};
use fred::types::KeyspaceEvent;
use fred::types::config::Server;
use posthaste_model::Suffix;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::hearing::{RETRY, until};
use crate::node::Node;
use crate::pool::{HEARTBEAT, UNRESPONSIVE};
use crate::store::Store;
use crate::supervise::quit;

pub(crate) use watched::Watcher;
use watched::{Seen, Work};

/// Keys of one SUBSCRIBE.
const TOGETHER: usize = 500;

/// Watches one history. Dropped, it gives its subscription up.
#[derive(Debug)]
pub struct HistoryWatch {
    watcher: Arc<Watcher>,
    key: Arc<str>,
    seen: watch::Receiver<Seen>,
    looks: u64,
}

impl HistoryWatch {
    /// Waits until there may be something to see: once the subscription stands, after each change, and after each gap in
    /// what was heard. Many changes are one. Whoever reads after this returned misses nothing that came before. May be
    /// dropped and called again at any time; waits for ever when the store is gone.
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

    /// Whether the server that has the order has taken the subscription.
    #[must_use]
    pub fn listening(&self) -> bool {
        self.seen.borrow().listening
    }
}

impl Drop for HistoryWatch {
    fn drop(&mut self) {
        self.watcher.leave(&self.key);
    }
}

impl Store {
    /// Watches the history of an order, which need not be there yet. The first call makes the connection for it.
    #[must_use]
    pub fn watch_history(&self, suffix: &Suffix) -> HistoryWatch {
        let mut started = false;
        let watcher = self.0.watcher.get_or_init(|| {
            started = true;
            Arc::new(Watcher::default())
        });
        if started {
            self.0.routes.primaries().iter().for_each(|primary| self.0.listen_at(primary));
        }
        let keys = posthaste_protocol::Keys::of_partition(self.partition_of(suffix));
        let key = keys.history(suffix);
        let home = self.0.home_of(&key);
        let (key, seen) = watcher.join(key.into(), home);
        HistoryWatch { watcher: Arc::clone(watcher), key, seen, looks: 0 }
    }

    /// How many histories are watched.
    #[must_use]
    pub fn watched(&self) -> usize {
        self.0.watcher.get().map_or(0, |watcher| watcher.count())
    }
}

/// Keeps a client connected and its subscriptions as they are wanted, until told to stop.
pub(crate) async fn listen(watcher: Arc<Watcher>, home: Arc<str>, client: Client, stop: CancellationToken) {
    let database = client.client_config().database.unwrap_or(0);
    while !stop.is_cancelled() {
        // Before it connects, so that nothing is missed.
        let (events, connected) = (client.keyspace_event_rx(), client.reconnect_rx());
        let errors = client.error_rx();
        match client.init().await {
            Ok(task) => {
                let told = Told { events, connected, errors, database, home: Arc::clone(&home) };
                tokio::select! {
                    () = stop.cancelled() => {}
                    end = task => tracing::warn!(node = %home, reason = ?end.map(|e| e.err().map(|e| e.kind().clone())), "the watching client ended"),
                    () = told.pass_on(&watcher, &client) => {}
                }
            }
            Err(error) => tracing::debug!(node = %home, %error, "the watching client can't connect"),
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

/// What the client tells.
struct Told {
    events: Receiver<KeyspaceEvent>,
    connected: Receiver<Server>,
    errors: Receiver<(fred::error::Error, Option<Server>)>,
    database: u8,
    home: Arc<str>,
}

impl Told {
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
                // Before it is connected there is nobody to tell.
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
                    // However many come and go, what is heard is passed on in between.
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
                _ = beat.tick() => if !alive(client).await { watcher.silent(&home) },
            }
        }
    }

    /// Passes on what is there; an error when nothing more will come.
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

/// Brings some subscriptions in step with what is watched; whether there is more to do, `None` when it failed.
async fn settle(watcher: &Watcher, home: &Arc<str>, client: &Client, database: u8) -> Option<bool> {
    let Work { subscribe, unsubscribe, more } = watcher.work(home, TOGETHER);
    // What could not be given up is heard in vain, until the next connection.
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
    let told = match subscribe {
        true => client.subscribe(channels).await,
        false => client.unsubscribe(channels).await,
    };
    if let Err(error) = told {
        tracing::debug!(%error, "changing subscriptions failed");
        return false;
    }
    // The client does not wait for the reply to a subscription; that to a PING behind it says that it was taken.
    !subscribe || alive(client).await
}

/// A connection that only listens would never notice that the other end is gone.
async fn alive(client: &Client) -> bool {
    let ping = Node::any(client);
    matches!(timeout(UNRESPONSIVE * 2, ping.ask("PING", Vec::new(), 0)).await, Ok(Ok(_)))
}
