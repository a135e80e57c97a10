//! Hearing the bells of orders: `expired` events of the server, as a flag that says "look now".
//!
//! Pub/sub forgets who was away, and events may be switched off: whoever listens also looks by a timer.

use std::sync::Arc;
use std::time::Duration;

use fred::clients::Client;
use fred::interfaces::{ClientLike, EventInterface, PubsubInterface};
use fred::types::KeyspaceEvent;
use fred::types::config::Server;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::node::Node;
use crate::pool::{self, EVENTS_KEPT, HEARTBEAT, UNRESPONSIVE};
use crate::store::{Inner, Store};
use crate::supervise::quit;

/// How soon a connection or subscription that failed is tried again.
pub(crate) const RETRY: Duration = Duration::from_millis(500);

/// What was heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HearingEvent {
    /// An order became due, or something was put where couriers find it.
    Bell,
    /// Something may have been missed: look at everything.
    Gap,
}

/// What all who listen share.
#[derive(Debug, Clone, Copy, Default)]
struct Heard {
    bells: u64,
    gaps: u64,
    last: Option<Instant>,
    listening: bool,
}

/// One who listens. Clones listen for themselves.
#[derive(Debug, Clone)]
pub struct Hearing {
    heard: watch::Receiver<Heard>,
    bells: u64,
    gaps: u64,
}

impl Hearing {
    /// Waits until something was heard since the last call. Many events are one; a gap is told before bells. May be
    /// dropped and called again at any time.
    pub async fn wait(&mut self) -> HearingEvent {
        loop {
            let heard = *self.heard.borrow_and_update();
            if heard.gaps != self.gaps {
                (self.gaps, self.bells) = (heard.gaps, heard.bells);
                return HearingEvent::Gap;
            }
            if heard.bells != self.bells {
                self.bells = heard.bells;
                return HearingEvent::Bell;
            }
            if self.heard.changed().await.is_err() {
                // The store is gone; so is all that could be heard.
                std::future::pending::<()>().await;
            }
        }
    }

    /// Bells heard by this store so far.
    #[must_use]
    pub fn bells(&self) -> u64 {
        self.heard.borrow().bells
    }

    /// Gaps told so far. The first subscription is one: what was before it is unknown.
    #[must_use]
    pub fn gaps(&self) -> u64 {
        self.heard.borrow().gaps
    }

    /// When a bell was last heard.
    #[must_use]
    pub fn last_bell(&self) -> Option<Instant> {
        self.heard.borrow().last
    }

    /// Whether every server we are connected to has taken our subscription.
    #[must_use]
    pub fn listening(&self) -> bool {
        self.heard.borrow().listening
    }
}

/// The one who says what was heard.
#[derive(Debug)]
pub(crate) struct Ear(watch::Sender<Heard>);

impl Store {
    /// Listens to the bells of this database. The first call makes the connection for it; until it is made
    /// [`Hearing::listening`] is false.
    #[must_use]
    pub fn hearing(&self) -> Hearing {
        let ear = self.0.ear.get_or_init(|| {
            let ear = Arc::new(Ear(watch::Sender::new(Heard::default())));
            tokio::spawn(listen(Arc::clone(&ear), subscriber(&self.0), self.0.stop.clone()));
            ear
        });
        let heard = ear.0.subscribe();
        let (bells, gaps) = (heard.borrow().bells, heard.borrow().gaps);
        Hearing { heard, bells, gaps }
    }
}

/// A client that is to listen, not connected yet.
pub(crate) fn subscriber(inner: &Inner) -> Client {
    pool::client(&inner.config, inner.settings.call_timeout, UNRESPONSIVE, EVENTS_KEPT)
}

/// The channel of `expired` events in the database of this client.
fn channel(client: &Client) -> String {
    format!("__keyevent@{}__:expired", client.client_config().database.unwrap_or(0))
}

/// Keeps a client connected and subscribed, and passes on what it hears, until told to stop.
async fn listen(ear: Arc<Ear>, client: Client, stop: CancellationToken) {
    let channel = channel(&client);
    while !stop.is_cancelled() {
        // Before it connects, so that nothing is missed.
        let (events, connected) = (client.keyspace_event_rx(), client.reconnect_rx());
        let errors = client.error_rx();
        match client.init().await {
            Ok(task) => {
                let told = Told { events, connected, errors };
                tokio::select! {
                    () = stop.cancelled() => {}
                    end = task => tracing::warn!(reason = ?end.map(|e| e.err().map(|e| e.kind().clone())), "the listening client ended"),
                    () = told.pass_on(&ear, &client, &channel) => {}
                }
            }
            Err(error) => tracing::debug!(%error, "the listening client can't connect"),
        }
        ear.0.send_modify(|heard| heard.listening = false);
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(RETRY) => {}
        }
    }
    quit([client]).await;
}

/// What the client tells.
struct Told {
    events: Receiver<KeyspaceEvent>,
    connected: Receiver<Server>,
    errors: Receiver<(fred::error::Error, Option<Server>)>,
}

impl Told {
    async fn pass_on(mut self, ear: &Ear, client: &Client, channel: &str) {
        let mut beat = tokio::time::interval(HEARTBEAT);
        let mut subscribe_at: Option<Instant> = None;
        loop {
            tokio::select! {
                biased;
                connected = self.connected.recv() => match connected {
                    // A new connection knows nothing of the old one's subscription.
                    Ok(_) | Err(RecvError::Lagged(_)) => subscribe_at = Some(Instant::now()),
                    Err(RecvError::Closed) => return,
                },
                error = self.errors.recv() => match error {
                    Ok(_) | Err(RecvError::Lagged(_)) => ear.0.send_modify(|heard| heard.listening = false),
                    Err(RecvError::Closed) => return,
                },
                () = until(subscribe_at) => {
                    subscribe_at = match subscribe(client, channel).await {
                        true => {
                            ear.0.send_modify(|heard| {
                                heard.listening = true;
                                heard.gaps += 1;
                            });
                            None
                        }
                        false => Some(Instant::now() + RETRY),
                    };
                }
                event = self.events.recv() => match event {
                    Ok(event) => self.count(ear, &event),
                    Err(RecvError::Lagged(_)) => gap(ear),
                    Err(RecvError::Closed) => return,
                },
                _ = beat.tick() => ping(client, ear).await,
            }
        }
    }

    /// Counts an event and all that wait behind it, and tells once.
    fn count(&mut self, ear: &Ear, first: &KeyspaceEvent) {
        let mut bells = u64::from(is_bell(first));
        let mut lagged = false;
        loop {
            match self.events.try_recv() {
                Ok(event) => bells += u64::from(is_bell(&event)),
                Err(TryRecvError::Lagged(_)) => lagged = true,
                Err(TryRecvError::Empty | TryRecvError::Closed) => break,
            }
        }
        if bells > 0 {
            ear.0.send_modify(|heard| {
                heard.bells += bells;
                heard.last = Some(Instant::now());
            });
        }
        if lagged {
            gap(ear);
        }
    }
}

fn is_bell(event: &KeyspaceEvent) -> bool {
    let key = event.key.as_bytes();
    key.starts_with(b"delivery:") || key.starts_with(b"bell:")
}

fn gap(ear: &Ear) {
    metrics::counter!("posthaste_store_hearing_gaps_total").increment(1);
    ear.0.send_modify(|heard| heard.gaps += 1);
}

/// Waits until a moment; for ever when there is none.
pub(crate) async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// Subscribes at every server: in a cluster each announces only its own keys. Repeating it is harmless.
async fn subscribe(client: &Client, channel: &str) -> bool {
    let nodes = Node::all(client);
    for node in &nodes {
        let subscribed = match &node.server {
            Some(server) => client.with_cluster_node(server).subscribe(channel).await,
            None => client.subscribe(channel).await,
        };
        if let Err(error) = subscribed {
            tracing::debug!(%error, "subscribing failed");
            return false;
        }
    }
    !nodes.is_empty()
}

/// A connection that only listens would never notice that the other end is gone.
async fn ping(client: &Client, ear: &Ear) {
    for node in Node::all(client) {
        if !matches!(timeout(UNRESPONSIVE * 2, node.ask("PING", Vec::new(), 0)).await, Ok(Ok(_))) {
            ear.0.send_modify(|heard| heard.listening = false);
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
    async fn events_that_were_dropped_are_a_gap() {
        let ear = Ear(watch::Sender::new(Heard::default()));
        let (sender, events) = broadcast::channel(4);
        let (_, connected) = broadcast::channel(1);
        let (_, errors) = broadcast::channel(1);
        let mut told = Told { events, connected, errors };
        for key in ["delivery:{0}:a:1", "other", "bell:{0}", "delivery:{0}:a:2", "x", "bell:{0}", "delivery"]
        {
            let _ = sender.send(event(key));
        }
        told.count(&ear, &event("bell:{0}"));
        let heard = *ear.0.borrow();
        // Four were kept; of them two are bells, and the first one came before.
        assert_eq!((heard.bells, heard.gaps), (3, 1));
    }
}
