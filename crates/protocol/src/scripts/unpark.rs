//! `unpark`: takes what was parked off its list.

use bytes::Bytes;
use posthaste_model::Channel;

use crate::keys::Keys;
use crate::script::{Script, arg_text};
use crate::value::{Fields, Malformed};

contract!("unpark", drains: true,
    keys: ["epoch:{p}", "fence:{p}", "parked:{p}:<channel> or parked:{p}", "parked_why:{p}"],
    args: ["request id", "epoch", "channel, or empty for orders", "member, or suffix of an order"],
    codes: ["ok", "epoch"]);

/// Takes names off a list of what is parked.
#[derive(Debug, Clone)]
pub struct Unpark<'a> {
    /// Keys of the partition.
    pub keys: &'a Keys,
    /// The channel of parcels; `None`: they are orders.
    pub channel: Option<&'a Channel>,
    /// Parcels, or suffixes of orders; 200 at most.
    pub names: &'a [String],
}

impl Script for Unpark<'_> {
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

    fn decode(code: &str, mut f: Fields) -> Result<u64, Malformed> {
        if code != "ok" {
            return Err(Malformed::new("code of unpark"));
        }
        f.u64("taken")
    }
}
