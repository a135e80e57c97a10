//! `doubt`: names, or ends, what may have been begun in a span that was lost.

use bytes::Bytes;
use posthaste_model::{Channel, Lane, Member, UnixMs};

use crate::keys::Keys;
use crate::script::{Script, arg, arg_text};
use crate::value::{Fields, Malformed};

contract!("doubt", drains: true,
    keys: ["epoch:{p}", "fence:{p}", "leased:{p}:<channel>, unresolved:{p}:<channel>, ready:{p}:<channel>:<lane> or parked:{p}:<channel>",
        "leased:{p}:<channel>", "lease:{p}:<channel>", "unresolved:{p}:<channel>", "crashes:{p}:<channel>",
        "parked:{p}:<channel>", "parked_why:{p}"],
    args: ["request id", "epoch", "channel", "lowest score in ms", "highest score in ms, or +inf",
        "moment of the halt in ms", "1 to end the rows, 0 to name them", "rank to go on from", "members at most"],
    codes: ["ok", "epoch"]);

/// Which index is walked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DoubtIndex {
    /// Parcels a courier held.
    Leased,
    /// Parcels with rows of unknown outcome.
    Unresolved,
    /// Parcels that can't be read: some may have been released, and begun, in the span that was lost.
    Parked,
    /// Parcels that were ready between two moments.
    Ready {
        /// Of which lane.
        lane: Lane,
        /// Ready at this moment or later.
        from: UnixMs,
    },
}

/// One step of the walk.
#[derive(Debug, Clone)]
pub struct Doubt<'a> {
    /// Keys of the partition.
    pub keys: &'a Keys,
    /// Of which channel.
    pub channel: &'a Channel,
    /// Which index.
    pub index: DoubtIndex,
    /// Until when couriers may have begun rows.
    pub halted: UnixMs,
    /// Whether the rows are ended as unknown.
    pub end: bool,
    /// Where to go on.
    pub from: u64,
    /// Members at most, 100 at most.
    pub limit: u32,
}

/// What a step found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doubted {
    /// Where to go on; `None` at the end.
    pub next: Option<u64>,
    /// Parcels, and rows in doubt of each.
    pub parcels: Vec<(Member, u32)>,
}

impl Script for Doubt<'_> {
    type Reply = Doubted;

    fn contract() -> &'static crate::script::Contract {
        &CONTRACT
    }

    fn keys(&self) -> Vec<String> {
        let (k, c) = (self.keys, self.channel);
        let walked = match self.index {
            DoubtIndex::Leased => k.leased(c),
            DoubtIndex::Unresolved => k.unresolved(c),
            DoubtIndex::Parked => k.parked(c),
            DoubtIndex::Ready { lane, .. } => k.ready(c, lane),
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

    fn decode(code: &str, mut f: Fields) -> Result<Doubted, Malformed> {
        if code != "ok" {
            return Err(Malformed::new("code of doubt"));
        }
        let next = u64::try_from(f.value("rank")?.int("rank")?).ok();
        let parcels = f.array("parcels")?.into_iter().map(|parcel| {
            let mut parcel = Fields::new(parcel.array("parcel")?);
            let member = parcel.text("member")?.parse().map_err(|_| Malformed::new("member"))?;
            Ok((member, parcel.u32("rows")?))
        });
        Ok(Doubted { next, parcels: parcels.collect::<Result<_, Malformed>>()? })
    }
}
