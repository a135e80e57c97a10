//! Listens to the bells of orders: `expired` events of the server, as a flag that says "look now".
//!
//! Pub/sub does not repeat events missed while disconnected, and events may be switched off, so listeners also look
//! by a timer.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

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

/// How soon a failed connection or subscription is tried again.
pub(crate) const RETRY: Duration = Duration::from_millis(500);

/// What a listener received.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WakeupEvent {
    /// An order became due, or a parcel was put where couriers find it.
    Bell,
    /// Events may have been missed: look at everything.
    Gap,
}

/// State shared by all listeners.
#[derive(Debug, Clone, Copy, Default)]
struct ListenerCounts {
    bells: u64,
    gaps: u64,
    last: Option<Instant>,
    listening: bool,
}

/// A listener. Each clone listens for itself.
#[derive(Debug, Clone)]
pub struct WakeupListener {
    received: watch::Receiver<ListenerCounts>,
    by_partition: Arc<[AtomicU64]>,
    bells: u64,
    gaps: u64,
}

impl WakeupListener {
    /// Waits for an event since the last call. Many events are merged into one; a gap is returned before bells. May
    /// be dropped and called again at any time.
    pub async fn wait(&mut self) -> WakeupEvent {
        loop {
            let received = *self.received.borrow_and_update();
            if received.gaps != self.gaps {
                (self.gaps, self.bells) = (received.gaps, received.bells);
                return WakeupEvent::Gap;
            }
            if received.bells != self.bells {
                self.bells = received.bells;
                return WakeupEvent::Bell;
            }
            if self.received.changed().await.is_err() {
                // The store is gone, so there will be no more events.
                std::future::pending::<()>().await;
            }
        }
    }

    /// Number of bells this store has received so far.
    #[must_use]
    pub fn bells(&self) -> u64 {
        self.received.borrow().bells
    }

    /// Number of bells of one partition this store has received so far.
    #[must_use]
    pub fn bells_of(&self, p: u16) -> u64 {
        self.by_partition.get(usize::from(p)).map_or(0, |bells| bells.load(Ordering::Acquire))
    }

    /// Number of gaps so far. The first subscription counts as one, because earlier events are unknown.
    #[must_use]
    pub fn gaps(&self) -> u64 {
        self.received.borrow().gaps
    }

    /// When the last bell was received.
    #[must_use]
    pub fn last_bell(&self) -> Option<Instant> {
        self.received.borrow().last
    }

    /// Whether every server has confirmed our subscription.
    #[must_use]
    pub fn listening(&self) -> bool {
        self.received.borrow().listening
    }
}

/// The sender of received events.
#[derive(Debug)]
pub(crate) struct EventReceiver {
    received: watch::Sender<ListenerCounts>,
    by_partition: Arc<[AtomicU64]>,
    /// Whether each server has confirmed our subscription.
    servers: Mutex<BTreeMap<Arc<str>, bool>>,
}

impl EventReceiver {
    pub(crate) fn new(partitions: u16) -> Self {
        let by_partition = (0..partitions).map(|_| AtomicU64::new(0)).collect();
        Self {
            received: watch::Sender::new(ListenerCounts::default()),
            by_partition,
            servers: Mutex::default(),
        }
    }

    /// A new listener.
    pub(crate) fn listener(&self) -> WakeupListener {
        let received = self.received.subscribe();
        let (bells, gaps) = (received.borrow().bells, received.borrow().gaps);
        WakeupListener { received, by_partition: Arc::clone(&self.by_partition), bells, gaps }
    }

    fn servers(&self, change: impl FnOnce(&mut BTreeMap<Arc<str>, bool>)) {
        let mut servers = self.servers.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut servers);
        let listening = !servers.is_empty() && servers.values().all(|listening| *listening);
        self.received.send_modify(|received| received.listening = listening);
    }

    /// There are no events from a server for the moment.
    pub(crate) fn silent(&self, server: &Arc<str>) {
        self.servers(|servers| {
            servers.insert(Arc::clone(server), false);
        });
    }

    /// A server has confirmed our subscription; events before that are unknown.
    fn listens(&self, server: &Arc<str>) {
        self.servers(|servers| {
            servers.insert(Arc::clone(server), true);
        });
        self.received.send_modify(|received| received.gaps += 1);
    }

    /// A server is no longer used.
    pub(crate) fn forget(&self, server: &str) {
        self.servers(|servers| {
            servers.remove(server);
        });
    }

    fn gap(&self) {
        metrics::counter!("posthaste_redis_event_gaps_total", "listener" => "wakeups").increment(1);
        self.received.send_modify(|received| received.gaps += 1);
    }

    /// Whether the event is a bell; counts it for its partition.
    fn is_bell(&self, event: &KeyspaceEvent) -> bool {
        let key = event.key.as_bytes();
        if !key.starts_with(b"delivery:") && !key.starts_with(b"bell:") {
            return false;
        }
        let partition =
            event.key.as_str().and_then(|key| key.split_once('{')?.1.split_once('}')?.0.parse().ok());
        if let Some(bells) = partition.and_then(|p: usize| self.by_partition.get(p)) {
            bells.fetch_add(1, Ordering::AcqRel);
        }
        true
    }
}

/// The channel of `expired` events in the database of this client.
fn channel(client: &Client) -> String {
    format!("__keyevent@{}__:expired", client.client_config().database.unwrap_or(0))
}

/// Keeps a client connected and subscribed, and passes on its events, until cancelled.
pub(crate) async fn listen(
    receiver: Arc<EventReceiver>,
    server: Arc<str>,
    client: Client,
    stop: CancellationToken,
) {
    let channel = channel(&client);
    while !stop.is_cancelled() {
        // Subscribed before connecting, so that nothing is missed.
        let (events, connected) = (client.keyspace_event_rx(), client.reconnect_rx());
        let errors = client.error_rx();
        match client.init().await {
            Ok(task) => {
                let reported = ClientEvents { events, connected, errors, server: Arc::clone(&server) };
                tokio::select! {
                    () = stop.cancelled() => {}
                    end = task => {
                        let reason = end.map(|e| e.err().map(|e| e.kind().clone()));
                        tracing::warn!(
                            event = "redis.client_restarted",
                            client = "wakeups",
                            node = %server,
                            ?reason,
                            "the client for wake-up events ended; restarting it"
                        );
                    }
                    () = reported.pass_on(&receiver, &client, &channel) => {}
                }
            }
            Err(error) => {
                tracing::debug!(node = %server, %error, "the client for wake-up events cannot connect")
            }
        }
        if !stop.is_cancelled() {
            receiver.silent(&server);
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(RETRY) => {}
        }
    }
    quit([client]).await;
}

/// Event streams of the client.
struct ClientEvents {
    events: Receiver<KeyspaceEvent>,
    connected: Receiver<Server>,
    errors: Receiver<(fred::error::Error, Option<Server>)>,
    server: Arc<str>,
}

impl ClientEvents {
    async fn pass_on(mut self, receiver: &EventReceiver, client: &Client, channel: &str) {
        let mut beat = tokio::time::interval(HEARTBEAT);
        let mut subscribe_at: Option<Instant> = None;
        loop {
            tokio::select! {
                biased;
                connected = self.connected.recv() => match connected {
                    // Subscriptions of the old connection are gone.
                    Ok(_) | Err(RecvError::Lagged(_)) => subscribe_at = Some(Instant::now()),
                    Err(RecvError::Closed) => return,
                },
                error = self.errors.recv() => match error {
                    Ok(_) | Err(RecvError::Lagged(_)) => receiver.silent(&self.server),
                    Err(RecvError::Closed) => return,
                },
                () = until(subscribe_at) => {
                    subscribe_at = match subscribe(client, channel).await {
                        true => {
                            receiver.listens(&self.server);
                            None
                        }
                        false => Some(Instant::now() + RETRY),
                    };
                }
                event = self.events.recv() => match event {
                    Ok(event) => self.count(receiver, &event),
                    Err(RecvError::Lagged(_)) => receiver.gap(),
                    Err(RecvError::Closed) => return,
                },
                _ = beat.tick() => if !answers(client).await { receiver.silent(&self.server) },
            }
        }
    }

    /// Counts an event and all that wait behind it, and notifies listeners once.
    fn count(&mut self, receiver: &EventReceiver, first: &KeyspaceEvent) {
        let mut bells = u64::from(receiver.is_bell(first));
        let mut lagged = false;
        loop {
            match self.events.try_recv() {
                Ok(event) => bells += u64::from(receiver.is_bell(&event)),
                Err(TryRecvError::Lagged(_)) => lagged = true,
                Err(TryRecvError::Empty | TryRecvError::Closed) => break,
            }
        }
        if bells > 0 {
            receiver.received.send_modify(|received| {
                received.bells += bells;
                received.last = Some(Instant::now());
            });
        }
        if lagged {
            receiver.gap();
        }
    }
}

/// Waits until a moment; forever when there is none.
pub(crate) async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// Repeating it is harmless.
async fn subscribe(client: &Client, channel: &str) -> bool {
    match client.subscribe(channel).await {
        Ok(()) => true,
        Err(error) => {
            tracing::debug!(%error, "cannot subscribe to wake-up events");
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::broadcast;

    use super::*;

    fn event(key: &str) -> KeyspaceEvent {
        KeyspaceEvent { db: 0, operation: "expired".into(), key: key.into() }
    }

    #[tokio::test]
    async fn dropped_events_are_a_gap() {
        let receiver = EventReceiver::new(1);
        let (sender, events) = broadcast::channel(4);
        let (_, connected) = broadcast::channel(1);
        let (_, errors) = broadcast::channel(1);
        let mut reported = ClientEvents { events, connected, errors, server: "here".into() };
        for key in ["delivery:{0}:a:1", "other", "bell:{0}", "delivery:{0}:a:2", "x", "bell:{0}", "delivery"]
        {
            let _ = sender.send(event(key));
        }
        reported.count(&receiver, &event("bell:{0}"));
        let received = *receiver.received.borrow();
        // Four were kept; two of them are bells, plus the first one.
        assert_eq!((received.bells, received.gaps), (3, 1));
        assert_eq!(receiver.by_partition[0].load(Ordering::Acquire), 3);
    }
}
