//! Keeps the cells of an export from becoming formulas in a spreadsheet, reversibly.
//!
//! A spreadsheet takes a cell for a formula by its first character. An apostrophe before that character makes it text. A
//! spreadsheet that expects another delimiter also splits inside a cell, and one that loses track of quotes at a line break:
//! so the same holds behind everything that may be a delimiter. [`unescape`] removes exactly the apostrophes that [`escape`]
//! put in.

use std::borrow::Cow;

/// Whether a formula may begin with this character: also in the full-width form that spreadsheets accept.
fn begins_formula(c: char) -> bool {
    matches!(c, '=' | '+' | '-' | '@' | '\u{ff0b}' | '\u{ff0d}' | '\u{ff1d}' | '\u{ff20}')
}

/// Whether a cell may still begin behind this character, if it may begin before it.
fn is_before_cell(c: char) -> bool {
    c.is_whitespace() || c.is_control() || matches!(c, '\'' | '"' | '\u{feff}')
}

fn is_delimiter(c: char) -> bool {
    matches!(c, ',' | ';' | '|' | '\t' | '\r' | '\n')
}

/// The places of the characters that may begin a formula.
fn places(cell: &str) -> impl Iterator<Item = usize> {
    let mut begins = true;
    cell.char_indices().filter_map(move |(at, c)| {
        let found = begins && begins_formula(c);
        begins = is_delimiter(c) || (begins && is_before_cell(c));
        found.then_some(at)
    })
}

/// The cell with an apostrophe before each character that may begin a formula.
pub fn escape(cell: &str) -> Cow<'_, str> {
    let mut out = String::new();
    let mut from = 0;
    for at in places(cell) {
        out.push_str(&cell[from..at]);
        out.push('\'');
        from = at;
    }
    whole(cell, out, from)
}

/// The cell without the apostrophes of [`escape`].
pub fn unescape(cell: &str) -> Cow<'_, str> {
    let mut out = String::new();
    let mut from = 0;
    for at in places(cell) {
        if let Some(before) = cell[from..at].strip_suffix('\'') {
            out.push_str(before);
            from = at;
        }
    }
    whole(cell, out, from)
}

fn whole(cell: &str, mut out: String, from: usize) -> Cow<'_, str> {
    if from == 0 && out.is_empty() {
        return Cow::Borrowed(cell);
    }
    out.push_str(&cell[from..]);
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cell_begins_a_formula() {
        for (cell, escaped) in [
            ("Anna", "Anna"),
            ("", ""),
            ("anna@example.org", "anna@example.org"),
            ("Anna-Maria = 2", "Anna-Maria = 2"),
            ("=1+1", "'=1+1"),
            ("@anna", "'@anna"),
            ("+79991234567", "'+79991234567"),
            ("-5", "'-5"),
            ("'=1", "''=1"),
            (" =1", " '=1"),
            ("\t=1", "\t'=1"),
            ("\u{ff1d}1", "'\u{ff1d}1"),
            ("Anna;=1", "Anna;'=1"),
            ("Anna\n=1", "Anna\n'=1"),
            ("Anna|\"=1\"", "Anna|\"'=1\""),
        ] {
            assert_eq!(escape(cell), escaped, "{cell:?}");
            assert_eq!(unescape(escaped), cell, "{cell:?}");
        }
        assert_eq!(unescape("it's - fine"), "it's - fine");
    }

    proptest::proptest! {
        #[test]
        fn what_is_escaped_is_read_back(cell in "[=+@\u{ff1d}a'\" ,;|\t\n-]{0,16}") {
            let escaped = escape(&cell);
            proptest::prop_assert_eq!(unescape(&escaped), cell.as_str());
            // Whatever the delimiter, no part begins a formula.
            for part in escaped.split(is_delimiter) {
                proptest::prop_assert!(!part.trim_start_matches(['"', ' ']).starts_with(begins_formula), "{part:?}");
            }
        }
    }
}
