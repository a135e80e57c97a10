//! How a courier is to run. Times are checked against each other before anything opens.

use std::time::Duration;

use crate::transport::Abilities;

/// Settings of the runtime.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How long a lease lasts.
    pub lease: Duration,
    /// How often leases are renewed.
    pub renew_every: Duration,
    /// Longest sleep between two looks at the queue.
    pub poll: Duration,
    /// Parcels a claim at most.
    pub claim_limit: u32,
    /// Rows held at most, begun or not.
    pub max_rows: usize,
    /// Rows whose outcome the server has not confirmed, at most; what is beyond takes the place of calls. As many rows are in doubt
    /// when a courier is killed, and those of its calls. A call's worth is always allowed.
    pub max_unsettled: usize,
    /// Share of the calls at once that bulk never takes, in percent.
    pub urgent_reserve: u8,
    /// How far ahead of the wire rows are begun.
    pub begin_ahead: Duration,
    /// Wait before the first retry without a hint.
    pub backoff_base: Duration,
    /// Wait before a retry at most.
    pub backoff_cap: Duration,
    /// Failures in a row that open the breaker.
    pub breaker_after: u32,
    /// A pause longer than this hands leases back.
    pub hold_through: Duration,
    /// How often the sweeper looks without being called.
    pub sweep_every: Duration,
    /// Days a final order is kept.
    pub retention_days: u32,
    /// How often a courier checks that it hears its own bell.
    pub hearing_every: Duration,
    /// How often a stopped channel looks whether it was mended.
    pub check_every: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(10),
            renew_every: Duration::from_secs(3),
            poll: Duration::from_secs(1),
            claim_limit: 50,
            max_rows: 20_000,
            max_unsettled: 1_000,
            urgent_reserve: 20,
            begin_ahead: Duration::from_millis(250),
            backoff_base: Duration::from_secs(1),
            backoff_cap: Duration::from_secs(900),
            breaker_after: 10,
            hold_through: Duration::from_secs(60),
            sweep_every: Duration::from_secs(30),
            retention_days: 90,
            hearing_every: Duration::from_secs(60),
            check_every: Duration::from_secs(30),
        }
    }
}

/// Settings that contradict each other. Says what to change.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {why}")]
pub struct BadSettings {
    /// The setting to change.
    pub key: &'static str,
    /// Why.
    pub why: &'static str,
}

impl Settings {
    /// Refuses settings that would break a promise.
    ///
    /// # Errors
    /// Names the setting to change.
    pub fn check(&self, abilities: &Abilities) -> Result<(), BadSettings> {
        let bad = |key, why| Err(BadSettings { key, why });
        if self.lease < Duration::from_millis(200) {
            return bad("lease", "must be 200 ms at least");
        }
        if self.renew_every * 2 > self.lease {
            return bad("renew_every", "must be less than half of lease");
        }
        if !(1..=200).contains(&self.claim_limit) {
            return bad("claim_limit", "must be 1 to 200");
        }
        if self.max_rows < 500 {
            return bad("max_rows", "must be 500 at least, the rows of a parcel");
        }
        if self.urgent_reserve > 90 {
            return bad("urgent_reserve", "must be 90 percent at most");
        }
        if self.poll.is_zero() || self.poll > self.lease {
            return bad("poll", "must be more than nothing and no longer than lease");
        }
        if abilities.max_tries == 0 || abilities.max_tries > 15 {
            return bad("max_tries", "must be 1 to 15");
        }
        if abilities.send_window.is_zero() {
            return bad("send_window", "must be more than nothing");
        }
        Ok(())
    }
}
