//! Notices when the server's clock jumps: its time is compared with the monotonic progress between two answers.

use std::time::Duration;

use posthaste_model::UnixMs;
use tokio::time::Instant;

/// Compares the server's clock with monotonic time.
#[derive(Debug)]
pub struct ClockWatch {
    tolerance: Duration,
    last: Option<(UnixMs, Instant)>,
    paused_until: Instant,
}

impl ClockWatch {
    /// Tolerates differences up to a lease.
    #[must_use]
    pub fn new(lease: Duration, now: Instant) -> Self {
        Self { tolerance: lease, last: None, paused_until: now }
    }

    /// Takes in the server's time as an answer told it. Answers the jump in ms when it was larger than the tolerance: then
    /// nothing is claimed for as long, since leases may have ended or been prolonged by it.
    pub fn saw(&mut self, server: UnixMs, at: Instant) -> Option<i128> {
        let jump = self.last.map(|(was, then)| {
            let passed = i128::try_from(at.saturating_duration_since(then).as_millis()).unwrap_or(i128::MAX);
            i128::from(server.0) - i128::from(was.0) - passed
        });
        self.last = Some((server, at));
        let jump = jump.filter(|ms| ms.unsigned_abs() > self.tolerance.as_millis())?;
        self.paused_until = at + self.tolerance;
        Some(jump)
    }

    /// Until when nothing is claimed.
    #[must_use]
    pub fn paused(&self, now: Instant) -> Option<Instant> {
        (self.paused_until > now).then_some(self.paused_until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_jump_larger_than_a_lease_pauses() {
        let start = Instant::now();
        let mut watch = ClockWatch::new(Duration::from_secs(10), start);
        assert_eq!(watch.saw(UnixMs(1_000_000), start), None);
        let later = start + Duration::from_secs(5);
        assert_eq!(watch.saw(UnixMs(1_006_000), later), None);
        assert_eq!(watch.paused(later), None);
        assert_eq!(watch.saw(UnixMs(1_036_000), later), Some(30_000));
        assert_eq!(watch.paused(later), Some(later + Duration::from_secs(10)));
        let after = later + Duration::from_secs(11);
        assert_eq!(watch.saw(UnixMs(1_000_000), after), Some(-47_000));
    }
}
