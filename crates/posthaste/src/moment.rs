//! Times as people write and read them. Times sent to the server are RFC 3339 in UTC.

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Span, Timestamp, ToSpan, Zoned};
use posthaste_model::{Clock, SystemClock};

/// The accepted forms of a time, for error texts.
pub(crate) const FORMS: &str =
    "\"2026-12-24 09:00\", \"09:00\", \"tomorrow 09:00\", \"+2h30m\" or \"2026-12-24T06:00:00Z\"";

/// Now, in the system's time zone.
pub(crate) fn now() -> Zoned {
    let ms = i64::try_from(SystemClock.now().0).unwrap_or(i64::MAX);
    Timestamp::from_millisecond(ms).unwrap_or(Timestamp::MAX).to_zoned(TimeZone::system())
}

/// Parses a time. A time without a zone is in the zone of `now`; a time of day alone means its next occurrence.
///
/// # Errors
/// A sentence with the accepted forms.
pub(crate) fn read(text: &str, now: &Zoned) -> Result<Timestamp, String> {
    let refuse = || format!("not a valid time; write {FORMS}");
    let text = text.trim();
    if let Some(span) = text.strip_prefix('+') {
        let span: Span = span.trim().parse().map_err(|_| refuse())?;
        return now.checked_add(span).map(|zoned| zoned.timestamp()).map_err(|_| refuse());
    }
    if let Ok(moment) = text.parse::<Timestamp>() {
        return Ok(moment);
    }
    let (day, time) = match text.split_once(' ') {
        Some(("today", time)) => (Some(now.date()), time),
        Some(("tomorrow", time)) => (Some(tomorrow(now)?), time),
        _ => (None, text),
    };
    // A full date parses as a time of day as well, so only text without dashes counts as a bare time.
    let bare = if time.contains('-') { None } else { time.parse::<Time>().ok() };
    let local = match (day, bare) {
        (Some(day), Some(time)) => day.to_datetime(time),
        (Some(_), None) => return Err(refuse()),
        (None, Some(time)) if time > now.time() => now.date().to_datetime(time),
        (None, Some(time)) => tomorrow(now)?.to_datetime(time),
        (None, None) => text.parse::<DateTime>().map_err(|_| refuse())?,
    };
    // If the clocks skip this time, the later reading counts; if they repeat it, the earlier one (as in RFC 5545).
    local.to_zoned(now.time_zone().clone()).map(|zoned| zoned.timestamp()).map_err(|_| refuse())
}

fn tomorrow(now: &Zoned) -> Result<Date, String> {
    now.date().checked_add(1.day()).map_err(|_| "tomorrow is out of range".to_owned())
}

/// A time from the server for people: `3 min ago`, `in 2 h`, or the date if it is more than a day away.
pub(crate) fn show(moment: &str, now: &Zoned) -> String {
    let Ok(then) = moment.parse::<Timestamp>() else { return crate::terminal::plain(moment) };
    let away: SignedDuration = now.timestamp().duration_until(then);
    let seconds = away.as_secs().unsigned_abs();
    let span = match seconds {
        0 => return "now".to_owned(),
        1..60 => format!("{seconds} s"),
        60..3570 => format!("{} min", (seconds + 30) / 60),
        3570..84_600 => format!("{} h", (seconds + 1800) / 3600),
        _ => return then.to_zoned(now.time_zone().clone()).strftime("%Y-%m-%d %H:%M").to_string(),
    };
    if away.is_negative() { format!("{span} ago") } else { format!("in {span}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noon() -> Zoned {
        "2026-11-20T12:00:00+03:00[Etc/GMT-3]".parse().expect("a moment")
    }

    #[test]
    fn times_are_parsed_in_many_forms() {
        for (text, utc) in [
            ("2026-12-24T06:00:00Z", "2026-12-24T06:00:00Z"),
            ("2026-12-24T09:00:00+03:00", "2026-12-24T06:00:00Z"),
            ("2026-12-24 09:00", "2026-12-24T06:00:00Z"),
            ("2026-12-24T09:00", "2026-12-24T06:00:00Z"),
            ("13:30", "2026-11-20T10:30:00Z"),
            ("11:00", "2026-11-21T08:00:00Z"),
            ("tomorrow 13:30", "2026-11-21T10:30:00Z"),
            ("today 11:00", "2026-11-20T08:00:00Z"),
            ("+2h30m", "2026-11-20T11:30:00Z"),
            ("+1d", "2026-11-21T09:00:00Z"),
            ("+90s", "2026-11-20T09:01:30Z"),
        ] {
            assert_eq!(read(text, &noon()).map(|t| t.to_string()), Ok(utc.to_owned()), "{text}");
        }
        for text in ["", "soon", "25:00", "tomorrow", "tomorrow noon", "+", "+soon", "2026-13-01 09:00"] {
            assert!(read(text, &noon()).is_err(), "{text:?}");
        }
    }

    #[test]
    fn times_are_shown_relative_to_now() {
        for (moment, shown) in [
            ("2026-11-20T09:00:00Z", "now"),
            ("2026-11-20T08:59:18Z", "42 s ago"),
            ("2026-11-20T09:05:00Z", "in 5 min"),
            ("2026-11-20T06:59:00Z", "2 h ago"),
            ("2026-11-20T10:59:59Z", "in 2 h"),
            ("2026-11-20T09:59:29Z", "in 59 min"),
            ("2026-11-20T09:59:59Z", "in 1 h"),
            ("2026-11-21T08:40:00Z", "2026-11-21 11:40"),
            ("2026-11-24T06:00:00Z", "2026-11-24 09:00"),
            ("later\u{1b}", "later·"),
        ] {
            assert_eq!(show(moment, &noon()), shown);
        }
    }
}
