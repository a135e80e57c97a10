//! Detects the delimiter of a file: from a first line `sep=;`, else the one that yields addresses and titles and splits the
//! first rows into the same number of fields.

use crate::columns::{field_of, is_address};

const CANDIDATES: [u8; 4] = *b",;\t|";

/// Rows examined.
const ROWS: usize = 50;

/// Detects the delimiter from the beginning of the text. The default is a comma.
pub(crate) fn delimiter(begin: &str) -> u8 {
    // The last line may be cut off, so it is left out.
    let whole = begin.rfind('\n').map_or(begin, |end| &begin[..=end]);
    let score = |delimiter: u8| {
        let mut reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .delimiter(delimiter)
            .from_reader(whole.as_bytes());
        let rows: Vec<_> = reader.records().take(ROWS).map_while(Result::ok).collect();
        let fields = rows.first().map_or(0, csv::StringRecord::len);
        let reached = rows.iter().filter(|row| row.iter().any(is_address)).count();
        let titles = rows.first().map_or(0, |row| row.iter().filter(|cell| field_of(cell).is_some()).count());
        let alike = rows.iter().filter(|row| row.len() == fields).count() * 100 / rows.len().max(1);
        // One field per row says nothing about the delimiter.
        let alike = if fields < 2 { 0 } else { alike };
        (reached, titles, alike, fields)
    };
    let mut best = (CANDIDATES[0], score(CANDIDATES[0]));
    for candidate in CANDIDATES {
        let found = score(candidate);
        if found > best.1 {
            best = (candidate, found);
        }
    }
    best.0
}

/// The delimiter named by a first line such as `sep=;`, which spreadsheets write and read.
pub(crate) fn declared(begin: &str) -> Option<u8> {
    let line = begin.trim_start_matches('\u{feff}').lines().next()?.trim_end_matches('\r');
    let line = line.strip_prefix('"').and_then(|line| line.strip_suffix('"')).unwrap_or(line);
    let (key, rest) = line.split_at_checked(4)?;
    match rest.as_bytes() {
        [delimiter] if key.eq_ignore_ascii_case("sep=") && *delimiter != b'"' => Some(*delimiter),
        _ => None,
    }
}

/// The name of a delimiter.
pub(crate) fn word(delimiter: u8) -> &'static str {
    match delimiter {
        b',' => "comma",
        b';' => "semicolon",
        b'\t' => "tab",
        b'|' => "vertical bar",
        _ => "custom delimiter",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_first_line_may_name_it() {
        for (text, found) in [
            ("sep=;\r\nEmail;Name\r\n", Some(b';')),
            ("\u{feff}SEP=|\n", Some(b'|')),
            ("\"sep=,\"\n", Some(b',')),
            ("sep=\t\nEmail\tName\n", Some(b'\t')),
            ("sep=\n", None),
            ("sep=ab\n", None),
            ("sep=\"\n", None),
            ("email,name\n", None),
            ("", None),
        ] {
            assert_eq!(declared(text), found, "{text:?}");
        }
    }

    #[test]
    fn delimiters_are_found() {
        for (text, found) in [
            ("email,name\na@b.example,Anna\n", b','),
            ("email;name\na@b.example;\"Petrova, Anna\"\n", b';'),
            ("email;name;team\na@b.example;Anna;one, two\nc@d.example;Bo;three\n", b';'),
            ("email\tname\na@b.example\tAnna\n", b'\t'),
            ("email|name\na@b.example|Anna\n", b'|'),
            ("email\na@b.example\n", b','),
            ("", b','),
            // The comma splits just as evenly, but leaves no complete address, or no title.
            ("ФИО;Почта\nПетрова, Анна;a@b.example\nИванов, Борис;c@d.example\n", b';'),
            ("Имя;Почта\nА;a@b.example, x@b.example\nБ;c@d.example, y@d.example\n", b';'),
            ("Адрес|Почта\nМосква, ул. 1; кв. 2|a@b.example\nМосква, ул. 3; кв. 4|c@d.example\n", b'|'),
            ("name,email\n\"a;b;c\",x@y.example\n\"a;b;c\",x@y.example\ncut;off", b','),
        ] {
            assert_eq!(char::from(delimiter(text)), char::from(found), "{text:?}");
        }
    }
}
