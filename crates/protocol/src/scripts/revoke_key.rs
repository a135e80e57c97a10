//! `revoke_key`: ends an API key for good.

use bytes::Bytes;
use posthaste_model::UnixMs;

use crate::keys::Keys;
use crate::record::KeyId;
use crate::script::Script;
use crate::value::{Fields, Malformed};

contract!("revoke_key", drains: true,
    keys: ["epoch:{p}", "fence:{p}", "key:{p}:<id>"],
    args: ["request id", "epoch"],
    codes: ["ok", "again", "gone", "epoch"]);

/// Ends a key.
#[derive(Debug, Clone)]
pub struct RevokeKey<'a> {
    /// Keys of the partition that holds all API keys.
    pub keys: &'a Keys,
    /// Which one.
    pub id: &'a KeyId,
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyRevoked {
    /// It ended at this moment.
    Revoked(UnixMs),
    /// It had ended at this moment.
    Before(UnixMs),
    /// There is no such key.
    Gone,
}

impl Script for RevokeKey<'_> {
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

    fn decode(code: &str, mut f: Fields) -> Result<KeyRevoked, Malformed> {
        Ok(match code {
            "ok" => KeyRevoked::Revoked(UnixMs(f.u64("revoked")?)),
            "again" => KeyRevoked::Before(UnixMs(f.u64("revoked")?)),
            "gone" => KeyRevoked::Gone,
            _ => return Err(Malformed::new("code of revoke_key")),
        })
    }
}
