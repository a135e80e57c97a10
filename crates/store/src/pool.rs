//! The connections to one server for calls: a few clients, each of which pipelines its calls.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use fred::clients::Client;
use fred::error::Error;
use fred::interfaces::{ClientLike, EventInterface};
use fred::types::config::{
    Config, ConnectionConfig, PerformanceConfig, ReconnectPolicy, Server, TcpConfig, UnresponsiveConfig,
};
use futures::future::join_all;
use tokio::sync::Notify;
use tokio::sync::broadcast::Receiver;
use tokio::time::timeout;

use crate::command;
use crate::error::{CallError, NoReplyCause};

/// How often an idle connection is tested. Longer than `UNRESPONSIVE`: the client measures silence from its last
/// write.
pub(crate) const HEARTBEAT: Duration = Duration::from_secs(4);
/// After this much silence a connection with an outstanding command is given up.
pub(crate) const UNRESPONSIVE: Duration = Duration::from_secs(2);
/// Server messages kept for a slow reader of events.
pub(crate) const EVENTS_KEPT: usize = 8_192;
/// Events about its own connection that a client keeps for its supervisor. With room for only one, a connection fails
/// as "lagged".
pub(crate) const OWN_EVENTS: usize = 64;
/// Most commands waiting in one client.
const BACKLOG: usize = 10_000;

/// A client that is not connected yet. `silence` is how long its connection may be silent before it is given up.
pub(crate) fn client(config: &Config, timeout: Duration, silence: Duration, events: usize) -> Client {
    let performance = PerformanceConfig {
        default_command_timeout: timeout,
        broadcast_channel_capacity: events,
        ..PerformanceConfig::default()
    };
    let connection = ConnectionConfig {
        connection_timeout: Duration::from_secs(2),
        internal_command_timeout: Duration::from_secs(2),
        // A lost reply must not run a script a second time unnoticed by the caller.
        max_command_attempts: 1,
        max_command_buffer_len: BACKLOG,
        reconnect_on_auth_error: true,
        unresponsive: UnresponsiveConfig { max_timeout: Some(silence), interval: Duration::from_millis(500) },
        tcp: TcpConfig { nodelay: Some(true), ..TcpConfig::default() },
        ..ConnectionConfig::default()
    };
    let policy = ReconnectPolicy::new_exponential(0, 50, 2_000, 2);
    Client::new(config.clone(), Some(performance), Some(connection), Some(policy))
}

/// One client and its state.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) client: Client,
    /// The address of its server, as text for people.
    pub(crate) address: Arc<str>,
    up: AtomicBool,
    replacing: AtomicBool,
    /// Notified when the connection is being replaced, so that its supervisor reports it.
    pub(crate) replaced: Notify,
    /// Counts uses, so that only an idle connection is tested.
    pub(crate) used: AtomicU64,
}

impl Worker {
    pub(crate) fn new(client: Client, address: Arc<str>) -> Arc<Self> {
        let (up, replacing) = (AtomicBool::new(false), AtomicBool::new(false));
        Arc::new(Self { client, address, up, replacing, replaced: Notify::new(), used: AtomicU64::new(0) })
    }

    pub(crate) fn is_up(&self) -> bool {
        self.up.load(Ordering::Acquire)
    }

    pub(crate) fn set_up(&self, up: bool) {
        self.up.store(up, Ordering::Release);
    }

    /// Replaces the connection: it hangs, or its replies were mixed up. Does not wait for it.
    pub(crate) fn replace(self: &Arc<Self>) {
        if self.replacing.swap(true, Ordering::AcqRel) {
            return;
        }
        self.set_up(false);
        self.replaced.notify_one();
        let worker = Arc::clone(self);
        tokio::spawn(async move {
            if let Err(error) = worker.client.force_reconnection().await {
                tracing::debug!(%error, "cannot replace a connection");
            }
            worker.replacing.store(false, Ordering::Release);
        });
    }
}

/// What a client reports about its connections.
pub(crate) struct Events {
    pub(crate) errors: Receiver<(Error, Option<Server>)>,
    pub(crate) reconnects: Receiver<Server>,
}

impl Events {
    pub(crate) fn of(client: &Client) -> Self {
        Self { errors: client.error_rx(), reconnects: client.reconnect_rx() }
    }
}

/// All workers of a server.
#[derive(Debug)]
pub(crate) struct Pool {
    pub(crate) workers: Vec<Arc<Worker>>,
    turn: AtomicUsize,
    pub(crate) changed: Notify,
}

impl Pool {
    pub(crate) fn new(workers: Vec<Arc<Worker>>) -> Self {
        Self { workers, turn: AtomicUsize::new(0), changed: Notify::new() }
    }

    /// The next worker that is up.
    pub(crate) fn pick(&self) -> Option<&Arc<Worker>> {
        self.pick_from(self.next_turn())
    }

    /// A number that grows, for [`Self::pick_from`].
    pub(crate) fn next_turn(&self) -> usize {
        self.turn.fetch_add(1, Ordering::Relaxed)
    }

    /// The worker for this turn; the same one for the same turn as long as it is up.
    pub(crate) fn pick_from(&self, turn: usize) -> Option<&Arc<Worker>> {
        let count = self.workers.len();
        (0..count).map(|i| &self.workers[(turn.wrapping_add(i)) % count]).find(|worker| worker.is_up())
    }

    /// The next worker that is up; waits for one at most this long.
    pub(crate) async fn wait(&self, patience: Duration) -> Result<&Arc<Worker>, CallError> {
        self.wait_from(self.next_turn(), patience).await
    }

    /// The same for the worker of this turn.
    pub(crate) async fn wait_from(&self, turn: usize, patience: Duration) -> Result<&Arc<Worker>, CallError> {
        if let Some(worker) = self.pick_from(turn) {
            return Ok(worker);
        }
        let found = tokio::time::timeout(patience, async {
            loop {
                let changed = self.changed.notified();
                tokio::pin!(changed);
                changed.as_mut().enable();
                if let Some(worker) = self.pick_from(turn) {
                    return worker;
                }
                changed.await;
            }
        });
        found.await.map_err(|_| CallError::NoReply(NoReplyCause::NotConnected))
    }
}

/// Whether a client's connection answers. One that only listens would never notice by itself that the other end is
/// gone.
pub(crate) async fn answers(client: &Client) -> bool {
    matches!(timeout(UNRESPONSIVE * 2, command::ask(client, "PING", Vec::new())).await, Ok(Ok(_)))
}

/// Closes clients cleanly, but does not wait forever.
pub(crate) async fn quit(clients: impl IntoIterator<Item = Client>) {
    join_all(clients.into_iter().map(|client| async move {
        let _ = timeout(UNRESPONSIVE, client.quit()).await;
    }))
    .await;
}
