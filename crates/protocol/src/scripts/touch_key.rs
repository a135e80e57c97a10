//! `touch_key`: notes when an API key was last used.

use bytes::Bytes;
use posthaste_model::UnixMs;

use crate::keys::Keys;
use crate::record::KeyId;
use crate::script::Script;
use crate::value::{Fields, Malformed};

contract!("touch_key", drains: true,
    keys: ["epoch:{p}", "fence:{p}", "key:{p}:<id>"],
    args: ["request id", "epoch"],
    codes: ["ok", "gone", "epoch"]);

/// Notes a use.
#[derive(Debug, Clone)]
pub struct TouchKey<'a> {
    /// Keys of the partition that holds all API keys.
    pub keys: &'a Keys,
    /// Of which key.
    pub id: &'a KeyId,
}

impl Script for TouchKey<'_> {
    /// The last use, as it stands now; `None` when there is no such key.
    type Reply = Option<UnixMs>;

    fn contract() -> &'static crate::script::Contract {
        &CONTRACT
    }

    fn keys(&self) -> Vec<String> {
        vec![self.keys.epoch(), self.keys.fence(), self.keys.api_key(self.id)]
    }

    fn args(&self) -> Vec<Bytes> {
        Vec::new()
    }

    fn decode(code: &str, mut f: Fields) -> Result<Option<UnixMs>, Malformed> {
        match code {
            "ok" => Ok(Some(UnixMs(f.u64("used")?))),
            "gone" => Ok(None),
            _ => Err(Malformed::new("code of touch_key")),
        }
    }
}
