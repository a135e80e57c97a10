//! How many deliveries leave the courier per second: it decides how many are begun ahead of the calls. Pure: time is
//! passed in.

use std::time::Duration;

use tokio::time::Instant;

/// Over how long deliveries are counted before the rate is updated.
const WINDOW: Duration = Duration::from_millis(20);
/// After this long without an update the rate says nothing any more.
const STALE: Duration = Duration::from_millis(500);

/// Counts what leaves.
#[derive(Debug)]
pub(super) struct Outflow {
    since: Instant,
    count: usize,
    /// Deliveries per second.
    rate: f64,
}

impl Outflow {
    pub(super) fn new(now: Instant) -> Self {
        Self { since: now, count: 0, rate: 0.0 }
    }

    /// This many deliveries left.
    #[expect(clippy::cast_precision_loss, reason = "a count of milliseconds' work, far below 2^52")]
    pub(super) fn left(&mut self, now: Instant, deliveries: usize) {
        self.count += deliveries;
        let passed = now.saturating_duration_since(self.since);
        if passed < WINDOW {
            return;
        }
        let current = self.count as f64 / passed.as_secs_f64();
        self.rate = if passed > STALE || self.rate == 0.0 { current } else { (self.rate + current) / 2.0 };
        self.since = now;
        self.count = 0;
    }

    /// How many leave within `span` at the measured rate; none if nothing left lately.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small and not negative")]
    pub(super) fn within(&self, now: Instant, span: Duration) -> usize {
        if now.saturating_duration_since(self.since) > STALE {
            return 0;
        }
        (self.rate * span.as_secs_f64()) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPAN: Duration = Duration::from_millis(5);

    #[tokio::test(start_paused = true)]
    async fn the_rate_follows_what_leaves_and_is_forgotten_at_rest() {
        let start = Instant::now();
        let mut outflow = Outflow::new(start);
        assert_eq!(outflow.within(start, SPAN), 0);
        let at = |ms: u64| start + Duration::from_millis(ms);
        outflow.left(at(10), 100);
        assert_eq!(outflow.within(at(10), SPAN), 0, "a window is not over");
        outflow.left(at(20), 100);
        assert_eq!(outflow.within(at(20), SPAN), 50, "200 in 20 ms");
        outflow.left(at(40), 400);
        assert_eq!(outflow.within(at(40), SPAN), 75, "half of it is the new rate");
        assert_eq!(outflow.within(at(541), SPAN), 0, "nothing left for a while");
        outflow.left(at(1_040), 1_000);
        assert_eq!(outflow.within(at(1_040), SPAN), 5, "1,000 in a second; the old rate is no help");
    }
}
