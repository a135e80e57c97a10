//! How fast requests of one account go, for channels whose providers count by account: evenly spaced at a rate that answers "too
//! fast" cut and time brings back, and pauses. The pace of the whole channel is the runtime's. Pure: time comes in.

use std::time::Duration;

use tokio::time::Instant;

/// What is left of the rate after a cut. Half would be the textbook's share; with it, and refusals that come whatever the rate is, one
/// in a hundred, a bot spends most of its time coming back. Where a real
/// limit lies far below the rate, it is refused more often for it: then the rate is to be set lower.
const KEPT: f64 = 0.7;

/// When the next request may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// At this instant.
    At(Instant),
    /// The rate is spent for so long.
    Spent(Duration),
    /// The provider asked to pause, for so long yet.
    Paused(Duration),
}

/// The budget of one account.
#[derive(Debug)]
pub struct Budget {
    most: f64,
    slowest: f64,
    /// Requests a second, more every second.
    recovery: f64,
    /// The rate at `since`.
    rate: f64,
    since: Instant,
    next: Instant,
    paused_until: Option<Instant>,
    /// When the rate was last cut.
    cut: Option<Instant>,
}

impl Budget {
    /// `most` requests a second, which it starts with, and `slowest` at least. From nothing the rate would be whole again
    /// within `recover_within`.
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

    /// Requests a second at `now`.
    #[must_use]
    pub fn rate(&self, now: Instant) -> f64 {
        let recovered = now.saturating_duration_since(self.since).as_secs_f64() * self.recovery;
        (self.rate + recovered).min(self.most)
    }

    /// How long it pauses yet.
    #[must_use]
    pub fn pause(&self, now: Instant) -> Option<Duration> {
        let left = self.paused_until?.saturating_duration_since(now);
        (!left.is_zero()).then_some(left)
    }

    /// Takes the place of one request, if it may go by `until`.
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

    /// An answer to a request sent at `sent` asked for a pause. The rate is cut once for all that were on the wire then.
    pub fn throttled(&mut self, sent: Instant, now: Instant, wait: Duration) {
        let until = (now + wait).max(self.paused_until.unwrap_or(now));
        if self.cut.is_none_or(|cut| sent >= cut) {
            self.rate = (self.rate(now) * KEPT).max(self.slowest);
            self.cut = Some(now);
        } else {
            self.rate = self.rate(now);
        }
        // It recovers after the pause, not in it.
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

    fn budget(now: Instant) -> Budget {
        Budget::new(30.0, SLOWEST, Duration::from_secs(30), now)
    }

    fn sent_in(budget: &mut Budget, from: Instant, span: Duration) -> usize {
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
    async fn a_refusal_pauses_cuts_and_is_recovered_from() {
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
    async fn all_that_were_on_the_wire_count_as_one_refusal() {
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
