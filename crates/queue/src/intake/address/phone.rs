//! Phone numbers: written as E.164, `+` and the digits.
//!
//! A number that begins with `+` or `00` includes its country: it is parsed without the region of the settings, which
//! would change it (removing the region's national prefix from another country's number gives a number of somebody else).
//!
//! Attackers who make a service send paid messages to their own numbers commit toll fraud. Therefore messages go only
//! to countries that the settings list, and never to premium-rate numbers, satellite phones and the like.

use std::sync::Arc;

use posthaste_model::addresses::phone::is_number;
use rlibphonenumber::{NumberLengthType, PHONE_NUMBER_UTIL, PhoneNumber, PhoneNumberFormat, PhoneNumberType};
use serde::Deserialize;

use super::Wrong;
use crate::intake::validation_error::ValidationCode;

/// Maximum characters of a number as written; invisible ones are not counted.
const MOST_GIVEN: usize = 40;
/// Maximum bytes of the same, including invisible characters.
const MOST_BYTES: usize = 256;

const fn wrong(detail: &'static str) -> Wrong {
    (ValidationCode::InvalidPhone, detail)
}

const NO_NUMBER: Wrong = wrong("not a phone number; it looks like +79991234567");
const NO_COUNTRY: Wrong = wrong("must start with + and the country code, or set orders.phone_region");
const UNKNOWN_COUNTRY: Wrong = wrong("unknown country code; a number looks like +79991234567");
const TOO_SHORT: Wrong = wrong("too few digits for a phone number of its country");
const TOO_LONG: Wrong = wrong("too many digits for a phone number of its country");
const OTHER_LENGTH: Wrong = wrong("no phone number of its country has this many digits");
const LOCAL: Wrong = wrong("the area code is missing");
const NOT_IN_USE: Wrong =
    wrong("not in the numbering plan of its country (orders.phone_strictness is \"valid\")");
const TWO_READINGS: Wrong =
    wrong("the national prefix appears twice; write +, the country code and the number");
const SPREADSHEET: Wrong =
    wrong("ends in .0: a spreadsheet turned it into a decimal; format the column as text");
const SCIENTIFIC: Wrong =
    wrong("in scientific notation: a spreadsheet rounded it; format the column as text and enter it again");
const SECOND_PLUS: Wrong = wrong("a + is only allowed at the beginning; give one number per address");
const SECOND_NUMBER: Wrong = wrong("contains a comma, semicolon or slash; give one number per address");
const OTHER_DIGIT: Wrong = wrong("its digits must be 0 to 9");
const LETTER: Wrong = wrong("contains a letter; write only digits, without an extension");
const CONTROL: Wrong = wrong("contains a line break or another control character");
const OTHER_CHARACTER: Wrong =
    wrong("contains a character other than digits, spaces, dashes, dots and brackets");

const OTHER_COUNTRY: Wrong =
    (ValidationCode::CountryNotAllowed, "messages to this country are not allowed (orders.phone_countries)");
const PREMIUM: Wrong = (
    ValidationCode::NumberNotAllowed,
    "premium-rate and shared-cost numbers, satellite phones and international networks are not allowed",
);

/// The value of a setting that means all countries.
const ALL: &str = "*";

/// How strictly phone numbers are checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strictness {
    /// The country exists and has numbers of this length. Numbering plans change faster than libraries.
    Possible,
    /// The number is also in a range that the library knows to be in use.
    Valid,
}

/// A region of the library.
type Id = rlibphonenumber::Region;

/// Countries whose numbers may receive messages.
#[derive(Debug, Clone)]
enum Countries {
    All,
    Only(Arc<[Id]>),
}

/// How numbers are parsed: the region of numbers without a country code, how strict the check is, and which countries
/// may receive messages.
#[derive(Debug, Clone)]
pub(crate) struct PhoneRules {
    region: Option<Id>,
    strictness: Strictness,
    /// `None`: any number is accepted.
    countries: Option<Countries>,
}

impl PhoneRules {
    /// Rules with a region of two capital letters, or none for an empty name; `None` if the region does not exist.
    /// All countries are allowed.
    pub(crate) fn new(region: &str, strictness: Strictness) -> Option<Self> {
        let found = supported(region);
        let countries = Some(Countries::All);
        (region.is_empty() || found.is_some()).then_some(Self { region: found, strictness, countries })
    }

    /// The same, with messages allowed only to these countries: two capital letters each, or `*` for all. An empty
    /// list allows only the region's country, if there is one. `None` if a country does not exist.
    pub(crate) fn to(self, countries: &[String]) -> Option<Self> {
        let countries = match countries {
            [all] if all == ALL => Countries::All,
            [] => Countries::Only(self.region.into_iter().collect()),
            named => Countries::Only(named.iter().map(|name| supported(name)).collect::<Option<_>>()?),
        };
        Some(Self { countries: Some(countries), ..self })
    }

    /// The same, accepting anything that may be a number: for looking up addresses that were accepted under other settings.
    pub(crate) fn lenient(self) -> Self {
        Self { strictness: Strictness::Possible, ..self.anywhere() }
    }

    /// The same for numbers that will receive no message, so that all countries are allowed.
    pub(crate) fn anywhere(self) -> Self {
        Self { countries: None, ..self }
    }
}

fn supported(name: &str) -> Option<Id> {
    // This also loads the library's tables (5 ms), which the first request would otherwise wait for.
    PHONE_NUMBER_UTIL.get_supported_regions().find(|id| id.to_string() == name)
}

impl Countries {
    /// Whether this number's country may receive messages. A number in an unassigned range counts as one of the main
    /// country of its country code.
    fn have(&self, number: &PhoneNumber) -> bool {
        let Self::Only(countries) = self else { return true };
        let code = number.country_code;
        let of_code = PHONE_NUMBER_UTIL.get_regions_for_country_calling_code(code);
        let (mut all, mut none) = (true, true);
        for region in of_code.into_iter().flatten() {
            let named = countries.contains(&region);
            (all, none) = (all && named, none && !named);
        }
        if all || none {
            return all && !none;
        }
        let region = PHONE_NUMBER_UTIL.get_region_for_number(number);
        let region = region.or_else(|| PHONE_NUMBER_UTIL.get_region_for_country_code(code));
        region.is_some_and(|region| countries.contains(&region))
    }
}

/// Whether the number belongs to no phone, or makes messages cost more than usual: premium-rate and shared-cost
/// numbers, and numbers that belong to no country (satellites, international networks, universal numbers).
fn is_premium(number: &PhoneNumber) -> bool {
    let of_code = PHONE_NUMBER_UTIL.get_region_for_country_code(number.country_code);
    if of_code.is_none_or(|region| region.to_string() == "001") {
        return true;
    }
    matches!(
        PHONE_NUMBER_UTIL.get_number_type(number),
        PhoneNumberType::PremiumRate | PhoneNumberType::SharedCost
    )
}

/// Parses a phone number: ASCII digits, a leading `+` or `00` for a country, and the characters people put between digits.
///
/// # Errors
/// The rule that is violated; nothing of the number is repeated.
pub(crate) fn number(text: &str, rules: &PhoneRules) -> Result<String, Wrong> {
    let digits = digits(text)?;
    // The region does not apply to a number that includes its country.
    let region = if digits.starts_with('+') { None } else { Some(rules.region.ok_or(NO_COUNTRY)?) };
    let number = PHONE_NUMBER_UTIL.parse(&digits, region).map_err(|error| unread(&error))?;
    exists(&number, rules.strictness)?;
    let written = written(&number)?;
    // If parsing removed a prefix a second time, the stored number would become another one.
    let again = PHONE_NUMBER_UTIL.parse(&written, None).map_err(|error| unread(&error))?;
    if again != number {
        return Err(TWO_READINGS);
    }
    if let Some(countries) = &rules.countries {
        if is_premium(&number) {
            return Err(PREMIUM);
        }
        if !countries.have(&number) {
            return Err(OTHER_COUNTRY);
        }
    }
    Ok(written)
}

fn unread(error: &rlibphonenumber::ParseError) -> Wrong {
    use rlibphonenumber::ParseError;
    match error {
        ParseError::InvalidCountryCode => UNKNOWN_COUNTRY,
        ParseError::TooShortNsn | ParseError::TooShortAfterIdd => TOO_SHORT,
        ParseError::TooLongNsn => TOO_LONG,
        _ => NO_NUMBER,
    }
}

fn exists(number: &PhoneNumber, strictness: Strictness) -> Result<(), Wrong> {
    use rlibphonenumber::ValidationError;
    let is_valid = || PHONE_NUMBER_UTIL.is_valid_number(number);
    if strictness == Strictness::Valid {
        return if is_valid() { Ok(()) } else { Err(NOT_IN_USE) };
    }
    let refused = match PHONE_NUMBER_UTIL.is_possible_number_with_reason(number) {
        Ok(NumberLengthType::IsPossible) => return Ok(()),
        Ok(NumberLengthType::IsPossibleLocalOnly) => LOCAL,
        Err(ValidationError::TooShort) => TOO_SHORT,
        Err(ValidationError::TooLong) => TOO_LONG,
        Err(ValidationError::InvalidCountryCode) => UNKNOWN_COUNTRY,
        Err(_) => OTHER_LENGTH,
    };
    // A few short numbers are in use although they have the length of a partial number.
    if is_valid() { Ok(()) } else { Err(refused) }
}

/// As E.164: a plus and 6 to 15 digits, whatever the library produced.
fn written(number: &PhoneNumber) -> Result<String, Wrong> {
    let written = PHONE_NUMBER_UTIL.format(number, PhoneNumberFormat::E164);
    if is_number(&written) {
        return Ok(written.into_owned());
    }
    let digits = written.len().saturating_sub(1);
    Err(match digits {
        0..6 => TOO_SHORT,
        16.. => TOO_LONG,
        _ => NO_NUMBER,
    })
}

/// Removes the characters people put between digits, and writes `+` for `00`.
fn digits(text: &str) -> Result<String, Wrong> {
    if text.len() > MOST_BYTES {
        return Err(TOO_LONG);
    }
    if is_scientific(text) {
        return Err(SCIENTIFIC);
    }
    let mut out = String::with_capacity(16);
    let mut shown = 0;
    for c in text.chars().filter(|c| !is_hidden(*c)) {
        shown += 1;
        match c {
            '0'..='9' => out.push(c),
            '+' if out.is_empty() => out.push(c),
            '+' => return Err(SECOND_PLUS),
            '(' | ')' | '.' => {}
            c if is_blank(c) || is_dash(c) => {}
            ',' | ';' | '/' => return Err(SECOND_NUMBER),
            c if c.is_control() => return Err(CONTROL),
            c if c.is_alphabetic() => return Err(LETTER),
            c if c.is_numeric() => return Err(OTHER_DIGIT),
            _ => return Err(OTHER_CHARACTER),
        }
    }
    if is_decimal(text) {
        return Err(SPREADSHEET);
    }
    if let Some(abroad) = out.strip_prefix("00") {
        out = format!("+{abroad}");
    }
    if !out.bytes().any(|b| b.is_ascii_digit()) {
        return Err(NO_NUMBER);
    }
    match out.len() {
        0..4 => Err(TOO_SHORT),
        // With a national prefix, 16 digits may still be a number.
        4..=17 if shown <= MOST_GIVEN => Ok(out),
        _ => Err(TOO_LONG),
    }
}

/// Whether a spreadsheet wrote the number in scientific notation: `7.9991E+10`, or with a decimal comma.
fn is_scientific(text: &str) -> bool {
    let text = text.trim_matches(|c| is_blank(c) || is_hidden(c)).trim_start_matches('+');
    let is_whole = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    text.split_once(['E', 'e', '\u{415}', '\u{435}']).is_some_and(|(mantissa, exponent)| {
        is_whole(exponent.trim_start_matches(['+', '-'])) && mantissa.split(['.', ',']).all(is_whole)
    })
}

/// Whether a spreadsheet turned the number into a decimal: `436641234567.0`. The last group of a number written with
/// dots (`044.668.18.00`) does not count.
fn is_decimal(text: &str) -> bool {
    let text = text.trim_end_matches(|c| is_blank(c) || is_hidden(c));
    match text.rsplit_once('.') {
        Some((before, "0")) => before.bytes().any(|b| b.is_ascii_digit()),
        Some((before, zeros)) => {
            !before.contains('.') && zeros.len() == 2 && zeros.bytes().all(|b| b == b'0')
        }
        None => false,
    }
}

/// Spaces of all widths, including non-breaking ones.
fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\u{a0}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{3000}')
}

/// Hyphens, dashes, minus signs and similar.
fn is_dash(c: char) -> bool {
    matches!(
        c,
        '-' | '\u{2010}'..='\u{2015}' | '\u{2043}' | '\u{2212}' | '\u{fe58}' | '\u{fe63}' | '\u{ff0d}'
    )
}

/// Invisible characters that come from address books and web pages: soft hyphens, joiners, direction marks.
fn is_hidden(c: char) -> bool {
    matches!(
        c,
        '\u{ad}'
            | '\u{61c}'
            | '\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{2064}'
            | '\u{2066}'..='\u{2069}'
            | '\u{feff}'
    )
}

#[cfg(test)]
mod tests;
