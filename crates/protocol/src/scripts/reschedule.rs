//! `reschedule`: moves an order to another time.

use bytes::Bytes;
use posthaste_model::{Lane, Suffix, UnixMs};

use crate::keys::Keys;
use crate::script::{Script, arg, arg_text};
use crate::value::{Fields, Malformed};

contract!("reschedule", drains: true,
    keys: ["epoch:{p}", "fence:{p}", "due:{p}:urgent", "due:{p}:bulk", "history:{p}:<suffix>"],
    args: ["request id", "epoch", "suffix", "new due ms",
        "new not_after ms, 0 to keep the span between due time and end",
        "revision of the order as the caller read it"],
    codes: ["ok", "rung", "moved", "cancelled", "final", "late", "gone", "newer", "bad", "epoch"]);

/// Moves an order.
#[derive(Debug, Clone)]
pub struct Reschedule<'a> {
    /// Keys of the partition.
    pub keys: &'a Keys,
    /// Which one.
    pub suffix: &'a Suffix,
    /// To when.
    pub due: UnixMs,
    /// Its new end; `None` keeps the span.
    pub not_after: Option<UnixMs>,
    /// Its revision as the caller read it.
    pub revision: u64,
}

/// What moving did.
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
    Rung,
    /// It changed since it was read; perhaps by this very call, whose answer was lost.
    Moved {
        /// Its revision now.
        revision: u64,
        /// When it is due.
        due: UnixMs,
        /// When it ends.
        not_after: UnixMs,
    },
    /// It was cancelled.
    Cancelled,
    /// Every row is final.
    Final,
    /// It would end before it is due.
    Late,
    /// There is no such order.
    Gone,
    /// Its record can't be read.
    Unreadable,
}

impl Script for Reschedule<'_> {
    type Reply = Rescheduled;

    fn contract() -> &'static crate::script::Contract {
        &CONTRACT
    }

    fn keys(&self) -> Vec<String> {
        let k = self.keys;
        vec![k.epoch(), k.fence(), k.due(Lane::Urgent), k.due(Lane::Bulk), k.history(self.suffix)]
    }

    fn args(&self) -> Vec<Bytes> {
        vec![
            arg_text(self.suffix.as_str()),
            arg(self.due.0),
            arg(self.not_after.map_or(0, |end| end.0)),
            arg(self.revision),
        ]
    }

    fn decode(code: &str, mut f: Fields) -> Result<Rescheduled, Malformed> {
        Ok(match code {
            "ok" => Rescheduled::Ok { due: UnixMs(f.u64("due")?), not_after: UnixMs(f.u64("not_after")?) },
            "moved" => Rescheduled::Moved {
                revision: f.u64("revision")?,
                due: UnixMs(f.u64("due")?),
                not_after: UnixMs(f.u64("not_after")?),
            },
            "rung" => Rescheduled::Rung,
            "cancelled" => Rescheduled::Cancelled,
            "final" => Rescheduled::Final,
            "late" => Rescheduled::Late,
            "gone" => Rescheduled::Gone,
            "newer" | "bad" => Rescheduled::Unreadable,
            _ => return Err(Malformed::new("code of reschedule")),
        })
    }
}
