//! `audit`: puts lost parcels back into the index their record asks for.

use bytes::Bytes;
use posthaste_model::{Channel, Lane, Suffix};

use crate::keys::Keys;
use crate::script::{Script, arg, arg_text};
use crate::value::{Fields, Malformed};

contract!("audit", drains: true,
    keys: ["epoch:{p}", "fence:{p}", "due:{p}:urgent", "due:{p}:bulk", "leased:{p}:<channel>",
        "unresolved:{p}:<channel>", "parked:{p}:<channel>"],
    args: ["request id", "epoch", "channel", "suffix", "parcel to start from"],
    codes: ["ok", "gone", "newer", "bad", "epoch"]);

/// Looks at an order's parcels on one channel.
#[derive(Debug, Clone)]
pub struct Audit<'a> {
    /// Keys of the partition.
    pub keys: &'a Keys,
    /// Of which channel.
    pub channel: &'a Channel,
    /// Of which order.
    pub suffix: &'a Suffix,
    /// Parcel to start from.
    pub from: u32,
}

/// What an audit found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audited {
    /// The record was read.
    Ok {
        /// Parcel to go on from; `None` at the end.
        next: Option<u32>,
        /// Parcels put back.
        mended: u32,
    },
    /// There is no record, or none this program can read.
    Unreadable,
}

impl Script for Audit<'_> {
    type Reply = Audited;

    fn contract() -> &'static crate::script::Contract {
        &CONTRACT
    }

    fn keys(&self) -> Vec<String> {
        let (k, c) = (self.keys, self.channel);
        vec![k.epoch(), k.fence(), k.due(Lane::Urgent), k.due(Lane::Bulk), k.leased(c), k.unresolved(c), k.parked(c)]
    }

    fn args(&self) -> Vec<Bytes> {
        vec![arg_text(self.channel.as_str()), arg_text(self.suffix.as_str()), arg(self.from)]
    }

    fn decode(code: &str, mut f: Fields) -> Result<Audited, Malformed> {
        match code {
            "ok" => {
                let next = f.u32("parcel")?;
                Ok(Audited::Ok { next: (next > 0).then_some(next), mended: f.u32("mended")? })
            }
            "gone" | "newer" | "bad" => Ok(Audited::Unreadable),
            _ => Err(Malformed::new("code of audit")),
        }
    }
}
