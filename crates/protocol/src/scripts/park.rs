//! `park`: takes parcels out of the way that can't be read.

use bytes::Bytes;
use posthaste_model::{Channel, Member};

use crate::keys::Keys;
use crate::script::{Script, arg_text};
use crate::value::{Fields, Malformed};

contract!("park", drains: true,
    keys: ["epoch:{p}", "fence:{p}", "leased:{p}:<channel>", "lease:{p}:<channel>", "unresolved:{p}:<channel>",
        "parked:{p}:<channel>"],
    args: ["request id", "epoch", "channel", "member, fence or empty, why"],
    codes: ["ok", "epoch"]);

/// A parcel to be parked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToPark {
    /// Which one.
    pub member: Member,
    /// Under which fence the caller holds it; `None`: nobody holds it, it is one of unresolved rows.
    pub fence: Option<u64>,
    /// Why, as a stable word.
    pub why: &'static str,
}

/// Parks parcels.
#[derive(Debug, Clone)]
pub struct Park<'a> {
    /// Keys of the partition.
    pub keys: &'a Keys,
    /// Of which channel.
    pub channel: &'a Channel,
    /// Which ones, 200 at most.
    pub parcels: &'a [ToPark],
}

impl Script for Park<'_> {
    /// Of each parcel whether it was parked; not when somebody else holds it.
    type Reply = Vec<bool>;

    fn contract() -> &'static crate::script::Contract {
        &CONTRACT
    }

    fn keys(&self) -> Vec<String> {
        let (k, c) = (self.keys, self.channel);
        vec![k.epoch(), k.fence(), k.leased(c), k.lease(c), k.unresolved(c), k.parked(c)]
    }

    fn args(&self) -> Vec<Bytes> {
        let mut args = vec![arg_text(self.channel.as_str())];
        for parcel in self.parcels {
            args.push(arg_text(&parcel.member.to_string()));
            args.push(arg_text(&parcel.fence.map_or_else(String::new, |fence| fence.to_string())));
            args.push(arg_text(parcel.why));
        }
        args
    }

    fn decode(code: &str, mut f: Fields) -> Result<Vec<bool>, Malformed> {
        if code != "ok" {
            return Err(Malformed::new("code of park"));
        }
        f.array("results")?.into_iter().map(|parked| Ok(parked.u64("result")? == 1)).collect()
    }
}
