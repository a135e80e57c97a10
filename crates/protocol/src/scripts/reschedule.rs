//! `reschedule`: moves an order to another time.

use bytes::Bytes;
use posthaste_model::{Priority, OrderId, UnixMs};

use crate::keys::PartitionKeys;
use crate::script::{ScriptCall, arg, arg_text};
use crate::reply_value::{ReplyFields, Malformed};

contract!("reschedule", drains: true,
    keys: ["epoch:{p}", "fence:{p}", "due:{p}:urgent", "due:{p}:bulk", "history:{p}:<order id>"],
    args: ["request id", "epoch", "order id", "new due ms",
        "new not_after ms, 0 to keep the span between due time and end",
        "revision of the order as the caller read it"],
    codes: ["ok", "started", "changed", "cancelled", "finished", "expires_before_due", "not_found", "newer_version",
        "unreadable", "wrong_epoch"]);

/// Moves an order to another time.
#[derive(Debug, Clone)]
pub struct Reschedule<'a> {
    /// Keys of the partition.
    pub keys: &'a PartitionKeys,
    /// The order.
    pub order_id: &'a OrderId,
    /// Its new due time.
    pub due: UnixMs,
    /// Its new end; `None` keeps the span.
    pub not_after: Option<UnixMs>,
    /// Its revision as the caller read it.
    pub revision: u64,
}

/// The result of moving.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rescheduled {
    /// It has a new time.
    Ok {
        /// When it is due.
        due: UnixMs,
        /// When it ends.
        not_after: UnixMs,
    },
    /// Its time has come.
    Started,
    /// It changed since it was read; possibly by this same call, whose reply was lost.
    Changed {
        /// Its revision now.
        revision: u64,
        /// When it is due.
        due: UnixMs,
        /// When it ends.
        not_after: UnixMs,
    },
    /// It was cancelled.
    Cancelled,
    /// Every delivery is final.
    Finished,
    /// It would end before it is due.
    ExpiresBeforeDue,
    /// There is no such order.
    NotFound,
    /// Its record can't be read.
    Unreadable,
}

impl ScriptCall for Reschedule<'_> {
    type Reply = Rescheduled;

    fn contract() -> &'static crate::script::Contract {
        &CONTRACT
    }

    fn keys(&self) -> Vec<String> {
        let k = self.keys;
        vec![k.epoch(), k.fence(), k.due(Priority::Urgent), k.due(Priority::Bulk), k.history(self.order_id)]
    }

    fn args(&self) -> Vec<Bytes> {
        vec![
            arg_text(self.order_id.as_str()),
            arg(self.due.0),
            arg(self.not_after.map_or(0, |end| end.0)),
            arg(self.revision),
        ]
    }

    fn decode(code: &str, mut f: ReplyFields) -> Result<Rescheduled, Malformed> {
        Ok(match code {
            "ok" => Rescheduled::Ok { due: UnixMs(f.u64("due")?), not_after: UnixMs(f.u64("not_after")?) },
            "changed" => Rescheduled::Changed {
                revision: f.u64("revision")?,
                due: UnixMs(f.u64("due")?),
                not_after: UnixMs(f.u64("not_after")?),
            },
            "started" => Rescheduled::Started,
            "cancelled" => Rescheduled::Cancelled,
            "finished" => Rescheduled::Finished,
            "expires_before_due" => Rescheduled::ExpiresBeforeDue,
            "not_found" => Rescheduled::NotFound,
            "newer_version" | "unreadable" => Rescheduled::Unreadable,
            _ => return Err(Malformed::new("code of reschedule")),
        })
    }
}
