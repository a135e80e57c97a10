//! Checks every server once a second, and at once when a call failed: could it store something now? A courier makes a
//! call every second anyway, which shows most states, so it checks only every fifth second.

use std::sync::{Arc, Weak};
use std::time::Duration;

use fred::clients::Client;
use fred::interfaces::ClientLike;
use futures::future::join_all;
use posthaste_model::Durability;
use posthaste_protocol::ReplyValue;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::look::look;
use super::{ServerTroubles, loading};
use crate::command::{self, text};
use crate::inner::Inner;
use crate::missing::holds;
use crate::preflight::Confirm;
use crate::primary::Primary;
use crate::redis_state::RedisState;
use crate::settings::Role;

/// Time between two checks.
const EVERY: Duration = Duration::from_secs(1);
/// Seconds between two checks of a process that makes a call every second anyway.
const COURIERS_EVERY: u32 = 5;
/// Least time before a requested check.
const PAUSE: Duration = Duration::from_millis(100);
/// How long a server may take to answer a check.
const WITHIN: Duration = Duration::from_secs(2);
/// Checks until cancelled, or until the store is gone.
pub(crate) async fn watch(inner: Weak<Inner>, troubles: ServerTroubles, stop: CancellationToken) {
    let mut quiet = 0;
    loop {
        if let Some(inner) = inner.upgrade() {
            let calls_anyway = matches!(inner.role, Role::Courier(_) | Role::CourierWith { .. });
            if quiet == 0 || !calls_anyway || !troubles.watch().borrow().is_empty() {
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = inner.look_for_trouble() => {}
                }
            }
        } else {
            return;
        }
        troubles.tick();
        let (pause, requested) = (tokio::time::sleep(PAUSE), troubles.requested());
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(EVERY) => quiet = (quiet + 1) % COURIERS_EVERY,
            () = async { pause.await; requested.await } => quiet = 0,
        }
    }
}

impl Inner {
    async fn look_for_trouble(&self) {
        let primaries = self.routes.primaries();
        self.troubles.nodes(primaries.iter().map(|primary| Arc::clone(&primary.address)).collect());
        join_all(primaries.iter().map(|primary| self.look_at(primary))).await;
    }

    async fn look_at(&self, primary: &Primary) {
        let (name, begun) = (&primary.address, Instant::now());
        let worker = match primary.pool.pick() {
            Some(worker) => Some(worker),
            // A worker that is not checked yet can still give the reason.
            None => primary.pool.workers.iter().find(|worker| worker.client.is_connected()),
        };
        let Some(worker) = worker else {
            let (state, detail) = self.troubles.why_lost();
            let detail = match state {
                RedisState::Loading => loading::progress(&primary.config).await,
                RedisState::Disk => loading::disk(&primary.config).await.or(detail),
                _ => detail,
            };
            let detail = if self.routes.is_cluster() { Some(self.holds(primary, detail)) } else { detail };
            return self.troubles.saw(name, vec![(state, detail)]);
        };
        let client = &worker.client;
        let found = match timeout(WITHIN, look(client, self.routes.is_cluster())).await {
            Ok(found) => found,
            Err(_) => vec![(RedisState::Away, Some(format!("no answer within {} s", WITHIN.as_secs())))],
        };
        if found.is_empty() && !primary.link.is_up() {
            // The server answers this connection, but there is no checked connection for calls yet.
            return;
        }
        if found.is_empty() {
            self.troubles.took(name, begun.elapsed());
        }
        self.troubles.saw(name, found);
        self.look_at_confirming(primary, client).await;
    }

    /// Adds which partitions a server of a cluster holds: only these wait for it.
    fn holds(&self, primary: &Primary, detail: Option<String>) -> String {
        let holds = holds(&self.partitions_of(primary));
        match detail {
            Some(detail) => format!("{detail}; {holds}"),
            None => holds,
        }
    }

    /// Whether a server that did not confirm writes does so now; and whether it could, before a call needs it to.
    async fn look_at_confirming(&self, primary: &Primary, client: &Client) {
        let name = &primary.address;
        if self.settings.durability == Durability::Fast
            || primary.confirm() == Confirm::Reply
            || self.guard.check().is_err()
        {
            return;
        }
        if self.settings.durability == Durability::Replicated
            && let Ok(info) = command::info(client, &["replication"]).await
            && info.get("role") == Some("master")
            && info.number("connected_slaves") == Some(0)
        {
            let detail = Some("no replica is connected".to_owned());
            return self.troubles.begin(name, RedisState::Unconfirmed, detail);
        }
        if self.troubles.lasts(name, RedisState::Unconfirmed) && self.confirms(primary, client).await {
            self.troubles.end(name, RedisState::Unconfirmed);
        }
    }

    /// Whether a server confirms what was written, or nothing was written to it yet that could be confirmed.
    async fn confirms(&self, primary: &Primary, client: &Client) -> bool {
        for at in self.guard.all().iter().filter(|at| self.routes.has(primary, at.slot)) {
            match command::ask(client, "EXISTS", vec![text(at.keys.fence())]).await {
                Ok(ReplyValue::Int(0)) => {}
                Ok(_) => return self.confirmed(at.number, self.before_confirm(at.number)).await.is_ok(),
                Err(_) => return false,
            }
        }
        true
    }
}
