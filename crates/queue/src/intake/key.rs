//! `Idempotency-Key`: the client's own name of a request, by which a repeated one is known for 24 hours.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderName};
use posthaste_model::{SenderId, Suffix};
use posthaste_store::{Bound, CallError, NothingStored};
use sha2::{Digest, Sha256};

use super::answer::history_key;
use super::desk::Busy;
use crate::problem::{Code, Problem};
use crate::state::AppState;

/// The header of the key.
pub(crate) const HEADER: HeaderName = HeaderName::from_static("idempotency-key");
/// The header that says that an answer is a repeated one.
pub(crate) const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
/// How long a key is known.
const KNOWN: Duration = Duration::from_secs(24 * 3_600);
/// Characters of a key at most.
const MOST: usize = 255;

/// A key, as it is kept: in no place does the client's own word stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Key(String);

impl Key {
    /// The key of a request, if it has one.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Option<Self>, Problem> {
        let mut all = headers.get_all(HEADER).iter();
        let Some(first) = all.next() else { return Ok(None) };
        let text = first.to_str().unwrap_or_default();
        let fits = (1..=MOST).contains(&text.len()) && text.bytes().all(|b| (0x20..0x7f).contains(&b));
        if !fits || all.next().is_some() {
            return Err(Problem::parameter(
                "Idempotency-Key",
                "invalid",
                "one, of 1 to 255 printable ASCII characters",
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

/// What a request is known by, while it is worked on.
#[derive(Debug)]
pub(crate) struct Tie {
    /// The order it makes, or made.
    pub(crate) suffix: Suffix,
    /// The key that this request tied to it.
    fresh: Option<(SenderId, Key)>,
    /// Whether a key is tied to it.
    pub(crate) keyed: bool,
    /// Whether an earlier request may have stored an order under it.
    pub(crate) before: bool,
    _busy: Option<Busy>,
}

impl Tie {
    /// What a request is known by: the id it names, its key, or nothing.
    pub(crate) async fn new(
        state: &AppState,
        sender: &SenderId,
        id: Option<&Suffix>,
        key: Option<&Key>,
        digest: [u8; 12],
    ) -> Result<Self, Problem> {
        if let Some(id) = id {
            let busy = state.desk.begin(id.to_string())?;
            return Ok(Self {
                suffix: id.clone(),
                fresh: None,
                keyed: false,
                before: true,
                _busy: Some(busy),
            });
        }
        let minted = state.mint(sender);
        let Some(key) = key else {
            return Ok(Self { suffix: minted, fresh: None, keyed: false, before: false, _busy: None });
        };
        let busy = Some(state.desk.begin(format!("{sender} {}", key.0))?);
        let bound = match state.store.bind(sender, &key.0, &minted, digest, KNOWN).await {
            Ok(bound) => bound,
            Err(error) => return Err(not_tied(state, sender, key, &minted, digest, error).await),
        };
        match bound {
            Bound::Fresh => {
                let fresh = Some((sender.clone(), key.clone()));
                Ok(Self { suffix: minted, fresh, keyed: true, before: false, _busy: busy })
            }
            Bound::Same(suffix) => Ok(Self { suffix, fresh: None, keyed: true, before: true, _busy: busy }),
            Bound::Other => Err(reused()),
        }
    }

    /// Takes the key back from a request that is refused and stored nothing. True when no other request knows the suffix, so
    /// that nothing will be stored under it.
    pub(crate) async fn undo(&self, state: &AppState, proof: &NothingStored) -> bool {
        let Some((sender, key)) = &self.fresh else { return !self.before };
        match state.store.unbind(sender, &key.0, &self.suffix, proof).await {
            Ok(free) => free,
            Err(error) => {
                tracing::debug!(%error, "an idempotency key of a refused request stays for a day");
                false
            }
        }
    }

    /// What a refusal by the store is told as. Refused is this request; what another one of the same key or id came to is
    /// another question, and "nothing is stored" is only told when that is known. `alone`: as [`Tie::undo`] said.
    pub(crate) async fn told(&self, state: &AppState, problem: Problem, alone: bool) -> Problem {
        let by_store = matches!(problem.code(), Code::StoreFull | Code::StoreUnavailable | Code::Internal);
        if !by_store || alone || state.store.stopped().is_some() {
            return problem;
        }
        // Who shares a key went on to store the order, or still runs; an id may be new.
        let may_be_there = self.keyed || !matches!(state.store.glance(&self.suffix, None).await, Ok(None));
        if may_be_there { outcome_unknown(&self.suffix) } else { problem }
    }
}

/// Told when a key could not be tied: what it is tied to can be read even while nothing can be written.
async fn not_tied(
    state: &AppState,
    sender: &SenderId,
    key: &Key,
    minted: &Suffix,
    digest: [u8; 12],
    error: CallError,
) -> Problem {
    match state.store.bound(sender, &key.0).await {
        Ok(Some((suffix, _))) if suffix == *minted => {
            // A try whose answer was lost tied it. Nothing is stored under it yet.
            let proof = NothingStored::never_tried();
            if let Err(error) = state.store.unbind(sender, &key.0, minted, &proof).await {
                tracing::debug!(%error, "an idempotency key of a refused request stays for a day");
            }
            error.into()
        }
        Ok(Some((suffix, tied))) if tied == digest => outcome_unknown(&suffix),
        Ok(Some(_)) => reused(),
        Ok(None) | Err(_) => error.into(),
    }
}

/// Told of an order that may be stored.
pub(crate) fn outcome_unknown(suffix: &Suffix) -> Problem {
    Problem::outcome_unknown().with("order_id", suffix.order_id()).with("history_key", history_key(suffix))
}

/// The key was used with another body.
pub(crate) fn reused() -> Problem {
    Problem::new(Code::IdempotencyKeyReused, "this key was used with another body in the last 24 hours")
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn told(values: &[&str]) -> Result<Option<Key>, Code> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(HEADER, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        Key::of(&headers).map_err(|problem| problem.code())
    }

    #[test]
    fn a_key_is_one_short_word_and_does_not_show() {
        assert_eq!(told(&[]), Ok(None));
        let key = told(&["canary-7"]).unwrap().unwrap();
        assert!(!format!("{key:?}").contains("canary"));
        assert_ne!(key.part(0), key.part(1));
        for bad in [&["", ""][..], &[""], &["a", "b"], &["ключ"], &[&"k".repeat(10_000)]] {
            assert_eq!(told(bad), Err(Code::InvalidParameter), "{:.20}", bad[0]);
        }
    }
}
