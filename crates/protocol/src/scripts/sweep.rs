//! `sweep`: takes back leases that are over.

use std::time::Duration;

use bytes::Bytes;
use posthaste_model::{Channel, UnixMs};

use crate::keys::Keys;
use crate::script::{Script, arg, arg_text};
use crate::value::{Fields, Malformed};

contract!("sweep", drains: true,
    keys: ["epoch:{p}", "fence:{p}", "leased:{p}:<channel>", "lease:{p}:<channel>", "unresolved:{p}:<channel>",
        "crashes:{p}:<channel>", "parked:{p}:<channel>", "request:{p}:<channel>", "couriers:{p}:<channel>"],
    args: ["request id", "epoch", "channel", "leases at most",
        "1 when a lease that is over means a crash, 0 just after the server was away",
        "ms after which a courier not seen is forgotten"],
    codes: ["ok", "epoch"]);

/// Sweeps one channel.
#[derive(Debug, Clone)]
pub struct Sweep<'a> {
    /// Keys of the partition.
    pub keys: &'a Keys,
    /// Which channel.
    pub channel: &'a Channel,
    /// Leases at most, 200 at most.
    pub limit: u32,
    /// Whether a lease that is over means a crash; not just after the server was away.
    pub blame: bool,
    /// After which silence a courier's last request is forgotten.
    pub forget_after: Duration,
}

/// What was swept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Swept {
    /// The next end of a lease.
    pub next: Option<UnixMs>,
    /// Parcels taken back.
    pub parcels: u64,
    /// Rows that are unresolved now.
    pub unresolved: u64,
    /// Parcels with rows that were given up: three couriers died, and nothing else can explain it.
    pub poison: u64,
    /// Members without a record this program can read.
    pub lost: u64,
    /// Couriers forgotten.
    pub forgotten: u64,
}

impl Script for Sweep<'_> {
    type Reply = Swept;

    fn contract() -> &'static crate::script::Contract {
        &CONTRACT
    }

    fn keys(&self) -> Vec<String> {
        let (k, c) = (self.keys, self.channel);
        vec![
            k.epoch(),
            k.fence(),
            k.leased(c),
            k.lease(c),
            k.unresolved(c),
            k.crashes(c),
            k.parked(c),
            k.request(c),
            k.couriers(c),
        ]
    }

    fn args(&self) -> Vec<Bytes> {
        vec![
            arg_text(self.channel.as_str()),
            arg(self.limit.min(200)),
            arg(u8::from(self.blame)),
            arg(self.forget_after.as_millis()),
        ]
    }

    fn decode(code: &str, mut f: Fields) -> Result<Swept, Malformed> {
        if code != "ok" {
            return Err(Malformed::new("code of sweep"));
        }
        let next = f.u64("next")?;
        Ok(Swept {
            next: (next > 0).then_some(UnixMs(next)),
            parcels: f.u64("parcels")?,
            unresolved: f.u64("unresolved")?,
            poison: f.u64("poison")?,
            lost: f.u64("lost")?,
            forgotten: f.u64("forgotten")?,
        })
    }
}
