//! `list_in_doubt`: lists, or ends, deliveries that may have been begun in a lost period.

use bytes::Bytes;
use posthaste_model::{Channel, Priority, ParcelId, UnixMs};

use crate::keys::PartitionKeys;
use crate::script::{ScriptCall, arg, arg_text};
use crate::reply_value::{ReplyFields, Malformed};

contract!("list_in_doubt", drains: true,
    keys: ["epoch:{p}", "fence:{p}", "leased:{p}:<channel>, unresolved:{p}:<channel>, ready:{p}:<channel>:<priority> or parked:{p}:<channel>",
        "leased:{p}:<channel>", "lease:{p}:<channel>", "unresolved:{p}:<channel>", "crashes:{p}:<channel>",
        "parked:{p}:<channel>", "parked_why:{p}"],
    args: ["request id", "epoch", "channel", "lowest score in ms", "highest score in ms, or +inf",
        "moment of the halt in ms", "1 to end the deliveries, 0 to name them", "rank to go on from", "members at most"],
    codes: ["ok", "wrong_epoch"]);

/// The index to walk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DoubtIndex {
    /// Parcels a courier held.
    Leased,
    /// Parcels with deliveries of unknown outcome.
    Unresolved,
    /// Parcels that can't be read: some may have been released and begun in the lost period.
    Parked,
    /// Parcels that were ready between two times.
    Ready {
        /// The priority.
        priority: Priority,
        /// Ready at this time or later.
        from: UnixMs,
    },
}

/// One step of the walk.
#[derive(Debug, Clone)]
pub struct ListInDoubt<'a> {
    /// Keys of the partition.
    pub keys: &'a PartitionKeys,
    /// The channel.
    pub channel: &'a Channel,
    /// The index.
    pub index: DoubtIndex,
    /// Until when couriers may have begun deliveries.
    pub halted: UnixMs,
    /// Whether to end the deliveries as unknown.
    pub end: bool,
    /// Where to continue.
    pub from: u64,
    /// Maximum number of members, up to 100.
    pub limit: u32,
}

/// The result of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundInDoubt {
    /// Where to continue; `None` at the end.
    pub next: Option<u64>,
    /// Parcels, and the number of deliveries in doubt of each.
    pub parcels: Vec<(ParcelId, u32)>,
}

impl ScriptCall for ListInDoubt<'_> {
    type Reply = FoundInDoubt;

    fn contract() -> &'static crate::script::Contract {
        &CONTRACT
    }

    fn keys(&self) -> Vec<String> {
        let (k, c) = (self.keys, self.channel);
        let walked = match self.index {
            DoubtIndex::Leased => k.leased(c),
            DoubtIndex::Unresolved => k.unresolved(c),
            DoubtIndex::Parked => k.parked(c),
            DoubtIndex::Ready { priority, .. } => k.ready(c, priority),
        };
        let (unresolved, parked) = (k.unresolved(c), k.parked(c));
        let (leased, lease, crashes) = (k.leased(c), k.lease(c), k.crashes(c));
        vec![k.epoch(), k.fence(), walked, leased, lease, unresolved, crashes, parked, k.parked_why()]
    }

    fn args(&self) -> Vec<Bytes> {
        let (low, high) = match self.index {
            DoubtIndex::Ready { from, .. } => (arg(from.0), arg(self.halted.0)),
            DoubtIndex::Leased | DoubtIndex::Unresolved | DoubtIndex::Parked => (arg_text("-inf"), arg_text("+inf")),
        };
        vec![
            arg_text(self.channel.as_str()),
            low,
            high,
            arg(self.halted.0),
            arg(u8::from(self.end)),
            arg(self.from),
            arg(self.limit.clamp(1, 100)),
        ]
    }

    fn decode(code: &str, mut f: ReplyFields) -> Result<FoundInDoubt, Malformed> {
        if code != "ok" {
            return Err(Malformed::new("code of list_in_doubt"));
        }
        let next = u64::try_from(f.value("rank")?.int("rank")?).ok();
        let parcels = f.array("parcels")?.into_iter().map(|parcel| {
            let mut parcel = ReplyFields::new(parcel.array("parcel")?);
            let parcel_id = parcel.text("member")?.parse().map_err(|_| Malformed::new("member"))?;
            Ok((parcel_id, parcel.u32("deliveries")?))
        });
        Ok(FoundInDoubt { next, parcels: parcels.collect::<Result<_, Malformed>>()? })
    }
}
