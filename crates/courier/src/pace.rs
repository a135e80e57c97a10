//! The pace of a channel: concurrent calls, pauses, an optional rate, and the circuit breaker. Pure: time is passed
//! in.

use std::time::Duration;

use tokio::time::Instant;

/// The first pause of the breaker.
const BREAK: Duration = Duration::from_secs(2);
/// The longest pause: one call per pause is no burden to a provider that is down, and no message waits much longer
/// than that once the provider is back.
const LONGEST_BREAK: Duration = Duration::from_secs(15);

/// Why a channel is not sending.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pause {
    /// A rate limit of the provider or the breaker, until this moment.
    Until(Instant),
    /// An operator must fix something first.
    Stopped(String),
}

/// The pace of one channel.
#[derive(Debug)]
pub struct Pace {
    limit: f64,
    max: f64,
    failures: u32,
    breaker_after: u32,
    opened: u32,
    /// The breaker has opened, and no call has succeeded since.
    resting: bool,
    pause: Option<Pause>,
    rate: Option<f64>,
    tokens: f64,
    refilled: Instant,
}

impl Pace {
    /// Starts with `start` concurrent calls, at most `max`, and at most `rate` envelopes per second.
    #[must_use]
    pub fn new(start: usize, max: usize, rate: Option<f64>, breaker_after: u32, now: Instant) -> Self {
        let max = max.max(1);
        Self {
            limit: whole(start.clamp(1, max)),
            max: whole(max),
            failures: 0,
            breaker_after: breaker_after.max(1),
            opened: 0,
            resting: false,
            pause: None,
            rate: rate.filter(|r| *r > 0.0),
            tokens: 1.0,
            refilled: now,
        }
    }

    /// Maximum concurrent calls.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 1 and max")]
    pub fn concurrency(&self) -> usize {
        self.limit as usize
    }

    /// Why nothing is sent at `now`, if paused. Clears a pause that is over.
    pub fn paused(&mut self, now: Instant) -> Option<&Pause> {
        if matches!(self.pause, Some(Pause::Until(until)) if until <= now) {
            self.pause = None;
        }
        self.pause.as_ref()
    }

    /// How many envelopes the rate allows now; the burst is at most what the rate allows in `ahead`.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small and not negative")]
    pub fn allowance(&mut self, now: Instant, ahead: Duration) -> usize {
        let Some(rate) = self.rate else { return usize::MAX };
        let burst = (rate * ahead.as_secs_f64()).max(1.0);
        self.tokens =
            (self.tokens + now.saturating_duration_since(self.refilled).as_secs_f64() * rate).min(burst);
        self.refilled = now;
        self.tokens as usize
    }

    /// This many envelopes went out.
    pub fn spend(&mut self, envelopes: usize) {
        if self.rate.is_some() {
            self.tokens -= whole(envelopes);
        }
    }

    /// This many envelopes that were counted did not go out.
    pub fn spare(&mut self, envelopes: usize) {
        if self.rate.is_some() {
            self.tokens += whole(envelopes);
        }
    }

    /// When the rate allows the next envelope.
    #[must_use]
    pub fn next_allowed(&self) -> Option<Instant> {
        let rate = self.rate?;
        let missing = (1.0 - self.tokens).max(0.0);
        Some(self.refilled + Duration::from_secs_f64(missing / rate))
    }

    /// A call succeeded.
    pub fn success(&mut self) {
        self.failures = 0;
        self.opened = 0;
        self.resting = false;
        self.limit = (self.limit + 1.0 / self.limit).min(self.max);
    }

    /// The provider throttled the whole channel.
    pub fn throttled(&mut self, now: Instant, wait: Duration) {
        self.limit = (self.limit / 2.0).max(1.0);
        self.pause_until(now + wait);
    }

    /// A call failed for a reason unrelated to its messages. Returns true if this opened the breaker.
    pub fn failure(&mut self, now: Instant, chance: f64) -> bool {
        self.failures += 1;
        self.limit = (self.limit * 0.7).max(1.0);
        if self.failures < self.breaker_after {
            return false;
        }
        let open = crate::backoff::wait(
            BREAK,
            LONGEST_BREAK,
            u8::try_from(self.opened).unwrap_or(u8::MAX),
            0.5 + chance / 2.0,
        );
        self.opened += 1;
        self.resting = true;
        // Half open: one call at a time tests the provider, and the next failure opens the breaker again.
        self.failures = self.breaker_after - 1;
        self.limit = 1.0;
        self.pause_until(now + open);
        true
    }

    /// Stops the channel until an operator fixes it.
    pub fn stop(&mut self, why: String) {
        self.pause = Some(Pause::Stopped(why));
    }

    /// Whether it is stopped.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        matches!(self.pause, Some(Pause::Stopped(_)))
    }

    /// Whether the breaker is open, or tries one call at a time.
    #[must_use]
    pub fn is_resting(&self) -> bool {
        self.resting
    }

    /// The channel works again.
    pub fn resume(&mut self) {
        self.pause = None;
        self.failures = 0;
        self.resting = false;
    }

    fn pause_until(&mut self, until: Instant) {
        match &self.pause {
            Some(Pause::Stopped(_)) => {}
            Some(Pause::Until(other)) if *other >= until => {}
            _ => self.pause = Some(Pause::Until(until)),
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "numbers of calls, far below 2^52")]
fn whole(n: usize) -> f64 {
    n as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pace(now: Instant) -> Pace {
        Pace::new(8, 16, None, 3, now)
    }

    #[tokio::test(start_paused = true)]
    async fn concurrency_grows_by_one_and_falls_by_half() {
        let now = Instant::now();
        let mut pace = pace(now);
        for _ in 0..9 {
            pace.success();
        }
        assert_eq!(pace.concurrency(), 9);
        pace.throttled(now, Duration::from_secs(3));
        assert_eq!(pace.concurrency(), 4);
        assert_eq!(pace.paused(now), Some(&Pause::Until(now + Duration::from_secs(3))));
        assert_eq!(pace.paused(now + Duration::from_secs(3)), None);
        for _ in 0..10_000 {
            pace.success();
        }
        assert_eq!(pace.concurrency(), 16);
    }

    #[tokio::test(start_paused = true)]
    async fn the_breaker_opens_longer_each_time_and_a_success_closes_it() {
        let now = Instant::now();
        let mut pace = pace(now);
        assert_eq!(
            [pace.failure(now, 1.0), pace.failure(now, 1.0), pace.failure(now, 1.0)],
            [false, false, true]
        );
        assert_eq!(pace.paused(now), Some(&Pause::Until(now + Duration::from_secs(2))));
        let later = now + Duration::from_secs(2);
        assert_eq!(pace.paused(later), None);
        assert_eq!(pace.concurrency(), 1);
        assert!(pace.is_resting(), "until a call succeeds");
        assert!(pace.failure(later, 1.0));
        assert_eq!(pace.paused(later), Some(&Pause::Until(later + Duration::from_secs(4))));
        pace.success();
        assert!(!pace.is_resting());
        assert!(!pace.failure(later, 1.0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_stop_outlasts_every_pause() {
        let now = Instant::now();
        let mut pace = pace(now);
        pace.stop("bad token".into());
        pace.throttled(now, Duration::from_secs(1));
        assert_eq!(pace.paused(now + Duration::from_secs(99)), Some(&Pause::Stopped("bad token".into())));
        pace.resume();
        assert_eq!(pace.paused(now), None);
    }

    #[tokio::test(start_paused = true)]
    async fn the_rate_is_kept() {
        let now = Instant::now();
        let mut pace = Pace::new(8, 16, Some(40.0), 3, now);
        let ahead = Duration::from_millis(250);
        assert_eq!(pace.allowance(now, ahead), 1);
        pace.spend(1);
        assert_eq!(pace.next_allowed(), Some(now + Duration::from_millis(25)));
        assert_eq!(pace.allowance(now + Duration::from_secs(9), ahead), 10);
    }
}
