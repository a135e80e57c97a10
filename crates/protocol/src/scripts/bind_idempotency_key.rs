//! `bind_idempotency_key`: binds an idempotency key to an order id.

use std::time::Duration;

use bytes::Bytes;
use posthaste_model::OrderId;

use crate::keys::PartitionKeys;
use crate::script::{ScriptCall, arg, arg_text};
use crate::reply_value::{ReplyFields, Malformed};

contract!("bind_idempotency_key", drains: false,
    keys: ["idem:{<owner>:<key>}"],
    args: ["request id", "order id", "digest (12 bytes)", "time to live in ms"],
    codes: ["bound", "already_done", "conflict"]);

/// Binds a key to an order id and a body.
#[derive(Debug, Clone)]
pub struct BindIdempotencyKey<'a> {
    /// The owner of the key.
    pub owner: &'a str,
    /// Digest of the key in hex: the client's text is never part of a key name.
    pub key_digest: &'a str,
    /// The order id for a new order.
    pub order_id: &'a OrderId,
    /// Digest of the body.
    pub digest: [u8; 12],
    /// How long the binding lasts.
    pub ttl: Duration,
}

/// What the key is bound to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BoundIdempotencyKey {
    /// The given order id, by this call or an earlier try of it.
    Bound,
    /// The order id of an earlier request with the same body.
    AlreadyDone(OrderId),
    /// Another body.
    Conflict,
}

/// Reads the value of a key: the order id it is bound to, and the digest of the body. Ignores the mark of a shared
/// binding.
///
/// # Errors
/// [`Malformed`] when it is not a binding.
pub fn decode_tie(held: &[u8]) -> Result<(OrderId, [u8; 12]), Malformed> {
    let malformed = || Malformed::new("idempotency key");
    let (digest, order_id) = held.split_first_chunk::<12>().ok_or_else(malformed)?;
    let order_id = std::str::from_utf8(order_id).map_err(|_| malformed())?;
    let order_id = order_id.strip_suffix('+').unwrap_or(order_id).parse().map_err(|_| malformed())?;
    Ok((order_id, *digest))
}

impl ScriptCall for BindIdempotencyKey<'_> {
    type Reply = BoundIdempotencyKey;

    fn contract() -> &'static crate::script::Contract {
        &CONTRACT
    }

    fn keys(&self) -> Vec<String> {
        vec![PartitionKeys::idempotency(self.owner, self.key_digest)]
    }

    fn args(&self) -> Vec<Bytes> {
        vec![arg_text(self.order_id.as_str()), Bytes::copy_from_slice(&self.digest), arg(self.ttl.as_millis())]
    }

    fn decode(code: &str, mut f: ReplyFields) -> Result<BoundIdempotencyKey, Malformed> {
        Ok(match code {
            "bound" => BoundIdempotencyKey::Bound,
            "already_done" => {
                let order_id = f.text("order id")?.parse().map_err(|_| Malformed::new("order id"))?;
                BoundIdempotencyKey::AlreadyDone(order_id)
            }
            "conflict" => BoundIdempotencyKey::Conflict,
            _ => return Err(Malformed::new("code of bind_idempotency_key")),
        })
    }
}
