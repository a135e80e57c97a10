//! `cancel`: stops what can still be stopped.

use bytes::Bytes;
use posthaste_model::{Lane, Suffix};

use crate::keys::Keys;
use crate::script::{Script, arg_text};
use crate::value::{Fields, Malformed};

contract!("cancel", drains: true,
    keys: ["epoch:{p}", "fence:{p}", "due:{p}:urgent", "due:{p}:bulk", "history:{p}:<suffix>"],
    args: ["request id", "epoch", "suffix"],
    codes: ["ok", "again", "final", "gone", "newer", "bad", "epoch"]);

/// Cancels an order.
#[derive(Debug, Clone)]
pub struct Cancel<'a> {
    /// Keys of the partition.
    pub keys: &'a Keys,
    /// Which one.
    pub suffix: &'a Suffix,
}

/// What cancelling did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cancelled {
    /// The mark is set, or was.
    Ok {
        /// Whether it was cancelled before.
        again: bool,
        /// Rows that will not be sent.
        stopped: u64,
        /// Rows it came too late for.
        too_late: u64,
    },
    /// Every row was final.
    Final,
    /// There is no such order.
    Gone,
    /// Its record can't be read.
    Unreadable,
}

impl Script for Cancel<'_> {
    type Reply = Cancelled;

    fn contract() -> &'static crate::script::Contract {
        &CONTRACT
    }

    fn keys(&self) -> Vec<String> {
        let k = self.keys;
        vec![k.epoch(), k.fence(), k.due(Lane::Urgent), k.due(Lane::Bulk), k.history(self.suffix)]
    }

    fn args(&self) -> Vec<Bytes> {
        vec![arg_text(self.suffix.as_str())]
    }

    fn decode(code: &str, mut f: Fields) -> Result<Cancelled, Malformed> {
        Ok(match code {
            "ok" | "again" => Cancelled::Ok {
                again: code == "again",
                stopped: f.u64("stopped")?,
                too_late: f.u64("too late")?,
            },
            "final" => Cancelled::Final,
            "gone" => Cancelled::Gone,
            "newer" | "bad" => Cancelled::Unreadable,
            _ => return Err(Malformed::new("code of cancel")),
        })
    }
}
