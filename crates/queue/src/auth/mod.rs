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

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use posthaste_store::{KeyRecord, SecretHash};
use tokio::time::Instant;

pub use bearer::{Bearer, Secret};
pub use caller::{Admin, Caller, Reader, Writer};
pub(crate) use key_cache::KeyCache;
pub use posthaste_store::{KeyScope, KeyScopes};
pub(crate) use share::{Held, Share, Shares, Whole};
pub(crate) use watch::{KeyWatch, OpenKey};

use crate::problem::{Code, Problem};
use crate::state::AppState;

/// Admits requests with a valid key, and adds their [`Caller`] to the extensions.
pub(crate) async fn authenticate(
    State(state): State<AppState>,
    mut request: Request,
    next: Next,
) -> Response {
    let bearer = Bearer::of(request.headers());
    let (record, found) = match identify(&state, bearer).await {
        Ok(identified) => identified,
        Err(problem) => return problem.into_response(),
    };
    let rated = match rate::count(&state, &record.id).await {
        Ok(rated) => rated,
        Err(problem) => return problem.into_response(),
    };
    let mut response = match rated.refusal() {
        Some(problem) => problem.into_response(),
        None => {
            request.extensions_mut().insert(Caller::new(&state, record, found));
            next.run(request).await
        }
    };
    rated.tell(response.headers_mut());
    response
}

async fn identify(state: &AppState, bearer: Option<Bearer>) -> Result<(KeyRecord, Instant), Problem> {
    let bearer = bearer.ok_or_else(unauthorized)?;
    let found = state.known.look_up(&state.store, &bearer.id).await?;
    // An unknown key takes the same steps.
    let hash = found.as_ref().map_or(SecretHash::new([0; 32]), |(record, _)| record.hash.clone());
    let same = hash.same(&bearer.secret.hash());
    match found {
        Some((record, at)) if same && record.live_at(state.clock.now()) => {
            state.known.touch(&state.store, &record.id);
            Ok((record, at))
        }
        _ => Err(unauthorized()),
    }
}

/// The same response for a missing, unknown, wrong, expired or revoked key.
pub(crate) fn unauthorized() -> Problem {
    Problem::new(Code::Unauthorized, "send one valid key as Authorization: Bearer ph_…")
}
