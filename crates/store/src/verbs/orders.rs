//! Operations of a queue service on orders: idempotency keys, the daily limit, cancelling and rescheduling.

use std::time::Duration;

use posthaste_model::{OrderId, SenderId, UnixMs};
use posthaste_protocol::scripts::bind_idempotency_key::{
    BindIdempotencyKey, BoundIdempotencyKey, decode_tie,
};
use posthaste_protocol::scripts::cancel::{Cancel, Cancelled};
use posthaste_protocol::scripts::reschedule::{Reschedule, Rescheduled};
use posthaste_protocol::scripts::return_daily_places::ReturnDailyPlaces;
use posthaste_protocol::scripts::take_daily_places::{DailyPlace, DailyPlaces, TakeDailyPlaces};
use posthaste_protocol::{PartitionKeys, ScriptAnswer};

use crate::accept::NothingStored;
use crate::call::TRIES;
use crate::error::{CallError, InvalidReply};
use crate::slot::slot_of;
use crate::store::Store;

impl Store {
    /// Binds an idempotency key to an order id and a body. `key_digest` is the digest of the client's key, in hex.
    /// Repeated while its answer is lost; a repeat of the same call gets the same answer.
    ///
    /// # Errors
    /// A [`CallError`].
    pub async fn bind_idempotency_key(
        &self,
        owner: &SenderId,
        key_digest: &str,
        order_id: &OrderId,
        digest: [u8; 12],
        ttl: Duration,
    ) -> Result<BoundIdempotencyKey, CallError> {
        let script = BindIdempotencyKey { owner: owner.as_str(), key_digest, order_id, digest, ttl };
        let mut tries = 1;
        loop {
            match self.0.call_apart(&script).await {
                Err(CallError::NoReply(_)) if tries < TRIES => tries += 1,
                answer => return answer,
            }
        }
    }

    /// The order id and the digest of the body to which an idempotency key is bound, by only reading; `None` when it
    /// is free.
    ///
    /// # Errors
    /// A [`CallError`].
    pub async fn bound(
        &self,
        owner: &SenderId,
        key_digest: &str,
    ) -> Result<Option<(OrderId, [u8; 12])>, CallError> {
        let key = PartitionKeys::idempotency(owner.as_str(), key_digest);
        let held = self.0.reader().await?.get(slot_of(&key), key).await?;
        let tie = held.map(|held| decode_tie(&held)).transpose();
        tie.map_err(|malformed| CallError::InvalidReply(InvalidReply::Malformed(malformed)))
    }

    /// Takes a daily place of a sender for an order.
    ///
    /// # Errors
    /// A [`CallError`].
    pub async fn take_daily_places(
        &self,
        sender: &SenderId,
        order_id: &OrderId,
        daily: u32,
        day_start: UnixMs,
    ) -> Result<DailyPlaces, CallError> {
        self.0.call_apart(&TakeDailyPlaces { sender, order_id, daily, day_start }).await
    }

    /// Returns the place of an order; false when it was taken again since.
    ///
    /// # Errors
    /// A [`CallError`].
    pub async fn return_daily_places(
        &self,
        sender: &SenderId,
        place: &DailyPlace,
        _: &NothingStored,
    ) -> Result<bool, CallError> {
        let places = std::slice::from_ref(place);
        Ok(self.0.call_apart(&ReturnDailyPlaces { sender, places }).await? > 0)
    }

    /// Stops those deliveries of an order that can still be stopped.
    ///
    /// # Errors
    /// A [`CallError`].
    pub async fn cancel(&self, p: u16, order_id: &OrderId) -> Result<ScriptAnswer<Cancelled>, CallError> {
        let before = self.0.before_confirm(p);
        let answer = self.0.call(p, &Cancel { keys: &self.0.partition(p)?.keys, order_id }).await?;
        self.0.confirmed(p, before).await?;
        Ok(answer)
    }

    /// Moves an order to another time. `not_after` is its new end; `None` keeps the span. `revision` is that of the
    /// order when it was read; an order that has changed since is not moved.
    ///
    /// # Errors
    /// A [`CallError`].
    pub async fn reschedule(
        &self,
        p: u16,
        order_id: &OrderId,
        due: UnixMs,
        not_after: Option<UnixMs>,
        revision: u64,
    ) -> Result<ScriptAnswer<Rescheduled>, CallError> {
        let before = self.0.before_confirm(p);
        let script = Reschedule { keys: &self.0.partition(p)?.keys, order_id, due, not_after, revision };
        let answer = self.0.call(p, &script).await?;
        self.0.confirmed(p, before).await?;
        Ok(answer)
    }
}
