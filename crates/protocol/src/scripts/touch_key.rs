//! `touch_key`: records when an API key was last used.

use bytes::Bytes;
use posthaste_model::UnixMs;

use crate::keys::PartitionKeys;
use crate::record::KeyId;
use crate::script::ScriptCall;
use crate::reply_value::{ReplyFields, Malformed};

contract!("touch_key", drains: true,
    keys: ["epoch:{p}", "fence:{p}", "key:{p}:<id>"],
    args: ["request id", "epoch"],
    codes: ["ok", "not_found", "wrong_epoch"]);

/// Records a use.
#[derive(Debug, Clone)]
pub struct TouchKey<'a> {
    /// Keys of the partition that stores all API keys.
    pub keys: &'a PartitionKeys,
    /// The key.
    pub id: &'a KeyId,
}

impl ScriptCall for TouchKey<'_> {
    /// The time of the last use; `None` when there is no such key.
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

    fn decode(code: &str, mut f: ReplyFields) -> Result<Option<UnixMs>, Malformed> {
        match code {
            "ok" => Ok(Some(UnixMs(f.u64("used")?))),
            "not_found" => Ok(None),
            _ => Err(Malformed::new("code of touch_key")),
        }
    }
}
