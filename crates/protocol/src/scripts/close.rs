//! `close`: ends what nobody will come for.

use bytes::Bytes;
use posthaste_model::{Channel, Lane};

use crate::keys::Keys;
use crate::script::{Script, arg, arg_text};
use crate::value::{Fields, Malformed};

contract!("close", drains: true,
    keys: ["epoch:{p}", "fence:{p}", "ready:{p}:<channel>:<lane> or unresolved:{p}:<channel>",
        "unresolved:{p}:<channel>", "parked:{p}:<channel>", "crashes:{p}:<channel>"],
    args: ["request id", "epoch", "channel", "ready or unresolved", "rank to go on from", "members at most"],
    codes: ["ok", "epoch"]);

/// Which index to walk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Index {
    /// Ready parcels of a lane.
    Ready(Lane),
    /// Parcels with unresolved rows.
    Unresolved,
}

/// Walks an index.
#[derive(Debug, Clone)]
pub struct Close<'a> {
    /// Keys of the partition.
    pub keys: &'a Keys,
    /// Of which channel.
    pub channel: &'a Channel,
    /// Which index.
    pub index: Index,
    /// Rank to go on from.
    pub from: u64,
    /// Members at most, 200 at most.
    pub limit: u32,
}

/// How far the walk came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Closed {
    /// Rank to go on from; `None` at the end.
    pub next: Option<u64>,
    /// Parcels closed.
    pub closed: u64,
    /// Members without a record, dropped.
    pub lost: u64,
}

impl Script for Close<'_> {
    type Reply = Closed;

    fn contract() -> &'static crate::script::Contract {
        &CONTRACT
    }

    fn keys(&self) -> Vec<String> {
        let (k, c) = (self.keys, self.channel);
        let index = match self.index {
            Index::Ready(lane) => k.ready(c, lane),
            Index::Unresolved => k.unresolved(c),
        };
        vec![k.epoch(), k.fence(), index, k.unresolved(c), k.parked(c), k.crashes(c)]
    }

    fn args(&self) -> Vec<Bytes> {
        let what = if self.index == Index::Unresolved { "unresolved" } else { "ready" };
        vec![arg_text(self.channel.as_str()), arg_text(what), arg(self.from), arg(self.limit.clamp(1, 200))]
    }

    fn decode(code: &str, mut f: Fields) -> Result<Closed, Malformed> {
        if code != "ok" {
            return Err(Malformed::new("code of close"));
        }
        let next = f.value("rank")?.int("rank")?;
        Ok(Closed { next: u64::try_from(next).ok(), closed: f.u64("closed")?, lost: f.u64("lost")? })
    }
}
