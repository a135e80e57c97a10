//! `release_parked`: takes records off the list of parked ones.

use bytes::Bytes;
use posthaste_model::Channel;

use crate::keys::PartitionKeys;
use crate::script::{ScriptCall, arg_text};
use crate::reply_value::{ReplyFields, Malformed};

contract!("release_parked", drains: true,
    keys: ["epoch:{p}", "fence:{p}", "parked:{p}:<channel> or parked:{p}", "parked_why:{p}"],
    args: ["request id", "epoch", "channel, or empty for orders", "member, or order id of an order"],
    codes: ["ok", "wrong_epoch"]);

/// Takes names off a list of parked records.
#[derive(Debug, Clone)]
pub struct ReleaseParked<'a> {
    /// Keys of the partition.
    pub keys: &'a PartitionKeys,
    /// The channel of the parcels; `None` for orders.
    pub channel: Option<&'a Channel>,
    /// Parcels or order ids, at most 200.
    pub names: &'a [String],
}

impl ScriptCall for ReleaseParked<'_> {
    /// How many were parked.
    type Reply = u64;

    fn contract() -> &'static crate::script::Contract {
        &CONTRACT
    }

    fn keys(&self) -> Vec<String> {
        let k = self.keys;
        let list = self.channel.map_or_else(|| k.parked_orders(), |channel| k.parked(channel));
        vec![k.epoch(), k.fence(), list, k.parked_why()]
    }

    fn args(&self) -> Vec<Bytes> {
        let mut args = vec![arg_text(self.channel.map_or("", Channel::as_str))];
        args.extend(self.names.iter().map(|name| arg_text(name)));
        args
    }

    fn decode(code: &str, mut f: ReplyFields) -> Result<u64, Malformed> {
        if code != "ok" {
            return Err(Malformed::new("code of release_parked"));
        }
        f.u64("taken")
    }
}
