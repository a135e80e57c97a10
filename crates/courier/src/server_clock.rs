//! Maps the server's clock to our monotonic clock, and detects jumps of the server's clock.

use std::time::Duration;

use posthaste_model::UnixMs;
use tokio::time::Instant;

/// Compares the server's clock with monotonic time.
#[derive(Debug)]
pub struct ServerClock {
    tolerance: Duration,
    /// The server's time, and the moments on our clock between which it was read.
    last: Option<(UnixMs, Instant, Instant)>,
    paused_until: Instant,
    start: Instant,
    /// The smallest offset in µs from the server's time to ours, in this span of time and in the previous one: an
    /// answer is never read before it was made, so the smallest is the most accurate.
    distance: [Option<i128>; 2],
    turn: Instant,
}

/// How long an offset counts, so that a slow drift of the clocks is followed.
const SPAN: Duration = Duration::from_secs(5);

impl ServerClock {
    /// Tolerates differences up to a lease.
    #[must_use]
    pub fn new(lease: Duration, now: Instant) -> Self {
        Self { tolerance: lease, last: None, paused_until: now, start: now, distance: [None; 2], turn: now }
    }

    /// Records the server's time from an answer that was requested and read at these moments; a process that slept in
    /// between does not count as a jump. Returns the jump in ms if it is larger than the tolerance: then nothing is
    /// claimed for the length of the tolerance, since the jump may have ended or extended leases.
    pub fn saw(&mut self, server: UnixMs, requested: Instant, read: Instant) -> Option<i128> {
        let jump = self.last.map(|(was, was_requested, was_read)| {
            let passed = i128::from(server.0) - i128::from(was.0);
            passed - passed.clamp(ms_between(was_read, requested), ms_between(was_requested, read))
        });
        self.last = Some((server, requested, read));
        self.measure(server, read);
        let jump = jump.filter(|ms| ms.unsigned_abs() > self.tolerance.as_millis())?;
        self.distance = [None; 2];
        self.measure(server, read);
        self.paused_until = read + self.tolerance;
        Some(jump)
    }

    fn measure(&mut self, server: UnixMs, at: Instant) {
        if at.saturating_duration_since(self.turn) > SPAN {
            self.distance = [None, self.distance[0]];
            self.turn = at;
        }
        let here = i128::try_from(at.saturating_duration_since(self.start).as_micros()).unwrap_or(i128::MAX);
        let distance = here - i128::from(server.0) * 1_000;
        self.distance[0] = Some(self.distance[0].map_or(distance, |least| least.min(distance)));
    }

    /// When, on our clock, the server's clock first shows `server`; `None` before the first answer.
    #[must_use]
    pub fn local(&self, server: UnixMs) -> Option<Instant> {
        let distance = self.distance.into_iter().flatten().min()?;
        let here = u64::try_from(i128::from(server.0) * 1_000 + distance).unwrap_or(0);
        Some(self.start + Duration::from_micros(here))
    }

    /// Until when claims are paused.
    #[must_use]
    pub fn paused(&self, now: Instant) -> Option<Instant> {
        (self.paused_until > now).then_some(self.paused_until)
    }
}

fn ms_between(from: Instant, to: Instant) -> i128 {
    i128::try_from(to.saturating_duration_since(from).as_millis()).unwrap_or(i128::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_server_time_maps_to_our_clock() {
        let start = Instant::now();
        let mut watch = ServerClock::new(Duration::from_secs(10), start);
        assert_eq!(watch.local(UnixMs(1_000)), None);
        // Read 900 µs and 300 µs after the server's millisecond began.
        watch.saw(UnixMs(1_000), start, start + Duration::from_micros(900));
        watch.saw(UnixMs(1_005), start, start + Duration::from_micros(5_300));
        assert_eq!(watch.local(UnixMs(1_010)), Some(start + Duration::from_micros(10_300)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_jump_larger_than_a_lease_pauses() {
        let start = Instant::now();
        let mut watch = ServerClock::new(Duration::from_secs(10), start);
        assert_eq!(watch.saw(UnixMs(1_000_000), start, start), None);
        let later = start + Duration::from_secs(5);
        assert_eq!(watch.saw(UnixMs(1_006_000), later, later), None);
        assert_eq!(watch.paused(later), None);
        assert_eq!(watch.saw(UnixMs(1_036_000), later, later), Some(30_000));
        assert_eq!(watch.paused(later), Some(later + Duration::from_secs(10)));
        let after = later + Duration::from_secs(11);
        assert_eq!(watch.saw(UnixMs(1_000_000), after, after), Some(-47_000));
    }
    #[tokio::test(start_paused = true)]
    async fn an_answer_read_late_is_not_a_jump() {
        let start = Instant::now();
        let mut watch = ServerClock::new(Duration::from_secs(10), start);
        assert_eq!(watch.saw(UnixMs(1_000_000), start, start), None);
        // Answered at once, and read half a minute later.
        let requested = start + Duration::from_secs(1);
        let read = start + Duration::from_secs(31);
        assert_eq!(watch.saw(UnixMs(1_001_000), requested, read), None);
        assert_eq!(watch.saw(UnixMs(1_031_000), read, read), None);
        assert_eq!(watch.saw(UnixMs(1_091_000), read, read), Some(60_000));
    }
}
