//! `cancel`: stops what can still be stopped.

use bytes::Bytes;
use posthaste_model::{Priority, OrderId};

use crate::keys::PartitionKeys;
use crate::script::{ScriptCall, arg_text};
use crate::reply_value::{ReplyFields, Malformed};

contract!("cancel", drains: true,
    keys: ["epoch:{p}", "fence:{p}", "due:{p}:urgent", "due:{p}:bulk", "history:{p}:<order id>"],
    args: ["request id", "epoch", "order id"],
    codes: ["ok", "already_done", "finished", "not_found", "newer_version", "unreadable", "wrong_epoch"]);

/// Cancels an order.
#[derive(Debug, Clone)]
pub struct Cancel<'a> {
    /// Keys of the partition.
    pub keys: &'a PartitionKeys,
    /// The order.
    pub order_id: &'a OrderId,
}

/// The result of cancelling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cancelled {
    /// The mark is set, by this call or before.
    Ok {
        /// Whether it was cancelled before.
        already_done: bool,
        /// Deliveries that will not be sent.
        stopped: u64,
        /// Deliveries that can no longer be stopped.
        too_late: u64,
    },
    /// Every delivery was final.
    Finished,
    /// There is no such order.
    NotFound,
    /// Its record can't be read.
    Unreadable,
}

impl ScriptCall for Cancel<'_> {
    type Reply = Cancelled;

    fn contract() -> &'static crate::script::Contract {
        &CONTRACT
    }

    fn keys(&self) -> Vec<String> {
        let k = self.keys;
        vec![k.epoch(), k.fence(), k.due(Priority::Urgent), k.due(Priority::Bulk), k.history(self.order_id)]
    }

    fn args(&self) -> Vec<Bytes> {
        vec![arg_text(self.order_id.as_str())]
    }

    fn decode(code: &str, mut f: ReplyFields) -> Result<Cancelled, Malformed> {
        Ok(match code {
            "ok" | "already_done" => Cancelled::Ok {
                already_done: code == "already_done",
                stopped: f.u64("stopped")?,
                too_late: f.u64("too late")?,
            },
            "finished" => Cancelled::Finished,
            "not_found" => Cancelled::NotFound,
            "newer_version" | "unreadable" => Cancelled::Unreadable,
            _ => return Err(Malformed::new("code of cancel")),
        })
    }
}
