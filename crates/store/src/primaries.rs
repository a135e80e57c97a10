//! The primaries of a cluster: adds and removes them as the map and redirections say.

use std::sync::Arc;

use tokio::time::Instant;

use crate::cluster::moved::Moved;
use crate::cluster::{Map, NodeAddress};
use crate::endpoint::config_of;
use crate::error::CallError;
use crate::inner::Inner;
use crate::pool::Worker;
use crate::primary::Primary;
use crate::retryable::Retryable;
use crate::slot::slot_of;
use crate::supervise;

impl Inner {
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
            supervise::start(self, &primary, clients);
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
            watcher.rehome(|key| self.routes.home_address(slot_of(key)));
        }
        self.count_away();
    }
}
