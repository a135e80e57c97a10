//! What the API key of a request allows.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use posthaste_model::{OrderId, SenderId, UnixMs};
use posthaste_store::{KeyId, KeyRecord, KeyScope, KeyScopes, SendAs};
use tokio::time::Instant;

use super::share::Share;
use super::watch::{KeyWatch, OpenKey};
use crate::problem::{Code, Problem};

/// The caller of a request. Handlers take it as an argument.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The public part of the key.
    pub key_id: KeyId,
    /// The scopes of the key.
    pub scopes: KeyScopes,
    /// The sender it is bound to; `None` only with [`KeyScope::AnySender`], or if it can neither send nor read.
    pub sender: Option<SenderId>,
    /// The role it is bound to.
    pub role: Option<String>,
    /// The mailboxes and names its orders may be sent from.
    pub send_as: Arc<SendAs>,
    /// When the key expires.
    pub expires: Option<UnixMs>,
    /// What the key may hold.
    pub(crate) share: Arc<Share>,
    /// When the key was read from the store.
    found: Instant,
}

impl Caller {
    /// The caller with this key, which was read from the store at `found`. `share`: what the key may hold.
    pub(super) fn new(record: KeyRecord, found: Instant, share: Arc<Share>) -> Self {
        let KeyRecord { id, scopes, sender, role, send_as, expires, .. } = record;
        Self { key_id: id, scopes, sender, role, send_as: Arc::new(send_as), expires, share, found }
    }

    /// A caller with these scopes, not bound to a sender, who may send under any name.
    #[cfg(any(test, fuzzing, feature = "judgement"))]
    pub(crate) fn sample(scopes: KeyScopes) -> Self {
        let whole = super::share::Whole { requests: 1, trackers: 1, body_kib: 1, checks: 1 };
        Self {
            key_id: "abcdefghij01".parse().expect("an id"),
            scopes,
            sender: None,
            role: None,
            send_as: Arc::new(SendAs::any()),
            expires: None,
            share: Arc::new(Share::new(whole)),
            found: Instant::now(),
        }
    }

    /// Watches the key of a request that stays open.
    pub(crate) fn stay(&self, key_watch: &KeyWatch) -> OpenKey {
        key_watch.watch(&self.key_id, self.expires, self.found)
    }

    /// Whether the key allows this.
    #[must_use]
    pub fn has(&self, scope: KeyScope) -> bool {
        self.scopes.contains(scope)
    }

    /// Like [`Caller::has`], but returns the refusal.
    ///
    /// # Errors
    /// 403 `insufficient_scope`, which names the scope.
    pub fn needs(&self, scope: KeyScope) -> Result<(), Problem> {
        if self.has(scope) {
            return Ok(());
        }
        Err(Problem::new(Code::InsufficientScope, format!("the key needs the scope {}", scope.word())))
    }

    /// Whether the caller may see and create orders of this sender.
    #[must_use]
    pub fn acts_for(&self, sender: &str) -> bool {
        self.has(KeyScope::AnySender) || self.sender.as_ref().is_some_and(|bound| bound.as_str() == sender)
    }

    /// Checks that an order is the caller's. An order of another sender is reported as not found.
    ///
    /// # Errors
    /// 404 `order_not_found`.
    pub fn sees(&self, order_id: &OrderId) -> Result<(), Problem> {
        if self.acts_for(order_id.sender()) { Ok(()) } else { Err(Problem::order_not_found()) }
    }
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        // A route outside the authenticated ones has no caller.
        parts
            .extensions
            .get::<Self>()
            .cloned()
            .ok_or_else(|| Problem::new(Code::Unauthorized, "this request was not authenticated"))
    }
}

/// A caller that may manage keys. As the first argument of a handler it refuses others before the body is read.
#[derive(Debug, Clone)]
pub struct Admin(pub Caller);

/// A caller that may read. As the first argument of a handler it refuses others before the body is read.
#[derive(Debug, Clone)]
pub struct Reader(pub Caller);

impl<S: Sync> FromRequestParts<S> for Admin {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let caller = Caller::from_request_parts(parts, state).await?;
        caller.needs(KeyScope::Admin).map(|()| Self(caller))
    }
}

impl<S: Sync> FromRequestParts<S> for Reader {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let caller = Caller::from_request_parts(parts, state).await?;
        caller.needs(KeyScope::Read).map(|()| Self(caller))
    }
}

/// A caller that may create orders. As the first argument of a handler it refuses others before the body is read.
#[derive(Debug, Clone)]
pub struct Writer(pub Caller);

impl<S: Sync> FromRequestParts<S> for Writer {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let caller = Caller::from_request_parts(parts, state).await?;
        caller.needs(KeyScope::Write).map(|()| Self(caller))
    }
}
