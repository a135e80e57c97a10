//! `expire_parcels`: ends deliveries that will never be claimed.

use bytes::Bytes;
use posthaste_model::{Channel, Priority};

use crate::keys::PartitionKeys;
use crate::script::{ScriptCall, arg, arg_text};
use crate::reply_value::{ReplyFields, Malformed};

contract!("expire_parcels", drains: true,
    keys: ["epoch:{p}", "fence:{p}", "ready:{p}:<channel>:<priority> or unresolved:{p}:<channel>",
        "unresolved:{p}:<channel>", "parked:{p}:<channel>", "crashes:{p}:<channel>"],
    args: ["request id", "epoch", "channel", "ready or unresolved", "rank to go on from", "members at most"],
    codes: ["ok", "wrong_epoch"]);

/// The index to walk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Index {
    /// Ready parcels of one priority.
    Ready(Priority),
    /// Parcels with unresolved deliveries.
    Unresolved,
}

/// Walks an index.
#[derive(Debug, Clone)]
pub struct ExpireParcels<'a> {
    /// Keys of the partition.
    pub keys: &'a PartitionKeys,
    /// The channel.
    pub channel: &'a Channel,
    /// The index.
    pub index: Index,
    /// Rank to continue from.
    pub from: u64,
    /// Maximum number of members, up to 200.
    pub limit: u32,
}

/// How far the walk got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExpiredParcels {
    /// Rank to continue from; `None` at the end.
    pub next: Option<u64>,
    /// Parcels closed.
    pub closed: u64,
    /// Members without a record, dropped.
    pub lost: u64,
}

impl ScriptCall for ExpireParcels<'_> {
    type Reply = ExpiredParcels;

    fn contract() -> &'static crate::script::Contract {
        &CONTRACT
    }

    fn keys(&self) -> Vec<String> {
        let (k, c) = (self.keys, self.channel);
        let index = match self.index {
            Index::Ready(priority) => k.ready(c, priority),
            Index::Unresolved => k.unresolved(c),
        };
        vec![k.epoch(), k.fence(), index, k.unresolved(c), k.parked(c), k.crashes(c)]
    }

    fn args(&self) -> Vec<Bytes> {
        let what = if self.index == Index::Unresolved { "unresolved" } else { "ready" };
        vec![arg_text(self.channel.as_str()), arg_text(what), arg(self.from), arg(self.limit.clamp(1, 200))]
    }

    fn decode(code: &str, mut f: ReplyFields) -> Result<ExpiredParcels, Malformed> {
        if code != "ok" {
            return Err(Malformed::new("code of expire_parcels"));
        }
        let next = f.value("rank")?.int("rank")?;
        Ok(ExpiredParcels { next: u64::try_from(next).ok(), closed: f.u64("closed")?, lost: f.u64("lost")? })
    }
}
