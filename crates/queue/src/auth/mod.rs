//! Authentication: the API key of a request, what it allows, and its rate limit.
//!
//! A key is `ph_<id>_<secret>` in `Authorization: Bearer …`; the store only holds the SHA-256 of the secret. The key
//! of a request is checked, and its rate counted, before any of the body is read.

mod bearer;
mod caller;
mod key_cache;
mod rate;
mod share;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use posthaste_model::Clock;
use posthaste_store::{KeyId, KeyRecord, SecretHash, Store};
use tokio::time::Instant;

pub(crate) use bearer::unauthorized;
pub use bearer::{Bearer, Secret};
pub use caller::{Admin, Caller, Reader, Writer};
pub use posthaste_store::{KeyScope, KeyScopes};
pub(crate) use share::{Held, Share, Shares, Whole};
pub(crate) use watch::{KeyWatch, OpenKey};

use self::key_cache::KeyCache;
use crate::problem::Problem;
use crate::settings::Rate;

/// The state of authentication: the keys that this process knows, and what each may hold.
pub(crate) struct AuthState {
    store: Store,
    clock: Arc<dyn Clock>,
    /// The rate limit of each key.
    rate: Rate,
    /// Recently looked-up keys.
    cache: Arc<KeyCache>,
    /// Keys of open requests.
    key_watch: Arc<KeyWatch>,
    /// What each key may hold.
    shares: Shares,
}

impl AuthState {
    /// The state of authentication; a key that was looked up is cached for `cache_for`.
    pub(crate) fn new(
        store: Store,
        clock: Arc<dyn Clock>,
        rate: Rate,
        cache_for: Duration,
        shares: Shares,
    ) -> Self {
        let cache = Arc::new(KeyCache::new(cache_for));
        let key_watch = KeyWatch::new(store.clone(), Arc::clone(&clock), Arc::clone(&cache), cache_for);
        Self { store, clock, rate, cache, key_watch: Arc::new(key_watch), shares }
    }

    /// The keys of open requests.
    pub(crate) fn key_watch(&self) -> Arc<KeyWatch> {
        Arc::clone(&self.key_watch)
    }

    /// Refuses a key that was revoked here from now on, and ends its open requests.
    pub(crate) fn end_key(&self, id: &KeyId) {
        self.cache.forget(id);
        self.key_watch.end(id);
    }

    async fn identify(&self, bearer: Option<Bearer>) -> Result<(KeyRecord, Instant), Problem> {
        let bearer = bearer.ok_or_else(unauthorized)?;
        let found = self.cache.look_up(&self.store, &bearer.id).await?;
        // An unknown key takes the same steps.
        let hash = found.as_ref().map_or(SecretHash::new([0; 32]), |(record, _)| record.hash.clone());
        let same = hash.same(&bearer.secret.hash());
        match found {
            Some((record, at)) if same && record.live_at(self.clock.now()) => {
                self.cache.touch(&self.store, &record.id);
                Ok((record, at))
            }
            _ => Err(unauthorized()),
        }
    }
}

/// Admits requests with a valid key, and adds their [`Caller`] to the extensions.
pub(crate) async fn authenticate(
    State(state): State<Arc<AuthState>>,
    mut request: Request,
    next: Next,
) -> Response {
    let bearer = Bearer::of(request.headers());
    let (record, found) = match state.identify(bearer).await {
        Ok(identified) => identified,
        Err(problem) => return problem.into_response(),
    };
    let rated = match rate::count(&state.store, &state.rate, &record.id).await {
        Ok(rated) => rated,
        Err(problem) => return problem.into_response(),
    };
    let mut response = match rated.refusal() {
        Some(problem) => problem.into_response(),
        None => {
            let share = state.shares.of(&record.id);
            request.extensions_mut().insert(Caller::new(record, found, share));
            next.run(request).await
        }
    };
    rated.tell(response.headers_mut());
    response
}
