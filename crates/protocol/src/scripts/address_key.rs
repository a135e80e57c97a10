//! `address_key`: agrees on the key used to hash addresses.

use bytes::Bytes;

use crate::keys::PartitionKeys;
use crate::record::AddressKey;
use crate::script::ScriptCall;
use crate::reply_value::{ReplyFields, Malformed};

contract!("address_key", drains: true,
    keys: ["epoch:{p}", "fence:{p}", "address_key:{p}"],
    args: ["request id", "epoch", "check value of the key (16 bytes)",
           "a random key (32 bytes), to be kept if there is none; empty: the key is in the settings and is kept nowhere"],
    codes: ["ok", "key_required", "wrong_key", "unreadable", "wrong_epoch"]);

/// Passes the caller's key, or offers a random one.
#[derive(Debug, Clone)]
pub struct AgreeOnKey<'a> {
    /// Keys of the partition that stores all suppressions.
    pub keys: &'a PartitionKeys,
    /// The key.
    pub key: &'a AddressKey,
    /// Whether it was made at random for this call; otherwise it comes from the settings.
    pub made: bool,
}

/// The result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyAgreed {
    /// The caller's own key applies.
    Own,
    /// This key, which is stored in the database.
    Stored(AddressKey),
    /// The database expects a key from the settings, and the caller has none.
    KeyRequired,
    /// The database hashes addresses with another key.
    WrongKey {
        /// Whether that key was made at random and is stored in the database; otherwise it comes from other settings.
        made: bool,
    },
    /// The record can't be read.
    Unreadable,
}

impl ScriptCall for AgreeOnKey<'_> {
    type Reply = KeyAgreed;

    fn contract() -> &'static crate::script::Contract {
        &CONTRACT
    }

    fn keys(&self) -> Vec<String> {
        vec![self.keys.epoch(), self.keys.fence(), self.keys.address_key()]
    }

    fn args(&self) -> Vec<Bytes> {
        let kept = if self.made { self.key.expose() } else { &[] };
        vec![Bytes::copy_from_slice(&self.key.check()), Bytes::copy_from_slice(kept)]
    }

    fn decode(code: &str, mut f: ReplyFields) -> Result<KeyAgreed, Malformed> {
        Ok(match code {
            "ok" => match f.bytes("address key")? {
                none if none.is_empty() => KeyAgreed::Own,
                key => KeyAgreed::Stored(AddressKey::new(&key)),
            },
            "key_required" => KeyAgreed::KeyRequired,
            "wrong_key" => KeyAgreed::WrongKey { made: f.u64("made")? == 1 },
            "unreadable" => KeyAgreed::Unreadable,
            _ => return Err(Malformed::new("code of address_key")),
        })
    }
}
