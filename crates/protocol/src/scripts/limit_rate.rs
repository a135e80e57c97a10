//! `limit_rate`: lets the calls of an API key through at a steady rate and in bursts.

use std::time::Duration;

use bytes::Bytes;

use crate::keys::PartitionKeys;
use crate::record::KeyId;
use crate::script::{ScriptCall, arg};
use crate::reply_value::{ReplyFields, Malformed};

contract!("limit_rate", drains: true,
    keys: ["rate:{<key id>}"],
    args: ["request id", "cost in calls; 0 only looks", "calls a second, 1,000,000 at most", "calls at once at most"],
    codes: ["ok", "retry_after", "exceeds_burst"]);

/// Maximum number of calls per second.
const FASTEST: u32 = 1_000_000;

/// Checks whether calls are allowed.
#[derive(Debug, Clone)]
pub struct LimitRate<'a> {
    /// The API key.
    pub id: &'a KeyId,
    /// Number of calls; 0 only checks.
    pub cost: u32,
    /// Calls per second, 1 to 1,000,000; other values are clamped.
    pub per_second: u32,
    /// Maximum burst, 1 or more.
    pub burst: u32,
}

/// The result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RateDecision {
    /// The calls are allowed.
    Allowed {
        /// Calls that may follow at once.
        left: u32,
        /// When the whole burst is free again.
        full_in: Duration,
    },
    /// Retry after this time. Nothing was counted.
    RetryAfter(Duration),
    /// Never allowed: the burst is smaller than the number of calls. Nothing was counted.
    ExceedsBurst,
}

impl ScriptCall for LimitRate<'_> {
    type Reply = RateDecision;

    fn contract() -> &'static crate::script::Contract {
        &CONTRACT
    }

    fn keys(&self) -> Vec<String> {
        vec![PartitionKeys::rate(self.id)]
    }

    fn args(&self) -> Vec<Bytes> {
        vec![arg(self.cost), arg(self.per_second.clamp(1, FASTEST)), arg(self.burst.max(1))]
    }

    fn decode(code: &str, mut f: ReplyFields) -> Result<RateDecision, Malformed> {
        Ok(match code {
            "ok" => RateDecision::Allowed {
                left: f.u32("calls left")?,
                full_in: Duration::from_micros(f.u64("until all are free")?),
            },
            "retry_after" => RateDecision::RetryAfter(Duration::from_micros(f.u64("wait")?)),
            "exceeds_burst" => RateDecision::ExceedsBurst,
            _ => return Err(Malformed::new("code of limit_rate")),
        })
    }
}
