//! Quiet hours: an order due in them is moved to their end, plus a jitter, so that not all orders are sent at once.

use std::time::Duration;

use jiff::civil::{DateTime, Time};
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{Timestamp, ToSpan};
use posthaste_model::{OrderId, Priority, UnixMs};
use sha2::{Digest, Sha256};

/// The longest jitter: one hour never reaches the next evening, in any zone.
const MOST_JITTER: Duration = Duration::from_secs(3_600);

/// A daily window in which nothing is sent.
#[derive(Debug, Clone)]
pub(crate) struct QuietHours {
    zone: TimeZone,
    from: Time,
    to: Time,
    jitter: Duration,
    urgent_exempt: bool,
}

impl QuietHours {
    /// Quiet hours from one time of day to another; if the end is earlier, it is on the next day.
    ///
    /// # Errors
    /// The reason, if they are empty or too long, or the jitter is too long.
    pub(crate) fn new(
        zone: TimeZone,
        (from, to): (Time, Time),
        jitter: Duration,
        urgent_exempt: bool,
    ) -> Result<Self, &'static str> {
        let minutes = |time: Time| i32::from(time.hour()) * 60 + i32::from(time.minute());
        let length = (minutes(to) - minutes(from)).rem_euclid(24 * 60);
        // A clock change may take two hours of the rest of the day.
        if !(1..=20 * 60).contains(&length) {
            return Err("from and to must be a minute to 20 hours apart");
        }
        if jitter > MOST_JITTER {
            return Err("the jitter must be at most one hour");
        }
        Ok(Self { zone, from, to, jitter, urgent_exempt })
    }

    /// The time that an order due at `due` is moved to; `None` if it is not moved.
    pub(crate) fn moved(&self, due: UnixMs, priority: Priority, order_id: &OrderId) -> Option<UnixMs> {
        if priority == Priority::Urgent && self.urgent_exempt {
            return None;
        }
        let end = self.end(due)?;
        Some(end.after(self.jitter_of(order_id)))
    }

    /// Whether these quiet hours moved an order to this due time: any time inside them is moved to the exact
    /// millisecond the order is due, which depends on its id.
    pub(crate) fn moved_to(&self, due: UnixMs, priority: Priority, order_id: &OrderId) -> bool {
        let span = self.jitter + Duration::from_millis(1);
        let before = due.0.saturating_sub(u64::try_from(span.as_millis()).unwrap_or(u64::MAX));
        self.moved(UnixMs(before), priority, order_id) == Some(due)
    }

    /// The end of the quiet hours that include this moment; `None` outside of them.
    fn end(&self, moment: UnixMs) -> Option<UnixMs> {
        let at = Timestamp::from_millisecond(i64::try_from(moment.0).ok()?).ok()?;
        let local = self.zone.to_datetime(at);
        let time = local.time();
        let over_midnight = self.from > self.to;
        let inside = if over_midnight {
            time >= self.from || time < self.to
        } else {
            time >= self.from && time < self.to
        };
        if !inside {
            return None;
        }
        let date = if time < self.to { local.date() } else { local.date().checked_add(1.day()).ok()? };
        let end = self.last_instant(DateTime::from_parts(date, self.to))?;
        let end = u64::try_from(end.as_millisecond()).ok()?;
        Some(UnixMs(end.max(moment.0)))
    }

    /// The instant of a local time: the later one if it occurs twice, the first instant after it if it is skipped.
    fn last_instant(&self, wall: DateTime) -> Option<Timestamp> {
        let ambiguous = self.zone.to_ambiguous_timestamp(wall);
        if let AmbiguousOffset::Gap { after, .. } = ambiguous.offset() {
            // Read with the new offset it is before the change, which is the next transition.
            let before_change = after.to_timestamp(wall).ok()?;
            let change = self.zone.following(before_change).next();
            return change.map(|change| change.timestamp()).or_else(|| ambiguous.later().ok());
        }
        ambiguous.later().ok()
    }

    /// The jitter is always the same for the same order.
    fn jitter_of(&self, order_id: &OrderId) -> Duration {
        let hash = Sha256::digest(order_id.as_str());
        let mut short = [0; 8];
        short.copy_from_slice(&hash[..8]);
        let most = u64::try_from(self.jitter.as_millis()).unwrap_or(0);
        Duration::from_millis(u64::from_be_bytes(short) % (most + 1))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hours(zone: &str, from: &str, to: &str, jitter: u64) -> QuietHours {
        let times = (from.parse().unwrap(), to.parse().unwrap());
        QuietHours::new(TimeZone::get(zone).unwrap(), times, Duration::from_secs(jitter), true).unwrap()
    }

    fn moment(text: &str) -> UnixMs {
        let at: Timestamp = text.parse().unwrap();
        UnixMs(u64::try_from(at.as_millisecond()).unwrap())
    }

    fn order_id(n: u64) -> OrderId {
        format!("u1:{n}").parse().unwrap()
    }

    fn moved(hours: &QuietHours, due: &str) -> Option<UnixMs> {
        hours.moved(moment(due), Priority::Bulk, &order_id(1))
    }

    #[test]
    fn orders_due_at_night_are_moved_to_the_morning() {
        let hours = hours("Europe/Moscow", "00:00", "07:00", 0);
        assert_eq!(moved(&hours, "2026-11-20T20:59:59Z"), None);
        let morning = Some(moment("2026-11-21T04:00:00Z"));
        assert_eq!(moved(&hours, "2026-11-20T21:00:00Z"), morning);
        assert_eq!(moved(&hours, "2026-11-21T03:59:59.999Z"), morning);
        assert_eq!(moved(&hours, "2026-11-21T04:00:00Z"), None);
    }

    #[test]
    fn hours_over_midnight_end_on_the_next_day() {
        let hours = hours("UTC", "22:00", "08:00", 0);
        let morning = Some(moment("2026-11-21T08:00:00Z"));
        assert_eq!(moved(&hours, "2026-11-20T22:00:00Z"), morning);
        assert_eq!(moved(&hours, "2026-11-21T07:59:59Z"), morning);
        assert_eq!(moved(&hours, "2026-11-20T21:59:59Z"), None);
    }

    #[test]
    fn urgent_orders_may_be_exempt() {
        let mut hours = hours("UTC", "00:00", "07:00", 0);
        let night = moment("2026-11-20T03:00:00Z");
        assert_eq!(hours.moved(night, Priority::Urgent, &order_id(1)), None);
        hours.urgent_exempt = false;
        assert_eq!(hours.moved(night, Priority::Urgent, &order_id(1)), Some(moment("2026-11-20T07:00:00Z")));
    }

    #[test]
    fn clocks_that_change_at_night_are_followed() {
        let berlin = hours("Europe/Berlin", "00:00", "07:00", 0);
        // In the night of 29 March 2026, these seven hours last six hours; in that of 25 October, eight.
        assert_eq!(moved(&berlin, "2026-03-28T23:00:00Z"), Some(moment("2026-03-29T05:00:00Z")));
        assert_eq!(moved(&berlin, "2026-10-24T22:00:00Z"), Some(moment("2026-10-25T06:00:00Z")));
        // The end is a skipped local time: they end at the change.
        let gap = hours("Europe/Berlin", "00:00", "02:30", 0);
        assert_eq!(moved(&gap, "2026-03-29T00:30:00Z"), Some(moment("2026-03-29T01:00:00Z")));
        // The end is a local time that occurs twice: they end at the second one, from any moment in between.
        let fold = hours("Europe/Berlin", "00:00", "02:30", 0);
        let second = Some(moment("2026-10-25T01:30:00Z"));
        assert_eq!(moved(&fold, "2026-10-25T00:10:00Z"), second);
        assert_eq!(moved(&fold, "2026-10-25T01:10:00Z"), second);
        assert_eq!(moved(&fold, "2026-10-25T00:40:00Z"), None);
    }

    #[test]
    fn the_jitter_of_an_order_is_always_the_same() {
        let hours = hours("UTC", "00:00", "07:00", 359);
        let night = moment("2026-11-20T03:00:00Z");
        let ends: Vec<_> =
            (0..50).map(|n| hours.moved(night, Priority::Bulk, &order_id(n)).unwrap()).collect();
        let again: Vec<_> =
            (0..50).map(|n| hours.moved(night, Priority::Bulk, &order_id(n)).unwrap()).collect();
        assert_eq!(ends, again);
        let from = moment("2026-11-20T07:00:00Z");
        assert!(ends.iter().all(|end| *end >= from && end.since(from) <= Duration::from_secs(359)));
        let mut different = ends.clone();
        different.sort_unstable();
        different.dedup();
        assert!(different.len() > 40, "{different:?}");
    }

    #[test]
    fn windows_that_cover_the_day_are_refused() {
        for (from, to, jitter) in [("07:00", "07:00", 0), ("00:00", "23:00", 0), ("00:00", "07:00", 3_601)] {
            let times = (from.parse().unwrap(), to.parse().unwrap());
            let jitter = Duration::from_secs(jitter);
            assert!(QuietHours::new(TimeZone::UTC, times, jitter, true).is_err(), "{from} {to} {jitter:?}");
        }
    }

    const ZONES: &[&str] = &[
        "UTC",
        "Europe/Moscow",
        "Europe/Berlin",
        "America/New_York",
        "America/Santiago",
        "Australia/Lord_Howe",
        "Africa/Casablanca",
        "Asia/Kathmandu",
    ];

    proptest! {
        #[test]
        fn a_moved_order_is_later_and_out_of_the_quiet_hours(
            zone in 0..ZONES.len(),
            from in 0..24_i8,
            length in 1..20_i8,
            half in any::<bool>(),
            // The years 2026 to 2029.
            due in 1_767_225_600_000_u64..1_893_456_000_000,
            n in any::<u64>(),
        ) {
            let from_time = Time::constant(from, if half { 30 } else { 0 }, 0, 0);
            let to_time = Time::constant((from + length) % 24, if half { 30 } else { 0 }, 0, 0);
            let zone = TimeZone::get(ZONES[zone]).unwrap();
            let hours = QuietHours::new(zone, (from_time, to_time), Duration::from_secs(359), true).unwrap();
            let due = UnixMs(due);
            if let Some(end) = hours.moved(due, Priority::Bulk, &order_id(n)) {
                prop_assert!(end >= due);
                prop_assert!(end.since(due) <= Duration::from_secs(23 * 3_600));
                prop_assert_eq!(hours.moved(end, Priority::Bulk, &order_id(n)), None);
            } else {
                prop_assert_eq!(hours.end(due), None);
            }
        }
    }
}
