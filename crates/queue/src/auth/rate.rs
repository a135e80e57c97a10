//! How often a key may ask: counted in the store, so that all replicas count together.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use posthaste_store::{CallError, KeyId, Rated};

use crate::problem::{Code, Problem, whole_seconds};
use crate::state::AppState;

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const LIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// How a key stands.
pub(super) struct Standing {
    rated: Rated,
    per_second: u32,
    burst: u32,
}

/// Counts one request of a key.
pub(super) async fn count(state: &AppState, id: &KeyId) -> Result<Standing, Problem> {
    let (per_second, burst) = (state.settings.rate.per_second.max(1), state.settings.rate.burst.max(1));
    let rated = match state.store.rate(id, 1, per_second, burst).await {
        // In a cluster the count of a key is at one server: while that is away, the key asks the others uncounted.
        Err(CallError::Away(_) | CallError::Later { .. }) if some_there(state) => {
            Rated::Allowed { left: burst, full_in: Duration::ZERO }
        }
        rated => rated?,
    };
    Ok(Standing { rated, per_second, burst })
}

fn some_there(state: &AppState) -> bool {
    (0..state.store.partitions()).any(|p| state.store.can_ask(p))
}

impl Standing {
    /// The refusal, when it asked too often.
    pub(super) fn refusal(&self) -> Option<Problem> {
        let wait = match self.rated {
            Rated::Allowed { .. } => return None,
            Rated::Wait(wait) => wait,
            Rated::Never => Duration::from_secs(1),
        };
        metrics::counter!("posthaste_queue_rate_limited_total").increment(1);
        Some(Problem::new(Code::RateLimited, "the key asked too often").retry_after(wait))
    }

    /// Says in the headers how it stands: `RateLimit-Policy: "key";q=5000;w=5` and `RateLimit: "key";r=4999;t=1`.
    pub(super) fn tell(&self, headers: &mut HeaderMap) {
        let window = self.burst.div_ceil(self.per_second).max(1);
        let (left, full) = match self.rated {
            Rated::Allowed { left, full_in } => (left, full_in),
            Rated::Wait(wait) => (0, wait),
            Rated::Never => (0, Duration::ZERO),
        };
        let policy = format!("\"key\";q={};w={window}", self.burst);
        let limit = format!("\"key\";r={left};t={}", whole_seconds(full));
        for (name, text) in [(POLICY, policy), (LIMIT, limit)] {
            if let Ok(value) = HeaderValue::from_str(&text) {
                headers.insert(name, value);
            }
        }
    }
}
