//! `repair_indexes`: puts lost parcels back into the index where their record belongs.

use bytes::Bytes;
use posthaste_model::{Channel, Priority, OrderId};

use crate::keys::PartitionKeys;
use crate::script::{ScriptCall, arg, arg_text};
use crate::reply_value::{ReplyFields, Malformed};

contract!("repair_indexes", drains: true,
    keys: ["epoch:{p}", "fence:{p}", "due:{p}:urgent", "due:{p}:bulk", "leased:{p}:<channel>",
        "unresolved:{p}:<channel>", "parked:{p}:<channel>"],
    args: ["request id", "epoch", "channel", "order id", "parcel to start from"],
    codes: ["ok", "not_found", "newer_version", "unreadable", "wrong_epoch"]);

/// Checks an order's parcels on one channel.
#[derive(Debug, Clone)]
pub struct RepairIndexes<'a> {
    /// Keys of the partition.
    pub keys: &'a PartitionKeys,
    /// The channel.
    pub channel: &'a Channel,
    /// The order.
    pub order_id: &'a OrderId,
    /// Parcel to start from.
    pub from: u32,
}

/// The result of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RepairedIndexes {
    /// The record was read.
    Ok {
        /// Parcel to continue from; `None` at the end.
        next: Option<u32>,
        /// Parcels put back.
        mended: u32,
    },
    /// There is no record, or this program can't read it.
    Unreadable,
}

impl ScriptCall for RepairIndexes<'_> {
    type Reply = RepairedIndexes;

    fn contract() -> &'static crate::script::Contract {
        &CONTRACT
    }

    fn keys(&self) -> Vec<String> {
        let (k, c) = (self.keys, self.channel);
        vec![k.epoch(), k.fence(), k.due(Priority::Urgent), k.due(Priority::Bulk), k.leased(c), k.unresolved(c), k.parked(c)]
    }

    fn args(&self) -> Vec<Bytes> {
        vec![arg_text(self.channel.as_str()), arg_text(self.order_id.as_str()), arg(self.from)]
    }

    fn decode(code: &str, mut f: ReplyFields) -> Result<RepairedIndexes, Malformed> {
        match code {
            "ok" => {
                let next = f.u32("parcel")?;
                Ok(RepairedIndexes::Ok { next: (next > 0).then_some(next), mended: f.u32("mended")? })
            }
            "not_found" | "newer_version" | "unreadable" => Ok(RepairedIndexes::Unreadable),
            _ => Err(Malformed::new("code of repair_indexes")),
        }
    }
}
