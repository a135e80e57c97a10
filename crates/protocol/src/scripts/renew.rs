//! `renew`: extends leases.

use std::time::Duration;

use bytes::Bytes;
use posthaste_model::Channel;

use super::ParcelRef;
use crate::keys::PartitionKeys;
use crate::script::{ScriptCall, arg};
use crate::reply_value::{ReplyFields, Malformed};

contract!("renew", drains: true,
    keys: ["epoch:{p}", "fence:{p}", "leased:{p}:<channel>", "lease:{p}:<channel>"],
    args: ["request id", "epoch", "lease in ms", "member, fence"],
    codes: ["ok", "wrong_epoch"]);

/// Extends leases that have not expired.
#[derive(Debug, Clone)]
pub struct Renew<'a> {
    /// Keys of the partition.
    pub keys: &'a PartitionKeys,
    /// The channel.
    pub channel: &'a Channel,
    /// The new duration from now.
    pub lease: Duration,
    /// The parcels, at most 200.
    pub parcels: &'a [ParcelRef],
}

/// The result for a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renewed {
    /// It was extended.
    Renewed,
    /// It had expired: begin nothing more under it.
    LeaseExpired,
    /// The caller does not hold it.
    LeaseLost,
}

impl ScriptCall for Renew<'_> {
    type Reply = Vec<Renewed>;

    fn contract() -> &'static crate::script::Contract {
        &CONTRACT
    }

    fn keys(&self) -> Vec<String> {
        let (k, c) = (self.keys, self.channel);
        vec![k.epoch(), k.fence(), k.leased(c), k.lease(c)]
    }

    fn args(&self) -> Vec<Bytes> {
        let mut args = vec![arg(self.lease.as_millis())];
        args.extend(self.parcels.iter().flat_map(|p| [arg(&p.parcel_id), arg(p.fence)]));
        args
    }

    fn decode(code: &str, mut f: ReplyFields) -> Result<Self::Reply, Malformed> {
        if code != "ok" {
            return Err(Malformed::new("code of renew"));
        }
        let letters = f.bytes("letters")?;
        let read = |letter: &u8| match letter {
            b'r' => Ok(Renewed::Renewed),
            b'e' => Ok(Renewed::LeaseExpired),
            b'l' => Ok(Renewed::LeaseLost),
            _ => Err(Malformed::new("letter of renew")),
        };
        letters.iter().map(read).collect()
    }
}
