//! Numbers as the servers parse and format them.

use super::flavour::Flavour;
use super::sorted_set::{Limit, Score};

/// Parses an integer as strictly as a server does: no sign but `-`, no spaces, no leading zeros.
pub(crate) fn parse_int(text: &[u8]) -> Option<i64> {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    let plain = match digits {
        b"0" => text.len() == 1,
        [b'1'..=b'9', rest @ ..] => rest.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    if !plain || text.len() > 20 {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// Parses a score: anything that C's `strtod` consumes completely, without leading spaces, not too large, not too
/// small and not NaN.
pub(crate) fn parse_score(text: &[u8]) -> Option<Score> {
    if text.is_empty() || text.iter().any(u8::is_ascii_whitespace) {
        return None;
    }
    let number = strtod(text)?;
    let named = text.iter().any(|byte| matches!(byte, b'i' | b'I'));
    let hexadecimal = text.iter().any(|byte| matches!(byte, b'x' | b'X'));
    let mantissa = text.split(|byte| matches!(byte, b'e' | b'E')).next().unwrap_or(text);
    let vanished = number == 0.0 && !hexadecimal && mantissa.iter().any(|byte| matches!(byte, b'1'..=b'9'));
    if (number.is_infinite() && !named) || vanished {
        return None;
    }
    Score::new(number)
}

/// Parses one bound of a score range: `5`, `(5`, `-inf`, `+inf`. An empty text counts as zero, and
/// all servers but Redis 8.0 skip leading spaces.
pub(crate) fn parse_limit(text: &[u8], flavour: Flavour) -> Option<Limit> {
    let (exclusive, text) = match text.strip_prefix(b"(") {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let text = if flavour.skips_spaces() { text.trim_ascii_start() } else { text };
    let number = if text.is_empty() { 0.0 } else { strtod(text)? };
    Some(Limit { score: Score::new(number)?, exclusive })
}

/// C's `strtod` over the whole text.
fn strtod(text: &[u8]) -> Option<f64> {
    let text = std::str::from_utf8(text).ok()?;
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    if digits.starts_with(['-', '+']) {
        return None;
    }
    let number = match digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        // Whole hexadecimal numbers only: C also accepts fractions and binary exponents, but nobody uses them as
        // scores.
        Some(hex) if !hex.starts_with(['-', '+']) => u64::from_str_radix(hex, 16).ok()? as f64,
        Some(_) => return None,
        None => digits.parse().ok()?,
    };
    Some(if negative { -number } else { number })
}

/// A score as in the replies of `ZSCORE` and `WITHSCORES`.
pub(crate) fn format_score(score: f64, flavour: Flavour) -> String {
    if flavour.shortest_digits() { format_shortest(score) } else { format_17_digits(score) }
}

/// A Lua number as `redis.call` converts it to an argument.
pub(crate) fn format_argument(number: f64, flavour: Flavour) -> String {
    // Where integers are printed as such, zero has no sign.
    let number = if flavour.shortest_digits() && number == 0.0 { 0.0 } else { number };
    format_score(number, flavour)
}

/// A number as Lua 5.1 itself formats it: C's `%.14g`.
pub(crate) fn format_lua(number: f64) -> String {
    format_digits(number, 14)
}

/// C's `%.17g`.
fn format_17_digits(number: f64) -> String {
    format_digits(number, 17)
}

/// C's `%.<digits>g`.
fn format_digits(number: f64, digits: i32) -> String {
    if let Some(name) = name_of(number) {
        return name.to_owned();
    }
    // A shortcut for the common case; zero takes the general path, for its sign.
    if number.abs() < 1e14 && number.trunc() == number && number != 0.0 {
        return (number as i64).to_string();
    }
    let places = usize::try_from(digits - 1).unwrap_or(0);
    let text = format!("{number:.places$e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if !(-4..digits).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{}e{sign}{:02}", without_trailing_zeros(mantissa), exponent.abs());
    }
    let decimals = usize::try_from(digits - 1 - exponent).unwrap_or(0);
    without_trailing_zeros(&format!("{number:.decimals$}")).to_owned()
}

/// The fewest digits that parse back to the same number, in the format of the servers' `fpconv_dtoa`; integers
/// up to 2^62 in full. (The servers' algorithm misses the fewest for about one number of sixteen or seventeen
/// digits in a thousand; that is not copied.)
fn format_shortest(number: f64) -> String {
    if let Some(name) = name_of(number) {
        return name.to_owned();
    }
    const WHOLE: f64 = (i64::MAX / 2) as f64;
    if number.abs() <= WHOLE && number.trunc() == number && !(number == 0.0 && number.is_sign_negative()) {
        return (number as i64).to_string();
    }
    let sign = if number.is_sign_negative() { "-" } else { "" };
    let text = format!("{:e}", number.abs());
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let digits = mantissa.replace('.', "");
    let count = i32::try_from(digits.len()).unwrap_or(i32::MAX);
    // digits × 10^shift
    let shift = exponent - (count - 1);
    let zeros = |n: i32| "0".repeat(usize::try_from(n).unwrap_or(0));
    if shift >= 0 && exponent.abs() < count + 7 {
        return format!("{sign}{digits}{}", zeros(shift));
    }
    if shift < 0 && (shift > -7 || exponent.abs() < 4) {
        let whole = count + shift;
        return match usize::try_from(whole) {
            Ok(at) if at > 0 => format!("{sign}{}.{}", &digits[..at], &digits[at..]),
            _ => format!("{sign}0.{}{digits}", zeros(-whole)),
        };
    }
    let places = digits.len().min(18 - sign.len());
    let fraction = if places > 1 { format!(".{}", &digits[1..places]) } else { String::new() };
    let exponent_sign = if exponent < 0 { '-' } else { '+' };
    format!("{sign}{}{fraction}e{exponent_sign}{}", &digits[..1], exponent.abs())
}

fn name_of(number: f64) -> Option<&'static str> {
    match (number.is_nan(), number.is_infinite(), number.is_sign_negative()) {
        (true, _, true) => Some("-nan"),
        (true, _, false) => Some("nan"),
        (_, true, true) => Some("-inf"),
        (_, true, false) => Some("inf"),
        _ => None,
    }
}

fn without_trailing_zeros(text: &str) -> &str {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_are_read_strictly() {
        for (text, number) in [
            ("0", Some(0)),
            ("-1", Some(-1)),
            ("9223372036854775807", Some(i64::MAX)),
            ("-9223372036854775808", Some(i64::MIN)),
            ("9223372036854775808", None),
            ("-0", None),
            ("+1", None),
            ("01", None),
            (" 1", None),
            ("1 ", None),
            ("", None),
            ("-", None),
            ("1.0", None),
        ] {
            assert_eq!(parse_int(text.as_bytes()), number, "{text:?}");
        }
    }

    #[test]
    fn numbers_are_printed_with_seventeen_digits() {
        for (number, text) in [
            (3.0, "3"),
            (1.5, "1.5"),
            (0.1, "0.10000000000000001"),
            (-0.0, "-0"),
            (0.0, "0"),
            (1e16, "10000000000000000"),
            (1e17, "1e+17"),
            (123_456_789_012_345_678.0, "1.2345678901234568e+17"),
            (1e-5, "1.0000000000000001e-05"),
            (1e-7, "9.9999999999999995e-08"),
            (0.0001, "0.0001"),
            (123456.789, "123456.789"),
            (f64::NEG_INFINITY, "-inf"),
            (1e300, "1.0000000000000001e+300"),
        ] {
            assert_eq!(format_17_digits(number), text);
        }
    }

    #[test]
    fn numbers_are_printed_as_lua_does() {
        for (number, text) in [
            (1e14, "1e+14"),
            (9_007_199_254_740_992.0, "9.007199254741e+15"),
            (0.1, "0.1"),
            (1e13, "10000000000000"),
        ] {
            assert_eq!(format_lua(number), text);
        }
    }

    #[test]
    fn numbers_are_printed_with_the_fewest_digits() {
        for (number, text) in [
            (3.0, "3"),
            (0.1, "0.1"),
            (-0.0, "-0"),
            (1e17, "100000000000000000"),
            (1e20, "1e+20"),
            (123_456_789_012_345_678.0, "123456789012345680"),
            (1e-5, "0.00001"),
            (1e-7, "1e-7"),
            (1e21, "1e+21"),
            (-2.5, "-2.5"),
        ] {
            assert_eq!(format_shortest(number), text);
        }
    }

    #[test]
    fn scores_are_read_as_strtod_does() {
        for text in ["", " 1", "1 ", "nan", "-nan", "1e400", "1e-400", "abc", "1_0", "--1", "0x", "5\0"] {
            assert!(parse_score(text.as_bytes()).is_none(), "{text:?}");
        }
        for (text, number) in [
            ("+5", 5.0),
            (".5", 0.5),
            ("1e5", 1e5),
            ("-inf", f64::NEG_INFINITY),
            ("Infinity", f64::INFINITY),
            ("0x10", 16.0),
        ] {
            assert_eq!(parse_score(text.as_bytes()).map(Score::get), Some(number), "{text:?}");
        }
    }
}
