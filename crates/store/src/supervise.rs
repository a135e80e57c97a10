//! Supervises one client: notices when its connection is lost, checks every new one, and tests an idle one.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError, Weak};
use std::time::Duration;

use fred::interfaces::ClientLike;
use fred::types::ConnectHandle;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Instant, timeout};

use crate::error::CallError;
use crate::inner::Inner;
use crate::pool::{self, Events, HEARTBEAT, Worker};
use crate::preflight::{self, Severity};
use crate::primary::{Fresh, Primary};
use crate::settings::Role;

/// How soon a connected but unchecked connection is checked again.
const RECHECK: Duration = Duration::from_millis(250);
/// How soon after a connection was refused or failed.
const RETRY: Duration = Duration::from_secs(1);

/// Supervises clients of a primary from now on; connects those that are not connected.
pub(crate) fn start(inner: &Arc<Inner>, primary: &Arc<Primary>, clients: Vec<Fresh>) {
    for Fresh { worker, events, task, in_pool } in clients {
        let task = task.unwrap_or_else(|| worker.client.connect());
        let (inner, primary) = (Arc::downgrade(inner), Arc::clone(primary));
        tokio::spawn(watch(inner, primary, worker, task, events, in_pool));
    }
}

/// Watches a client of a primary until cancelled. `in_pool`: it takes calls, so it is checked; otherwise it is only
/// kept alive.
async fn watch(
    inner: Weak<Inner>,
    primary: Arc<Primary>,
    worker: Arc<Worker>,
    mut task: ConnectHandle,
    mut events: Events,
    in_pool: bool,
) {
    let stop = primary.stop.clone();
    let down = || down(&inner, &primary, &worker, in_pool);
    let (mut used, mut look_at) = (0, Instant::now() + HEARTBEAT);
    loop {
        let mut check_now = false;
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            ended = &mut task => {
                let reason = ended.map(|end| end.err().map(|e| e.kind().clone()));
                tracing::warn!(
                    event = "redis.client_restarted",
                    client = "calls",
                    node = %worker.address,
                    ?reason,
                    "a Redis client ended; restarting it"
                );
                down();
                tokio::select! {
                    () = stop.cancelled() => break,
                    () = tokio::time::sleep(RETRY) => {}
                }
                events = Events::of(&worker.client);
                task = worker.client.connect();
                // A single try: the loop checks whether it worked.
                let _ = timeout(RETRY, worker.client.wait_for_connect()).await;
                check_now = true;
            }
            error = events.errors.recv() => match error {
                Ok((error, _)) => {
                    tracing::debug!(node = %worker.address, %error, "a connection failed");
                    if let Some(inner) = inner.upgrade() {
                        inner.troubles.lost(&error);
                    }
                    down();
                    look_at = Instant::now() + RECHECK;
                }
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => events = Events::of(&worker.client),
            },
            () = worker.replaced.notified() => {
                down();
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
            let good = !in_pool || inner.check(&primary, &worker).await;
            if good {
                worker.set_up(true);
                primary.pool.changed.notify_waiters();
                inner.routes.reported();
                inner.count_away();
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
            if count == used && !pool::answers(&worker.client).await {
                tracing::debug!(node = %worker.address, "a connection does not answer PING");
            }
            used = count;
            look_at = Instant::now() + HEARTBEAT;
        }
    }
    pool::quit([worker.client.clone()]).await;
    task.abort();
}

fn down(inner: &Weak<Inner>, primary: &Primary, worker: &Arc<Worker>, in_pool: bool) {
    worker.set_up(false);
    if let Some(inner) = inner.upgrade()
        && in_pool
        && primary.pool.pick().is_none()
    {
        inner.lost(primary);
        inner.troubles.look_now();
    }
}

impl Inner {
    /// Checks whether a new connection leads to a suitable server and to our database. Returns whether it may take
    /// calls.
    async fn check(&self, primary: &Primary, worker: &Arc<Worker>) -> bool {
        let _one_at_a_time = primary.checking.lock().await;
        if !worker.client.is_connected() {
            return false;
        }
        let found = match preflight::look(&worker.client, self.settings.durability, &self.role).await {
            Ok(found) => found,
            Err(error) => {
                tracing::debug!(node = %worker.address, %error, "preflight of the server failed");
                return false;
            }
        };
        {
            let mut last = primary.report.lock().unwrap_or_else(PoisonError::into_inner);
            if *last != found.report {
                found.report.log();
                last.clone_from(&found.report);
            }
        }
        self.troubles.judged(&primary.address, &found.report);
        if found.report.worst() == Severity::Refuse {
            return false;
        }
        if primary.link.run_id() != found.run_id {
            // Another run: the earlier registrations no longer count.
            primary.forget();
        }
        primary.set_confirm(found.confirm);
        let met = match self.role {
            Role::Inspector => Ok(()),
            _ => self.register(primary, worker).await,
        };
        match met {
            // Every call reports a stop.
            Ok(()) | Err(CallError::Fatal(_)) => {}
            Err(error) => {
                tracing::debug!(node = %worker.address, %error, "cannot register with the database");
                return false;
            }
        }
        let link = primary.link.watch().borrow().clone();
        if !link.up || link.run_id != found.run_id {
            tracing::info!(
                event = "redis.connected",
                node = %worker.address,
                run_id = found.run_id,
                "connected to the server"
            );
        }
        self.found(primary, found.run_id);
        self.troubles.look_now();
        true
    }
}
