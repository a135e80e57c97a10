//! `scan_orders`: lists orders whose record and indexes may disagree.

use bytes::Bytes;
use posthaste_model::{Priority, OrderId};

use super::parked_name::names;
use crate::keys::PartitionKeys;
use crate::script::{ScriptCall, arg};
use crate::reply_value::{ReplyFields, Malformed};

contract!("scan_orders", drains: true,
    keys: ["epoch:{p}", "fence:{p}", "due:{p}:urgent", "due:{p}:bulk", "orders:{p}"],
    args: ["request id", "epoch", "position in the list to go on from", "orders at most"],
    codes: ["ok", "wrong_epoch"]);

/// Walks the list of orders.
#[derive(Debug, Clone)]
pub struct ScanOrders<'a> {
    /// Keys of the partition.
    pub keys: &'a PartitionKeys,
    /// Position to continue from.
    pub from: u64,
    /// Maximum number of orders, up to 500.
    pub limit: u32,
}

/// The result of the walk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScannedOrders {
    /// Position to continue from; `None` at the end.
    pub next: Option<u64>,
    /// Orders to check with `repair_indexes`.
    pub named: Vec<OrderId>,
}

impl ScriptCall for ScanOrders<'_> {
    type Reply = ScannedOrders;

    fn contract() -> &'static crate::script::Contract {
        &CONTRACT
    }

    fn keys(&self) -> Vec<String> {
        let k = self.keys;
        vec![k.epoch(), k.fence(), k.due(Priority::Urgent), k.due(Priority::Bulk), k.orders()]
    }

    fn args(&self) -> Vec<Bytes> {
        vec![arg(self.from), arg(self.limit.clamp(1, 500))]
    }

    fn decode(code: &str, mut f: ReplyFields) -> Result<ScannedOrders, Malformed> {
        if code != "ok" {
            return Err(Malformed::new("code of scan_orders"));
        }
        let next = f.u64("position")?;
        let named = names(&mut f, "suffixes")?;
        Ok(ScannedOrders { next: (next > 0).then_some(next), named })
    }
}
