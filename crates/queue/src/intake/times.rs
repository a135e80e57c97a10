//! Times of orders: RFC 3339 with an offset, to the millisecond, within a window.

use std::time::Duration;

use jiff::Timestamp;
use posthaste_model::UnixMs;

use super::validation_error::{ValidationCode, ValidationError};
use crate::timestamp::ApiTime;

/// How far in the past a due time may be; it then means "now". Older times are mistakes: seconds instead of
/// milliseconds, a wrong year.
const PAST: Duration = Duration::from_secs(24 * 3_600);

/// Parses an RFC 3339 time. Fractions of a millisecond are rounded up, so that nothing is early.
pub(crate) fn parse(text: &str) -> Option<UnixMs> {
    if !is_rfc3339(text.as_bytes()) {
        return None;
    }
    let at: Timestamp = text.parse().ok()?;
    let ms = at.as_millisecond();
    let whole = Timestamp::from_millisecond(ms).ok()? == at;
    let ms = u64::try_from(ms).ok()?;
    Some(UnixMs(if whole { ms } else { ms + 1 }))
}

/// `YYYY-MM-DDTHH:MM:SS`, optionally a fraction, then `Z` or `±HH:MM`. The library checks the calendar, but would
/// accept more than this: no offset besides a zone, offset hours up to 25, second 60.
fn is_rfc3339(text: &[u8]) -> bool {
    let Some((stamp, rest)) = text.split_at_checked(19) else { return false };
    let digits = |at: usize, most: u8| {
        stamp[at].is_ascii_digit()
            && stamp[at + 1].is_ascii_digit()
            && (stamp[at] - b'0') * 10 + (stamp[at + 1] - b'0') <= most
    };
    let shape = digits(0, 99)
        && digits(2, 99)
        && digits(5, 12)
        && digits(8, 31)
        && digits(11, 23)
        && digits(14, 59)
        && digits(17, 59)
        && [stamp[4], stamp[7], stamp[13], stamp[16]] == *b"--::"
        && matches!(stamp[10], b'T' | b't');
    shape && is_offset(fraction_cut(rest))
}

/// What follows a fraction of one to nine digits, if there is one.
fn fraction_cut(rest: &[u8]) -> &[u8] {
    let Some((b'.', after)) = rest.split_first() else { return rest };
    let digits = after.iter().take_while(|b| b.is_ascii_digit()).count();
    if (1..=9).contains(&digits) { &after[digits..] } else { &[] }
}

fn is_offset(rest: &[u8]) -> bool {
    match rest {
        [b'Z' | b'z'] => true,
        [b'+' | b'-', h1, h2, b':', m1, m2] => {
            [h1, h2, m1, m2].iter().all(|b| b.is_ascii_digit())
                && (h1 - b'0') * 10 + (h2 - b'0') <= 23
                && (m1 - b'0') * 10 + (m2 - b'0') <= 59
        }
        _ => false,
    }
}

/// Parses a due time; `None` if it is now or in the past.
pub(crate) fn due(text: &str, now: UnixMs, ahead: Duration) -> Result<Option<UnixMs>, ValidationError> {
    let due = parse(text).ok_or_else(|| invalid("/deliver_at"))?;
    let (first, last) = (UnixMs(now.0.saturating_sub(millis(PAST))), now.after(ahead));
    if due < first || due > last {
        let window = format!("must be from {} to {}", ApiTime(first), ApiTime(last));
        return Err(ValidationError::new("/deliver_at", ValidationCode::TimeOutOfRange, window));
    }
    Ok((due > now).then_some(due))
}

/// Parses the expiry of an order with this due time.
pub(crate) fn expires(text: &str, due: UnixMs, longest: Duration) -> Result<UnixMs, ValidationError> {
    let end = parse(text).ok_or_else(|| invalid("/expires_at"))?;
    if end <= due {
        let detail = format!("must be after the due time, {}", ApiTime(due));
        return Err(ValidationError::new("/expires_at", ValidationCode::ExpiresBeforeDelivery, detail));
    }
    let last = due.after(longest);
    if end > last {
        let detail = format!("must be at most {}", ApiTime(last));
        return Err(ValidationError::new("/expires_at", ValidationCode::TimeOutOfRange, detail));
    }
    Ok(end)
}

fn invalid(pointer: &str) -> ValidationError {
    ValidationError::new(
        pointer,
        ValidationCode::InvalidTime,
        "must be an RFC 3339 time with an offset, such as 2026-11-20T09:00:00+03:00",
    )
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn show(moment: UnixMs) -> String {
        ApiTime(moment).to_string()
    }

    const NOW: UnixMs = UnixMs(1_795_000_000_000);
    const YEAR: Duration = Duration::from_secs(366 * 86_400);

    #[test]
    fn only_rfc_3339_with_an_offset_is_a_time() {
        for good in [
            "2026-11-20T09:00:00Z",
            "2026-11-20t09:00:00.123456789z",
            "2026-11-20T09:00:00+03:00",
            "2028-02-29T23:59:59-11:30",
        ] {
            assert!(parse(good).is_some(), "{good}");
        }
        for bad in [
            "",
            "now",
            "2026-11-20",
            "2026-02-30T09:00:00Z",
            "2026-02-29T09:00:00Z",
            "2026-11-20T24:00:00Z",
            "2026-11-20T09:00:60Z",
            "2016-12-31T23:59:60Z",
            "2026-11-20T09:00:00",
            "2026-11-20T09:00:00+25:00",
            "2026-11-20T09:00:00+0300",
            "2026-11-20T09:00:00+03",
            "2026-11-20T09:00:00.Z",
            "2026-11-20T09:00:00.1234567890Z",
            "2026-11-20T09:00Z",
            "2026-11-20 09:00:00Z",
            "2026-11-20T09:00:00Z[UTC]",
            "2026-11-20T09:00:00[Europe/Berlin]",
            "+02026-11-20T09:00:00Z",
            "-002026-11-20T09:00:00Z",
            "２０２６-11-20T09:00:00Z",
            "1969-12-31T23:59:59Z",
            "1795000000000",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn parts_of_a_millisecond_are_never_early() {
        assert_eq!(parse("1970-01-01T00:00:01.000000001Z"), Some(UnixMs(1_001)));
        assert_eq!(parse("1970-01-01T00:00:01.001Z"), Some(UnixMs(1_001)));
    }

    #[test]
    fn past_times_mean_now_and_far_ones_are_refused() {
        let reported = |ms: u64| due(&show(UnixMs(ms)), NOW, YEAR);
        assert_eq!(reported(NOW.0), Ok(None));
        assert_eq!(reported(NOW.0 - 86_000_000), Ok(None));
        assert_eq!(reported(NOW.0 + 1), Ok(Some(UnixMs(NOW.0 + 1))));
        for far in [1_795_000_000, 0, NOW.0 - 86_400_001, NOW.0 + 367 * 86_400_000] {
            assert_eq!(reported(far).unwrap_err().code, ValidationCode::TimeOutOfRange, "{far}");
        }
        assert_eq!(due("9999-12-30T00:00:00Z", NOW, YEAR).unwrap_err().code, ValidationCode::TimeOutOfRange);
        assert!(due("9999-12-31T23:59:59Z", NOW, YEAR).is_err());
        assert!(due("57000-01-01T00:00:00Z", NOW, YEAR).is_err());
    }

    #[test]
    fn an_order_ends_after_it_is_due_and_not_in_ten_years() {
        let reported = |ms: u64| expires(&show(UnixMs(ms)), NOW, YEAR);
        assert_eq!(reported(NOW.0).unwrap_err().code, ValidationCode::ExpiresBeforeDelivery);
        assert_eq!(reported(NOW.0 + 1), Ok(UnixMs(NOW.0 + 1)));
        assert_eq!(reported(NOW.0 + 3_660 * 86_400_000).unwrap_err().code, ValidationCode::TimeOutOfRange);
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_back(ms in 0..253_402_300_799_999_u64) {
            prop_assert_eq!(parse(&show(UnixMs(ms))), Some(UnixMs(ms)));
        }

        #[test]
        fn no_input_makes_it_panic(text in ".{0,40}") {
            let _ = parse(&text);
        }
    }
}
