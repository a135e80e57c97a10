//! `inquire`: names parcels with unresolved rows.

use std::time::Duration;

use bytes::Bytes;
use posthaste_model::{Channel, Member, UnixMs};

use super::unread::names;
use crate::keys::Keys;
use crate::script::{Script, arg};
use crate::value::{Fields, Malformed};

contract!("inquire", drains: true,
    keys: ["epoch:{p}", "fence:{p}", "unresolved:{p}:<channel>"],
    args: ["request id", "epoch", "parcels at most", "ms to put each off"],
    codes: ["ok", "epoch"]);

/// Asks for parcels to resolve.
#[derive(Debug, Clone)]
pub struct Inquire<'a> {
    /// Keys of the partition.
    pub keys: &'a Keys,
    /// Of which channel.
    pub channel: &'a Channel,
    /// Parcels at most, 200 at most.
    pub limit: u32,
    /// How long nobody else is to ask about them.
    pub put_off: Duration,
}

/// Parcels to resolve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inquiry {
    /// When the next one may be asked about.
    pub next: Option<UnixMs>,
    /// The parcels.
    pub members: Vec<Member>,
}

impl Script for Inquire<'_> {
    type Reply = Inquiry;

    fn contract() -> &'static crate::script::Contract {
        &CONTRACT
    }

    fn keys(&self) -> Vec<String> {
        vec![self.keys.epoch(), self.keys.fence(), self.keys.unresolved(self.channel)]
    }

    fn args(&self) -> Vec<Bytes> {
        vec![arg(self.limit.min(200)), arg(self.put_off.as_millis())]
    }

    fn decode(code: &str, mut f: Fields) -> Result<Inquiry, Malformed> {
        if code != "ok" {
            return Err(Malformed::new("code of inquire"));
        }
        let next = f.u64("next")?;
        let members = names(&mut f, "members")?;
        Ok(Inquiry { next: (next > 0).then_some(UnixMs(next)), members })
    }
}
