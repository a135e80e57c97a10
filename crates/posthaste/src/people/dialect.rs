//! Which delimiter a file uses: the one that cuts its first rows into the same number of fields.

const CANDIDATES: [u8; 4] = *b",;\t|";

/// Rows looked at.
const ROWS: usize = 50;

/// Finds the delimiter by the begin of the text; a comma when nothing speaks for another one.
pub(crate) fn delimiter(begin: &str) -> u8 {
    // The last line may be cut anywhere.
    let whole = begin.rfind('\n').map_or(begin, |end| &begin[..=end]);
    let score = |delimiter: u8| {
        let rows = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .delimiter(delimiter)
            .from_reader(whole.as_bytes())
            .into_byte_records()
            .take(ROWS)
            .map(|row| row.map_or(0, |row| row.len()))
            .collect::<Vec<_>>();
        let fields = rows.first().copied().unwrap_or(0);
        let alike = rows.iter().filter(|row| **row == fields).count();
        // One field a row says nothing about the delimiter.
        if fields < 2 { (0, 0) } else { (alike * 100 / rows.len(), fields) }
    };
    let mut best = (CANDIDATES[0], (0, 0));
    for candidate in CANDIDATES {
        let found = score(candidate);
        if found > best.1 {
            best = (candidate, found);
        }
    }
    best.0
}

/// A delimiter for people.
pub(crate) fn word(delimiter: u8) -> &'static str {
    match delimiter {
        b',' => "comma",
        b';' => "semicolon",
        b'\t' => "tab",
        b'|' => "bar",
        _ => "as given",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
            ("name,email\n\"a;b;c\",x@y.example\n\"a;b;c\",x@y.example\ncut;off", b','),
        ] {
            assert_eq!(char::from(delimiter(text)), char::from(found), "{text:?}");
        }
    }
}
