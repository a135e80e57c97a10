//! `fail_order`: ends an order whose record can't be read.

use bytes::Bytes;
use posthaste_model::{Priority, OrderId};

use crate::keys::PartitionKeys;
use crate::script::{ScriptCall, arg, arg_text};
use crate::reply_value::{ReplyFields, Malformed};

contract!("fail_order", drains: true,
    keys: ["epoch:{p}", "fence:{p}", "due:{p}:urgent", "due:{p}:bulk", "history:{p}:<order id>", "parked:{p}",
        "parked_why:{p}", "channels:{p}"],
    args: ["request id", "epoch", "order id", "channel to go on from, empty at first", "parcel to go on from",
        "1 to end it though its head can be read, because a parcel of it can't"],
    codes: ["ok", "already_done", "more", "readable", "not_found", "newer_version", "wrong_epoch"]);

/// Ends an order that can't be read, at an operator's request, in bounded steps.
#[derive(Debug, Clone)]
pub struct FailOrder<'a> {
    /// Keys of the partition.
    pub keys: &'a PartitionKeys,
    /// The order.
    pub order_id: &'a OrderId,
    /// Channel and parcel to continue from.
    pub from: Option<(&'a str, u64)>,
    /// End it though its head can be read.
    pub forced: bool,
}

/// The result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FailedOrder {
    /// It ended now.
    Ended,
    /// It had ended before.
    AlreadyDone,
    /// Call again from this channel and parcel.
    More(String, u64),
    /// Its head can be read: nothing was done.
    Readable,
    /// There is no such order.
    NotFound,
    /// It is of a later version: a newer program can read it.
    NewerVersion,
}

impl ScriptCall for FailOrder<'_> {
    type Reply = FailedOrder;

    fn contract() -> &'static crate::script::Contract {
        &CONTRACT
    }

    fn keys(&self) -> Vec<String> {
        let k = self.keys;
        vec![
            k.epoch(),
            k.fence(),
            k.due(Priority::Urgent),
            k.due(Priority::Bulk),
            k.history(self.order_id),
            k.parked_orders(),
            k.parked_why(),
            k.channels(),
        ]
    }

    fn args(&self) -> Vec<Bytes> {
        let (channel, parcel) = self.from.unwrap_or(("", 0));
        vec![arg_text(self.order_id.as_str()), arg_text(channel), arg(parcel), arg(u8::from(self.forced))]
    }

    fn decode(code: &str, mut f: ReplyFields) -> Result<FailedOrder, Malformed> {
        Ok(match code {
            "ok" => FailedOrder::Ended,
            "already_done" => FailedOrder::AlreadyDone,
            "more" => FailedOrder::More(f.text("channel")?, f.u64("parcel")?),
            "readable" => FailedOrder::Readable,
            "not_found" => FailedOrder::NotFound,
            "newer_version" => FailedOrder::NewerVersion,
            _ => return Err(Malformed::new("code of fail_order")),
        })
    }
}
