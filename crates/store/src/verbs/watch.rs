//! Listening to the bells of orders, and watching their histories.

use std::sync::Arc;

use posthaste_model::OrderId;
use posthaste_protocol::PartitionKeys;

use crate::order_watch::{OrderWatch, Watcher};
use crate::slot::slot_of;
use crate::store::Store;
use crate::wakeups::{EventReceiver, WakeupListener};

impl Store {
    /// Listens to the bells of this database. The first call opens the connections for it; until all are open,
    /// [`WakeupListener::listening`] is false.
    #[must_use]
    pub fn wakeup_listener(&self) -> WakeupListener {
        let mut started = false;
        let receiver = self.0.event_receiver.get_or_init(|| {
            started = true;
            Arc::new(EventReceiver::new(self.partitions()))
        });
        if started {
            self.0.routes.primaries().iter().for_each(|primary| self.0.listen_at(primary));
        }
        receiver.listener()
    }

    /// Watches the history of an order, which need not exist yet. The first call opens the connections for it.
    #[must_use]
    pub fn watch_history(&self, order_id: &OrderId) -> OrderWatch {
        let mut started = false;
        let watcher = self.0.watcher.get_or_init(|| {
            started = true;
            Arc::new(Watcher::default())
        });
        if started {
            self.0.routes.primaries().iter().for_each(|primary| self.0.listen_at(primary));
        }
        let keys = PartitionKeys::of_partition(self.partition_of(order_id));
        let key = keys.history(order_id);
        let home = self.0.routes.home_address(slot_of(&key));
        OrderWatch::new(watcher, key, home)
    }

    /// How many histories are watched.
    #[must_use]
    pub fn watched(&self) -> usize {
        self.0.watcher.get().map_or(0, |watcher| watcher.count())
    }
}
