//! `Idempotency-Key`: the client's own unique name for a request. A repeat is recognised by it for 24 hours.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderName};
use posthaste_model::{OrderId, SenderId};
use posthaste_store::{BoundIdempotencyKey, CallError, NothingStored};
use sha2::{Digest, Sha256};

use super::in_flight::Busy;
use super::state::IntakeState;
use crate::problem::{Code, Problem};

/// The request header of the key.
pub(crate) const HEADER: HeaderName = HeaderName::from_static("idempotency-key");
/// The response header that marks a replayed response.
pub(crate) const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
/// How long a key is remembered.
const KNOWN: Duration = Duration::from_secs(24 * 3_600);
/// Maximum characters of a key.
const MOST: usize = 255;

/// A key as stored: hashed, so that the client's own text is not kept anywhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IdempotencyKey(String);

impl IdempotencyKey {
    /// The key of a request, if any.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Option<Self>, Problem> {
        let mut all = headers.get_all(HEADER).iter();
        let Some(first) = all.next() else { return Ok(None) };
        let text = first.to_str().unwrap_or_default();
        let fits = (1..=MOST).contains(&text.len()) && text.bytes().all(|b| (0x20..0x7f).contains(&b));
        if !fits || all.next().is_some() {
            return Err(Problem::parameter(
                "Idempotency-Key",
                "invalid",
                "must be a single value of 1 to 255 printable ASCII characters",
            ));
        }
        Ok(Some(Self::digested(text)))
    }

    /// The key of one order of a batch.
    pub(crate) fn part(&self, index: usize) -> Self {
        Self::digested(&format!("{}:{index}", self.0))
    }

    fn digested(text: &str) -> Self {
        let hash = Sha256::digest(text);
        Self(hash[..16].iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

/// What identifies a request while it is processed.
#[derive(Debug)]
pub(crate) struct IdempotencyBinding {
    /// The order that it creates, or created before.
    pub(crate) order_id: OrderId,
    /// The key that this request bound to the order.
    fresh: Option<(SenderId, IdempotencyKey)>,
    /// Whether a key is bound to the order.
    pub(crate) keyed: bool,
    /// Whether an earlier request may have stored an order under this id.
    pub(crate) before: bool,
    _busy: Option<Busy>,
}

impl IdempotencyBinding {
    /// Identifies a request by its order id, its key, or neither.
    pub(crate) async fn new(
        state: &IntakeState,
        sender: &SenderId,
        id: Option<&OrderId>,
        key: Option<&IdempotencyKey>,
        digest: [u8; 12],
    ) -> Result<Self, Problem> {
        if let Some(id) = id {
            let busy = state.in_flight.begin(id.to_string())?;
            return Ok(Self {
                order_id: id.clone(),
                fresh: None,
                keyed: false,
                before: true,
                _busy: Some(busy),
            });
        }
        let minted = state.mint(sender);
        let Some(key) = key else {
            return Ok(Self { order_id: minted, fresh: None, keyed: false, before: false, _busy: None });
        };
        let busy = Some(state.in_flight.begin(format!("{sender} {}", key.0))?);
        let bound = match state.store.bind_idempotency_key(sender, &key.0, &minted, digest, KNOWN).await {
            Ok(bound) => bound,
            Err(error) => return Err(not_tied(state, sender, key, &minted, digest, error).await),
        };
        match bound {
            BoundIdempotencyKey::Bound => {
                let fresh = Some((sender.clone(), key.clone()));
                Ok(Self { order_id: minted, fresh, keyed: true, before: false, _busy: busy })
            }
            BoundIdempotencyKey::AlreadyDone(order_id) => {
                Ok(Self { order_id, fresh: None, keyed: true, before: true, _busy: busy })
            }
            BoundIdempotencyKey::Conflict => Err(reused()),
        }
    }

    /// Frees the key of a request that is refused and stored nothing. True if no other request knows the order id, so
    /// that nothing will be stored under it.
    pub(crate) async fn undo(&self, state: &IntakeState, proof: &NothingStored) -> bool {
        let Some((sender, key)) = &self.fresh else { return !self.before };
        match state.store.free_idempotency_key(sender, &key.0, &self.order_id, proof).await {
            Ok(free) => free,
            Err(error) => {
                tracing::debug!(%error, "could not free the idempotency key of a refused request; it is kept for 24 hours");
                false
            }
        }
    }

    /// The problem to return for a refusal by the store. It applies only to this request; another request with the
    /// same key or id may have had another outcome, and "nothing is stored" is only returned if that is known.
    /// `alone`: the result of [`Self::undo`].
    pub(crate) async fn reported(&self, state: &IntakeState, problem: Problem, alone: bool) -> Problem {
        let by_store =
            matches!(problem.code(), Code::StorageFull | Code::StorageUnavailable | Code::InternalError);
        if !by_store || alone || state.store.stopped().is_some() {
            return problem;
        }
        // A request with the same key may have stored the order, or may still run; an id may be new.
        let may_be_there =
            self.keyed || !matches!(state.store.order_summary(&self.order_id, None).await, Ok(None));
        if may_be_there { outcome_unknown(&self.order_id) } else { problem }
    }
}

/// The problem when a key could not be bound: its binding can be read even while writes fail.
async fn not_tied(
    state: &IntakeState,
    sender: &SenderId,
    key: &IdempotencyKey,
    minted: &OrderId,
    digest: [u8; 12],
    error: CallError,
) -> Problem {
    match state.store.bound(sender, &key.0).await {
        Ok(Some((order_id, _))) if order_id == *minted => {
            // A try whose reply was lost bound it. Nothing is stored under it yet.
            let proof = NothingStored::never_tried();
            if let Err(error) = state.store.free_idempotency_key(sender, &key.0, minted, &proof).await {
                tracing::debug!(%error, "could not free the idempotency key of a refused request; it is kept for 24 hours");
            }
            error.into()
        }
        Ok(Some((order_id, tied))) if tied == digest => outcome_unknown(&order_id),
        Ok(Some(_)) => reused(),
        Ok(None) | Err(_) => error.into(),
    }
}

/// The problem for an order that may be stored.
pub(crate) fn outcome_unknown(order_id: &OrderId) -> Problem {
    Problem::outcome_unknown().with("order_id", order_id.wire_id())
}

/// The key was already used with another body.
pub(crate) fn reused() -> Problem {
    Problem::new(
        Code::IdempotencyKeyReused,
        "this key was used with another body in the last 24 hours; use a new one",
    )
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn reported(values: &[&str]) -> Result<Option<IdempotencyKey>, Code> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(HEADER, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        IdempotencyKey::of(&headers).map_err(|problem| problem.code())
    }

    #[test]
    fn a_key_is_one_short_value_and_is_not_shown() {
        assert_eq!(reported(&[]), Ok(None));
        let key = reported(&["canary-7"]).unwrap().unwrap();
        assert!(!format!("{key:?}").contains("canary"));
        assert_ne!(key.part(0), key.part(1));
        for bad in [&["", ""][..], &[""], &["a", "b"], &["ключ"], &[&"k".repeat(10_000)]] {
            assert_eq!(reported(bad), Err(Code::InvalidParameter), "{:.20}", bad[0]);
        }
    }
}
