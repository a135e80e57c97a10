//! `release`: gives leases back.

use std::time::Duration;

use bytes::Bytes;
use posthaste_model::Channel;

use super::{ParcelCode, ParcelRef};
use crate::keys::PartitionKeys;
use crate::script::{ScriptCall, arg, arg_text};
use crate::reply_value::{ReplyFields, Malformed};

contract!("release", drains: true,
    keys: ["epoch:{p}", "fence:{p}", "leased:{p}:<channel>", "lease:{p}:<channel>", "unresolved:{p}:<channel>",
        "crashes:{p}:<channel>"],
    args: ["request id", "epoch", "channel", "wait in ms", "member, fence"],
    codes: ["ok", "wrong_epoch"]);

/// Gives leases back.
#[derive(Debug, Clone)]
pub struct Release<'a> {
    /// Keys of the partition.
    pub keys: &'a PartitionKeys,
    /// The channel.
    pub channel: &'a Channel,
    /// The minimum wait of pending deliveries.
    pub wait: Duration,
    /// The parcels, at most 200.
    pub parcels: &'a [ParcelRef],
}

impl ScriptCall for Release<'_> {
    type Reply = Vec<ParcelCode>;

    fn contract() -> &'static crate::script::Contract {
        &CONTRACT
    }

    fn keys(&self) -> Vec<String> {
        let (k, c) = (self.keys, self.channel);
        vec![k.epoch(), k.fence(), k.leased(c), k.lease(c), k.unresolved(c), k.crashes(c)]
    }

    fn args(&self) -> Vec<Bytes> {
        let mut args = vec![arg_text(self.channel.as_str()), arg(self.wait.as_millis())];
        args.extend(self.parcels.iter().flat_map(|p| [arg(&p.parcel_id), arg(p.fence)]));
        args
    }

    fn decode(code: &str, mut f: ReplyFields) -> Result<Self::Reply, Malformed> {
        if code != "ok" {
            return Err(Malformed::new("code of release"));
        }
        f.array("parcels")?.into_iter().map(|v| ParcelCode::read(&v.text("parcel code")?)).collect()
    }
}
