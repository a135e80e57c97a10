//! What a queue does around orders: idempotency keys, the day's limit, cancelling and moving.

use std::time::Duration;

use posthaste_model::{SenderId, Suffix, UnixMs};
use posthaste_protocol::Answer;
use posthaste_protocol::scripts::bind::{Bind, Bound};
use posthaste_protocol::scripts::cancel::{Cancel, Cancelled};
use posthaste_protocol::scripts::reschedule::{Reschedule, Rescheduled};
use posthaste_protocol::scripts::reserve::{Place, Reserve, Reserved};
use posthaste_protocol::scripts::unreserve::Unreserve;

use crate::error::CallError;
use crate::store::Store;

impl Store {
    /// Ties an idempotency key to a suffix and a body. `key_digest`: of the client's key, in hex.
    ///
    /// # Errors
    /// A [`CallError`].
    pub async fn bind(
        &self,
        owner: &SenderId,
        key_digest: &str,
        suffix: &Suffix,
        digest: [u8; 12],
        ttl: Duration,
    ) -> Result<Bound, CallError> {
        self.0.call_apart(&Bind { owner: owner.as_str(), key_digest, suffix, digest, ttl }).await
    }

    /// Takes a place in a sender's day for an order.
    ///
    /// # Errors
    /// A [`CallError`].
    pub async fn reserve(
        &self,
        sender: &SenderId,
        suffix: &Suffix,
        daily: u32,
        day_start: UnixMs,
    ) -> Result<Reserved, CallError> {
        self.0.call_apart(&Reserve { sender, suffix, daily, day_start }).await
    }

    /// Gives places back, 100 at most; answers how many. One taken anew since stays.
    ///
    /// # Errors
    /// A [`CallError`].
    pub async fn unreserve(&self, sender: &SenderId, places: &[Place]) -> Result<u32, CallError> {
        self.0.call_apart(&Unreserve { sender, places }).await
    }

    /// Stops what can still be stopped of an order.
    ///
    /// # Errors
    /// A [`CallError`].
    pub async fn cancel(&self, p: u16, suffix: &Suffix) -> Result<Answer<Cancelled>, CallError> {
        let before = self.0.before_confirm(p);
        let answer = self.0.call(p, &Cancel { keys: &self.0.partition(p)?.keys, suffix }).await?;
        self.0.confirmed(p, before).await?;
        Ok(answer)
    }

    /// Moves an order to another time. `not_after`: its new end; `None` keeps the span. `revision`: of the order as it was
    /// read; one that changed since is not moved.
    ///
    /// # Errors
    /// A [`CallError`].
    pub async fn reschedule(
        &self,
        p: u16,
        suffix: &Suffix,
        due: UnixMs,
        not_after: Option<UnixMs>,
        revision: u64,
    ) -> Result<Answer<Rescheduled>, CallError> {
        let before = self.0.before_confirm(p);
        let script = Reschedule { keys: &self.0.partition(p)?.keys, suffix, due, not_after, revision };
        let answer = self.0.call(p, &script).await?;
        self.0.confirmed(p, before).await?;
        Ok(answer)
    }
}
