//! `lift`: takes an address off a list, for an operator.

use bytes::Bytes;
use posthaste_model::{Channel, UnixMs};

use crate::keys::Keys;
use crate::record::{AddressKey, SuppressionId};
use crate::script::{Script, arg};
use crate::value::{Fields, Malformed};

contract!("lift", drains: true,
    keys: ["epoch:{p}", "fence:{p}", "address_key:{p}", "suppressed:{p}:<channel>"],
    args: ["request id", "epoch", "check value of the address key (16 bytes)", "field (16 bytes)",
           "last ms of the record the caller saw"],
    codes: ["ok", "again", "gone", "changed", "bad", "key", "epoch"]);

/// Takes an address off a list, and forgets its strikes.
#[derive(Debug, Clone)]
pub struct LiftSuppression<'a> {
    /// Keys of the partition that holds all suppressions.
    pub keys: &'a Keys,
    /// The key under which addresses are hashed.
    pub key: &'a AddressKey,
    /// The channel.
    pub channel: &'a Channel,
    /// Which entry.
    pub id: SuppressionId,
    /// [`last`](crate::record::SuppressionRecord::last) of the record the caller saw.
    pub seen: UnixMs,
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifted {
    /// It is off the list.
    Lifted,
    /// It was lifted at this moment.
    Before(UnixMs),
    /// It is not on the list.
    Gone,
    /// The record is not the one the caller saw, but one of this moment; nothing has changed.
    Changed(UnixMs),
    /// The record can't be read; nothing has changed.
    Bad,
    /// Addresses are hashed under another key.
    OtherKey,
}

impl Script for LiftSuppression<'_> {
    type Reply = Lifted;

    fn contract() -> &'static crate::script::Contract {
        &CONTRACT
    }

    fn keys(&self) -> Vec<String> {
        let k = self.keys;
        vec![k.epoch(), k.fence(), k.address_key(), k.suppressed(self.channel)]
    }

    fn args(&self) -> Vec<Bytes> {
        vec![
            Bytes::copy_from_slice(&self.key.check()),
            Bytes::copy_from_slice(self.id.as_bytes()),
            arg(self.seen.0),
        ]
    }

    fn decode(code: &str, mut f: Fields) -> Result<Lifted, Malformed> {
        Ok(match code {
            "ok" => Lifted::Lifted,
            "again" => Lifted::Before(UnixMs(f.u64("lifted")?)),
            "gone" => Lifted::Gone,
            "changed" => Lifted::Changed(UnixMs(f.u64("last")?)),
            "bad" => Lifted::Bad,
            "key" => Lifted::OtherKey,
            _ => return Err(Malformed::new("code of lift")),
        })
    }
}
