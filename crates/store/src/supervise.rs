//! Looks after one client: notices that its connection is gone, checks every new one, and tries out an idle one.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError, Weak};
use std::time::Duration;

use fred::clients::Client;
use fred::error::Error;
use fred::interfaces::{ClientLike, EventInterface};
use fred::types::ConnectHandle;
use fred::types::config::Server;
use futures::future::join_all;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::error::CallError;
use crate::node::Node;
use crate::pool::{HEARTBEAT, UNRESPONSIVE, Worker};
use crate::preflight::{self, Level};
use crate::settings::Role;
use crate::store::Inner;

/// How soon a connection that is there but unchecked is looked at again.
const RECHECK: Duration = Duration::from_millis(250);
/// How soon after one that was refused, or failed.
const RETRY: Duration = Duration::from_secs(1);

/// What a client tells of its connections.
pub(crate) struct Events {
    errors: Receiver<(Error, Option<Server>)>,
    pub(crate) reconnects: Receiver<Server>,
}

impl Events {
    pub(crate) fn of(client: &Client) -> Self {
        Self { errors: client.error_rx(), reconnects: client.reconnect_rx() }
    }
}

/// Watches a client until told to stop. `in_pool`: it takes calls, so it is checked; else it is only kept alive.
pub(crate) async fn watch(
    inner: Weak<Inner>,
    worker: Arc<Worker>,
    mut task: ConnectHandle,
    mut events: Events,
    stop: CancellationToken,
    in_pool: bool,
) {
    let clustered = worker.client.is_clustered();
    let (mut used, mut look_at) = (0, Instant::now() + HEARTBEAT);
    loop {
        let mut check_now = false;
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            ended = &mut task => {
                tracing::warn!(reason = ?ended.map(|end| end.err().map(|e| e.kind().clone())), "a client of the server ended");
                down(&inner, &worker, in_pool);
                tokio::select! {
                    () = stop.cancelled() => break,
                    () = tokio::time::sleep(RETRY) => {}
                }
                events = Events::of(&worker.client);
                task = worker.client.connect();
                // Not more than a try: the loop looks whether it worked.
                let _ = timeout(RETRY, worker.client.wait_for_connect()).await;
                check_now = true;
            }
            error = events.errors.recv() => match error {
                Ok((error, _)) => {
                    tracing::debug!(%error, "a connection failed");
                    if let Some(inner) = inner.upgrade() {
                        inner.troubles.lost(&error);
                    }
                    // In a cluster the other servers still answer, and the client mends this one.
                    if !clustered {
                        down(&inner, &worker, in_pool);
                        look_at = Instant::now() + RECHECK;
                    }
                }
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => events = Events::of(&worker.client),
            },
            () = worker.replaced.notified() => {
                down(&inner, &worker, in_pool);
                look_at = Instant::now() + RECHECK;
            }
            server = events.reconnects.recv() => match server {
                Ok(_) | Err(RecvError::Lagged(_)) => check_now = true,
                Err(RecvError::Closed) => events = Events::of(&worker.client),
            },
            () = tokio::time::sleep_until(look_at) => check_now = !worker.is_up(),
        }
        let now = Instant::now();
        if check_now {
            let Some(inner) = inner.upgrade() else { break };
            let good = !in_pool || inner.check(&worker).await;
            if good {
                worker.set_up(true);
                inner.pool.changed.notify_waiters();
            }
            look_at = Instant::now()
                + if good {
                    HEARTBEAT
                } else if worker.client.is_connected() {
                    RETRY
                } else {
                    RECHECK
                };
        } else if look_at <= now {
            let count = worker.used.load(Ordering::Relaxed);
            if count == used {
                ping(&worker).await;
            }
            used = count;
            look_at = Instant::now() + HEARTBEAT;
        }
    }
    quit([worker.client.clone()]).await;
    task.abort();
}

fn down(inner: &Weak<Inner>, worker: &Arc<Worker>, in_pool: bool) {
    worker.set_up(false);
    if let Some(inner) = inner.upgrade()
        && in_pool
        && inner.pool.pick().is_none()
    {
        inner.link.down();
        inner.troubles.look_now();
    }
}

/// Every server gets its own: what hangs is found out by the silence.
async fn ping(worker: &Arc<Worker>) {
    let nodes = Node::all(&worker.client);
    let pings = nodes.iter().map(|node| timeout(UNRESPONSIVE * 2, node.ask("PING", Vec::new(), 0)));
    for reply in join_all(pings).await {
        if !matches!(reply, Ok(Ok(_))) {
            tracing::debug!("a connection does not answer");
        }
    }
}

/// Closes clients politely, but not for ever.
pub(crate) async fn quit(clients: impl IntoIterator<Item = Client>) {
    join_all(clients.into_iter().map(|client| async move {
        let _ = timeout(UNRESPONSIVE, client.quit()).await;
    }))
    .await;
}

impl Inner {
    /// Looks whether a new connection leads to a server that will do, and to our database. Whether it may take calls.
    async fn check(&self, worker: &Arc<Worker>) -> bool {
        let _one_at_a_time = self.checking.lock().await;
        if !worker.client.is_connected() {
            return false;
        }
        let found = match preflight::look(&worker.client, self.settings.durability).await {
            Ok(found) => found,
            Err(error) => {
                tracing::debug!(%error, "looking at the server failed");
                return false;
            }
        };
        {
            let mut last = self.report.lock().unwrap_or_else(PoisonError::into_inner);
            if *last != found.report {
                found.report.log();
                last.clone_from(&found.report);
            }
        }
        self.judged(&found.report);
        if found.report.worst() == Level::Refuse {
            return false;
        }
        let met = match self.role {
            Role::Inspector => Ok(()),
            _ => self.register(worker).await,
        };
        match met {
            // A stop is told by every call.
            Ok(()) | Err(CallError::Stop(_)) => {}
            Err(error) => {
                tracing::debug!(%error, "registering failed");
                return false;
            }
        }
        self.set_confirm(found.confirm);
        if !self.link.is_up() || self.link.run_id() != found.run_id {
            tracing::info!(run_id = found.run_id, "connected to the server");
        }
        self.link.up(found.run_id);
        self.troubles.look_now();
        true
    }
}
