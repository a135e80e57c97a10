//! `create_key`: stores a new API key.

use bytes::Bytes;
use posthaste_model::UnixMs;

use crate::keys::PartitionKeys;
use crate::record::{KeyId, NewKey};
use crate::script::{ScriptCall, arg, arg_text};
use crate::reply_value::{ReplyFields, Malformed};

contract!("create_key", drains: false,
    keys: ["epoch:{p}", "fence:{p}", "keys:{p}", "key:{p}:<id>"],
    args: ["request id", "epoch", "id", "name", "SHA-256 of the secret (32 bytes)", "scopes, commas between",
           "sender it is bound to, or empty", "role it is bound to, or empty", "expires ms, 0 for never",
           "mailboxes its orders may be from, one a line, or empty", "display names, the same"],
    codes: ["ok", "already_done", "id_taken", "name_taken", "limit_reached", "wrong_epoch"]);

/// Stores a key.
#[derive(Debug, Clone)]
pub struct CreateKey<'a> {
    /// Keys of the partition that stores all API keys.
    pub keys: &'a PartitionKeys,
    /// The API key.
    pub key: &'a NewKey,
}

/// The result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyCreated {
    /// It was created at this time.
    Created(UnixMs),
    /// It was stored before, at this time: a repeat.
    AlreadyDone(UnixMs),
    /// The id belongs to another secret: generate a new id.
    IdTaken,
    /// These live keys have the same name: revoke one first.
    NameTaken(Vec<KeyId>),
    /// The maximum number of keys is reached.
    LimitReached,
}

impl ScriptCall for CreateKey<'_> {
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
            arg(key.scopes.record()),
            arg_text(key.sender.as_ref().map_or("", |sender| sender.as_str())),
            arg_text(key.role.as_deref().unwrap_or_default()),
            arg(key.expires.map_or(0, |at| at.0)),
            arg_text(&key.send_as.mailbox_lines()),
            arg_text(&key.send_as.name_lines()),
        ]
    }

    fn decode(code: &str, mut f: ReplyFields) -> Result<KeyCreated, Malformed> {
        Ok(match code {
            "ok" => KeyCreated::Created(UnixMs(f.u64("created")?)),
            "already_done" => KeyCreated::AlreadyDone(UnixMs(f.u64("created")?)),
            "id_taken" => KeyCreated::IdTaken,
            "name_taken" => {
                let ids = f.array("ids")?.into_iter();
                let read = |id: crate::ReplyValue| id.text("id")?.parse().map_err(|_| Malformed::new("id"));
                KeyCreated::NameTaken(ids.map(read).collect::<Result<_, _>>()?)
            }
            "limit_reached" => KeyCreated::LimitReached,
            _ => return Err(Malformed::new("code of create_key")),
        })
    }
}
