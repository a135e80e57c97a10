//! `create_key`: keeps a new API key.

use bytes::Bytes;
use posthaste_model::UnixMs;

use crate::keys::Keys;
use crate::record::{KeyId, NewKey};
use crate::script::{Script, arg, arg_text};
use crate::value::{Fields, Malformed};

contract!("create_key", drains: false,
    keys: ["epoch:{p}", "fence:{p}", "keys:{p}", "key:{p}:<id>"],
    args: ["request id", "epoch", "id", "name", "SHA-256 of the secret (32 bytes)", "scopes, commas between",
           "sender it is bound to, or empty", "role it is bound to, or empty", "expires ms, 0 for never",
           "mailboxes its orders may be from, one a line, or empty", "display names, the same"],
    codes: ["ok", "same", "taken", "two", "full", "epoch"]);

/// Keeps a key.
#[derive(Debug, Clone)]
pub struct CreateKey<'a> {
    /// Keys of the partition that holds all API keys.
    pub keys: &'a Keys,
    /// The API key.
    pub key: &'a NewKey,
}

/// Whether it was kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyCreated {
    /// At this moment.
    Created(UnixMs),
    /// It was there before, since this moment: a repeat.
    Same(UnixMs),
    /// The id belongs to another secret: mint another one.
    Taken,
    /// These live keys have the same name: revoke one first.
    TwoLive(Vec<KeyId>),
    /// There are as many keys as there may be.
    Full,
}

impl Script for CreateKey<'_> {
    type Reply = KeyCreated;

    fn contract() -> &'static crate::script::Contract {
        &CONTRACT
    }

    fn keys(&self) -> Vec<String> {
        let k = self.keys;
        vec![k.epoch(), k.fence(), k.api_keys(), k.api_key(&self.key.id)]
    }

    fn args(&self) -> Vec<Bytes> {
        let key = self.key;
        vec![
            arg_text(key.id.as_str()),
            arg_text(&key.name),
            Bytes::copy_from_slice(key.hash.as_bytes()),
            arg(key.scopes),
            arg_text(key.sender.as_ref().map_or("", |sender| sender.as_str())),
            arg_text(key.role.as_deref().unwrap_or_default()),
            arg(key.expires.map_or(0, |at| at.0)),
            arg_text(&key.send_as.mailbox_lines()),
            arg_text(&key.send_as.name_lines()),
        ]
    }

    fn decode(code: &str, mut f: Fields) -> Result<KeyCreated, Malformed> {
        Ok(match code {
            "ok" => KeyCreated::Created(UnixMs(f.u64("created")?)),
            "same" => KeyCreated::Same(UnixMs(f.u64("created")?)),
            "taken" => KeyCreated::Taken,
            "two" => {
                let ids = f.array("ids")?.into_iter();
                let read = |id: crate::Value| id.text("id")?.parse().map_err(|_| Malformed::new("id"));
                KeyCreated::TwoLive(ids.map(read).collect::<Result<_, _>>()?)
            }
            "full" => KeyCreated::Full,
            _ => return Err(Malformed::new("code of create_key")),
        })
    }
}
