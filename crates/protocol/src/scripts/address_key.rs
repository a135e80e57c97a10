//! `address_key`: agrees on the key under which addresses are hashed.

use bytes::Bytes;

use crate::keys::Keys;
use crate::record::AddressKey;
use crate::script::Script;
use crate::value::{Fields, Malformed};

contract!("address_key", drains: true,
    keys: ["epoch:{p}", "fence:{p}", "address_key:{p}"],
    args: ["request id", "epoch", "check value of the key (16 bytes)",
           "a random key (32 bytes), to be kept if there is none; empty: the key is in the settings and is kept nowhere"],
    codes: ["ok", "set", "other", "bad", "epoch"]);

/// Says which key the caller has, or offers one.
#[derive(Debug, Clone)]
pub struct AgreeOnKey<'a> {
    /// Keys of the partition that holds all suppressions.
    pub keys: &'a Keys,
    /// The key.
    pub key: &'a AddressKey,
    /// Whether it was made at random for this call; else it is that of the settings.
    pub made: bool,
}

/// What the database says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyAgreed {
    /// The caller's own key holds.
    Yours,
    /// This one, which the database keeps.
    Kept(AddressKey),
    /// The database knows a key of the settings, and the caller has none.
    IsSet,
    /// Addresses are hashed under another key.
    Other {
        /// Whether that one was made at random and is kept in the database; else it is of other settings.
        made: bool,
    },
    /// The record can't be read.
    Bad,
}

impl Script for AgreeOnKey<'_> {
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

    fn decode(code: &str, mut f: Fields) -> Result<KeyAgreed, Malformed> {
        Ok(match code {
            "ok" => match f.bytes("address key")? {
                none if none.is_empty() => KeyAgreed::Yours,
                key => KeyAgreed::Kept(AddressKey::new(&key)),
            },
            "set" => KeyAgreed::IsSet,
            "other" => KeyAgreed::Other { made: f.u64("made")? == 1 },
            "bad" => KeyAgreed::Bad,
            _ => return Err(Malformed::new("code of address_key")),
        })
    }
}
