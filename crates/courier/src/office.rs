//! The runtime's own desk: what a transport hears goes to the store.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use posthaste_model::{Address, Channel, Member, Reason, SenderId, Suffix};
use posthaste_store::{CallError, Notice, Reported, Said, Source, Store, Suppress, Suppressed};
use tokio::time::Instant;

use crate::desk::{AttemptId, Ban, Desk, List, NotStored, Noted, Receipt};
use crate::metrics::Meter;

/// The desk of one channel.
pub(crate) struct Office {
    store: Store,
    channel: Channel,
    meter: Arc<Meter>,
}

fn not_stored(error: CallError) -> NotStored {
    NotStored(Box::new(error))
}

fn member(of: &AttemptId) -> Member {
    Member { suffix: of.suffix.clone(), number: of.parcel }
}

impl Office {
    pub(crate) fn new(store: Store, channel: Channel, meter: Arc<Meter>) -> Self {
        Self { store, channel, meter }
    }

    async fn put(&self, entry: Suppress) -> Result<Noted, NotStored> {
        let put = self.store.suppress(&self.channel, &[entry]).await.map_err(not_stored)?;
        match put.first() {
            Some(Suppressed::Added | Suppressed::Again | Suppressed::Struck | Suppressed::CountedBefore) => {
                self.meter.add("posthaste_suppressions_total", 1);
                Ok(Noted::Changed)
            }
            Some(Suppressed::Repeated | Suppressed::Outdated) => Ok(Noted::Known),
            Some(Suppressed::Unreadable) | None => Err(NotStored("a suppression can't be read".into())),
        }
    }

    /// The address an attempt went to; `None` when there is no such row.
    async fn address(&self, of: &AttemptId) -> Result<Option<Address>, NotStored> {
        self.store.row_address(&self.channel, &member(of), of.row).await.map_err(not_stored)
    }
}

/// Where a reason to suppress an address comes from.
fn source(reason: Reason) -> Source {
    match reason {
        Reason::Unsubscribed => Source::Unsubscribe,
        Reason::OptedOut | Reason::Blocked => Source::Stop,
        Reason::ByOperator => Source::Operator,
        _ => Source::Bounce,
    }
}

/// What is said of the address an attempt went to: once, however often it is told.
pub(crate) fn of_attempt(of: &AttemptId, reason: Reason) -> Notice {
    Notice::named(format!("{of} {}", reason.code()), Said::Heard(Instant::now()))
}

#[async_trait]
impl Desk for Office {
    async fn receipt(&self, receipt: &Receipt) -> Result<Noted, NotStored> {
        let (of, p) = (&receipt.attempt, self.store.partition_of(&receipt.attempt.suffix));
        let (member, word, reason) = (member(of), receipt.word, receipt.reason);
        let answer = self.store.receipt(p, &self.channel, &member, of.row, of.attempt, word, reason).await;
        let noted = match answer.map_err(not_stored)?.reply {
            Some(Reported::Applied | Reported::Evidence) => Noted::Changed,
            Some(Reported::Known) => Noted::Known,
            Some(Reported::Stale) | None => Noted::NoSuchAttempt,
        };
        self.meter.receipt(word, noted);
        // Only for an attempt there was: what its receipt says of the address is then true whatever the history had before.
        if let (Some(ban), Noted::Changed | Noted::Known) = (receipt.ban, noted)
            && let Some(address) = self.address(of).await?
        {
            let after = match ban {
                Ban::Now => 1,
                Ban::After(failures) => failures.max(1),
            };
            let notice = of_attempt(of, reason);
            let source = source(reason);
            self.put(Suppress { sender: None, address, reason, source, after, notice }).await?;
        }
        Ok(noted)
    }

    async fn suppress(
        &self,
        address: &Address,
        list: &List,
        reason: Reason,
        notice: &Notice,
    ) -> Result<Noted, NotStored> {
        let (address, source, notice) = (address.clone(), source(reason), notice.clone());
        self.put(Suppress { sender: sender(list).cloned(), address, reason, source, after: 1, notice }).await
    }

    async fn suppress_recipient(
        &self,
        of: &AttemptId,
        list: &List,
        reason: Reason,
        notice: &Notice,
    ) -> Result<Noted, NotStored> {
        match self.address(of).await? {
            Some(address) => self.suppress(&address, list, reason, notice).await,
            None => Ok(Noted::NoSuchAttempt),
        }
    }

    async fn opt_in(
        &self,
        address: &Address,
        list: &List,
        reasons: &[Reason],
        notice: &Notice,
    ) -> Result<bool, NotStored> {
        self.store.opt_in(&self.channel, address, sender(list), reasons, notice).await.map_err(not_stored)
    }

    async fn remember(&self, name: &str, order: &Suffix, keep: Duration) -> Result<(), NotStored> {
        self.store.remember_order(name, order, keep).await.map_err(not_stored)
    }

    async fn recall(&self, name: &str) -> Result<Option<Suffix>, NotStored> {
        self.store.recall_order(name).await.map_err(not_stored)
    }
}

fn sender(list: &List) -> Option<&SenderId> {
    match list {
        List::Channel => None,
        List::Sender(sender) => Some(sender),
    }
}
