//! `renew`: prolongs leases.

use std::time::Duration;

use bytes::Bytes;
use posthaste_model::Channel;

use super::ParcelRef;
use crate::keys::Keys;
use crate::script::{Script, arg};
use crate::value::{Fields, Malformed};

contract!("renew", drains: true,
    keys: ["epoch:{p}", "fence:{p}", "leased:{p}:<channel>", "lease:{p}:<channel>"],
    args: ["request id", "epoch", "lease in ms", "member, fence"],
    codes: ["ok", "epoch"]);

/// Prolongs leases that are not over.
#[derive(Debug, Clone)]
pub struct Renew<'a> {
    /// Keys of the partition.
    pub keys: &'a Keys,
    /// Of which channel.
    pub channel: &'a Channel,
    /// How long from now.
    pub lease: Duration,
    /// Which parcels, 200 at most.
    pub parcels: &'a [ParcelRef],
}

/// What became of a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renewed {
    /// It lasts longer.
    Renewed,
    /// It was over: begin nothing more under it.
    Over,
    /// It is somebody else's, or nobody's.
    Stale,
}

impl Script for Renew<'_> {
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
        args.extend(self.parcels.iter().flat_map(|p| [arg(&p.member), arg(p.fence)]));
        args
    }

    fn decode(code: &str, mut f: Fields) -> Result<Self::Reply, Malformed> {
        if code != "ok" {
            return Err(Malformed::new("code of renew"));
        }
        let letters = f.bytes("letters")?;
        let read = |letter: &u8| match letter {
            b'r' => Ok(Renewed::Renewed),
            b'o' => Ok(Renewed::Over),
            b's' => Ok(Renewed::Stale),
            _ => Err(Malformed::new("letter of renew")),
        };
        letters.iter().map(read).collect()
    }
}
