//! What spreadsheets, address books and web pages leave in cells: taken off where nothing is lost by it, refused where the
//! value can't be known any more.

use std::borrow::Cow;

use posthaste_model::AddressRule;

use crate::formula::unescape;

/// Why a cell does not have its value any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Spoiled {
    /// `7.9991E+10`: digits are lost.
    #[error("in scientific notation: a spreadsheet rounded it; format the column as text and enter it again")]
    Scientific,
    /// `79991234567.0`: the point would become a digit.
    #[error("ends in .0: a spreadsheet turned it into a decimal; format the column as text")]
    Decimal,
    /// `#N/A`.
    #[error(
        "is an error of a spreadsheet, such as #N/A or ####: correct the formula, or make the column wider"
    )]
    Error,
}

impl Spoiled {
    /// The whole sentence about a cell of this kind: `the phone number ends in .0: …`.
    pub(crate) fn sentence(self, noun: &str) -> String {
        match self {
            Self::Scientific => format!("the {noun} is {self}"),
            Self::Decimal | Self::Error => format!("the {noun} {self}"),
        }
    }
}

/// Removes blanks and invisible marks around a cell.
pub(crate) fn trim(cell: &str) -> &str {
    cell.trim_matches(is_blank)
}

/// Whether a character is invisible.
pub(crate) fn is_blank(c: char) -> bool {
    c.is_whitespace() || is_hidden(c) || is_joiner(c)
}

/// Invisible characters that mean nothing in an address: soft hyphens, zero widths, direction marks.
fn is_hidden(c: char) -> bool {
    matches!(
        c,
        '\u{ad}'
            | '\u{61c}'
            | '\u{180e}'
            | '\u{200b}'
            | '\u{200e}'
            | '\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{2069}'
            | '\u{feff}'
    )
}

/// Joiners of letters; some scripts need them in domains.
fn is_joiner(c: char) -> bool {
    matches!(c, '\u{200c}' | '\u{200d}')
}

/// A cell safe for a terminal: characters that could move the cursor or hide text are shown as `·`.
pub(crate) fn plain(text: &str) -> String {
    let is_hostile =
        |c: char| c.is_control() || (is_hidden(c) && !matches!(c, '\u{ad}' | '\u{200b}' | '\u{feff}'));
    text.chars().map(|c| if is_hostile(c) { '·' } else { c }).collect()
}

/// Hyphens, dashes and minus signs, as people write them in numbers.
pub(crate) fn is_dash(c: char) -> bool {
    matches!(
        c,
        '-' | '\u{2010}'..='\u{2015}' | '\u{2043}' | '\u{2212}' | '\u{fe58}' | '\u{fe63}' | '\u{ff0d}'
    )
}

/// The text of a cell that is not an address: trimmed, without the apostrophes of an export.
pub(crate) fn text(cell: &str) -> Cow<'_, str> {
    match unescape(trim(cell)) {
        Cow::Borrowed(text) => Cow::Borrowed(trim(text)),
        Cow::Owned(text) => Cow::Owned(trim(&text).to_owned()),
    }
}

/// A value that a spreadsheet was kept from reading as a number: `'0123` and `="0123"` are `0123`.
pub(crate) fn value(cell: &str) -> Cow<'_, str> {
    let cell = trim(cell);
    let inside = cell.strip_prefix("=\"").and_then(|rest| rest.strip_suffix('"'));
    match text(inside.unwrap_or(cell)) {
        Cow::Borrowed(text) => Cow::Borrowed(unquoted(text)),
        Cow::Owned(text) => Cow::Owned(unquoted(&text).to_owned()),
    }
}

fn unquoted(text: &str) -> &str {
    match text.strip_prefix('\'') {
        Some(rest) => trim(rest.strip_suffix('\'').unwrap_or(rest)),
        None => text,
    }
}

/// The value of an address cell by its rule. Numbers keep their invisible characters: the queue ignores them.
///
/// # Errors
/// A spreadsheet spoiled it.
pub(crate) fn address(rule: AddressRule, cell: &str) -> Result<Cow<'_, str>, Spoiled> {
    let mut value = value(cell);
    if matches!(rule, AddressRule::Mailbox | AddressRule::Chat | AddressRule::Peer) {
        let is_ascii = value.chars().all(|c| c.is_ascii() || is_blank(c));
        let goes = |c: char| is_hidden(c) || (is_ascii && is_joiner(c));
        if value.contains(goes) {
            value = Cow::Owned(value.replace(goes, ""));
        }
    }
    if is_error(&value) {
        return Err(Spoiled::Error);
    }
    if matches!(rule, AddressRule::Phone | AddressRule::Chat | AddressRule::Peer) {
        // Before a comma is taken for a separator: it is the decimal point of half the world.
        for part in value.split([';', '\n']) {
            number(trim(part))?;
        }
    }
    // A dash stands for nothing.
    if value.chars().all(is_dash) { Ok(Cow::Borrowed("")) } else { Ok(value) }
}

/// Refuses a number that a spreadsheet changed.
///
/// # Errors
/// It is in scientific notation, or ends in `.0`.
pub(crate) fn number(text: &str) -> Result<(), Spoiled> {
    let text = text.trim_start_matches(['+', '-', '\'']);
    let is_whole = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let is_number = |text: &str| match text.split_once(['.', ',']) {
        Some((whole, part)) => is_whole(whole) && is_whole(part),
        None => is_whole(text),
    };
    // A Russian spreadsheet may be typed into with a Cyrillic letter.
    if let Some((mantissa, exponent)) = text.split_once(['E', 'e', '\u{415}', '\u{435}'])
        && is_number(mantissa)
        && is_whole(exponent.trim_start_matches(['+', '-']))
    {
        return Err(Spoiled::Scientific);
    }
    match text.split_once(['.', ',']) {
        Some((whole, "0" | "00")) if is_whole(whole) => Err(Spoiled::Decimal),
        _ => Ok(()),
    }
}

fn is_error(cell: &str) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || matches!(c, '/' | '!' | '?' | '#' | '0');
    let Some(rest) = cell.strip_prefix('#') else { return false };
    let is_wide = rest.len() > 1 && rest.chars().all(|c| c == '#');
    is_wide || (rest.ends_with(['!', '?']) || rest.contains('/')) && rest.chars().all(is_word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_spreadsheets_add_is_taken_off() {
        for (cell, address) in [
            ("'+79991234567", "+79991234567"),
            ("=\"79991234567\"", "79991234567"),
            ("=\"'79991234567\"", "79991234567"),
            ("\u{a0}\u{feff}+7 999 1234567\u{200b}\u{a0}", "+7 999 1234567"),
            ("-", ""),
            (" \u{2014} ", ""),
        ] {
            assert_eq!(super::address(AddressRule::Phone, cell).as_deref(), Ok(address), "{cell:?}");
        }
        for (cell, address) in [
            ("'a@b.example", "a@b.example"),
            ("'a@b.example'", "a@b.example"),
            ("a\u{200b}@b.exam\u{ad}ple\u{200d}", "a@b.example"),
            ("\u{202a}a@b.example\u{202c}", "a@b.example"),
        ] {
            assert_eq!(super::address(AddressRule::Mailbox, cell).as_deref(), Ok(address), "{cell:?}");
        }
        assert_eq!(super::address(AddressRule::Peer, "'-100\u{200b}").as_deref(), Ok("-100"));
    }

    #[test]
    fn what_spreadsheets_spoil_is_refused() {
        use Spoiled::{Decimal, Error, Scientific};
        for (cell, why) in [
            ("7.99912E+10", Scientific),
            ("7,99912E+10", Scientific),
            ("'+7.99912e+10", Scientific),
            ("7,99912\u{415}+10", Scientific),
            ("8E10", Scientific),
            ("+79991234567; 7,99912E+10", Scientific),
            ("79991234567.0", Decimal),
            ("+79991234567.0", Decimal),
            ("79991234567,00", Decimal),
            ("=\"79991234567,0\"", Decimal),
            ("#N/A", Error),
            ("#\u{41d}/\u{414}", Error),
            ("#REF!", Error),
            ("#\u{417}\u{41d}\u{410}\u{427}!", Error),
            ("#NAME?", Error),
            ("#DIV/0!", Error),
            ("########", Error),
        ] {
            assert_eq!(super::address(AddressRule::Phone, cell), Err(why), "{cell:?}");
            assert!(why.sentence("phone number").len() < 150);
        }
        for whole in
            ["+41.44.668.18.00", "8 (999) 123-45-67", "79991234567", "8E1x", "#12", "", "+7 901 000,00"]
        {
            assert!(super::address(AddressRule::Phone, whole).is_ok(), "{whole:?}");
        }
    }
}
