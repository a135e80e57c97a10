//! Reading the parcels of big orders.

use std::sync::Arc;

use futures::future::try_join3;
use posthaste_model::{Address, Channel, Content, Delivery, OrderId, ParcelId};
use posthaste_protocol::Malformed;
use posthaste_protocol::record::{DeliveryRecords, Head, decode_content, decode_parcel};

use crate::epoch_guard::Partition;
use crate::error::CallError;
use crate::reader::Reader;
use crate::store::Store;

/// A parcel of a big order.
#[derive(Debug, Clone)]
pub struct LoadedParcel {
    /// The message of the order.
    pub content: Arc<Content>,
    /// The deliveries of the parcel, in order.
    pub deliveries: Vec<Delivery>,
    /// Their outcomes, in the same order.
    pub outcomes: DeliveryRecords,
}

/// The deliveries of a parcel.
async fn deliveries(
    reader: &Reader,
    at: &Partition,
    channel: &Channel,
    parcel_id: &ParcelId,
) -> Result<Vec<Delivery>, CallError> {
    let key = at.keys.parcel(&parcel_id.order_id, channel, parcel_id.number);
    let packed = reader.get(at.slot, key).await?.ok_or(CallError::record(Malformed::new("parcel: gone")))?;
    decode_parcel(&packed).map_err(CallError::record)
}

/// The outcomes of a parcel. `ended`: the order was cancelled before it was due, so parcels without an outcome record are
/// cancelled.
async fn outcomes(
    reader: &Reader,
    at: &Partition,
    channel: &Channel,
    parcel_id: &ParcelId,
    head: &Head,
    ended: bool,
) -> Result<DeliveryRecords, CallError> {
    let deliveries = head.parcel_deliveries(channel, parcel_id.number);
    let record = reader.get(at.slot, at.keys.outcome(&parcel_id.order_id, channel, parcel_id.number)).await?;
    let outcomes = match record {
        None if ended => DeliveryRecords::all_cancelled(deliveries, head.due),
        record => DeliveryRecords::decode(record.as_deref(), deliveries, head.due),
    };
    outcomes.map_err(CallError::record)
}

impl Store {
    /// Reads a parcel of a big order in one go: content (cached for the next parcel), deliveries and outcomes.
    ///
    /// # Errors
    /// A [`CallError`]; `InvalidReply` when a record is gone or can't be read.
    pub async fn load(
        &self,
        p: u16,
        channel: &Channel,
        parcel_id: &ParcelId,
        head: &Head,
    ) -> Result<LoadedParcel, CallError> {
        let at = self.0.partition(p)?;
        let reader = &self.0.reader().await?;
        let (content, deliveries, outcomes) = try_join3(
            self.content(reader, at, &parcel_id.order_id),
            deliveries(reader, at, channel, parcel_id),
            outcomes(reader, at, channel, parcel_id, head, false),
        )
        .await?;
        if deliveries.len() != outcomes.len() {
            return Err(CallError::record(Malformed::new(
                "parcel: another number of deliveries than its order says",
            )));
        }
        Ok(LoadedParcel { content, deliveries, outcomes })
    }

    /// The outcomes of one parcel of a big order. `ended`: the order was cancelled and is finished, see
    /// [`OrderRecord::ended_before_due`](crate::OrderRecord::ended_before_due).
    ///
    /// # Errors
    /// A [`CallError`]; `InvalidReply` when the record can't be read.
    pub async fn load_outcomes(
        &self,
        p: u16,
        channel: &Channel,
        parcel_id: &ParcelId,
        head: &Head,
        ended: bool,
    ) -> Result<DeliveryRecords, CallError> {
        let at = self.0.partition(p)?;
        outcomes(&self.0.reader().await?, at, channel, parcel_id, head, ended).await
    }

    /// The deliveries of one parcel of a big order.
    ///
    /// # Errors
    /// A [`CallError`]; `InvalidReply` when the record is gone or can't be read.
    pub async fn load_deliveries(
        &self,
        p: u16,
        channel: &Channel,
        parcel_id: &ParcelId,
    ) -> Result<Vec<Delivery>, CallError> {
        let at = self.0.partition(p)?;
        deliveries(&self.0.reader().await?, at, channel, parcel_id).await
    }

    /// The message of a big order.
    ///
    /// # Errors
    /// A [`CallError`]; `InvalidReply` when the record is gone or can't be read.
    pub async fn load_content(&self, p: u16, order_id: &OrderId) -> Result<Arc<Content>, CallError> {
        let at = self.0.partition(p)?;
        self.content(&self.0.reader().await?, at, order_id).await
    }

    /// The address of one delivery of a big or small order; `None` when there is no such order or delivery.
    ///
    /// # Errors
    /// A [`CallError`]; `InvalidReply` when a record can't be read.
    pub async fn delivery_address(
        &self,
        channel: &Channel,
        parcel_id: &ParcelId,
        delivery: u16,
    ) -> Result<Option<Address>, CallError> {
        let p = self.partition_of(&parcel_id.order_id);
        let Some(view) = self.load_order(p, &parcel_id.order_id).await? else { return Ok(None) };
        let deliveries = match view.inline {
            // An inline order has deliveries on one channel, in one parcel.
            Some((inline, _)) if parcel_id.number == 0 && view.head.deliveries(channel) > 0 => {
                inline.deliveries
            }
            None if parcel_id.number < view.head.parcels(channel) => {
                self.load_deliveries(p, channel, parcel_id).await?
            }
            _ => return Ok(None),
        };
        Ok(deliveries.into_iter().nth(usize::from(delivery)).map(|delivery| delivery.address))
    }

    /// The message of a big order, kept for its next parcel.
    async fn content(
        &self,
        reader: &Reader,
        at: &Partition,
        order_id: &OrderId,
    ) -> Result<Arc<Content>, CallError> {
        if let Some(content) = self.0.contents.get(order_id) {
            return Ok(content);
        }
        let packed = reader
            .get(at.slot, at.keys.text(order_id))
            .await?
            .ok_or(CallError::record(Malformed::new("text: gone")))?;
        let content = Arc::new(decode_content(&packed).map_err(CallError::record)?);
        self.0.contents.put(order_id, &content, packed.len());
        Ok(content)
    }
}
