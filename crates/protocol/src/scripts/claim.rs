//! `claim`: takes parcels of a channel under a lease.

use std::time::Duration;

use bytes::Bytes;
use posthaste_model::{Channel, CourierId, Priority, ParcelId, OrderId, UnixMs};

use crate::keys::PartitionKeys;
use crate::record::{Head, Inline, DeliveryRecords};
use crate::script::{ScriptCall, arg, arg_text};
use crate::reply_value::{ReplyFields, Malformed};

contract!("claim", drains: true,
    keys: ["epoch:{p}", "fence:{p}", "due:{p}:urgent", "due:{p}:bulk", "ready:{p}:<channel>:urgent",
        "ready:{p}:<channel>:bulk", "leased:{p}:<channel>", "lease:{p}:<channel>", "request:{p}:<channel>",
        "couriers:{p}:<channel>", "channels:{p}", "crashes:{p}:<channel>", "unresolved:{p}:<channel>",
        "parked:{p}:<channel>"],
    args: ["request id", "epoch", "channel", "courier id", "number of the request, growing", "lease in ms",
        "parcels at most", "bulk parcels at most", "deliveries to begin at once at most",
        "send window in ms: what is begun must have ended by now + this",
        "1 when the courier has nothing else in hand: should it die now, what is taken alone is the cause"],
    codes: ["ok", "already_done", "outdated", "wrong_epoch"]);

/// Maximum number of parcels per call.
pub const MOST_PARCELS: u32 = 200;

/// Claims parcels.
#[derive(Debug, Clone)]
pub struct Claim<'a> {
    /// Keys of the partition.
    pub keys: &'a PartitionKeys,
    /// The channel.
    pub channel: &'a Channel,
    /// The courier.
    pub courier: &'a CourierId,
    /// Number of the request: one higher after every reply, the same for a repeat.
    pub number: u64,
    /// How long the lease lasts.
    pub lease: Duration,
    /// Maximum number of parcels, up to 200.
    pub limit: u32,
    /// Maximum number of bulk parcels among them.
    pub bulk_limit: u32,
    /// Maximum number of deliveries of inline orders to begin at once.
    pub begin: u32,
    /// How long a send begun here may take.
    pub send_window: Duration,
    /// Whether the courier holds nothing else: if it dies now, a parcel claimed alone is the cause.
    pub empty_handed: bool,
}

/// A parcel under the caller's lease.
#[derive(Debug, Clone)]
pub struct ClaimedParcel {
    /// The parcel.
    pub parcel_id: ParcelId,
    /// It may be what its couriers died of; claimed alone.
    pub careful: bool,
    /// Head of its order.
    pub head: Head,
    /// Content and deliveries, if they are in the history; otherwise the caller fetches `text:` and `parcel:`.
    pub inline: Option<Inline>,
    /// Outcomes after this call, if they are in the history; otherwise the caller fetches `outcome:`.
    pub outcomes: Option<DeliveryRecords>,
}

/// The result of a claim.
#[derive(Debug)]
pub struct ClaimedParcels {
    /// Whether this repeats an earlier reply.
    pub already_done: bool,
    /// The next due time, end of a lease or end of a send on this channel; in the past when more can be promoted or
    /// reclaimed now.
    pub next: Option<UnixMs>,
    /// Ready time of the first parcel still waiting in ready; may be in the future.
    pub oldest: Option<UnixMs>,
    /// Parcels still waiting in ready, whether ready now or later.
    pub waiting: u64,
    /// Parcels promoted.
    pub promoted: u64,
    /// Delivery keys that another program had made persistent.
    pub persisted: u64,
    /// Entries of `due` without a record, dropped.
    pub lost: u64,
    /// Parcels whose order was cancelled or expired.
    pub closed: u64,
    /// The parcels.
    pub parcels: Vec<ClaimedParcel>,
    /// Parcels under the lease whose history this program can't read after all: their holder parks them, or releases
    /// them if they are of a later version.
    pub unreadable: Vec<UnreadableParcel>,
    /// Orders and parcels of a later version, left to a newer program. Nothing of them was begun.
    pub newer: u64,
    /// One of them, for messages.
    pub newer_order_id: Option<OrderId>,
}

/// A claimed parcel that can't be read here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnreadableParcel {
    /// The parcel.
    pub parcel_id: ParcelId,
    /// The reason.
    pub malformed: Malformed,
}

/// The reply of a claim.
#[derive(Debug)]
pub enum ClaimReply {
    /// Parcels, perhaps none.
    Claimed(ClaimedParcels),
    /// The number is smaller than the last: an old copy.
    Outdated,
}

impl ScriptCall for Claim<'_> {
    type Reply = ClaimReply;

    fn contract() -> &'static crate::script::Contract {
        &CONTRACT
    }

    fn keys(&self) -> Vec<String> {
        let (k, c) = (self.keys, self.channel);
        vec![
            k.epoch(),
            k.fence(),
            k.due(Priority::Urgent),
            k.due(Priority::Bulk),
            k.ready(c, Priority::Urgent),
            k.ready(c, Priority::Bulk),
            k.leased(c),
            k.lease(c),
            k.request(c),
            k.couriers(c),
            k.channels(),
            k.crashes(c),
            k.unresolved(c),
            k.parked(c),
        ]
    }

    fn args(&self) -> Vec<Bytes> {
        vec![
            arg_text(self.channel.as_str()),
            arg_text(self.courier.as_str()),
            arg(self.number),
            arg(self.lease.as_millis()),
            arg(self.limit.min(MOST_PARCELS)),
            arg(self.bulk_limit.min(MOST_PARCELS)),
            arg(self.begin),
            arg(self.send_window.as_millis()),
            arg(u8::from(self.empty_handed)),
        ]
    }

    fn decode(code: &str, mut f: ReplyFields) -> Result<ClaimReply, Malformed> {
        if code == "outdated" {
            return Ok(ClaimReply::Outdated);
        }
        if code != "ok" && code != "already_done" {
            return Err(Malformed::new("code of claim"));
        }
        let moment = |ms: u64| (ms > 0).then_some(UnixMs(ms));
        let mut taken = ClaimedParcels {
            already_done: code == "already_done",
            next: moment(f.u64("next")?),
            oldest: moment(f.u64("oldest")?),
            waiting: f.u64("waiting")?,
            promoted: f.u64("promoted")?,
            persisted: f.u64("persisted")?,
            lost: f.u64("lost")?,
            closed: f.u64("closed")?,
            parcels: Vec::new(),
            unreadable: Vec::new(),
            newer: 0,
            newer_order_id: None,
        };
        for entry in f.array("parcels")? {
            let mut entry = ReplyFields::new(entry.array("parcel")?);
            // A name that is not a parcel id can't have a record; its lease expires.
            let Ok(parcel_id) = entry.text("member")?.parse::<ParcelId>() else { continue };
            match read_claimed(parcel_id.clone(), entry) {
                Ok(claimed) => taken.parcels.push(claimed),
                Err(malformed) => taken.unreadable.push(UnreadableParcel { parcel_id, malformed }),
            }
        }
        for name in f.array("newer")? {
            taken.newer += 1;
            // Orders that could not be promoted, and parcels.
            let name = name.text("newer").unwrap_or_default();
            let parcel = || name.parse().ok().map(|parcel_id: ParcelId| parcel_id.order_id);
            taken.newer_order_id = taken.newer_order_id.or_else(|| name.parse().ok().or_else(parcel));
        }
        Ok(ClaimReply::Claimed(taken))
    }
}

fn read_claimed(parcel_id: ParcelId, mut f: ReplyFields) -> Result<ClaimedParcel, Malformed> {
    let careful = f.u64("mark")? == 1;
    let mut fields = f.array("fields")?.into_iter();
    let (mut head, mut record) = (None, None);
    let mut pieces: Vec<(u32, Bytes)> = Vec::new();
    while let (Some(name), Some(value)) = (fields.next(), fields.next()) {
        let name = name.bytes("field")?;
        match name.as_ref() {
            b"h" => head = Some(Head::decode(&value.bytes("head")?)?),
            b"o" => record = Some(value.bytes("outcomes")?),
            [b'b', digits @ ..] => {
                let n = std::str::from_utf8(digits).ok().and_then(|d| d.parse().ok());
                pieces.push((n.ok_or(Malformed::new("piece"))?, value.bytes("piece")?));
            }
            _ => {}
        }
    }
    let head = head.ok_or(Malformed::new("head"))?;
    if !head.inline {
        return Ok(ClaimedParcel { parcel_id, careful, head, inline: None, outcomes: None });
    }
    pieces.sort_by_key(|(n, _)| *n);
    let blob: Vec<u8> = pieces.into_iter().flat_map(|(_, piece)| piece).collect();
    let inline = Inline::decode(&blob)?;
    let deliveries = u32::try_from(inline.deliveries.len()).map_err(|_| Malformed::new("deliveries"))?;
    if head.channels.iter().map(|(_, deliveries)| *deliveries).sum::<u32>() != deliveries {
        return Err(Malformed::new("deliveries"));
    }
    let outcomes = DeliveryRecords::decode(record.as_deref(), deliveries, head.due)?;
    Ok(ClaimedParcel { parcel_id, careful, head, inline: Some(inline), outcomes: Some(outcomes) })
}
