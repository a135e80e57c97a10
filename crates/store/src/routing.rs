//! The way of a call: to the primary of its slot, registered there first, and once further when it says that the slot has moved.

use std::sync::Arc;
use std::time::Duration;

use fred::types::Value as Arg;
use fred::types::config::{Config, ServerConfig};
use posthaste_protocol::Value;
use tokio::time::Instant;

use crate::cluster::{Address, Map};
use crate::error::{CallError, Later, server_error};
use crate::guard::Partition;
use crate::node;
use crate::pool::Worker;
use crate::primary::Primary;
use crate::settings::Role;
use crate::store::{Inner, Store};

/// How long a call waits for a connection to a primary of a cluster: others answer meanwhile, and who is to be told must not
/// wait for the whole of a failover.
const CLUSTER_PATIENCE: Duration = Duration::from_secs(1);

/// A redirection: another server has the slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Moved {
    slot: u16,
    to: Address,
}

impl Moved {
    /// Reads `MOVED <slot> <host>:<port>`; `None` when it is another error.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let mut words = text.strip_prefix("MOVED ")?.split_ascii_whitespace();
        let (slot, to) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        Some(Self { slot, to })
    }
}

/// Whether an error says that a slot is on the move, so that nothing more may be asked about it for now.
pub(crate) fn is_on_the_move(error: &CallError) -> bool {
    matches!(error, CallError::Later { why: Later::Moving } | CallError::Away(crate::error::Lost::OnTheMove))
}

impl Inner {
    /// How long a call waits for a connection to a primary: to one that has been away for a while not at all.
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

    /// A connection to whoever has a slot.
    pub(crate) async fn worker_at(&self, slot: u16) -> Result<Arc<Worker>, CallError> {
        let primary = self.routes.at(slot)?;
        self.worker_in(&primary, primary.pool.next_turn()).await
    }

    /// A connection to the primary of a partition, where this process has registered with it.
    pub(crate) async fn worker_of(&self, partition: &Partition) -> Result<Arc<Worker>, CallError> {
        let primary = self.routes.at(partition.slot)?;
        let worker = self.worker_in(&primary, primary.pool.next_turn()).await?;
        if !primary.knows(partition.number) {
            self.introduce(&primary, &worker, partition).await?;
        }
        Ok(worker)
    }

    /// Registers with a partition that has come to this primary: whether the database is the one it was is looked at before
    /// anything else is asked there.
    async fn introduce(
        &self,
        primary: &Primary,
        worker: &Arc<Worker>,
        partition: &Partition,
    ) -> Result<(), CallError> {
        if self.role == Role::Inspector {
            // It learned the epochs by reading, and writes nothing.
            return Ok(());
        }
        let _one_at_a_time = primary.checking.lock().await;
        if !primary.knows(partition.number) {
            self.register_at(primary, worker, partition).await?;
        }
        Ok(())
    }

    /// Goes by a redirection that came from `from`; where the slot is now.
    pub(crate) fn follow(self: &Arc<Self>, from: &Worker, moved: Moved) -> Result<(), CallError> {
        let from: Option<Address> = from.address.parse().ok();
        let (Some(from), true) = (from, self.routes.is_cluster()) else {
            return Err(CallError::Later { why: Later::Moving });
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

    /// Begins to connect to a primary of the cluster.
    pub(crate) fn add_primary(self: &Arc<Self>, place: &Address, hostname: Option<&str>) -> Arc<Primary> {
        let config = config_of(&self.config, place, hostname);
        let (address, place) = (place.to_string(), (Some(place.clone()), hostname.map(str::to_owned)));
        let (primary, clients) = Primary::new(config, &address, place, &self.settings, &self.stop);
        if self.routes.add(&primary) {
            tracing::info!(node = %address, "a primary of the cluster");
            // So that one that never answers is seen as well.
            primary.show(false);
            primary.watch(self, clients);
            self.listen_at(&primary);
            return primary;
        }
        // Somebody else added it meanwhile.
        primary.place.as_ref().and_then(|place| self.routes.find(place)).unwrap_or(primary)
    }

    /// Takes a map over that was asked for at a moment.
    pub(crate) fn take_map(self: &Arc<Self>, map: &Map, asked: Instant) {
        let change = self.routes.compare(map);
        for address in &change.new {
            self.add_primary(address, map.hostnames.get(address).map(String::as_str));
        }
        self.routes.take(map, asked);
        for primary in &change.gone {
            tracing::info!(node = %primary.address, "no primary of the cluster any more");
            primary.stop.cancel();
            if let Some(ear) = self.ear.get() {
                ear.forget(&primary.address);
            }
            self.tell_links();
        }
        if let Some(watcher) = self.watcher.get() {
            watcher.rehome(|key| self.home_of(key));
        }
        self.count_away();
    }

    /// The address of the primary that announces changes of a key; empty while nobody has its slot.
    pub(crate) fn home_of(&self, key: &str) -> Arc<str> {
        self.routes
            .home(node::slot_of(key))
            .map_or_else(|| Arc::from(""), |primary| Arc::clone(&primary.address))
    }

    /// Runs a plain command about a slot where it is; `turn` chooses among connections. `guarded`: not once the database is
    /// another one.
    pub(crate) async fn ask_slot(
        self: &Arc<Self>,
        turn: usize,
        guarded: bool,
        command: &'static str,
        args: Vec<Arg>,
        slot: u16,
    ) -> Result<Value, CallError> {
        let primary = self.routes.at(slot)?;
        let worker = self.worker_in(&primary, turn).await?;
        if guarded {
            self.guard.check()?;
        }
        let spare = self.routes.is_cluster().then(|| args.clone());
        let mut value = node::send(&worker.client, command, args).await?;
        if let (Value::Error(text), Some(args)) = (&value, spare)
            && let Some(moved) = Moved::read(text)
        {
            self.follow(&worker, moved)?;
            let worker = self.worker_at(slot).await?;
            value = node::send(&worker.client, command, args).await?;
        }
        match value {
            Value::Error(text) => {
                let error = server_error(&text);
                if matches!(error, CallError::Later { why: Later::ReadOnly }) {
                    // Another server is the master now; a new connection finds it.
                    worker.replace();
                }
                Err(self.heed(slot, error))
            }
            value => Ok(value),
        }
    }

    /// Holds a slot when an error says that it is on the move.
    pub(crate) fn heed(&self, slot: u16, error: CallError) -> CallError {
        if is_on_the_move(&error) {
            self.routes.hold(slot);
        }
        error
    }

    /// Shows how many partitions can't be asked.
    pub(crate) fn count_away(&self) {
        if self.routes.is_cluster() {
            let away = self.guard.all().iter().filter(|partition| !self.can_ask(partition)).count();
            metrics::gauge!("posthaste_store_partitions_away").set(u32::try_from(away).unwrap_or(u32::MAX));
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
    /// Whether calls about a partition can be made now, as far as is known: its server is connected, and in a cluster its slot
    /// is not on the move. False for a partition there is not.
    #[must_use]
    pub fn can_ask(&self, p: u16) -> bool {
        self.0.partition(p).is_ok_and(|partition| self.0.can_ask(partition))
    }

    /// Partitions that can't be asked now.
    #[must_use]
    pub fn partitions_away(&self) -> Vec<u16> {
        (0..self.partitions()).filter(|p| !self.can_ask(*p)).collect()
    }

    /// The address of the server of a partition; `None` while nobody has its slot.
    #[must_use]
    pub fn node_of(&self, p: u16) -> Option<String> {
        let partition = self.0.partition(p).ok()?;
        self.0.routes.home(partition.slot).map(|primary| primary.address.to_string())
    }

    /// The link to the server of a partition, as it is now; `None` while nobody has its slot.
    #[must_use]
    pub fn link_of(&self, p: u16) -> Option<crate::Link> {
        let partition = self.0.partition(p).ok()?;
        self.0.routes.home(partition.slot).map(|primary| primary.link.watch().borrow().clone())
    }

    /// The link to the server of a partition, once it can be asked; waits for that as long as any call does.
    ///
    /// # Errors
    /// A [`CallError`].
    pub async fn reached(&self, p: u16) -> Result<crate::Link, CallError> {
        self.0.worker_of(self.0.partition(p)?).await?;
        self.link_of(p).ok_or(CallError::Away(crate::error::Lost::NotConnected))
    }

    /// Grows whenever partitions go to other servers, or can be asked again.
    #[must_use]
    pub fn route_changes(&self) -> tokio::sync::watch::Receiver<u64> {
        self.0.routes.changes()
    }
}

/// How to reach one server of a cluster.
pub(crate) fn config_of(config: &Config, place: &Address, hostname: Option<&str>) -> Config {
    // A certificate is for the name.
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
