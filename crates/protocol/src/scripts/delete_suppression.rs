//! `delete_suppression`: takes an address off a list, for an operator.

use bytes::Bytes;
use posthaste_model::{Channel, UnixMs};

use crate::keys::PartitionKeys;
use crate::record::{AddressKey, SuppressionId};
use crate::script::{ScriptCall, arg};
use crate::reply_value::{ReplyFields, Malformed};

contract!("delete_suppression", drains: true,
    keys: ["epoch:{p}", "fence:{p}", "address_key:{p}", "suppressed:{p}:<channel>"],
    args: ["request id", "epoch", "check value of the address key (16 bytes)", "field (16 bytes)",
           "last ms of the record the caller saw"],
    codes: ["ok", "already_done", "not_found", "changed", "unreadable", "wrong_key", "wrong_epoch"]);

/// Takes an address off a list, and resets its strikes.
#[derive(Debug, Clone)]
pub struct DeleteSuppression<'a> {
    /// Keys of the partition that stores all suppressions.
    pub keys: &'a PartitionKeys,
    /// The key used to hash addresses.
    pub key: &'a AddressKey,
    /// The channel.
    pub channel: &'a Channel,
    /// The entry.
    pub id: SuppressionId,
    /// [`last`](crate::record::SuppressionRecord::last) of the record the caller saw.
    pub seen: UnixMs,
}

/// The result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SuppressionDeletion {
    /// It was taken off the list.
    Deleted,
    /// It was already deleted, at this time.
    AlreadyDone(UnixMs),
    /// It is not on the list.
    NotFound,
    /// The record is not the one the caller saw, but one of this time; nothing changed.
    Changed(UnixMs),
    /// The record can't be read; nothing changed.
    Unreadable,
    /// The database hashes addresses with another key.
    WrongKey,
}

impl ScriptCall for DeleteSuppression<'_> {
    type Reply = SuppressionDeletion;

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

    fn decode(code: &str, mut f: ReplyFields) -> Result<SuppressionDeletion, Malformed> {
        Ok(match code {
            "ok" => SuppressionDeletion::Deleted,
            "already_done" => SuppressionDeletion::AlreadyDone(UnixMs(f.u64("deleted")?)),
            "not_found" => SuppressionDeletion::NotFound,
            "changed" => SuppressionDeletion::Changed(UnixMs(f.u64("last")?)),
            "unreadable" => SuppressionDeletion::Unreadable,
            "wrong_key" => SuppressionDeletion::WrongKey,
            _ => return Err(Malformed::new("code of delete_suppression")),
        })
    }
}
