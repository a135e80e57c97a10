//! How fast requests go and how much one holds. Requests are evenly spaced at a rate that "too fast" halves and time brings back;
//! calls a request are halved when a request was too much, and come back one by one. Pure: time comes in.

use std::time::Duration;

use tokio::time::Instant;

/// The slowest the channel gets, in requests a second.
const SLOWEST: f64 = 0.2;
/// Full requests that went well until one more call is tried in a request.
const WELL: u32 = 20;

/// When the next request may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Admission {
    /// At this instant.
    At(Instant),
    /// The rate is spent for so long.
    Spent(Duration),
    /// VK asked to pause, for so long yet.
    Paused(Duration),
}

/// The budget of a token.
#[derive(Debug)]
pub(crate) struct Budget {
    most: f64,
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
    /// `most` requests a second, which it starts with.
    pub(crate) fn new(most: f64, recover_within: Duration, now: Instant) -> Self {
        let recovery = most / recover_within.as_secs_f64().max(1.0);
        Self { most, recovery, rate: most, since: now, next: now, paused_until: None, cut: None }
    }

    /// Requests a second at `now`.
    pub(crate) fn rate(&self, now: Instant) -> f64 {
        let recovered = now.saturating_duration_since(self.since).as_secs_f64() * self.recovery;
        (self.rate + recovered).min(self.most)
    }

    /// How long it pauses yet.
    pub(crate) fn pause(&self, now: Instant) -> Option<Duration> {
        let left = self.paused_until?.saturating_duration_since(now);
        (!left.is_zero()).then_some(left)
    }

    /// Takes the place of one request, if it may go by `until`.
    pub(crate) fn admit(&mut self, now: Instant, until: Instant) -> Admission {
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

    /// An answer to a request sent at `sent` asked for a pause. The rate is halved once for all that were on the wire then.
    pub(crate) fn throttled(&mut self, sent: Instant, now: Instant, wait: Duration) {
        let until = (now + wait).max(self.paused_until.unwrap_or(now));
        if self.cut.is_none_or(|cut| sent >= cut) {
            self.rate = (self.rate(now) / 2.0).max(SLOWEST.min(self.most));
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

/// How many calls a request holds.
#[derive(Debug)]
pub(crate) struct Groups {
    most: usize,
    now: usize,
    well: u32,
}

impl Groups {
    /// `most` calls, which it starts with.
    pub(crate) fn new(most: usize) -> Self {
        Self { most, now: most.max(1), well: 0 }
    }

    /// Calls of a request at most.
    pub(crate) fn get(&self) -> usize {
        self.now
    }

    /// A request of so many calls was too much.
    pub(crate) fn too_many(&mut self, calls: usize) {
        self.now = self.now.min((calls / 2).max(1));
        self.well = 0;
    }

    /// A request of so many calls went well.
    pub(crate) fn went(&mut self, calls: usize) {
        if calls < self.now || self.now >= self.most {
            return;
        }
        self.well += 1;
        if self.well >= WELL {
            (self.now, self.well) = (self.now + 1, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

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
    async fn requests_are_evenly_spaced() {
        let now = Instant::now();
        let mut budget = Budget::new(20.0, SECOND * 20, now);
        assert_eq!(budget.admit(now, now), Admission::At(now));
        assert_eq!(budget.admit(now, now), Admission::Spent(Duration::from_millis(50)));
        assert!((20..=21).contains(&sent_in(&mut budget, now + SECOND, SECOND)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_pauses_halves_and_is_recovered_from() {
        let now = Instant::now();
        let mut budget = Budget::new(20.0, SECOND * 20, now);
        // Two that were on the wire together count once, and the longer pause.
        budget.throttled(now, now + SECOND, SECOND * 9);
        budget.throttled(now, now + SECOND * 2, SECOND);
        assert_eq!(budget.admit(now + SECOND * 4, now + SECOND * 60), Admission::Paused(SECOND * 6));
        let after = now + SECOND * 10;
        assert_eq!(budget.pause(after), None);
        assert!((budget.rate(after) - 10.0).abs() < 0.01);
        assert!((budget.rate(after + SECOND * 99) - 20.0).abs() < 0.01);
        for at in 12..60 {
            budget.throttled(now + SECOND * at, now + SECOND * at, SECOND);
        }
        assert!(budget.rate(now) >= SLOWEST && budget.rate(now) < 2.1);
    }

    #[test]
    fn calls_a_request_are_halved_and_come_back_slowly() {
        let mut groups = Groups::new(25);
        groups.too_many(25);
        assert_eq!(groups.get(), 12);
        // Another one that was on the wire with it says nothing new.
        groups.too_many(25);
        assert_eq!(groups.get(), 12);
        for _ in 0..4 {
            groups.too_many(groups.get());
        }
        assert_eq!(groups.get(), 1);
        for _ in 0..WELL {
            groups.went(1);
        }
        assert_eq!(groups.get(), 2);
        // Smaller ones prove nothing.
        for _ in 0..WELL * 2 {
            groups.went(1);
        }
        assert_eq!(groups.get(), 2);
        for _ in 0..WELL * 40 {
            groups.went(groups.get());
        }
        assert_eq!(groups.get(), 25);
    }
}
