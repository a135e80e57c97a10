//! Orders under short names, for what carries no more.

use std::time::Duration;

use posthaste_model::Suffix;
use posthaste_protocol::Keys;

use super::malformed;
use crate::error::CallError;
use crate::node::{slot_of, text};
use crate::store::{Inner, Store};

/// Characters of a name at most.
const LONGEST: usize = 64;

/// The key of a name, one of `[A-Za-z0-9_-]{1,64}`: what comes from outside reaches no other key.
fn key(name: &str) -> Result<String, CallError> {
    let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
    if !plain || name.is_empty() || name.len() > LONGEST {
        return Err(malformed("name of an order"));
    }
    Ok(Keys::order_name(name))
}

impl Store {
    /// Remembers an order under a name for so long, from now on. The name is `[A-Za-z0-9_-]{1,64}` and the caller's to choose:
    /// another order under it is forgotten.
    ///
    /// # Errors
    /// A [`CallError`]; `Fault` when it is no such name.
    pub async fn remember_order(&self, name: &str, order: &Suffix, keep: Duration) -> Result<(), CallError> {
        let key = key(name)?;
        let slot = slot_of(&key);
        let ms = keep.as_millis().max(1).to_string();
        let args = vec![text(key), text(order.to_string()), "PX".into(), text(ms)];
        self.0.reader().await?.ask("SET", args, slot).await.map(drop)
    }

    /// The order of a name; `None` when there is none.
    ///
    /// # Errors
    /// A [`CallError`]; `Fault` when it is no such name, or what is there is no order.
    pub async fn recall_order(&self, name: &str) -> Result<Option<Suffix>, CallError> {
        let key = key(name)?;
        let slot = slot_of(&key);
        let Some(order) = Inner::get(&self.0.reader().await?, slot, key).await? else { return Ok(None) };
        let order = std::str::from_utf8(&order).ok().and_then(|order| order.parse().ok());
        order.map(Some).ok_or_else(|| malformed("order of a name"))
    }
}
