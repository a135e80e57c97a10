//! Starts the connections that listen to a primary: for bells, and for changes of watched histories.

use std::sync::Arc;

use crate::inner::Inner;
use crate::order_watch;
use crate::pool::{self, EVENTS_KEPT, UNRESPONSIVE};
use crate::primary::Primary;
use crate::wakeups;

impl Inner {
    /// Starts to listen at a primary, if there are listeners or watched orders.
    pub(crate) fn listen_at(&self, primary: &Primary) {
        let client = || pool::client(&primary.config, self.settings.call_timeout, UNRESPONSIVE, EVENTS_KEPT);
        let (address, stop) = (&primary.address, &primary.stop);
        if let Some(receiver) = self.event_receiver.get()
            && primary.begins_to_hear()
        {
            receiver.silent(address);
            tokio::spawn(wakeups::listen(Arc::clone(receiver), Arc::clone(address), client(), stop.clone()));
        }
        if let Some(watcher) = self.watcher.get()
            && primary.begins_to_watch()
        {
            let (watcher, address) = (Arc::clone(watcher), Arc::clone(address));
            tokio::spawn(order_watch::listen(watcher, address, client(), stop.clone()));
        }
    }
}
