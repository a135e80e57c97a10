//! `fail_parcel`: ends the deliveries of a parked parcel.

use bytes::Bytes;
use posthaste_model::{Channel, ParcelId};

use crate::keys::PartitionKeys;
use crate::script::{ScriptCall, arg_text};
use crate::reply_value::{ReplyFields, Malformed};

contract!("fail_parcel", drains: true,
    keys: ["epoch:{p}", "fence:{p}", "leased:{p}:<channel>", "lease:{p}:<channel>", "unresolved:{p}:<channel>",
        "parked:{p}:<channel>", "parked_why:{p}", "crashes:{p}:<channel>"],
    args: ["request id", "epoch", "channel", "member"],
    codes: ["ok", "not_parked", "leased", "newer_version", "whole_order_only", "wrong_epoch"]);

/// Ends the deliveries of a parked parcel, at an operator's request.
#[derive(Debug, Clone)]
pub struct FailParcel<'a> {
    /// Keys of the partition.
    pub keys: &'a PartitionKeys,
    /// The channel.
    pub channel: &'a Channel,
    /// The parcel.
    pub parcel_id: &'a ParcelId,
}

/// The result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailedParcel {
    /// This many deliveries ended.
    Ended(u64),
    /// It is not parked.
    NotParked,
    /// A courier holds it.
    Leased,
    /// It, or a parcel of its order that would have to be recounted, is of a later version: a newer program can read
    /// it.
    NewerVersion,
    /// Its order can't be read, or is too big to be recounted: only the whole order can be ended.
    WholeOrderOnly,
}

impl ScriptCall for FailParcel<'_> {
    type Reply = FailedParcel;

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
            k.parked(c),
            k.parked_why(),
            k.crashes(c),
        ]
    }

    fn args(&self) -> Vec<Bytes> {
        vec![arg_text(self.channel.as_str()), arg_text(&self.parcel_id.to_string())]
    }

    fn decode(code: &str, mut f: ReplyFields) -> Result<FailedParcel, Malformed> {
        Ok(match code {
            "ok" => FailedParcel::Ended(f.u64("deliveries")?),
            "not_parked" => FailedParcel::NotParked,
            "leased" => FailedParcel::Leased,
            "newer_version" => FailedParcel::NewerVersion,
            "whole_order_only" => FailedParcel::WholeOrderOnly,
            _ => return Err(Malformed::new("code of fail_parcel")),
        })
    }
}
