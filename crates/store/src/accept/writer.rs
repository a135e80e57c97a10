//! Streams an order in: rows become parcels of 500, parcels go out while the next rows come in, one call at a time.

use posthaste_model::{Channel, PARCEL_ROWS, Row};
use posthaste_protocol::record::{Inline, encode_content, encode_parcel};
use posthaste_protocol::scripts::enqueue::{Enqueue, Enqueued};
use posthaste_protocol::scripts::stage::{Stage, Staged};
use posthaste_protocol::scripts::unstage::Unstaged;
use tokio::task::JoinHandle;

use super::seen::Seen;
use super::{AcceptError, Accepted, AcceptedChannel, NewOrderHead};
use crate::error::CallError;
use crate::store::Store;
use crate::verbs::malformed;

/// Parcels of one call at most, and bytes from which on it is made.
const CALL_PARCELS: usize = 8;
const CALL_BYTES: usize = 512 * 1024;
/// Channels of one order at most: each has a parcel being filled in memory.
const MOST_CHANNELS: usize = 64;

type Parcels = Vec<(Channel, u32, Vec<u8>)>;

/// An order that is streaming in. Nothing of it is an order before [`OrderWriter::finish`]. Dropped before, what was
/// streamed is swept after 15 minutes of silence; [`OrderWriter::abort`] removes it at once.
#[derive(Debug)]
#[must_use = "nothing is accepted before `finish`"]
pub struct OrderWriter {
    store: Store,
    p: u16,
    head: NewOrderHead,
    /// Names this upload: another of the same suffix never mixes with it.
    upload: String,
    seen: Seen,
    channels: Vec<Filling>,
    full: Parcels,
    full_bytes: usize,
    /// The first call opens.
    opened: bool,
    /// An order of this suffix is there: nothing more needs to be streamed.
    exists: bool,
    under_way: Option<JoinHandle<Result<Staged, CallError>>>,
}

/// The parcel of a channel that is being filled.
#[derive(Debug)]
struct Filling {
    channel: Channel,
    rows: Vec<Row>,
    parcels: u32,
    total: u32,
    merged: u32,
    no_contact: u32,
}

impl Store {
    /// Opens an order whose rows will come one after the other.
    ///
    /// # Errors
    /// As any call, before anything is stored.
    pub fn open_order(&self, head: NewOrderHead) -> Result<OrderWriter, AcceptError> {
        self.0.guard.check().map_err(AcceptError::Refused)?;
        Ok(OrderWriter {
            p: self.partition_of(&head.suffix),
            store: self.clone(),
            head,
            upload: format!("{:016x}", rand::random::<u64>()),
            seen: Seen::new(),
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
    /// Adds a row; false when its address was there before on this channel, so that it was left out.
    ///
    /// # Errors
    /// After any error the order can only be given up, or given again from the start.
    pub async fn push(&mut self, channel: &Channel, row: Row) -> Result<bool, AcceptError> {
        let at = self.filling(channel)?;
        if !self.seen.insert(channel, &row.address) {
            self.channels[at].merged += 1;
            return Ok(false);
        }
        let filling = &mut self.channels[at];
        filling.total = filling.total.checked_add(1).ok_or(AcceptError::TooBig)?;
        filling.rows.push(row);
        if filling.rows.len() == PARCEL_ROWS as usize {
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
            rows: Vec::new(),
            parcels: 0,
            total: 0,
            merged: 0,
            no_contact: 0,
        });
        Ok(self.channels.len() - 1)
    }

    fn close_parcel(&mut self, at: usize) {
        let filling = &mut self.channels[at];
        let packed = encode_parcel(&filling.rows);
        filling.rows.clear();
        self.full_bytes += packed.len();
        self.full.push((filling.channel.clone(), filling.parcels, packed));
        filling.parcels += 1;
    }

    /// Starts the call for all full parcels, once the one before it is answered.
    async fn send_full(&mut self) -> Result<(), AcceptError> {
        self.answered().await?;
        let parcels = std::mem::take(&mut self.full);
        self.full_bytes = 0;
        if self.exists || parcels.is_empty() {
            return Ok(());
        }
        let open = (!self.opened).then(|| encode_content(&self.head.content));
        self.opened = true;
        let (store, p, suffix) = (self.store.clone(), self.p, self.head.suffix.clone());
        let upload = self.upload.clone();
        self.under_way = Some(tokio::spawn(async move {
            let at = store.0.partition(p)?;
            store.0.room(at).await?;
            let (keys, open) = (&at.keys, open.as_deref());
            let script = Stage { keys, suffix: &suffix, upload: &upload, open, parcels: &parcels };
            // A parcel stored twice is the same parcel.
            Ok(store.0.call_repeated(p, &script).await?.reply)
        }));
        Ok(())
    }

    async fn answered(&mut self) -> Result<(), AcceptError> {
        let Some(call) = self.under_way.take() else { return Ok(()) };
        let staged = call.await.unwrap_or_else(|_| Err(malformed("a call that ended by itself")));
        // What is staged is no order.
        match staged.map_err(AcceptError::Refused)? {
            Staged::Ok => Ok(()),
            Staged::Exists => {
                self.exists = true;
                Ok(())
            }
            Staged::Gone => Err(AcceptError::Gone),
            Staged::Hole => Err(AcceptError::Refused(malformed("a hole in the parcels of an order"))),
        }
    }

    /// Accepts the order, all of it or nothing. `digest`: of the body it was made from. `no_contact`: recipients without
    /// an address, of each channel.
    ///
    /// # Errors
    /// An [`AcceptError`]; with `Unknown` it may be there: give it again under the same suffix.
    pub async fn finish(
        mut self,
        digest: [u8; 12],
        no_contact: &[(Channel, u32)],
    ) -> Result<Accepted, AcceptError> {
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
                if !self.channels[at].rows.is_empty() {
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

    /// The pieces of a small order: one channel has rows, one parcel, and nothing was streamed.
    fn inline(&self) -> Option<Vec<(String, Vec<u8>)>> {
        let mut holders = self.channels.iter().filter(|filling| filling.total > 0);
        match (holders.next(), holders.next()) {
            (Some(one), None) if one.parcels == 0 => Inline::encode(&self.head.content, &one.rows),
            _ => None,
        }
    }

    async fn enqueue(
        &self,
        digest: [u8; 12],
        inline: Option<&[(String, Vec<u8>)]>,
    ) -> Result<Accepted, AcceptError> {
        let (inner, head) = (&self.store.0, &self.head);
        // Until here nothing was sent that makes an order.
        inner.guard.check().map_err(AcceptError::Refused)?;
        let at = inner.partition(self.p).map_err(AcceptError::Refused)?;
        inner.room(at).await.map_err(AcceptError::Refused)?;
        let channels: Vec<_> = self.channels.iter().map(|one| (one.channel.clone(), one.total)).collect();
        let no_contact: Vec<u32> = self.channels.iter().map(|one| one.no_contact).collect();
        let script = Enqueue {
            keys: &at.keys,
            suffix: &head.suffix,
            due: head.due,
            lane: head.lane,
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
            Enqueued::Accepted { again, now, accepted, due, couriers_seen } => {
                inner.confirmed(self.p, answer.before).await.map_err(AcceptError::Unknown)?;
                // What an earlier try of this call stored is new.
                if !again || answer.lost {
                    inner.guard.accepts.keep(self.p, answer.fence, &self.head.suffix, accepted);
                }
                Ok(self.accepted((again && !answer.lost, now, accepted, due), couriers_seen))
            }
            // The script looks for the order first: what it refuses was not stored by an earlier try either.
            Enqueued::Conflict => Err(AcceptError::Conflict),
            Enqueued::Late => {
                self.remove_staged().await;
                Err(AcceptError::Late)
            }
            Enqueued::Unstaged => Err(AcceptError::Gone),
            Enqueued::Incomplete => {
                // Another body was streamed under this suffix before.
                self.remove_staged().await;
                Err(AcceptError::Gone)
            }
            // Something is stored under this suffix.
            Enqueued::Bad => Err(AcceptError::Unknown(malformed("history of this suffix"))),
        }
    }

    fn accepted(
        &self,
        (again, now, accepted, due): (bool, bool, posthaste_model::UnixMs, posthaste_model::UnixMs),
        seen: Vec<Option<posthaste_model::UnixMs>>,
    ) -> Accepted {
        let channels = self.channels.iter().zip(seen.into_iter().chain(std::iter::repeat(None)));
        let channels = channels.map(|(filling, courier_seen)| AcceptedChannel {
            channel: filling.channel.clone(),
            rows: filling.total,
            merged: filling.merged,
            no_contact: filling.no_contact,
            courier_seen,
        });
        Accepted {
            suffix: self.head.suffix.clone(),
            again,
            now,
            accepted,
            due,
            durability: self.store.durability(),
            channels: channels.collect(),
        }
    }

    /// Gives the order up and removes what was streamed of it.
    ///
    /// # Errors
    /// As any call; what is left then is swept after 15 minutes.
    pub async fn abort(mut self) -> Result<(), CallError> {
        // What it brings does not matter, only that it is over.
        let _ = self.answered().await;
        self.unstage().await
    }

    async fn remove_staged(&self) {
        if let Err(error) = self.unstage().await {
            tracing::debug!(%error, "what was streamed of a refused order is swept later");
        }
    }

    async fn unstage(&self) -> Result<(), CallError> {
        if !self.opened || self.exists {
            return Ok(());
        }
        loop {
            match self.store.unstage(self.p, Some((&self.head.suffix, &self.upload))).await?.reply {
                Unstaged::Done(_) => return Ok(()),
                Unstaged::More(_) => {}
            }
        }
    }
}
