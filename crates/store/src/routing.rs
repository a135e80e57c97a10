//! The route of a call: to the primary of its slot, after registering there, and once further when that says that the
//! slot has moved.

use std::sync::Arc;
use std::time::Duration;

use fred::types::Value as Arg;
use fred::types::config::{Config, ServerConfig};
use posthaste_protocol::ReplyValue;
use tokio::time::Instant;

use crate::cluster::{Map, NodeAddress};
use crate::epoch_guard::Partition;
use crate::error::{CallError, Retryable, server_error};
use crate::node;
use crate::pool::Worker;
use crate::primary::Primary;
use crate::settings::Role;
use crate::store::{Inner, Store};

/// How long a call waits for a connection to a primary of a cluster: the others answer meanwhile, and a caller must
/// not wait for a whole failover.
const CLUSTER_PATIENCE: Duration = Duration::from_secs(1);

/// A redirection: another server has the slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Moved {
    slot: u16,
    to: NodeAddress,
}

impl Moved {
    /// Reads `MOVED <slot> <host>:<port>`; `None` when it is another error.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let mut words = text.strip_prefix("MOVED ")?.split_ascii_whitespace();
        let (slot, to) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        Some(Self { slot, to })
    }
}

/// Whether an error means that a slot is being moved, so that it must not be called for now.
pub(crate) fn is_on_the_move(error: &CallError) -> bool {
    matches!(
        error,
        CallError::Retryable { why: Retryable::Moving }
            | CallError::NoReply(crate::error::NoReplyCause::OnTheMove)
    )
}

impl Inner {
    /// How long a call waits for a connection to a primary; not at all if it has been away for a while.
    fn patience(&self, primary: &Primary) -> Duration {
        let patience = self.settings.call_timeout;
        if !self.routes.is_cluster() {
            return patience;
        }
        let link = primary.link.watch().borrow().clone();
        let away = if link.up { Duration::ZERO } else { link.since.elapsed() };
        patience.min(CLUSTER_PATIENCE).saturating_sub(away)
    }

    /// A connection to a primary; `turn` chooses among them.
    async fn worker_in(&self, primary: &Primary, turn: usize) -> Result<Arc<Worker>, CallError> {
        match primary.pool.pick_from(turn) {
            Some(worker) => Ok(Arc::clone(worker)),
            None => primary.pool.wait_from(turn, self.patience(primary)).await.cloned(),
        }
    }

    /// A connection to the server that has a slot.
    pub(crate) async fn worker_at(&self, slot: u16) -> Result<Arc<Worker>, CallError> {
        let primary = self.routes.at(slot)?;
        self.worker_in(&primary, primary.pool.next_turn()).await
    }

    /// A connection to the primary of a partition; registers there first if necessary.
    pub(crate) async fn worker_of(&self, partition: &Partition) -> Result<Arc<Worker>, CallError> {
        let primary = self.routes.at(partition.slot)?;
        let worker = self.worker_in(&primary, primary.pool.next_turn()).await?;
        if !primary.knows(partition.number) {
            self.introduce(&primary, &worker, partition).await?;
        }
        Ok(worker)
    }

    /// Registers with a partition that has come to this primary, to check before any other call that it is the same
    /// database.
    async fn introduce(
        &self,
        primary: &Primary,
        worker: &Arc<Worker>,
        partition: &Partition,
    ) -> Result<(), CallError> {
        if self.role == Role::Inspector {
            // An inspector learned the epochs by reading, and writes nothing.
            return Ok(());
        }
        let _one_at_a_time = primary.checking.lock().await;
        if !primary.knows(partition.number) {
            self.register_at(primary, worker, partition).await?;
        }
        Ok(())
    }

    /// Follows a redirection that came from the server of `from`, and records where the slot is now.
    pub(crate) fn follow(self: &Arc<Self>, from: &Worker, moved: Moved) -> Result<(), CallError> {
        let from: Option<NodeAddress> = from.address.parse().ok();
        let (Some(from), true) = (from, self.routes.is_cluster()) else {
            return Err(CallError::Retryable { why: Retryable::Moving });
        };
        let to = moved.to.seen_from(&from);
        let primary = match self.routes.find(&to) {
            Some(primary) => primary,
            None => self.add_primary(&to, None),
        };
        tracing::debug!(slot = moved.slot, from = %from, to = %to, "a slot has moved");
        self.routes.moved(moved.slot, &primary);
        Ok(())
    }

    /// Starts connecting to a primary of the cluster.
    pub(crate) fn add_primary(self: &Arc<Self>, place: &NodeAddress, hostname: Option<&str>) -> Arc<Primary> {
        let config = config_of(&self.config, place, hostname);
        let (address, place) = (place.to_string(), (Some(place.clone()), hostname.map(str::to_owned)));
        let (primary, clients) = Primary::new(config, &address, place, &self.settings, &self.stop);
        if self.routes.add(&primary) {
            tracing::info!(
                event = "cluster.primary_added",
                node = %address,
                "new primary of the cluster"
            );
            // So that the metric exists even if it never answers.
            primary.show(false);
            primary.watch(self, clients);
            self.listen_at(&primary);
            return primary;
        }
        // Another task has added it meanwhile.
        primary.place.as_ref().and_then(|place| self.routes.find(place)).unwrap_or(primary)
    }

    /// Applies a map that was requested at `requested`.
    pub(crate) fn take_map(self: &Arc<Self>, map: &Map, requested: Instant) {
        let change = self.routes.compare(map);
        for address in &change.new {
            self.add_primary(address, map.hostnames.get(address).map(String::as_str));
        }
        self.routes.take(map, requested);
        for primary in &change.gone {
            tracing::info!(
                event = "cluster.primary_removed",
                node = %primary.address,
                "this server is no longer a primary of the cluster"
            );
            primary.stop.cancel();
            if let Some(receiver) = self.event_receiver.get() {
                receiver.forget(&primary.address);
            }
            self.tell_links();
        }
        if let Some(watcher) = self.watcher.get() {
            watcher.rehome(|key| self.home_of(key));
        }
        self.count_away();
    }

    /// The address of the primary that announces changes of a key; empty while no server has its slot.
    pub(crate) fn home_of(&self, key: &str) -> Arc<str> {
        self.routes
            .home(node::slot_of(key))
            .map_or_else(|| Arc::from(""), |primary| Arc::clone(&primary.address))
    }

    /// Runs a plain command at the server of a slot; `turn` chooses among connections. `guarded`: refuses once the
    /// database is another one.
    pub(crate) async fn ask_slot(
        self: &Arc<Self>,
        turn: usize,
        guarded: bool,
        command: &'static str,
        args: Vec<Arg>,
        slot: u16,
    ) -> Result<ReplyValue, CallError> {
        let primary = self.routes.at(slot)?;
        let worker = self.worker_in(&primary, turn).await?;
        if guarded {
            self.guard.check()?;
        }
        let spare = self.routes.is_cluster().then(|| args.clone());
        let mut value = node::send(&worker.client, command, args).await?;
        if let (ReplyValue::Error(text), Some(args)) = (&value, spare)
            && let Some(moved) = Moved::read(text)
        {
            self.follow(&worker, moved)?;
            let worker = self.worker_at(slot).await?;
            value = node::send(&worker.client, command, args).await?;
        }
        match value {
            ReplyValue::Error(text) => {
                let error = server_error(&text);
                if matches!(error, CallError::Retryable { why: Retryable::ReadOnly }) {
                    // Another server is the master now; a new connection finds it.
                    worker.replace();
                }
                Err(self.heed(slot, error))
            }
            value => Ok(value),
        }
    }

    /// Holds a slot when an error means that it is being moved.
    pub(crate) fn heed(&self, slot: u16, error: CallError) -> CallError {
        if is_on_the_move(&error) {
            self.routes.hold(slot);
        }
        error
    }

    /// Sets the metric for the number of partitions that can't be reached.
    pub(crate) fn count_away(&self) {
        if self.routes.is_cluster() {
            let away = self.guard.all().iter().filter(|partition| !self.can_ask(partition)).count();
            metrics::gauge!("posthaste_redis_partitions_unavailable")
                .set(u32::try_from(away).unwrap_or(u32::MAX));
        }
    }

    /// Whether there is no link to the primary of a slot.
    pub(crate) fn is_away(&self, slot: u16) -> bool {
        self.routes.home(slot).is_some_and(|primary| !primary.is_up())
    }

    pub(crate) fn can_ask(&self, partition: &Partition) -> bool {
        self.routes.at(partition.slot).is_ok_and(|primary| primary.is_up())
    }
}

impl Store {
    /// Whether calls to a partition can be made now, as far as known: its server is connected, and in a cluster its
    /// slot is not being moved. False for a partition that does not exist.
    #[must_use]
    pub fn can_ask(&self, p: u16) -> bool {
        self.0.partition(p).is_ok_and(|partition| self.0.can_ask(partition))
    }

    /// Partitions that can't be reached now.
    #[must_use]
    pub fn partitions_away(&self) -> Vec<u16> {
        (0..self.partitions()).filter(|p| !self.can_ask(*p)).collect()
    }

    /// The address of the server of a partition; `None` while no server has its slot.
    #[must_use]
    pub fn node_of(&self, p: u16) -> Option<String> {
        let partition = self.0.partition(p).ok()?;
        self.0.routes.home(partition.slot).map(|primary| primary.address.to_string())
    }

    /// The current link to the server of a partition; `None` while no server has its slot.
    #[must_use]
    pub fn link_of(&self, p: u16) -> Option<crate::Link> {
        let partition = self.0.partition(p).ok()?;
        self.0.routes.home(partition.slot).map(|primary| primary.link.watch().borrow().clone())
    }

    /// The link to the server of a partition, as soon as it is reachable; waits as long as any call does.
    ///
    /// # Errors
    /// A [`CallError`].
    pub async fn reached(&self, p: u16) -> Result<crate::Link, CallError> {
        self.0.worker_of(self.0.partition(p)?).await?;
        self.link_of(p).ok_or(CallError::NoReply(crate::error::NoReplyCause::NotConnected))
    }

    /// Grows whenever partitions move to other servers, or become reachable or unreachable.
    #[must_use]
    pub fn route_changes(&self) -> tokio::sync::watch::Receiver<u64> {
        self.0.routes.changes()
    }
}

/// How to reach one server of a cluster.
pub(crate) fn config_of(config: &Config, place: &NodeAddress, hostname: Option<&str>) -> Config {
    // A certificate is issued for the name.
    let host = match hostname.filter(|_| config.tls.is_some()) {
        Some(name) => name.to_owned(),
        None if place.host.contains(':') => format!("[{}]", place.host),
        None => place.host.clone(),
    };
    Config { server: ServerConfig::new_centralized(host, place.port), ..config.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirections_are_read() {
        let read = |text: &str| Moved::read(text).map(|moved| (moved.slot, moved.to.to_string()));
        assert_eq!(read("MOVED 3999 127.0.0.1:6381"), Some((3999, "127.0.0.1:6381".to_owned())));
        assert_eq!(read("MOVED 3999 ::1:6381"), Some((3999, "[::1]:6381".to_owned())));
        let same_host = Moved::read("MOVED 3999 :6381").unwrap();
        assert_eq!(same_host.to.seen_from(&"10.0.0.1:7000".parse().unwrap()).to_string(), "10.0.0.1:6381");
        for other in ["ASK 3999 127.0.0.1:6381", "MOVED", "MOVED x y:1", "MOVED 1", "ERR"] {
            assert_eq!(Moved::read(other), None, "{other}");
        }
    }
}
