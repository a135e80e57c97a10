//! `reclaim_leases`: takes back expired leases.

use std::time::Duration;

use bytes::Bytes;
use posthaste_model::{Channel, UnixMs};

use crate::keys::PartitionKeys;
use crate::script::{ScriptCall, arg, arg_text};
use crate::reply_value::{ReplyFields, Malformed};

contract!("reclaim_leases", drains: true,
    keys: ["epoch:{p}", "fence:{p}", "leased:{p}:<channel>", "lease:{p}:<channel>", "unresolved:{p}:<channel>",
        "crashes:{p}:<channel>", "parked:{p}:<channel>", "request:{p}:<channel>", "couriers:{p}:<channel>"],
    args: ["request id", "epoch", "channel", "leases at most",
        "1 when a lease that is over means a crash, 0 just after the server was away",
        "ms after which a courier not seen is forgotten"],
    codes: ["ok", "wrong_epoch"]);

/// Takes back the expired leases of one channel.
#[derive(Debug, Clone)]
pub struct ReclaimLeases<'a> {
    /// Keys of the partition.
    pub keys: &'a PartitionKeys,
    /// The channel.
    pub channel: &'a Channel,
    /// Maximum number of leases, up to 200.
    pub limit: u32,
    /// Whether an expired lease means a crash; false just after the server was away.
    pub blame: bool,
    /// After how long without contact a courier's last request is forgotten.
    pub forget_after: Duration,
}

/// The result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReclaimedLeases {
    /// The next end of a lease.
    pub next: Option<UnixMs>,
    /// Parcels taken back.
    pub parcels: u64,
    /// Deliveries that became unresolved.
    pub unresolved: u64,
    /// Parcels with deliveries that were given up: three couriers died, and nothing else can explain it.
    pub poison: u64,
    /// Members without a record that this program can read.
    pub lost: u64,
    /// Couriers forgotten.
    pub forgotten: u64,
}

impl ScriptCall for ReclaimLeases<'_> {
    type Reply = ReclaimedLeases;

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

    fn decode(code: &str, mut f: ReplyFields) -> Result<ReclaimedLeases, Malformed> {
        if code != "ok" {
            return Err(Malformed::new("code of reclaim_leases"));
        }
        let next = f.u64("next")?;
        Ok(ReclaimedLeases {
            next: (next > 0).then_some(UnixMs(next)),
            parcels: f.u64("parcels")?,
            unresolved: f.u64("unresolved")?,
            poison: f.u64("poison")?,
            lost: f.u64("lost")?,
            forgotten: f.u64("forgotten")?,
        })
    }
}
