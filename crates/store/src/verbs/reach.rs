//! Which partitions can be reached now, and at which server.

use std::sync::Arc;

use tokio::sync::watch;

use crate::error::{CallError, NoReplyCause};
use crate::link::Link;
use crate::missing::MissingPartitions;
use crate::store::Store;

impl Store {
    /// Whether calls to a partition can be made now, as far as known: its server is connected, and in a cluster its
    /// slot is not being moved. False for a partition that does not exist.
    #[must_use]
    pub fn can_ask(&self, p: u16) -> bool {
        self.0.partition(p).is_ok_and(|partition| self.0.routes.can_ask(partition.slot))
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
    pub fn link_of(&self, p: u16) -> Option<Link> {
        let partition = self.0.partition(p).ok()?;
        self.0.routes.home(partition.slot).map(|primary| primary.link.watch().borrow().clone())
    }

    /// The link to the server of a partition, as soon as it is reachable; waits as long as any call does.
    ///
    /// # Errors
    /// A [`CallError`].
    pub async fn reached(&self, p: u16) -> Result<Link, CallError> {
        self.0.worker_of(self.0.partition(p)?).await?;
        self.link_of(p).ok_or(CallError::NoReply(NoReplyCause::NotConnected))
    }

    /// Grows whenever partitions move to other servers, or become reachable or unreachable.
    #[must_use]
    pub fn route_changes(&self) -> watch::Receiver<u64> {
        self.0.routes.changes()
    }

    /// The partitions that can't be reached now, by the server that holds them.
    #[must_use]
    pub fn missing(&self) -> Vec<MissingPartitions> {
        let mut all: Vec<MissingPartitions> = Vec::new();
        for at in self.0.guard.all().iter().filter(|at| !self.0.routes.can_ask(at.slot)) {
            let node = self.0.routes.home(at.slot).map(|primary| Arc::clone(&primary.address));
            let moving = self.0.routes.is_held(at.slot);
            match all.iter_mut().find(|one| one.node == node && one.moving == moving) {
                Some(one) => one.partitions.push(at.number),
                None => all.push(MissingPartitions { node, partitions: vec![at.number], moving }),
            }
        }
        all
    }

    /// The same as text for people: `partitions 1, 4 to 6 at 10.0.0.3:6379 (server does not answer)`; `None` when all
    /// can be reached.
    #[must_use]
    pub fn missing_words(&self) -> Option<String> {
        let all: Vec<String> = self.missing().iter().map(ToString::to_string).collect();
        (!all.is_empty()).then(|| all.join("; "))
    }
}
