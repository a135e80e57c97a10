//! The runtime's feedback sink: stores what a transport receives.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use posthaste_model::{Address, Channel, OrderId, ParcelId, Reason, SenderId};
use posthaste_store::{
    CallError, ConsentNotice, NoticeMoment, Reported, Store, Suppress, Suppressed, SuppressionSource,
};
use tokio::time::Instant;

use crate::feedback::{
    AttemptId, DeliveryReceipt, FeedbackSink, NotStored, ReceiptResult, SuppressAfter, SuppressionList,
};
use crate::metrics::Meter;

/// The feedback sink of one channel.
pub(crate) struct StoreFeedback {
    store: Store,
    channel: Channel,
    meter: Arc<Meter>,
}

fn not_stored(error: CallError) -> NotStored {
    NotStored(Box::new(error))
}

fn parcel_id(of: &AttemptId) -> ParcelId {
    ParcelId { order_id: of.order_id.clone(), number: of.parcel }
}

impl StoreFeedback {
    pub(crate) fn new(store: Store, channel: Channel, meter: Arc<Meter>) -> Self {
        Self { store, channel, meter }
    }

    async fn put(&self, entry: Suppress) -> Result<ReceiptResult, NotStored> {
        let put = self.store.suppress(&self.channel, &[entry]).await.map_err(not_stored)?;
        match put.first() {
            Some(
                Suppressed::Added
                | Suppressed::AlreadyListed
                | Suppressed::Struck
                | Suppressed::CountedBefore,
            ) => {
                self.meter.suppressed(1);
                Ok(ReceiptResult::Changed)
            }
            Some(Suppressed::Repeated | Suppressed::Outdated) => Ok(ReceiptResult::Known),
            Some(Suppressed::Unreadable) | None => {
                Err(NotStored("the suppression record is unreadable".into()))
            }
        }
    }

    /// The address of an attempt's delivery; `None` if there is no such delivery.
    async fn address(&self, of: &AttemptId) -> Result<Option<Address>, NotStored> {
        self.store.delivery_address(&self.channel, &parcel_id(of), of.delivery).await.map_err(not_stored)
    }
}

/// The source of a suppression with this reason.
fn source(reason: Reason) -> SuppressionSource {
    match reason {
        Reason::Unsubscribed => SuppressionSource::Unsubscribe,
        Reason::OptedOut | Reason::Blocked => SuppressionSource::Stop,
        Reason::Manual => SuppressionSource::Operator,
        _ => SuppressionSource::Bounce,
    }
}

/// A notice about the address of an attempt. Copies have the same name, so it counts once.
pub(crate) fn of_attempt(of: &AttemptId, reason: Reason) -> ConsentNotice {
    ConsentNotice::named(format!("{of} {}", reason.code()), NoticeMoment::Received(Instant::now()))
}

#[async_trait]
impl FeedbackSink for StoreFeedback {
    async fn receipt(&self, receipt: &DeliveryReceipt) -> Result<ReceiptResult, NotStored> {
        let (of, p) = (&receipt.attempt, self.store.partition_of(&receipt.attempt.order_id));
        let (parcel_id, word, reason) = (parcel_id(of), receipt.word, receipt.reason);
        let answer = self
            .store
            .apply_receipt(p, &self.channel, &parcel_id, of.delivery, of.attempt, word, reason)
            .await;
        let noted = match answer.map_err(not_stored)?.reply {
            Some(Reported::Applied | Reported::Evidence) => ReceiptResult::Changed,
            Some(Reported::NothingNew) => ReceiptResult::Known,
            Some(Reported::Stale) | None => ReceiptResult::NoSuchAttempt,
            // The provider repeats it, perhaps to a newer program or after an operator has repaired the record.
            Some(Reported::Unreadable) => return Err(NotStored("the order's record can't be read".into())),
        };
        self.meter.receipt(word, noted);
        // Only for an attempt that exists: then the receipt is right about the address, whatever the history already
        // had.
        if let (Some(suppress_after), ReceiptResult::Changed | ReceiptResult::Known) =
            (receipt.suppress_after, noted)
            && let Some(address) = self.address(of).await?
        {
            let after = match suppress_after {
                SuppressAfter::Now => 1,
                SuppressAfter::After(failures) => failures.max(1),
            };
            let reason = reason.reason;
            let notice = of_attempt(of, reason);
            let source = source(reason);
            self.put(Suppress { sender: None, address, reason, source, after, notice }).await?;
        }
        Ok(noted)
    }

    async fn suppress(
        &self,
        address: &Address,
        list: &SuppressionList,
        reason: Reason,
        notice: &ConsentNotice,
    ) -> Result<ReceiptResult, NotStored> {
        let (address, source, notice) = (address.clone(), source(reason), notice.clone());
        self.put(Suppress { sender: sender(list).cloned(), address, reason, source, after: 1, notice }).await
    }

    async fn suppress_recipient(
        &self,
        of: &AttemptId,
        list: &SuppressionList,
        reason: Reason,
        notice: &ConsentNotice,
    ) -> Result<ReceiptResult, NotStored> {
        match self.address(of).await? {
            Some(address) => self.suppress(&address, list, reason, notice).await,
            None => Ok(ReceiptResult::NoSuchAttempt),
        }
    }

    async fn opt_in(
        &self,
        address: &Address,
        list: &SuppressionList,
        reasons: &[Reason],
        notice: &ConsentNotice,
    ) -> Result<bool, NotStored> {
        self.store.opt_in(&self.channel, address, sender(list), reasons, notice).await.map_err(not_stored)
    }

    async fn remember(&self, name: &str, order: &OrderId, keep: Duration) -> Result<(), NotStored> {
        self.store.remember_order(name, order, keep).await.map_err(not_stored)
    }

    async fn recall(&self, name: &str) -> Result<Option<OrderId>, NotStored> {
        self.store.recall_order(name).await.map_err(not_stored)
    }
}

fn sender(list: &SuppressionList) -> Option<&SenderId> {
    match list {
        SuppressionList::Channel => None,
        SuppressionList::Sender(sender) => Some(sender),
    }
}
