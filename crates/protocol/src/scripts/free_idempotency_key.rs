//! `free_idempotency_key`: releases an idempotency key from its order id.

use bytes::Bytes;
use posthaste_model::OrderId;

use crate::keys::PartitionKeys;
use crate::script::{ScriptCall, arg_text};
use crate::reply_value::{ReplyFields, Malformed};

contract!("free_idempotency_key", drains: true,
    keys: ["idem:{<owner>:<key>}"],
    args: ["request id", "order id"],
    codes: ["ok"]);

/// Frees a key.
#[derive(Debug, Clone)]
pub struct FreeIdempotencyKey<'a> {
    /// The owner of the key.
    pub owner: &'a str,
    /// Digest of the key in hex.
    pub key_digest: &'a str,
    /// The order id it was bound to.
    pub order_id: &'a OrderId,
}

impl ScriptCall for FreeIdempotencyKey<'_> {
    /// Whether the key was bound to this order id, by this request alone, and is free now.
    type Reply = bool;

    fn contract() -> &'static crate::script::Contract {
        &CONTRACT
    }

    fn keys(&self) -> Vec<String> {
        vec![PartitionKeys::idempotency(self.owner, self.key_digest)]
    }

    fn args(&self) -> Vec<Bytes> {
        vec![arg_text(self.order_id.as_str())]
    }

    fn decode(code: &str, mut f: ReplyFields) -> Result<bool, Malformed> {
        if code == "ok" { Ok(f.u32("freed")? > 0) } else { Err(Malformed::new("code of free_idempotency_key")) }
    }
}
