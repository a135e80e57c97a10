//! What a queue does around orders: idempotency keys, the day's limit, cancelling and moving.

use std::time::Duration;

use posthaste_model::{SenderId, Suffix, UnixMs};
use posthaste_protocol::scripts::bind::{Bind, Bound, decode_tie};
use posthaste_protocol::scripts::cancel::{Cancel, Cancelled};
use posthaste_protocol::scripts::reschedule::{Reschedule, Rescheduled};
use posthaste_protocol::scripts::reserve::{Place, Reserve, Reserved};
use posthaste_protocol::scripts::unreserve::Unreserve;
use posthaste_protocol::{Answer, Keys};

use crate::accept::NothingStored;
use crate::call::TRIES;
use crate::error::{CallError, Fault};
use crate::node::slot_of;
use crate::store::{Inner, Store};

impl Store {
    /// Ties an idempotency key to a suffix and a body. `key_digest`: of the client's key, in hex. Repeated while its
    /// answer is lost; a repeat of the same call is answered as the first.
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
        let script = Bind { owner: owner.as_str(), key_digest, suffix, digest, ttl };
        let mut tries = 1;
        loop {
            match self.0.call_apart(&script).await {
                Err(CallError::Away(_)) if tries < TRIES => tries += 1,
                answer => return answer,
            }
        }
    }

    /// The suffix and the digest of the body an idempotency key is tied to, by reading alone; `None` when it is free.
    ///
    /// # Errors
    /// A [`CallError`].
    pub async fn bound(
        &self,
        owner: &SenderId,
        key_digest: &str,
    ) -> Result<Option<(Suffix, [u8; 12])>, CallError> {
        let key = Keys::idempotency(owner.as_str(), key_digest);
        let held = Inner::get(&self.0.reader().await?, slot_of(&key), key).await?;
        let tie = held.map(|held| decode_tie(&held)).transpose();
        tie.map_err(|malformed| CallError::Fault(Fault::Malformed(malformed)))
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

    /// Gives the place of an order back; false when it was taken anew since.
    ///
    /// # Errors
    /// A [`CallError`].
    pub async fn unreserve(
        &self,
        sender: &SenderId,
        place: &Place,
        _: &NothingStored,
    ) -> Result<bool, CallError> {
        let places = std::slice::from_ref(place);
        Ok(self.0.call_apart(&Unreserve { sender, places }).await? > 0)
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
