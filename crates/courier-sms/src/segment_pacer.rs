//! Spaces messages so that their segments keep the rate per second. Pure: the time is a parameter.

use std::time::Duration;

use tokio::time::Instant;

/// The segment budget of a sender.
#[derive(Debug)]
pub(crate) struct SegmentPacer {
    /// Segments per second; `None`: no limit.
    rate: Option<f64>,
    next: Instant,
}

impl SegmentPacer {
    /// A pacer of this many segments per second; 0 is no limit.
    pub(crate) fn new(rate: f64, now: Instant) -> Self {
        Self { rate: (rate > 0.0).then_some(rate), next: now }
    }

    /// Reserves the slot of a message with this many segments if it may be sent within `ahead`; returns when to send
    /// it. `Err`: how long to wait before asking again.
    pub(crate) fn admit(
        &mut self,
        segments: usize,
        now: Instant,
        ahead: Duration,
    ) -> Result<Instant, Duration> {
        let Some(rate) = self.rate else { return Ok(now) };
        let at = self.next.max(now);
        if at - now > ahead {
            return Err(at - now);
        }
        self.next = at + span(segments, rate);
        Ok(at)
    }

    /// Gives a slot back: its message is not sent.
    pub(crate) fn give_back(&mut self, segments: usize) {
        let Some(rate) = self.rate else { return };
        self.next = self.next.checked_sub(span(segments, rate)).unwrap_or(self.next);
    }
}

/// The time that this many segments take.
fn span(segments: usize, rate: f64) -> Duration {
    let segments = f64::from(u32::try_from(segments).unwrap_or(u32::MAX));
    Duration::from_secs_f64(segments / rate)
}

#[cfg(test)]
mod tests {
    use super::*;

    const AHEAD: Duration = Duration::from_millis(250);

    #[tokio::test(start_paused = true)]
    async fn a_long_message_takes_the_places_of_its_segments() {
        let now = Instant::now();
        let mut budget = SegmentPacer::new(10.0, now);
        assert_eq!(budget.admit(3, now, AHEAD), Ok(now));
        assert_eq!(budget.admit(1, now, AHEAD), Err(Duration::from_millis(300)));
        let later = now + Duration::from_millis(100);
        assert_eq!(budget.admit(1, later, AHEAD), Ok(now + Duration::from_millis(300)));
        assert_eq!(budget.admit(1, later, AHEAD), Err(Duration::from_millis(300)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_place_given_back_is_another_messages() {
        let now = Instant::now();
        let mut budget = SegmentPacer::new(10.0, now);
        assert_eq!(budget.admit(1, now, AHEAD), Ok(now));
        assert_eq!(budget.admit(2, now, AHEAD), Ok(now + Duration::from_millis(100)));
        budget.give_back(2);
        assert_eq!(budget.admit(1, now, AHEAD), Ok(now + Duration::from_millis(100)));
    }

    #[tokio::test(start_paused = true)]
    async fn in_a_minute_the_segments_keep_the_rate() {
        let (start, mut sent) = (Instant::now(), 0);
        let mut budget = SegmentPacer::new(10.0, start);
        for step in 0..600_u32 {
            let now = start + Duration::from_millis(100) * step;
            let segments = 1 + step as usize % 4;
            if budget.admit(segments, now, AHEAD).is_ok() {
                sent += segments;
            }
        }
        assert!((595..=608).contains(&sent), "{sent}");
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_rate_everything_goes() {
        let now = Instant::now();
        let mut budget = SegmentPacer::new(0.0, now);
        assert!((0..10_000).all(|_| budget.admit(7, now, AHEAD) == Ok(now)));
    }
}
