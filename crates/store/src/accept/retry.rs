//! Creates a new order from chosen deliveries of an old one, parcel by parcel.

use std::time::Duration;

use posthaste_model::{Channel, Delivery, OrderId, ParcelId, UnixMs};
use posthaste_protocol::record::{DeliveryRecord, DeliveryRecords};

use super::error::AcceptError;
use super::order::{AcceptedOrder, NewOrderHead};
use crate::error::CallError;
use crate::store::Store;
use crate::verbs::OrderRecord;

/// The new order. Its content, priority and policy are those of the old one.
#[derive(Debug, Clone)]
pub struct RetryRequest {
    /// Its order id.
    pub order_id: OrderId,
    /// When it is due; `None` means now.
    pub due: Option<UnixMs>,
    /// Digest of the request, to recognise a repeated one.
    pub digest: [u8; 12],
}

/// The new order, and what was left out of it.
#[derive(Debug, Clone)]
pub struct RetriedOrder {
    /// The new order.
    pub accepted: AcceptedOrder,
    /// Chosen deliveries whose address is on a suppression list now.
    pub suppressed: u32,
}

impl Store {
    /// Accepts a new order from the deliveries of `old` that `choose` selects, in bounded memory, without those whose
    /// address is on a suppression list now. `take` is told each delivery of the new order. The old order is not
    /// changed.
    ///
    /// # Errors
    /// An [`AcceptError`]: `NoSource` when the old order does not exist, `Empty` when no delivery was chosen,
    /// `AllSuppressed` when all that were chosen are on a suppression list.
    pub async fn retry_order(
        &self,
        old: &OrderId,
        ask: &RetryRequest,
        choose: impl Fn(&Channel, &Delivery, &DeliveryRecord) -> bool,
        take: impl Fn(&Channel, &Delivery),
    ) -> Result<RetriedOrder, AcceptError> {
        let p = self.partition_of(old);
        // Nothing is stored before the writer finishes.
        let view = self.load_order(p, old).await.map_err(AcceptError::Refused)?;
        let view = view.ok_or(AcceptError::NoSource)?;
        match self.retry_once(p, old, &view, ask, (&choose, &take)).await {
            // Deliveries changed between an interrupted attempt and this one; `Gone` has removed the staged data of
            // the earlier attempt.
            Err(AcceptError::Gone) => self.retry_once(p, old, &view, ask, (&choose, &take)).await,
            other => other,
        }
    }

    async fn retry_once(
        &self,
        p: u16,
        old: &OrderId,
        view: &OrderRecord,
        ask: &RetryRequest,
        (choose, take): (
            &impl Fn(&Channel, &Delivery, &DeliveryRecord) -> bool,
            &impl Fn(&Channel, &Delivery),
        ),
    ) -> Result<RetriedOrder, AcceptError> {
        let head = &view.head;
        let mut content = match &view.inline {
            Some((inline, _)) => inline.content.clone(),
            None => self.load_content(p, old).await.map_err(AcceptError::Refused)?.as_ref().clone(),
        };
        content.retry_of = old.to_string();
        let mut writer = self.open_order(NewOrderHead {
            order_id: ask.order_id.clone(),
            due: ask.due,
            priority: head.priority,
            on_unknown: head.on_unknown,
            not_after: None,
            span: head.not_after.since(head.due).max(Duration::from_millis(1)),
            content,
        })?;
        let mut suppressed = 0;
        for (channel, _) in &head.channels {
            for number in 0..head.parcels(channel) {
                let (deliveries, outcomes) = match &view.inline {
                    Some((inline, outcomes)) => (inline.deliveries.clone(), outcomes.clone()),
                    None => {
                        let read = self.old_parcel(p, channel, old, number, view).await;
                        read.map_err(AcceptError::Refused)?
                    }
                };
                let chosen = deliveries.into_iter().zip(outcomes.deliveries());
                let chosen = chosen.filter(|(delivery, outcome)| choose(channel, delivery, outcome));
                let chosen: Vec<Delivery> = chosen.map(|(delivery, _)| delivery).collect();
                let addresses: Vec<_> =
                    chosen.iter().map(|delivery| (old.sender(), &delivery.address)).collect();
                let listed = self.suppressed(channel, &addresses).await.map_err(AcceptError::Refused)?;
                for (delivery, listed) in chosen.into_iter().zip(listed) {
                    if listed.is_some() {
                        suppressed += 1;
                        continue;
                    }
                    take(channel, &delivery);
                    writer.push(channel, delivery).await?;
                }
            }
        }
        match writer.finish(ask.digest, &[]).await {
            Ok(accepted) => Ok(RetriedOrder { accepted, suppressed }),
            Err(AcceptError::Empty) if suppressed > 0 => Err(AcceptError::AllSuppressed(suppressed)),
            Err(error) => Err(error),
        }
    }

    async fn old_parcel(
        &self,
        p: u16,
        channel: &Channel,
        old: &OrderId,
        number: u32,
        view: &OrderRecord,
    ) -> Result<(Vec<Delivery>, DeliveryRecords), CallError> {
        let parcel_id = ParcelId { order_id: old.clone(), number };
        let ended = view.ended_before_due();
        futures::future::try_join(
            self.load_deliveries(p, channel, &parcel_id),
            self.load_outcomes(p, channel, &parcel_id, &view.head, ended),
        )
        .await
    }
}
