//! Rate limiter for one account, for channels whose providers count per account: requests are evenly spaced at a rate
//! that is cut by "too fast" answers and recovers over time, with pauses. The pace of the whole channel is set by the
//! runtime. Pure: time is passed in.

use std::time::Duration;

use tokio::time::Instant;

/// The share of the rate that remains after a cut. The textbook share is a half; but if one request in a hundred is
/// throttled whatever the rate is, a bot would then spend most of its time recovering. The price: if the real limit
/// is far below the rate, requests are throttled more often, and the configured rate should be lowered.
const KEPT: f64 = 0.7;

/// When the next request may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// At this moment.
    At(Instant),
    /// The rate is used up for this long.
    Spent(Duration),
    /// The provider requested a pause, which lasts this much longer.
    Paused(Duration),
}

/// The rate budget of one account.
#[derive(Debug)]
pub struct RateLimiter {
    most: f64,
    slowest: f64,
    /// By how many requests per second the rate grows every second.
    recovery: f64,
    /// The rate at `since`.
    rate: f64,
    since: Instant,
    next: Instant,
    paused_until: Option<Instant>,
    /// When the rate was last cut.
    cut: Option<Instant>,
}

impl RateLimiter {
    /// Starts at `most` requests per second, the maximum; `slowest` is the minimum. The rate would recover from 0 to
    /// `most` within `recover_within`.
    #[must_use]
    pub fn new(most: f64, slowest: f64, recover_within: Duration, now: Instant) -> Self {
        let recovery = most / recover_within.as_secs_f64().max(1.0);
        Self {
            most,
            slowest: slowest.min(most),
            recovery,
            rate: most,
            since: now,
            next: now,
            paused_until: None,
            cut: None,
        }
    }

    /// Requests per second at `now`.
    #[must_use]
    pub fn rate(&self, now: Instant) -> f64 {
        let recovered = now.saturating_duration_since(self.since).as_secs_f64() * self.recovery;
        (self.rate + recovered).min(self.most)
    }

    /// How much longer the pause lasts.
    #[must_use]
    pub fn pause(&self, now: Instant) -> Option<Duration> {
        let left = self.paused_until?.saturating_duration_since(now);
        (!left.is_zero()).then_some(left)
    }

    /// Reserves a slot for one request, if it may go by `until`.
    pub fn admit(&mut self, now: Instant, until: Instant) -> Admission {
        if let Some(left) = self.pause(now) {
            return Admission::Paused(left);
        }
        let at = self.next.max(now);
        if at > until {
            return Admission::Spent(at - now);
        }
        self.next = at + Duration::from_secs_f64(1.0 / self.rate(now));
        Admission::At(at)
    }

    /// The answer to a request sent at `sent` requested a pause. The rate is cut once for all requests that were on
    /// the wire.
    pub fn throttled(&mut self, sent: Instant, now: Instant, wait: Duration) {
        let until = (now + wait).max(self.paused_until.unwrap_or(now));
        if self.cut.is_none_or(|cut| sent >= cut) {
            self.rate = (self.rate(now) * KEPT).max(self.slowest);
            self.cut = Some(now);
        } else {
            self.rate = self.rate(now);
        }
        // The rate recovers after the pause, not during it.
        self.since = until;
        self.paused_until = Some(until);
        self.next = self.next.max(until);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const AHEAD: Duration = Duration::from_millis(250);
    const SLOWEST: f64 = 0.5;

    fn budget(now: Instant) -> RateLimiter {
        RateLimiter::new(30.0, SLOWEST, Duration::from_secs(30), now)
    }

    fn sent_in(budget: &mut RateLimiter, from: Instant, span: Duration) -> usize {
        let mut sent = 0;
        while let Admission::At(at) = budget.admit(from, from + span) {
            if at >= from + span {
                break;
            }
            sent += 1;
        }
        sent
    }

    #[tokio::test(start_paused = true)]
    async fn messages_are_evenly_spaced() {
        let now = Instant::now();
        let mut budget = budget(now);
        assert_eq!(budget.admit(now, now + AHEAD), Admission::At(now));
        let Admission::At(second) = budget.admit(now, now + AHEAD) else { panic!("spent") };
        assert_eq!((second - now).as_millis(), 33);
        assert!((30..=31).contains(&sent_in(&mut budget, now + SECOND, SECOND)));
        assert!(
            matches!(budget.admit(now + SECOND, now + SECOND + AHEAD), Admission::Spent(wait) if wait > AHEAD)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_throttled_request_pauses_and_cuts_the_rate_which_recovers() {
        let now = Instant::now();
        let mut budget = budget(now);
        budget.throttled(now, now, SECOND * 10);
        assert_eq!(budget.admit(now + SECOND * 4, now + SECOND * 4 + AHEAD), Admission::Paused(SECOND * 6));
        assert_eq!(budget.pause(now + SECOND * 10), None);
        let after = now + SECOND * 10;
        assert!((budget.rate(after) - 21.0).abs() < 0.01);
        assert!((budget.rate(after + SECOND * 5) - 26.0).abs() < 0.01);
        assert!((budget.rate(after + SECOND * 99) - 30.0).abs() < 0.01);
        assert!((21..=22).contains(&sent_in(&mut budget, after, SECOND)));
    }

    #[tokio::test(start_paused = true)]
    async fn requests_on_the_wire_together_cut_the_rate_once() {
        let now = Instant::now();
        let mut budget = budget(now);
        budget.throttled(now, now + SECOND, SECOND * 5);
        budget.throttled(now, now + SECOND * 2, SECOND * 3);
        budget.throttled(now, now + SECOND * 2, SECOND * 8);
        assert_eq!(budget.pause(now + SECOND * 2), Some(SECOND * 8));
        assert!((budget.rate(now + SECOND * 10) - 21.0).abs() < 0.01);
        budget.throttled(now + SECOND * 10, now + SECOND * 10, SECOND);
        assert!((budget.rate(now + SECOND * 11) - 14.7).abs() < 0.01);
        for at in 12..40 {
            budget.throttled(now + SECOND * at, now + SECOND * at, SECOND);
        }
        assert!(budget.rate(now) >= SLOWEST);
    }
}
