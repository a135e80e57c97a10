//! `purge_orders`: removes old orders.

use bytes::Bytes;

use crate::keys::PartitionKeys;
use crate::script::{ScriptCall, arg};
use crate::reply_value::{ReplyFields, Malformed};

contract!("purge_orders", drains: true,
    keys: ["epoch:{p}", "fence:{p}", "retire:{p}:<day>", "orders:{p}"],
    args: ["request id", "epoch", "day, days since 1970", "retention in days"],
    codes: ["done", "more", "too_early", "wrong_epoch"]);

/// Removes orders that became final on one day, in bounded steps.
#[derive(Debug, Clone)]
pub struct PurgeOrders<'a> {
    /// Keys of the partition.
    pub keys: &'a PartitionKeys,
    /// Days since 1970.
    pub day: u64,
    /// Retention in days.
    pub retention_days: u32,
}

/// How far it got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PurgedOrders {
    /// The day is finished.
    Done(u64),
    /// Call again.
    More(u64),
    /// The retention is not over: nothing changed.
    TooEarly,
}

impl ScriptCall for PurgeOrders<'_> {
    type Reply = PurgedOrders;

    fn contract() -> &'static crate::script::Contract {
        &CONTRACT
    }

    fn keys(&self) -> Vec<String> {
        let k = self.keys;
        vec![k.epoch(), k.fence(), k.retire(self.day), k.orders()]
    }

    fn args(&self) -> Vec<Bytes> {
        vec![arg(self.day), arg(self.retention_days)]
    }

    fn decode(code: &str, mut f: ReplyFields) -> Result<PurgedOrders, Malformed> {
        Ok(match code {
            "done" => PurgedOrders::Done(f.u64("removed")?),
            "more" => PurgedOrders::More(f.u64("removed")?),
            "too_early" => PurgedOrders::TooEarly,
            _ => return Err(Malformed::new("code of purge_orders")),
        })
    }
}
