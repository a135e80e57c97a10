//! `park`: parks parcels that can't be read.

use bytes::Bytes;
use posthaste_model::{Channel, ParcelId};

use crate::keys::PartitionKeys;
use crate::script::{ScriptCall, arg_text};
use crate::reply_value::{ReplyFields, Malformed};

contract!("park", drains: true,
    keys: ["epoch:{p}", "fence:{p}", "leased:{p}:<channel>", "lease:{p}:<channel>", "unresolved:{p}:<channel>",
        "parked:{p}:<channel>"],
    args: ["request id", "epoch", "channel", "member, fence or empty, why"],
    codes: ["ok", "wrong_epoch"]);

/// A parcel to be parked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToPark {
    /// The parcel.
    pub parcel_id: ParcelId,
    /// The fence the caller holds it with; `None`: it is not leased and has unresolved deliveries.
    pub fence: Option<u64>,
    /// The reason, as a stable word.
    pub why: &'static str,
}

/// Parks parcels.
#[derive(Debug, Clone)]
pub struct Park<'a> {
    /// Keys of the partition.
    pub keys: &'a PartitionKeys,
    /// The channel.
    pub channel: &'a Channel,
    /// The parcels, at most 200.
    pub parcels: &'a [ToPark],
}

impl ScriptCall for Park<'_> {
    /// For each parcel whether it was parked; it was not if another courier holds it.
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
            args.push(arg_text(&parcel.parcel_id.to_string()));
            args.push(arg_text(&parcel.fence.map_or_else(String::new, |fence| fence.to_string())));
            args.push(arg_text(parcel.why));
        }
        args
    }

    fn decode(code: &str, mut f: ReplyFields) -> Result<Vec<bool>, Malformed> {
        if code != "ok" {
            return Err(Malformed::new("code of park"));
        }
        f.array("results")?.into_iter().map(|parked| Ok(parked.u64("result")? == 1)).collect()
    }
}
