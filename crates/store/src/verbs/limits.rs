//! What is counted of callers: the rate of an API key, the day of a sender; and an idempotency key given back.

use posthaste_model::{SenderId, Suffix, UnixMs};
use posthaste_protocol::Keys;
use posthaste_protocol::record::KeyId;
use posthaste_protocol::scripts::rate::{Rate, Rated};
use posthaste_protocol::scripts::unbind::Unbind;

use super::malformed;
use crate::error::CallError;
use crate::node::{slot_of, text};
use crate::store::Store;

impl Store {
    /// Whether so many calls of a key may pass now, for all who ask this database together. `per_second` and `burst` are
    /// 1 and more; a cost of 0 only looks.
    ///
    /// # Errors
    /// A [`CallError`].
    pub async fn rate(&self, id: &KeyId, cost: u32, per_second: u32, burst: u32) -> Result<Rated, CallError> {
        self.0.call_apart(&Rate { id, cost, per_second, burst }).await
    }

    /// Places taken in a sender's day.
    ///
    /// # Errors
    /// A [`CallError`].
    pub async fn day(&self, sender: &SenderId, day_start: UnixMs) -> Result<u32, CallError> {
        let key = Keys::limit(sender);
        let slot = slot_of(&key);
        let args = vec![text(key), text(day_start.0.to_string()), "+inf".into()];
        let count = self.0.reader().await?.ask("ZCOUNT", args, slot).await?;
        let count = count.u64("places").ok().and_then(|count| u32::try_from(count).ok());
        count.ok_or_else(|| malformed("places"))
    }

    /// Takes an idempotency key off this suffix, so that it may come back with another body; false when it was not tied
    /// to it. `key_digest`: of the client's key, in hex.
    ///
    /// # Errors
    /// A [`CallError`].
    pub async fn unbind(
        &self,
        owner: &SenderId,
        key_digest: &str,
        suffix: &Suffix,
    ) -> Result<bool, CallError> {
        self.0.call_apart(&Unbind { owner: owner.as_str(), key_digest, suffix }).await
    }
}
