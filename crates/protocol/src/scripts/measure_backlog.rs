//! `measure_backlog`: counts what is due on a channel and not sent, and finds when the oldest was due.

use bytes::Bytes;
use posthaste_model::{Channel, Priority, UnixMs};

use crate::keys::PartitionKeys;
use crate::script::{ScriptCall, arg, arg_text};
use crate::reply_value::{ReplyFields, Malformed};

contract!("measure_backlog", drains: true,
    keys: ["epoch:{p}", "fence:{p}", "ready:{p}:<channel>:urgent", "ready:{p}:<channel>:bulk",
        "leased:{p}:<channel>", "due:{p}:urgent", "due:{p}:bulk"],
    args: ["request id", "epoch", "channel", "index to go on from: 3 to 7, as the keys are numbered",
        "rank in it to go on from", "members at most"],
    codes: ["ok", "wrong_epoch"]);

/// Where the walk goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BacklogPlace {
    index: u64,
    rank: u64,
}

impl BacklogPlace {
    /// Where it begins.
    pub const START: Self = Self { index: 3, rank: 0 };
}

/// Walks a part of the backlog of a channel.
#[derive(Debug, Clone)]
pub struct MeasureBacklog<'a> {
    /// Keys of the partition.
    pub keys: &'a PartitionKeys,
    /// The channel.
    pub channel: &'a Channel,
    /// Where to go on.
    pub from: BacklogPlace,
    /// Members at most, up to 500.
    pub limit: u32,
}

/// A part of the backlog.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BacklogPart {
    /// Where to go on; `None` at the end.
    pub next: Option<BacklogPlace>,
    /// Deliveries that are due and not sent.
    pub deliveries: u64,
    /// When the oldest of them was due.
    pub oldest: Option<UnixMs>,
}

impl ScriptCall for MeasureBacklog<'_> {
    type Reply = BacklogPart;

    fn contract() -> &'static crate::script::Contract {
        &CONTRACT
    }

    fn keys(&self) -> Vec<String> {
        let (k, c) = (self.keys, self.channel);
        vec![
            k.epoch(),
            k.fence(),
            k.ready(c, Priority::Urgent),
            k.ready(c, Priority::Bulk),
            k.leased(c),
            k.due(Priority::Urgent),
            k.due(Priority::Bulk),
        ]
    }

    fn args(&self) -> Vec<Bytes> {
        vec![
            arg_text(self.channel.as_str()),
            arg(self.from.index),
            arg(self.from.rank),
            arg(self.limit),
        ]
    }

    fn decode(code: &str, mut f: ReplyFields) -> Result<BacklogPart, Malformed> {
        if code != "ok" {
            return Err(Malformed::new("code of measure_backlog"));
        }
        let (index, rank) = (f.u64("index")?, f.u64("rank")?);
        let (deliveries, oldest) = (f.u64("deliveries")?, f.u64("oldest")?);
        Ok(BacklogPart {
            next: (index > 0).then_some(BacklogPlace { index, rank }),
            deliveries,
            oldest: (oldest > 0).then_some(UnixMs(oldest)),
        })
    }
}
