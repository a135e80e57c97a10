//! `halt`: stops all processes of a database that went back or was wiped.

use bytes::Bytes;
use posthaste_model::{Suffix, UnixMs};

use crate::keys::Keys;
use crate::script::{Script, arg, arg_text};
use crate::value::{Fields, Malformed};

/// Lost orders of one call at most.
pub const CALL_ORDERS: usize = 500;

contract!("halt", drains: true,
    keys: ["epoch:{p}", "fence:{p}", "halted:{p}", "lost:{p}"],
    args: ["request id", "epoch known to the caller", "cause: back or wiped", "mark found, empty when the caller knows of no loss here",
        "highest mark the caller was told before", "since ms, 0 for not known", "last ms, 0 for not known",
        "accepted ms and suffix of a lost order"],
    codes: ["ok", "epoch"]);

/// Why a database is halted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HaltCause {
    /// It shows less than it had told: a failover without the last changes, or an older copy.
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
pub struct Halt<'a> {
    /// Keys of the partition.
    pub keys: &'a Keys,
    /// Why.
    pub cause: HaltCause,
    /// The mark found; `None` when the caller knows of no loss here.
    pub found: Option<u64>,
    /// The highest mark told before.
    pub known: u64,
    /// The first change known to be lost.
    pub since: Option<UnixMs>,
    /// The last change known to be lost.
    pub last: Option<UnixMs>,
    /// Lost orders, [`CALL_ORDERS`] at most, and when they were accepted.
    pub orders: &'a [(Suffix, UnixMs)],
}

impl Script for Halt<'_> {
    /// Lost orders known.
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
        for (suffix, accepted) in self.orders {
            args.extend([arg(accepted.0), arg_text(suffix.as_str())]);
        }
        args
    }

    fn decode(code: &str, mut f: Fields) -> Result<u64, Malformed> {
        match code {
            "ok" => f.u64("lost orders"),
            _ => Err(Malformed::new("code of halt")),
        }
    }
}
