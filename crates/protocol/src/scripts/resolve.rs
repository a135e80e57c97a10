//! `resolve`: decides unresolved rows.

use bytes::Bytes;
use posthaste_model::{Channel, Member, Reason, Verdict};

use crate::keys::Keys;
use crate::script::{Script, arg, arg_text};
use crate::value::{Fields, Malformed};

contract!("resolve", drains: true,
    keys: ["epoch:{p}", "fence:{p}", "leased:{p}:<channel>", "unresolved:{p}:<channel>", "crashes:{p}:<channel>"],
    args: ["request id", "epoch", "channel", "member",
        "verdicts (row 2 bytes, attempt 1, verdict 1, reason 2, value 4 unused; ascending)"],
    codes: ["ok", "gone", "newer", "bad", "final", "epoch"]);

/// What is to become of an unresolved row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Repeat it, once.
    Retry,
    /// Repeat it under the same token: the provider drops a second copy.
    Repeat,
    /// Leave it unknown.
    Hold(Reason),
    /// An inquiry found out. `Sent`, `Delivered`, `Failed` and `Suppressed` count; anything else holds.
    Found(Verdict, Reason),
}

/// Decides rows of one parcel.
#[derive(Debug, Clone)]
pub struct Resolve<'a> {
    /// Keys of the partition.
    pub keys: &'a Keys,
    /// Of which channel.
    pub channel: &'a Channel,
    /// Which parcel.
    pub member: &'a Member,
    /// (row, attempt, decision), rows ascending.
    pub decisions: &'a [(u16, u8, Decision)],
}

/// What became of a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decided {
    /// The row changed.
    Applied,
    /// It was decided before.
    Known,
    /// Another attempt is recorded.
    Stale,
    /// Its one repeat is spent.
    RepeatSpent,
}

/// The reply of a resolve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resolved {
    /// Orders ended, and what became of each decision.
    Ok {
        /// Orders whose last row became final.
        ended: u64,
        /// In the order of the decisions.
        rows: Vec<Decided>,
    },
    /// There is no such record, or none that can be read.
    Gone,
}

impl Script for Resolve<'_> {
    type Reply = Resolved;

    fn contract() -> &'static crate::script::Contract {
        &CONTRACT
    }

    fn keys(&self) -> Vec<String> {
        let (k, c) = (self.keys, self.channel);
        vec![k.epoch(), k.fence(), k.leased(c), k.unresolved(c), k.crashes(c)]
    }

    fn args(&self) -> Vec<Bytes> {
        let mut packed = Vec::with_capacity(self.decisions.len() * 10);
        for (row, attempt, decision) in self.decisions {
            let (letter, reason) = match decision {
                Decision::Retry => (b'r', Reason::None),
                Decision::Repeat => (b'R', Reason::None),
                Decision::Hold(reason) => (b'h', *reason),
                Decision::Found(verdict, reason) => match verdict {
                    Verdict::Sent | Verdict::Delivered | Verdict::Failed | Verdict::Suppressed => {
                        (verdict.letter(), *reason)
                    }
                    _ => (b'h', *reason),
                },
            };
            packed.extend(row.to_be_bytes());
            packed.extend([*attempt, letter]);
            packed.extend(reason.code().to_be_bytes());
            packed.extend([0; 4]);
        }
        vec![arg_text(self.channel.as_str()), arg(self.member), Bytes::from(packed)]
    }

    fn decode(code: &str, mut f: Fields) -> Result<Resolved, Malformed> {
        match code {
            "ok" => {}
            "gone" | "newer" | "bad" | "final" => return Ok(Resolved::Gone),
            _ => return Err(Malformed::new("code of resolve")),
        }
        let ended = f.u64("ended")?;
        let letters = f.bytes("letters")?;
        let read = |letter: &u8| match letter {
            b'a' => Ok(Decided::Applied),
            b'n' => Ok(Decided::Known),
            b's' => Ok(Decided::Stale),
            b't' => Ok(Decided::RepeatSpent),
            _ => Err(Malformed::new("letter of resolve")),
        };
        Ok(Resolved::Ok { ended, rows: letters.iter().map(read).collect::<Result<_, _>>()? })
    }
}
