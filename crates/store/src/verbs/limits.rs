//! What is counted of callers: the rate of an API key, the day of a sender; and an idempotency key given back.

use futures::future::join_all;
use posthaste_model::{SenderId, Suffix, UnixMs};
use posthaste_protocol::Keys;
use posthaste_protocol::record::KeyId;
use posthaste_protocol::scripts::rate::{Rate, Rated};
use posthaste_protocol::scripts::reserve::Place;
use posthaste_protocol::scripts::unbind::Unbind;
use posthaste_protocol::scripts::unreserve::Unreserve;

use super::malformed;
use crate::accept::NothingStored;
use crate::error::CallError;
use crate::node::{slot_of, text};
use crate::store::Store;

/// Looks at once whether orders exist.
const LOOKS: usize = 16;

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

    /// Takes an idempotency key off this suffix, so that it may come back with another body. False when it was not tied to
    /// it, or when a repeat was told the suffix meanwhile: that one may store its order under it. `key_digest`: of the client's
    /// key, in hex.
    ///
    /// # Errors
    /// A [`CallError`].
    pub async fn unbind(
        &self,
        owner: &SenderId,
        key_digest: &str,
        suffix: &Suffix,
        _: &NothingStored,
    ) -> Result<bool, CallError> {
        self.0.call_apart(&Unbind { owner: owner.as_str(), key_digest, suffix }).await
    }

    /// Gives places back whose orders are not there, 100 at most; answers how many. For places old enough that no request
    /// still works on their orders.
    ///
    /// # Errors
    /// A [`CallError`].
    pub async fn free_places(&self, sender: &SenderId, places: &[Place]) -> Result<u32, CallError> {
        let mut never = Vec::new();
        for some in places.chunks(LOOKS) {
            let looks: Vec<_> = some.iter().map(|place| self.glance(&place.suffix, None)).collect();
            for (place, found) in some.iter().zip(join_all(looks).await) {
                if found?.is_none() {
                    never.push(place.clone());
                }
            }
        }
        if never.is_empty() {
            return Ok(0);
        }
        self.0.call_apart(&Unreserve { sender, places: &never }).await
    }
}
