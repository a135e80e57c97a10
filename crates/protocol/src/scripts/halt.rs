//! `halt`: stops all processes of a database that went back or was wiped.

use bytes::Bytes;
use posthaste_model::{OrderId, UnixMs};

use crate::keys::PartitionKeys;
use crate::script::{ScriptCall, arg, arg_text};
use crate::reply_value::{ReplyFields, Malformed};

/// Maximum number of lost orders per call.
pub const CALL_ORDERS: usize = 500;

contract!("halt", drains: true,
    keys: ["epoch:{p}", "fence:{p}", "halted:{p}", "lost:{p}"],
    args: ["request id", "epoch known to the caller", "cause: back or wiped", "mark found, empty when the caller knows of no loss here",
        "highest mark returned to the caller before", "since ms, 0 for not known", "last ms, 0 for not known",
        "accepted ms and order id of a lost order"],
    codes: ["ok", "wrong_epoch"]);

/// Why a database is halted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HaltCause {
    /// It shows less than it had confirmed: a failover without the last changes, or an older copy.
    WentBack,
    /// It was empty.
    Wiped,
}

impl HaltCause {
    /// The word in the record.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::WentBack => "back",
            Self::Wiped => "wiped",
        }
    }
}

/// Halts a database, or adds to what is known of its loss.
#[derive(Debug, Clone)]
pub struct HaltDatabase<'a> {
    /// Keys of the partition.
    pub keys: &'a PartitionKeys,
    /// The reason.
    pub cause: HaltCause,
    /// The mark found; `None` if the caller knows of no loss here.
    pub found: Option<u64>,
    /// The highest mark returned before.
    pub known: u64,
    /// The first change known to be lost.
    pub since: Option<UnixMs>,
    /// The last change known to be lost.
    pub last: Option<UnixMs>,
    /// Lost orders, at most [`CALL_ORDERS`], and when they were accepted.
    pub orders: &'a [(OrderId, UnixMs)],
}

impl ScriptCall for HaltDatabase<'_> {
    /// Number of lost orders known.
    type Reply = u64;

    fn contract() -> &'static crate::script::Contract {
        &CONTRACT
    }

    fn keys(&self) -> Vec<String> {
        let k = self.keys;
        vec![k.epoch(), k.fence(), k.halted(), k.lost()]
    }

    fn args(&self) -> Vec<Bytes> {
        let moment = |at: Option<UnixMs>| arg(at.map_or(0, |at| at.0));
        let mut args = vec![
            arg_text(self.cause.word()),
            self.found.map_or_else(Bytes::new, arg),
            arg(self.known),
            moment(self.since),
            moment(self.last),
        ];
        for (order_id, accepted) in self.orders {
            args.extend([arg(accepted.0), arg_text(order_id.as_str())]);
        }
        args
    }

    fn decode(code: &str, mut f: ReplyFields) -> Result<u64, Malformed> {
        match code {
            "ok" => f.u64("lost orders"),
            _ => Err(Malformed::new("code of halt")),
        }
    }
}
