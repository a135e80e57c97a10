//! `claim_unresolved`: returns parcels with unresolved deliveries.

use std::time::Duration;

use bytes::Bytes;
use posthaste_model::{Channel, ParcelId, UnixMs};

use super::parked_name::names;
use crate::keys::PartitionKeys;
use crate::script::{ScriptCall, arg};
use crate::reply_value::{ReplyFields, Malformed};

contract!("claim_unresolved", drains: true,
    keys: ["epoch:{p}", "fence:{p}", "unresolved:{p}:<channel>"],
    args: ["request id", "epoch", "parcels at most", "ms to put each off"],
    codes: ["ok", "wrong_epoch"]);

/// Requests parcels to resolve.
#[derive(Debug, Clone)]
pub struct ClaimUnresolved<'a> {
    /// Keys of the partition.
    pub keys: &'a PartitionKeys,
    /// The channel.
    pub channel: &'a Channel,
    /// Maximum number of parcels, up to 200.
    pub limit: u32,
    /// How long other couriers don't get them.
    pub put_off: Duration,
}

/// Parcels to resolve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnresolvedParcels {
    /// When the next one may be claimed.
    pub next: Option<UnixMs>,
    /// The parcels.
    pub parcel_ids: Vec<ParcelId>,
}

impl ScriptCall for ClaimUnresolved<'_> {
    type Reply = UnresolvedParcels;

    fn contract() -> &'static crate::script::Contract {
        &CONTRACT
    }

    fn keys(&self) -> Vec<String> {
        vec![self.keys.epoch(), self.keys.fence(), self.keys.unresolved(self.channel)]
    }

    fn args(&self) -> Vec<Bytes> {
        vec![arg(self.limit.min(200)), arg(self.put_off.as_millis())]
    }

    fn decode(code: &str, mut f: ReplyFields) -> Result<UnresolvedParcels, Malformed> {
        if code != "ok" {
            return Err(Malformed::new("code of claim_unresolved"));
        }
        let next = f.u64("next")?;
        let parcel_ids = names(&mut f, "members")?;
        Ok(UnresolvedParcels { next: (next > 0).then_some(UnixMs(next)), parcel_ids })
    }
}
