//! Limits for callers: the rate of an API key, the daily places of a sender; and freeing an idempotency key.

use futures::future::join_all;
use posthaste_model::{OrderId, SenderId, UnixMs};
use posthaste_protocol::PartitionKeys;
use posthaste_protocol::record::KeyId;
use posthaste_protocol::scripts::free_idempotency_key::FreeIdempotencyKey;
use posthaste_protocol::scripts::limit_rate::{LimitRate, RateDecision};
use posthaste_protocol::scripts::return_daily_places::ReturnDailyPlaces;
use posthaste_protocol::scripts::take_daily_places::DailyPlace;

use crate::accept::NothingStored;
use crate::command::text;
use crate::error::{CallError, malformed};
use crate::slot::slot_of;
use crate::store::Store;

/// How many orders are looked up at the same time.
const LOOKS: usize = 16;

impl Store {
    /// Whether this many calls with a key may pass now, counted over all processes on this database. `per_second` and
    /// `burst` are at least 1; a cost of 0 only checks.
    ///
    /// # Errors
    /// A [`CallError`].
    pub async fn limit_rate(
        &self,
        id: &KeyId,
        cost: u32,
        per_second: u32,
        burst: u32,
    ) -> Result<RateDecision, CallError> {
        self.0.call_apart(&LimitRate { id, cost, per_second, burst }).await
    }

    /// Daily places a sender has taken.
    ///
    /// # Errors
    /// A [`CallError`].
    pub async fn day(&self, sender: &SenderId, day_start: UnixMs) -> Result<u32, CallError> {
        let key = PartitionKeys::limit(sender);
        let slot = slot_of(&key);
        let args = vec![text(key), text(day_start.0.to_string()), "+inf".into()];
        let count = self.0.reader().await?.ask("ZCOUNT", args, slot).await?;
        let count = count.u64("places").ok().and_then(|count| u32::try_from(count).ok());
        count.ok_or_else(|| malformed("places"))
    }

    /// Frees an idempotency key from this order id, so that it can be used with another body. False when it was not
    /// bound to the id, or when a repeat has received the order id meanwhile and may store its order under it.
    /// `key_digest` is the digest of the client's key, in hex.
    ///
    /// # Errors
    /// A [`CallError`].
    pub async fn free_idempotency_key(
        &self,
        owner: &SenderId,
        key_digest: &str,
        order_id: &OrderId,
        _: &NothingStored,
    ) -> Result<bool, CallError> {
        self.0.call_apart(&FreeIdempotencyKey { owner: owner.as_str(), key_digest, order_id }).await
    }

    /// Returns places whose orders do not exist, 100 at most, and answers how many. Only for places so old that no
    /// request is still working on their orders.
    ///
    /// # Errors
    /// A [`CallError`].
    pub async fn free_places(&self, sender: &SenderId, places: &[DailyPlace]) -> Result<u32, CallError> {
        let mut never = Vec::new();
        for some in places.chunks(LOOKS) {
            let looks: Vec<_> = some.iter().map(|place| self.order_summary(&place.order_id, None)).collect();
            for (place, found) in some.iter().zip(join_all(looks).await) {
                if found?.is_none() {
                    never.push(place.clone());
                }
            }
        }
        if never.is_empty() {
            return Ok(0);
        }
        self.0.call_apart(&ReturnDailyPlaces { sender, places: &never }).await
    }
}
