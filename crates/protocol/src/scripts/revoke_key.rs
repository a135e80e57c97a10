//! `revoke_key`: revokes an API key permanently.

use bytes::Bytes;
use posthaste_model::UnixMs;

use crate::keys::PartitionKeys;
use crate::record::KeyId;
use crate::script::ScriptCall;
use crate::reply_value::{ReplyFields, Malformed};

contract!("revoke_key", drains: true,
    keys: ["epoch:{p}", "fence:{p}", "key:{p}:<id>"],
    args: ["request id", "epoch"],
    codes: ["ok", "already_done", "not_found", "wrong_epoch"]);

/// Revokes a key.
#[derive(Debug, Clone)]
pub struct RevokeKey<'a> {
    /// Keys of the partition that stores all API keys.
    pub keys: &'a PartitionKeys,
    /// The key.
    pub id: &'a KeyId,
}

/// The result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyRevoked {
    /// It was revoked at this time.
    Revoked(UnixMs),
    /// It had already been revoked, at this time.
    AlreadyDone(UnixMs),
    /// There is no such key.
    NotFound,
}

impl ScriptCall for RevokeKey<'_> {
    type Reply = KeyRevoked;

    fn contract() -> &'static crate::script::Contract {
        &CONTRACT
    }

    fn keys(&self) -> Vec<String> {
        vec![self.keys.epoch(), self.keys.fence(), self.keys.api_key(self.id)]
    }

    fn args(&self) -> Vec<Bytes> {
        Vec::new()
    }

    fn decode(code: &str, mut f: ReplyFields) -> Result<KeyRevoked, Malformed> {
        Ok(match code {
            "ok" => KeyRevoked::Revoked(UnixMs(f.u64("revoked")?)),
            "already_done" => KeyRevoked::AlreadyDone(UnixMs(f.u64("revoked")?)),
            "not_found" => KeyRevoked::NotFound,
            _ => return Err(Malformed::new("code of revoke_key")),
        })
    }
}
