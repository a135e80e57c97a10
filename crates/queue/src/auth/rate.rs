//! The rate limit of a key: counted in the store, so that all replicas count together.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use posthaste_store::{CallError, KeyId, RateDecision, Store};

use crate::problem::{Code, Problem, whole_seconds};
use crate::settings::Rate;

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const LIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// The rate limit status of a key.
pub(super) struct RateLimitStatus {
    rated: RateDecision,
    per_second: u32,
    burst: u32,
}

/// Counts one request of a key.
pub(super) async fn count(store: &Store, rate: &Rate, id: &KeyId) -> Result<RateLimitStatus, Problem> {
    let (per_second, burst) = (rate.per_second.max(1), rate.burst.max(1));
    let rated = match store.limit_rate(id, 1, per_second, burst).await {
        // In a cluster, the count of a key is on one server: while that is unreachable, the key's requests to the
        // others are not counted.
        Err(CallError::NoReply(_) | CallError::Retryable { .. }) if some_there(store) => {
            RateDecision::Allowed { left: burst, full_in: Duration::ZERO }
        }
        rated => rated?,
    };
    Ok(RateLimitStatus { rated, per_second, burst })
}

fn some_there(store: &Store) -> bool {
    (0..store.partitions()).any(|p| store.can_ask(p))
}

impl RateLimitStatus {
    /// The refusal, if the rate limit is exceeded.
    pub(super) fn refusal(&self) -> Option<Problem> {
        let wait = match self.rated {
            RateDecision::Allowed { .. } => return None,
            RateDecision::RetryAfter(wait) => wait,
            RateDecision::ExceedsBurst => Duration::from_secs(1),
        };
        metrics::counter!("posthaste_http_requests_rate_limited_total").increment(1);
        Some(Problem::new(Code::RateLimited, "rate limit exceeded").retry_after(wait))
    }

    /// Adds the status as headers: `RateLimit-Policy: "key";q=5000;w=5` and `RateLimit: "key";r=4999;t=1`.
    pub(super) fn tell(&self, headers: &mut HeaderMap) {
        let window = self.burst.div_ceil(self.per_second).max(1);
        let (left, full) = match self.rated {
            RateDecision::Allowed { left, full_in } => (left, full_in),
            RateDecision::RetryAfter(wait) => (0, wait),
            RateDecision::ExceedsBurst => (0, Duration::ZERO),
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
