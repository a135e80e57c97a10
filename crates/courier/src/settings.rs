//! Settings of the courier runtime. Times are checked against each other before anything is opened.

use std::time::Duration;

use crate::transport::Capabilities;

/// Settings of the runtime.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How long a lease lasts.
    pub lease: Duration,
    /// How often leases are renewed.
    pub renew_every: Duration,
    /// Longest time between two claims.
    pub poll: Duration,
    /// Maximum number of parcels per claim.
    pub claim_limit: u32,
    /// Maximum number of deliveries held, begun or not.
    pub max_deliveries: usize,
    /// Maximum number of deliveries whose outcome the server has not confirmed; above this, new sends wait. When a
    /// courier is killed, at most this many deliveries are in doubt, plus those in its calls. The deliveries of one
    /// call are always allowed.
    pub max_unsettled: usize,
    /// Share of the concurrent calls that bulk deliveries never use, in percent.
    pub urgent_reserve: u8,
    /// How long before its call starts a delivery may be begun.
    pub begin_ahead: Duration,
    /// Wait before the first retry if the provider names none.
    pub backoff_base: Duration,
    /// Maximum wait before a retry.
    pub backoff_cap: Duration,
    /// Number of consecutive failures that open the breaker.
    pub breaker_after: u32,
    /// If a pause is longer than this, leases are released.
    pub max_hold: Duration,
    /// How often the sweeper runs when nothing triggers it earlier.
    pub sweep_every: Duration,
    /// Number of days a finished order is kept.
    pub retention_days: u32,
    /// How often a courier checks that it receives its own bell events.
    pub hearing_every: Duration,
    /// How often to check whether a stopped channel works again.
    pub check_every: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(10),
            renew_every: Duration::from_secs(3),
            poll: Duration::from_secs(1),
            claim_limit: 50,
            max_deliveries: 20_000,
            max_unsettled: 1_000,
            urgent_reserve: 20,
            begin_ahead: Duration::from_millis(250),
            backoff_base: Duration::from_secs(1),
            backoff_cap: Duration::from_secs(900),
            breaker_after: 10,
            max_hold: Duration::from_secs(60),
            sweep_every: Duration::from_secs(30),
            retention_days: 90,
            hearing_every: Duration::from_secs(60),
            check_every: Duration::from_secs(30),
        }
    }
}

/// An invalid setting, or settings that contradict each other.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {why}")]
pub struct BadSettings {
    /// The setting to change.
    pub key: &'static str,
    /// What it must be.
    pub why: &'static str,
}

impl Settings {
    /// Rejects settings that would break a guarantee.
    ///
    /// # Errors
    /// Names the setting to change.
    pub fn check(&self, capabilities: &Capabilities) -> Result<(), BadSettings> {
        let bad = |key, why| Err(BadSettings { key, why });
        if self.lease < Duration::from_millis(200) {
            return bad("lease", "must be at least 200 ms");
        }
        if self.renew_every * 2 > self.lease {
            return bad("renew_every", "must be at most half of lease");
        }
        if !(1..=200).contains(&self.claim_limit) {
            return bad("claim_limit", "must be 1 to 200");
        }
        if self.max_deliveries < 500 {
            return bad("max_deliveries", "must be at least 500, the maximum size of a parcel");
        }
        if self.urgent_reserve > 90 {
            return bad("urgent_reserve", "must be at most 90 percent");
        }
        if self.poll.is_zero() || self.poll > self.lease {
            return bad("poll", "must be longer than 0 and at most as long as lease");
        }
        if capabilities.max_tries == 0 || capabilities.max_tries > 15 {
            return bad("max_tries", "must be 1 to 15");
        }
        if capabilities.send_window.is_zero() {
            return bad("send_window", "must be longer than 0");
        }
        Ok(())
    }
}
