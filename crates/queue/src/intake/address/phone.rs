//! Phone numbers: written as E.164, `+` and the digits.

use phonenumber::Mode;
use phonenumber::country::Id;

use super::Wrong;
use crate::intake::flaw::FlawCode;

/// Characters of a number as people write it, at most.
const MOST_GIVEN: usize = 40;

const WRONG: Wrong = (FlawCode::InvalidPhone, "a phone number that exists, as +79991234567");
const NO_COUNTRY: Wrong =
    (FlawCode::InvalidPhone, "a phone number with its country, as +79991234567: no region is set for others");

/// Where a number without a country belongs; nowhere when there is no region.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Region(Option<Id>);

impl Region {
    /// The region of two capital letters, or none for an empty name; `None` when there is no such region.
    pub(crate) fn named(name: &str) -> Option<Self> {
        if name.is_empty() {
            return Some(Self(None));
        }
        name.parse().ok().map(|id| Self(Some(id)))
    }
}

/// Reads a phone number: digits of ASCII, a leading `+` or `00` for a country, and what people put between digits.
pub(crate) fn number(text: &str, region: Region) -> Result<String, Wrong> {
    let digits = digits(text).ok_or(WRONG)?;
    let Region(region) = region;
    if !digits.starts_with('+') && region.is_none() {
        return Err(NO_COUNTRY);
    }
    let number = phonenumber::parse(region, &digits).map_err(|_| WRONG)?;
    if !number.is_valid() {
        return Err(WRONG);
    }
    let written = number.format().mode(Mode::E164).to_string();
    // What the provider gets is plus and 7 to 15 digits, whatever the library makes of it.
    let fits = written.strip_prefix('+').is_some_and(|rest| {
        (7..=15).contains(&rest.len()) && rest.bytes().all(|b| b.is_ascii_digit()) && !rest.starts_with('0')
    });
    if fits { Ok(written) } else { Err(WRONG) }
}

/// Without what people put between digits; `None` when there is anything else, or too much.
fn digits(text: &str) -> Option<String> {
    if text.len() > MOST_GIVEN {
        return None;
    }
    let mut out = String::with_capacity(16);
    for c in text.chars() {
        match c {
            '0'..='9' => out.push(c),
            '+' if out.is_empty() => out.push(c),
            ' ' | '-' | '(' | ')' | '.' | '\u{a0}' | '\u{2011}' => {}
            _ => return None,
        }
    }
    if let Some(abroad) = out.strip_prefix("00") {
        out = format!("+{abroad}");
    }
    // With a national prefix in front, 16 digits may still be a number.
    (4..=17).contains(&out.len()).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str, region: &str) -> Result<String, FlawCode> {
        number(text, Region::named(region).unwrap()).map_err(|(code, _)| code)
    }

    #[test]
    fn numbers_are_written_as_e_164() {
        for (given, region, written) in [
            ("+7 (999) 123-45-67", "", "+79991234567"),
            ("+79991234567", "RU", "+79991234567"),
            ("8 (999) 123-45-67", "RU", "+79991234567"),
            ("89991234567", "RU", "+79991234567"),
            ("9991234567", "RU", "+79991234567"),
            ("0049 30 901820", "", "+4930901820"),
            ("+44 20 7946 0018", "RU", "+442079460018"),
            ("020 7946 0018", "GB", "+442079460018"),
            ("(212) 736-5000", "US", "+12127365000"),
        ] {
            assert_eq!(told(given, region), Ok(written.to_owned()), "{given}");
        }
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for bad in [
            "",
            "+",
            "++79991234567",
            "7+9991234567",
            "123",
            "+123",
            "+7999123456",
            "+799912345678",
            "+7999123456789012",
            "+0999123456",
            "89991234567",
            "9991234567",
            "+7999CALLME1",
            "+٧٩٩٩١٢٣٤٥٦٧",
            "+79991234567;ext=5",
            "+79991234567 ext. 5",
            "tel:+79991234567",
            "+79991234567,+79991234568",
            "+79991234567\n",
            "+7999123\x0045670",
            "&phones=79991234567",
            "+999999999999",
        ] {
            assert_eq!(told(bad, ""), Err(FlawCode::InvalidPhone), "{bad:?}");
        }
    }

    #[test]
    fn only_regions_there_are_can_be_set() {
        assert!(Region::named("RU").is_some());
        assert!(Region::named("XX").is_none());
        assert!(Region::named("Russia").is_none());
    }
}
