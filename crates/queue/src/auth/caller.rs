//! What the key of a request allows.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use posthaste_model::{SenderId, Suffix};
use posthaste_store::{KeyId, KeyRecord, Scope, Scopes};

use crate::problem::{Code, Problem};

/// Whose request it is. Handlers take it as an argument.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The public part of the key.
    pub key_id: KeyId,
    /// What it allows.
    pub scopes: Scopes,
    /// The sender it is bound to; `None` only with [`Scope::ActAs`], or when it can neither send nor read.
    pub sender: Option<SenderId>,
    /// The role it is bound to.
    pub role: Option<String>,
}

impl From<KeyRecord> for Caller {
    fn from(record: KeyRecord) -> Self {
        let KeyRecord { id, scopes, sender, role, .. } = record;
        Self { key_id: id, scopes, sender, role }
    }
}

impl Caller {
    /// Whether the key allows this.
    #[must_use]
    pub fn has(&self, scope: Scope) -> bool {
        self.scopes.contains(scope)
    }

    /// As [`Caller::has`], as a refusal.
    ///
    /// # Errors
    /// 403 `scope_missing`, which names the scope.
    pub fn needs(&self, scope: Scope) -> Result<(), Problem> {
        if self.has(scope) {
            return Ok(());
        }
        Err(Problem::new(Code::ScopeMissing, format!("the key lacks the scope {}", scope.word())))
    }

    /// Whether orders of this sender are the caller's to see and to give.
    #[must_use]
    pub fn acts_for(&self, sender: &str) -> bool {
        self.has(Scope::ActAs) || self.sender.as_ref().is_some_and(|bound| bound.as_str() == sender)
    }

    /// Whether an order is the caller's. Another's is told as not found.
    ///
    /// # Errors
    /// 404 `order_not_found`.
    pub fn sees(&self, suffix: &Suffix) -> Result<(), Problem> {
        if self.acts_for(suffix.sender()) { Ok(()) } else { Err(Problem::order_not_found()) }
    }
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        // A route that was mounted outside of the authenticated ones has no caller.
        parts
            .extensions
            .get::<Self>()
            .cloned()
            .ok_or_else(|| Problem::new(Code::Unauthorized, "no key was checked"))
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
        caller.needs(Scope::Admin).map(|()| Self(caller))
    }
}

impl<S: Sync> FromRequestParts<S> for Reader {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let caller = Caller::from_request_parts(parts, state).await?;
        caller.needs(Scope::Read).map(|()| Self(caller))
    }
}

/// A caller that may give orders. As the first argument of a handler it refuses others before the body is read.
#[derive(Debug, Clone)]
pub struct Enqueuer(pub Caller);

impl<S: Sync> FromRequestParts<S> for Enqueuer {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let caller = Caller::from_request_parts(parts, state).await?;
        caller.needs(Scope::Enqueue).map(|()| Self(caller))
    }
}
