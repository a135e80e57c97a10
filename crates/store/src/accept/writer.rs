//! Streams an order: deliveries are collected into parcels of 500; parcels are sent while the next deliveries arrive,
//! one call at a time.

use posthaste_model::{Channel, Delivery, PARCEL_DELIVERIES, addresses};
use posthaste_protocol::record::{Inline, encode_content, encode_parcel};
use posthaste_protocol::scripts::enqueue::{Enqueue, Enqueued};
use posthaste_protocol::scripts::stage_parcels::{StageParcels, Staged};
use posthaste_protocol::scripts::unstage_parcels::Unstaged;
use tokio::task::JoinHandle;

use super::error::AcceptError;
use super::order::{AcceptedChannel, AcceptedOrder, NewOrderHead};
use crate::epoch_guard::Partition;
use crate::error::{CallError, malformed};
use crate::inner::Inner;
use crate::retryable::Retryable;
use crate::store::Store;
use crate::text_set::TextSet;

/// Most parcels of one call, and the number of bytes at which a call is made.
const CALL_PARCELS: usize = 8;
const CALL_BYTES: usize = 512 * 1024;
/// Most channels of one order: each has one parcel in memory.
const MOST_CHANNELS: usize = 64;

type Parcels = Vec<(Channel, u32, Vec<u8>)>;

/// An order that is being streamed. It becomes an order only with [`OrderWriter::finish`]. If it is dropped before
/// that, its staged data is removed after 15 minutes without activity; [`OrderWriter::abort`] removes it at once.
#[derive(Debug)]
#[must_use = "nothing is accepted before `finish`"]
pub struct OrderWriter {
    store: Store,
    p: u16,
    head: NewOrderHead,
    /// Identifies this upload: another upload with the same order id never mixes with it.
    upload: String,
    seen: TextSet,
    channels: Vec<Filling>,
    full: Parcels,
    full_bytes: usize,
    /// The first call opens the upload.
    opened: bool,
    /// An order with this id already exists: nothing more needs to be streamed.
    exists: bool,
    under_way: Option<JoinHandle<Result<Staged, CallError>>>,
}

/// The parcel of a channel that is being filled.
#[derive(Debug)]
struct Filling {
    channel: Channel,
    deliveries: Vec<Delivery>,
    parcels: u32,
    total: u32,
    merged: u32,
    no_contact: u32,
}

/// Refuses to store anything new in a partition whose server's memory is nearly full.
async fn check_room(inner: &Inner, at: &Partition) -> Result<(), CallError> {
    let primary = inner.routes.at(at.slot)?;
    if primary.gate.is_nearly_full(&primary.pool).await {
        let error = CallError::Retryable { why: Retryable::NearlyFull };
        inner.troubles.failed(&error);
        return Err(error);
    }
    Ok(())
}

impl Store {
    /// Opens an order whose deliveries are added one by one.
    ///
    /// # Errors
    /// As for any call, before anything is stored.
    pub fn open_order(&self, head: NewOrderHead) -> Result<OrderWriter, AcceptError> {
        self.0.guard.check().map_err(AcceptError::Refused)?;
        Ok(OrderWriter {
            p: self.partition_of(&head.order_id),
            store: self.clone(),
            head,
            upload: format!("{:016x}", rand::random::<u64>()),
            seen: TextSet::new(rand::random()),
            channels: Vec::new(),
            full: Vec::new(),
            full_bytes: 0,
            opened: false,
            exists: false,
            under_way: None,
        })
    }
}

impl OrderWriter {
    /// Adds a delivery; false when its address is already in the order on this channel and the delivery was left out.
    ///
    /// # Errors
    /// After any error the order can only be aborted, or sent again from the start.
    pub async fn push(&mut self, channel: &Channel, delivery: Delivery) -> Result<bool, AcceptError> {
        let at = self.filling(channel)?;
        if !self.seen.insert(&[channel.as_str(), &addresses::compared(channel, &delivery.address)]) {
            self.channels[at].merged += 1;
            return Ok(false);
        }
        let filling = &mut self.channels[at];
        filling.total = filling.total.checked_add(1).ok_or(AcceptError::TooBig)?;
        filling.deliveries.push(delivery);
        if filling.deliveries.len() == PARCEL_DELIVERIES as usize {
            self.close_parcel(at);
            if self.full.len() >= CALL_PARCELS || self.full_bytes >= CALL_BYTES {
                self.send_full().await?;
            }
        }
        Ok(true)
    }

    fn filling(&mut self, channel: &Channel) -> Result<usize, AcceptError> {
        if let Some(at) = self.channels.iter().position(|filling| filling.channel == *channel) {
            return Ok(at);
        }
        if self.channels.len() == MOST_CHANNELS {
            return Err(AcceptError::TooBig);
        }
        let channel = channel.clone();
        self.channels.push(Filling {
            channel,
            deliveries: Vec::new(),
            parcels: 0,
            total: 0,
            merged: 0,
            no_contact: 0,
        });
        Ok(self.channels.len() - 1)
    }

    fn close_parcel(&mut self, at: usize) {
        let filling = &mut self.channels[at];
        let packed = encode_parcel(&filling.deliveries);
        filling.deliveries.clear();
        self.full_bytes += packed.len();
        self.full.push((filling.channel.clone(), filling.parcels, packed));
        filling.parcels += 1;
    }

    /// Starts the call for all full parcels, once the previous one is answered.
    async fn send_full(&mut self) -> Result<(), AcceptError> {
        self.answered().await?;
        let parcels = std::mem::take(&mut self.full);
        self.full_bytes = 0;
        if self.exists || parcels.is_empty() {
            return Ok(());
        }
        let open = (!self.opened).then(|| encode_content(&self.head.content));
        self.opened = true;
        let (store, p, order_id) = (self.store.clone(), self.p, self.head.order_id.clone());
        let upload = self.upload.clone();
        self.under_way = Some(tokio::spawn(async move {
            let at = store.0.partition(p)?;
            check_room(&store.0, at).await?;
            let (keys, open) = (&at.keys, open.as_deref());
            let script = StageParcels { keys, order_id: &order_id, upload: &upload, open, parcels: &parcels };
            // Storing a parcel twice stores the same parcel.
            Ok(store.0.call_repeated(p, &script).await?.reply)
        }));
        Ok(())
    }

    async fn answered(&mut self) -> Result<(), AcceptError> {
        let Some(call) = self.under_way.take() else { return Ok(()) };
        let staged = call.await.unwrap_or_else(|_| Err(malformed("a call that ended by itself")));
        // Staged data is not an order yet.
        match staged.map_err(AcceptError::Refused)? {
            Staged::Ok => Ok(()),
            Staged::OrderExists => {
                self.exists = true;
                Ok(())
            }
            Staged::UploadLost => Err(AcceptError::Gone),
            Staged::Gap => Err(AcceptError::Refused(malformed("a gap in the parcels of an order"))),
        }
    }

    /// Accepts the order, as a whole or not at all. `digest` is that of the body it was made from, `no_contact` the
    /// recipients without an address per channel.
    ///
    /// # Errors
    /// An [`AcceptError`]; with `Unknown` it may be stored: send it again under the same order id.
    pub async fn finish(
        mut self,
        digest: [u8; 12],
        no_contact: &[(Channel, u32)],
    ) -> Result<AcceptedOrder, AcceptError> {
        for (channel, count) in no_contact {
            let at = self.filling(channel)?;
            self.channels[at].no_contact = *count;
        }
        if self.channels.iter().all(|filling| filling.total == 0) {
            return Err(AcceptError::Empty);
        }
        let inline = self.inline();
        if inline.is_none() {
            for at in 0..self.channels.len() {
                if !self.channels[at].deliveries.is_empty() {
                    self.close_parcel(at);
                }
                if self.full.len() >= CALL_PARCELS || self.full_bytes >= CALL_BYTES {
                    self.send_full().await?;
                }
            }
            self.send_full().await?;
            self.answered().await?;
        }
        self.enqueue(digest, inline.as_deref()).await
    }

    /// The pieces of a small order: only one channel has deliveries, they fit in one parcel, and nothing was
    /// streamed.
    fn inline(&self) -> Option<Vec<(String, Vec<u8>)>> {
        let mut holders = self.channels.iter().filter(|filling| filling.total > 0);
        match (holders.next(), holders.next()) {
            (Some(one), None) if one.parcels == 0 => Inline::encode(&self.head.content, &one.deliveries),
            _ => None,
        }
    }

    async fn enqueue(
        &self,
        digest: [u8; 12],
        inline: Option<&[(String, Vec<u8>)]>,
    ) -> Result<AcceptedOrder, AcceptError> {
        let (inner, head) = (&self.store.0, &self.head);
        // Nothing sent so far creates an order.
        inner.guard.check().map_err(AcceptError::Refused)?;
        let at = inner.partition(self.p).map_err(AcceptError::Refused)?;
        check_room(inner, at).await.map_err(AcceptError::Refused)?;
        let channels: Vec<_> = self.channels.iter().map(|one| (one.channel.clone(), one.total)).collect();
        let no_contact: Vec<u32> = self.channels.iter().map(|one| one.no_contact).collect();
        let script = Enqueue {
            keys: &at.keys,
            order_id: &head.order_id,
            due: head.due,
            priority: head.priority,
            on_unknown: head.on_unknown,
            not_after: head.not_after,
            span: head.span,
            digest,
            channels: &channels,
            no_contact: &no_contact,
            inline,
            upload: if inline.is_some() { "" } else { &self.upload },
        };
        let answer = inner.call_repeated(self.p, &script).await.map_err(AcceptError::of_enqueue)?;
        match answer.reply {
            Enqueued::Accepted { already_done, due_now, accepted, due, couriers_seen } => {
                inner.confirmed(self.p, answer.before).await.map_err(AcceptError::Unknown)?;
                // What an earlier try of this call stored is new, too.
                if !already_done || answer.lost {
                    inner.guard.accepts.keep(self.p, answer.fence, &self.head.order_id, accepted);
                }
                Ok(self.accepted((already_done && !answer.lost, due_now, accepted, due), couriers_seen))
            }
            // The script first looks for the order, so an order it refuses was not stored by an earlier try either.
            Enqueued::Conflict => Err(AcceptError::Conflict),
            Enqueued::ExpiresBeforeDue => {
                self.remove_staged().await;
                Err(AcceptError::ExpiresBeforeDue)
            }
            Enqueued::UploadLost => Err(AcceptError::Gone),
            Enqueued::Incomplete => {
                // Another body was streamed under this id before.
                self.remove_staged().await;
                Err(AcceptError::Gone)
            }
            // Something is already stored under this id.
            Enqueued::Invalid | Enqueued::Unreadable => {
                Err(AcceptError::Unknown(malformed("history of this id")))
            }
        }
    }

    fn accepted(
        &self,
        (already_done, due_now, accepted, due): (
            bool,
            bool,
            posthaste_model::UnixMs,
            posthaste_model::UnixMs,
        ),
        seen: Vec<Option<posthaste_model::UnixMs>>,
    ) -> AcceptedOrder {
        let channels = self.channels.iter().zip(seen.into_iter().chain(std::iter::repeat(None)));
        let channels = channels.map(|(filling, courier_seen)| AcceptedChannel {
            channel: filling.channel.clone(),
            deliveries: filling.total,
            merged: filling.merged,
            no_contact: filling.no_contact,
            courier_seen,
        });
        AcceptedOrder {
            order_id: self.head.order_id.clone(),
            already_done,
            due_now,
            accepted,
            due,
            durability: self.store.durability(),
            channels: channels.collect(),
        }
    }

    /// Aborts the order and removes its staged data.
    ///
    /// # Errors
    /// As for any call; what remains is removed after 15 minutes.
    pub async fn abort(mut self) -> Result<(), CallError> {
        // The result does not matter, only that the call is over.
        let _ = self.answered().await;
        self.unstage().await
    }

    async fn remove_staged(&self) {
        if let Err(error) = self.unstage().await {
            tracing::debug!(%error, "cannot remove the staged data of a refused order now; it is removed later");
        }
    }

    async fn unstage(&self) -> Result<(), CallError> {
        if !self.opened || self.exists {
            return Ok(());
        }
        loop {
            match self.store.unstage(self.p, Some((&self.head.order_id, &self.upload))).await?.reply {
                Unstaged::Done(_) => return Ok(()),
                Unstaged::More(_) => {}
            }
        }
    }
}
