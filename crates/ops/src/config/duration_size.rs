//! Settings with a unit: durations (`HumanDuration`) and sizes (`ByteSize`).
//!
//! A bare number is refused: nobody should have to guess what `10` means in a settings file.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::{Serialize, Serializer};

/// A unit: its name and how many of the smallest unit it holds. Ordered from small to large.
type Unit = (&'static str, u64);

const DURATIONS: &[Unit] = &[("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];
const SIZES: &[Unit] = &[("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40)];

/// A duration written with its unit: `250ms`, `10s`, `15m`, `72h`, `90d`. Whole numbers only.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HumanDuration(u64);

/// A size in bytes written with its unit: `512B`, `16KiB`, `64MiB`, `1GiB`. Powers of 1,024; whole numbers only.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(u64);

/// A value with a unit that cannot be parsed; the text says what is expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{given:?} {fault}; write a whole number and a unit ({units}), for example {example:?}")]
pub struct UnitError {
    given: String,
    fault: &'static str,
    units: String,
    example: &'static str,
}

impl HumanDuration {
    const EXAMPLE: &'static str = "10s";

    /// A duration in milliseconds.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// The duration as a standard library type.
    pub const fn get(self) -> Duration {
        Duration::from_millis(self.0)
    }
}

impl ByteSize {
    const EXAMPLE: &'static str = "64MiB";

    /// A size in bytes.
    pub const fn new(bytes: u64) -> Self {
        Self(bytes)
    }

    /// The size in bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }
}

impl From<HumanDuration> for Duration {
    fn from(value: HumanDuration) -> Self {
        value.get()
    }
}

fn parse(given: &str, units: &[Unit], example: &'static str) -> Result<u64, UnitError> {
    let refuse = |fault| UnitError { given: given.to_owned(), fault, units: names(units), example };
    let digits = given.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = given.split_at(digits);
    if number.is_empty() {
        return Err(refuse("does not begin with a number"));
    }
    let unit = unit.strip_prefix(' ').unwrap_or(unit);
    if unit.is_empty() {
        return Err(refuse("has no unit"));
    }
    let Some((_, factor)) = units.iter().find(|(name, _)| *name == unit) else {
        return Err(refuse("has an unknown unit"));
    };
    let number: u64 = number.parse().map_err(|_| refuse("is too large"))?;
    number.checked_mul(*factor).ok_or_else(|| refuse("is too large"))
}

fn names(units: &[Unit]) -> String {
    units.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
}

/// Writes the value in the largest unit that divides it, so that no precision is lost.
fn show(value: u64, units: &[Unit], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let fits = |unit: &&Unit| value != 0 && value.is_multiple_of(unit.1);
    let (name, factor) = units.iter().rev().find(fits).unwrap_or(&units[0]);
    write!(f, "{}{name}", value / factor)
}

/// Parses a unit type from text, and refuses a bare number with a specific message.
struct UnitVisitor {
    units: &'static [Unit],
    example: &'static str,
}

impl Visitor<'_> for UnitVisitor {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "text with a number and a unit ({}), for example {:?}", names(self.units), self.example)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<u64, E> {
        parse(text, self.units, self.example).map_err(E::custom)
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<u64, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<u64, E> {
        self.visit_str(&number.to_string())
    }
}

/// A standard library duration written like a [`HumanDuration`], in whole milliseconds: for fields with
/// `#[serde(with = "posthaste_ops::config::duration")]`.
pub mod duration {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::HumanDuration;

    /// Parses a duration with its unit.
    ///
    /// # Errors
    /// It has no number, no unit, or an unknown one.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        HumanDuration::deserialize(deserializer).map(HumanDuration::get)
    }

    /// Writes a duration in the largest unit that divides it.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        HumanDuration::from_millis(millis).serialize(serializer)
    }
}

/// The implementations both unit types share.
macro_rules! unit_type {
    ($name:ident, $units:ident) => {
        impl FromStr for $name {
            type Err = UnitError;

            fn from_str(text: &str) -> Result<Self, UnitError> {
                parse(text, $units, Self::EXAMPLE).map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                show(self.0, $units, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                show(self.0, $units, f)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_any(UnitVisitor { units: $units, example: Self::EXAMPLE }).map(Self)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
    };
}

unit_type!(HumanDuration, DURATIONS);
unit_type!(ByteSize, SIZES);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_standard_duration_is_written_and_read_with_its_unit() {
        #[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
        struct Wait {
            #[serde(with = "duration")]
            by: Duration,
        }
        for (millis, text) in [(0, "0ms"), (1_500, "1500ms"), (90_000, "90s"), (3_600_000, "1h")] {
            let wait = Wait { by: Duration::from_millis(millis) };
            let json = serde_json::json!({ "by": text });
            assert_eq!(serde_json::to_value(&wait).expect("JSON"), json);
            assert_eq!(serde_json::from_value::<Wait>(json).expect("a wait"), wait);
        }
        assert!(serde_json::from_str::<Wait>("{\"by\":5}").is_err());
    }

    #[test]
    fn durations_are_parsed_and_shown_in_the_same_unit() {
        for (text, millis) in
            [("250ms", 250), ("10s", 10_000), ("15m", 900_000), ("72h", 259_200_000), ("0ms", 0)]
        {
            let duration: HumanDuration = text.parse().expect(text);
            assert_eq!(duration.get(), Duration::from_millis(millis), "{text}");
        }
        assert_eq!("3d".parse::<HumanDuration>().expect("3d").to_string(), "3d");
        assert_eq!("72h".parse::<HumanDuration>().expect("72h").to_string(), "3d");
        assert_eq!("1500ms".parse::<HumanDuration>().expect("1500ms").to_string(), "1500ms");
        assert_eq!("2 s".parse::<HumanDuration>().expect("2 s").to_string(), "2s");
    }

    #[test]
    fn sizes_are_powers_of_1024() {
        assert_eq!("64MiB".parse::<ByteSize>().expect("64MiB").bytes(), 64 << 20);
        assert_eq!("1024B".parse::<ByteSize>().expect("1024B").to_string(), "1KiB");
        let refused = "64MB".parse::<ByteSize>().expect_err("decimal units are not known");
        assert_eq!(
            refused.to_string(),
            "\"64MB\" has an unknown unit; write a whole number and a unit (B, KiB, MiB, GiB, TiB), for example \"64MiB\""
        );
    }

    #[test]
    fn a_bare_number_is_refused_with_the_units() {
        let refused = "10".parse::<HumanDuration>().expect_err("no unit");
        assert_eq!(
            refused.to_string(),
            "\"10\" has no unit; write a whole number and a unit (ms, s, m, h, d), for example \"10s\""
        );
        let from_number = serde_json::from_str::<HumanDuration>("10").expect_err("a bare number");
        assert!(from_number.to_string().contains("has no unit"), "{from_number}");
    }

    #[test]
    fn fractions_and_numbers_that_are_too_large_are_refused() {
        for text in ["", "s", "-1s", "1.5s", "99999999999999999999s", "18446744073709551615h"] {
            assert!(text.parse::<HumanDuration>().is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn a_shown_value_parses_back(millis: u64) {
            let duration = HumanDuration::from_millis(millis);
            prop_assert_eq!(duration.to_string().parse(), Ok(duration));
            let size = ByteSize::new(millis);
            prop_assert_eq!(size.to_string().parse(), Ok(size));
        }

        #[test]
        fn any_text_is_parsed_or_refused(text in "\\PC*|[0-9]{0,22} ?[a-zA-Zµ]{0,3}") {
            if let Ok(duration) = text.parse::<HumanDuration>() {
                prop_assert_eq!(duration.to_string().parse(), Ok(duration));
            }
        }
    }
}
