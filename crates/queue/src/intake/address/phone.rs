//! Phone numbers: written as E.164, `+` and the digits.
//!
//! A number that begins with `+` or `00` names its country: it is read without the region of the settings, which would change
//! it (the national prefix of the region taken off another country's number is somebody else's number).
//!
//! Who pays for messages to numbers they name pays toll fraud: messages go only to countries the settings name, and never to
//! premium-rate numbers, satellite phones and the like.

use std::sync::Arc;

use rlibphonenumber::{NumberLengthType, PHONE_NUMBER_UTIL, PhoneNumber, PhoneNumberFormat, PhoneNumberType};
use serde::Deserialize;

use super::Wrong;
use crate::intake::flaw::FlawCode;

/// Characters of a number as people write it, at most; those that do not show are not counted.
const MOST_GIVEN: usize = 40;
/// Bytes of the same, with those that do not show.
const MOST_BYTES: usize = 256;

const fn wrong(detail: &'static str) -> Wrong {
    (FlawCode::InvalidPhone, detail)
}

const NO_NUMBER: Wrong = wrong("not a phone number; it looks like +79991234567");
const NO_COUNTRY: Wrong = wrong("must start with + and the country code, or set orders.phone_region");
const UNKNOWN_COUNTRY: Wrong = wrong("no country has this code; a number looks like +79991234567");
const TOO_SHORT: Wrong = wrong("too few digits for a phone number of its country");
const TOO_LONG: Wrong = wrong("too many digits for a phone number of its country");
const OTHER_LENGTH: Wrong = wrong("no phone number of its country has this many digits");
const LOCAL: Wrong = wrong("the area code is missing");
const NOT_IN_USE: Wrong =
    wrong("no such number in the numbering plan of its country (orders.phone_strictness is \"valid\")");
const TWO_READINGS: Wrong =
    wrong("the national prefix is doubled; write + , the country code and the number");
const SPREADSHEET: Wrong = wrong("ends in .0: a spreadsheet made a decimal of it; format the column as text");
const SECOND_PLUS: Wrong = wrong("a + may only stand at the beginning; one number for each address");
const SECOND_NUMBER: Wrong = wrong("a comma, semicolon or slash; one number for each address");
const OTHER_DIGIT: Wrong = wrong("its digits must be 0 to 9");
const LETTER: Wrong = wrong("a letter; write digits alone, without extension");
const CONTROL: Wrong = wrong("a line break or another control character");
const OTHER_CHARACTER: Wrong =
    wrong("a character that is not part of a phone number; digits, spaces, dashes, dots and brackets are");

const OTHER_COUNTRY: Wrong =
    (FlawCode::CountryNotAllowed, "its country gets no messages from here (orders.phone_countries)");
const PREMIUM: Wrong = (
    FlawCode::NumberNotAllowed,
    "a premium-rate or shared-cost number, a satellite phone or an international network; none of them gets messages",
);

/// What a setting names all countries by.
const ALL: &str = "*";

/// How sure a number must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strictness {
    /// Its country exists and has numbers of this length. Numbering plans change faster than libraries.
    Possible,
    /// It also lies in a range that the library knows to be in use.
    Valid,
}

/// A region of the library's.
type Id = rlibphonenumber::Region;

/// Which countries get messages.
#[derive(Debug, Clone)]
enum Countries {
    All,
    Only(Arc<[Id]>),
}

/// How numbers are read: where one without a country belongs, how sure it must be, and which ones get messages.
#[derive(Debug, Clone)]
pub(crate) struct PhoneRules {
    region: Option<Id>,
    strictness: Strictness,
    /// `None`: whatever is a number is read.
    countries: Option<Countries>,
}

impl PhoneRules {
    /// With the region of two capital letters, or none for an empty name; `None` when there is no such region. All countries
    /// get messages.
    pub(crate) fn new(region: &str, strictness: Strictness) -> Option<Self> {
        let found = supported(region);
        let countries = Some(Countries::All);
        (region.is_empty() || found.is_some()).then_some(Self { region: found, strictness, countries })
    }

    /// The same, with messages to these countries alone: two capital letters each, or `*` for all. Without any: to that of the
    /// region, if there is one. `None` when there is no such country.
    pub(crate) fn to(self, countries: &[String]) -> Option<Self> {
        let countries = match countries {
            [all] if all == ALL => Countries::All,
            [] => Countries::Only(self.region.into_iter().collect()),
            named => Countries::Only(named.iter().map(|name| supported(name)).collect::<Option<_>>()?),
        };
        Some(Self { countries: Some(countries), ..self })
    }

    /// The same, taking whatever may be a number: for looking up what was taken under other settings.
    pub(crate) fn lenient(self) -> Self {
        Self { strictness: Strictness::Possible, ..self.anywhere() }
    }

    /// The same for numbers that get no message by it.
    pub(crate) fn anywhere(self) -> Self {
        Self { countries: None, ..self }
    }
}

fn supported(name: &str) -> Option<Id> {
    // Asking also loads the library's tables (5 ms), which the first request would wait for otherwise.
    PHONE_NUMBER_UTIL.get_supported_regions().find(|id| id.to_string() == name)
}

impl Countries {
    /// Whether numbers of this one's country get messages. One of a range that is nobody's counts as one of the main country
    /// of its code.
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

/// Whether nobody's phone is there, or one that costs who writes to it more than a message: premium and shared cost, and all that
/// belongs to no country (satellites, international networks, universal numbers).
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

/// Reads a phone number: digits of ASCII, a leading `+` or `00` for a country, and what people put between digits.
///
/// # Errors
/// In words, what to change; nothing of the number is repeated.
pub(crate) fn number(text: &str, rules: &PhoneRules) -> Result<String, Wrong> {
    let digits = digits(text)?;
    // Of a number that names its country the region has no say.
    let region = if digits.starts_with('+') { None } else { Some(rules.region.ok_or(NO_COUNTRY)?) };
    let number = PHONE_NUMBER_UTIL.parse(&digits, region).map_err(|error| unread(&error))?;
    exists(&number, rules.strictness)?;
    let written = written(&number)?;
    // A prefix that is taken off a second time would make another number of what was stored.
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
    // A few short numbers are in use although they have the length of a part.
    if is_valid() { Ok(()) } else { Err(refused) }
}

/// As E.164: plus and 6 to 15 digits, whatever the library makes of it.
fn written(number: &PhoneNumber) -> Result<String, Wrong> {
    let written = PHONE_NUMBER_UTIL.format(number, PhoneNumberFormat::E164);
    let Some(rest) = written.strip_prefix('+') else { return Err(NO_NUMBER) };
    if !rest.bytes().all(|b| b.is_ascii_digit()) || rest.starts_with('0') {
        return Err(NO_NUMBER);
    }
    match rest.len() {
        0..6 => Err(TOO_SHORT),
        6..=15 => Ok(written.into_owned()),
        _ => Err(TOO_LONG),
    }
}

/// Without what people put between digits, with `+` for `00`.
fn digits(text: &str) -> Result<String, Wrong> {
    if text.len() > MOST_BYTES {
        return Err(TOO_LONG);
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
        // With a national prefix in front, 16 digits may still be a number.
        4..=17 if shown <= MOST_GIVEN => Ok(out),
        _ => Err(TOO_LONG),
    }
}

/// Whether a spreadsheet took the number for an amount: `436641234567.0`. The last group of a number written with dots
/// (`044.668.18.00`) is no such thing.
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

/// Spaces of all widths, the ones that hold a line together too.
fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\u{a0}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{3000}')
}

/// Hyphen, dashes, minus, and their like.
fn is_dash(c: char) -> bool {
    matches!(
        c,
        '-' | '\u{2010}'..='\u{2015}' | '\u{2043}' | '\u{2212}' | '\u{fe58}' | '\u{fe63}' | '\u{ff0d}'
    )
}

/// What comes along from address books and web pages and does not show: soft hyphens, joiners, marks of direction.
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
