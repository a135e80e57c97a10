//! The store: what it is connected to, and how it ends. How it connects is in `connect`, what it does in `verbs` and
//! `accept`.

use std::sync::{Arc, PoisonError};

use posthaste_model::{Durability, OrderId};
use posthaste_protocol::partition_of;
use tokio::sync::watch;

use crate::error::{CallError, FatalReason};
use crate::inner::Inner;
use crate::link::Link;
use crate::pool;
use crate::preflight::report::PreflightReport;
use crate::trouble::ServerTroubles;

/// A connected store. Cloning is cheap; the connections close with the last clone, or by [`Store::disconnect`].
#[derive(Debug, Clone)]
pub struct Store(pub(crate) Arc<Inner>);

impl Store {
    /// Whether sending is stopped because the database went back or was wiped, as it changes. For details see
    /// [`Store::stopped`].
    #[must_use]
    pub fn halted(&self) -> watch::Receiver<bool> {
        self.0.guard.watch_halt()
    }

    /// Number of partitions of the installation.
    #[must_use]
    pub fn partitions(&self) -> u16 {
        self.0.settings.partitions
    }

    /// The partition of an order.
    #[must_use]
    pub fn partition_of(&self, order_id: &OrderId) -> u16 {
        partition_of(order_id, self.partitions())
    }

    /// The random id of this database (of its first partition).
    #[must_use]
    pub fn epoch(&self) -> String {
        self.0.guard.all().first().map_or_else(String::new, |partition| partition.epoch().to_string())
    }

    /// What "accepted" means for this store.
    #[must_use]
    pub fn durability(&self) -> Durability {
        self.0.settings.durability
    }

    /// Whether there is a connection, as it changes.
    #[must_use]
    pub fn connection(&self) -> watch::Receiver<Link> {
        self.0.link.watch()
    }

    /// The findings of the last preflight of the server; in a cluster, of each of its primaries.
    #[must_use]
    pub fn report(&self) -> PreflightReport {
        let mut all = PreflightReport::default();
        for primary in self.0.routes.primaries() {
            let report = primary.report.lock().unwrap_or_else(PoisonError::into_inner);
            all.lines.extend(report.lines.iter().cloned());
        }
        all
    }

    /// The current troubles of the servers, kept up to date also while there are no calls.
    #[must_use]
    pub fn troubles(&self) -> ServerTroubles {
        self.0.troubles.clone()
    }

    /// Why no call can succeed any more, if so.
    #[must_use]
    pub fn stopped(&self) -> Option<FatalReason> {
        match self.0.guard.check() {
            Err(CallError::Fatal(why)) => Some(why),
            _ => None,
        }
    }

    /// Closes all connections for all clones, once everything written to them is answered.
    pub async fn disconnect(&self) {
        let primaries = self.0.routes.primaries();
        let workers = || primaries.iter().flat_map(|primary| &primary.pool.workers);
        for worker in workers() {
            worker.set_up(false);
        }
        self.0.stop.cancel();
        pool::quit(workers().map(|worker| worker.client.clone())).await;
    }
}
