//! Checks that rows follow RFC 4180, and reports the line of those that do not. The CSV library accepts stray quotes, and
//! rows get lost in them.
//!
//! A quote may open only at the beginning of a field. A closing quote must be followed by the delimiter, the end of the line,
//! or another quote. A spreadsheet's `="0123"` is a field without quotes. All line ends become one LF, also at the end of the file, so that lines can be counted.

use std::io::{self, Read};

/// Longer rows are rejected. Usually a quote was not closed.
const LONGEST_ROW: u64 = 1024 * 1024;

const MARK: &[u8] = "\u{feff}".as_bytes();

/// What is wrong with the quotes of a file, or the length of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadRow {
    /// The file ends inside a quoted field.
    #[error("line {0}: a quote is opened here and never closed")]
    Open(u64),
    /// Text after a closing quote.
    #[error("line {line}: text after a closing quote; the field begins on line {opened}")]
    AfterQuote {
        /// Where the text is.
        line: u64,
        /// Where the field begins.
        opened: u64,
    },
    /// A quote in a field that does not begin with a quote.
    #[error("line {0}: a quote in the middle of a field (or after a space)")]
    Stray(u64),
    /// A row that does not end.
    #[error("line {line}: the row is longer than 1 MiB; {}", doubt(.quoted))]
    TooLong {
        /// Where it begins, or its open quote.
        line: u64,
        /// Whether a quote is open.
        quoted: bool,
    },
}

fn doubt(quoted: &bool) -> &'static str {
    if *quoted { "is a quote not closed?" } else { "is this a CSV file?" }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    FieldBegin,
    Plain,
    Quoted,
    AfterQuote,
    /// After the `=`, inside the quotes, and after the quotes of `="0123"`.
    Equals,
    FormulaText,
    AfterFormula,
}

/// The bytes of a file, checked as they are read.
pub(crate) struct Scan<R> {
    from: R,
    delimiter: u8,
    at: At,
    /// The current line, the line of the last opening quote, and the bytes of the row so far.
    line: u64,
    opened: u64,
    row: u64,
    /// Bytes from the beginning of the file that may be a byte order mark.
    begin: usize,
    last: u8,
    over: bool,
}

impl<R: Read> Scan<R> {
    pub(crate) fn new(from: R, delimiter: u8) -> Self {
        let (line, opened, row, begin) = (1, 1, 0, 0);
        Self { from, delimiter, at: At::FieldBegin, line, opened, row, begin, last: b'\n', over: false }
    }

    fn take(&mut self, byte: u8) -> Result<(), BadRow> {
        self.row += 1;
        if self.row > LONGEST_ROW {
            let quoted = self.at == At::Quoted;
            return Err(BadRow::TooLong { line: if quoted { self.opened } else { self.line }, quoted });
        }
        if self.begin < MARK.len() {
            self.begin = if byte == MARK[self.begin] { self.begin + 1 } else { MARK.len() + 1 };
            if self.begin <= MARK.len() {
                return Ok(());
            }
        }
        self.at = match (self.at, byte) {
            (At::Quoted, b'"') => At::AfterQuote,
            (At::Quoted, _) | (At::AfterQuote, b'"') => At::Quoted,
            (At::FieldBegin, b'"') => {
                self.opened = self.line;
                At::Quoted
            }
            (At::FieldBegin, b'=') if self.delimiter != b'=' => At::Equals,
            (At::Equals, b'"') => At::FormulaText,
            (At::FormulaText, b'"') => At::AfterFormula,
            (At::FormulaText, byte) if byte == b'\n' || byte == self.delimiter => {
                return Err(BadRow::Stray(self.line));
            }
            (At::FormulaText, _) => At::FormulaText,
            (_, b'\n') => {
                self.row = 0;
                At::FieldBegin
            }
            (_, byte) if byte == self.delimiter => At::FieldBegin,
            (At::AfterQuote, _) => {
                return Err(BadRow::AfterQuote { line: self.line, opened: self.opened });
            }
            (At::Plain | At::AfterFormula, b'"') => return Err(BadRow::Stray(self.line)),
            (At::FieldBegin | At::Plain | At::Equals | At::AfterFormula, _) => At::Plain,
        };
        self.line += u64::from(byte == b'\n');
        Ok(())
    }

    fn fail(&mut self, bad: BadRow) -> io::Error {
        self.over = true;
        io::Error::new(io::ErrorKind::InvalidData, bad)
    }
}

impl<R: Read> Read for Scan<R> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        while !self.over && !to.is_empty() {
            let read = self.from.read(to)?;
            let mut kept = 0;
            for at in 0..read {
                let before = std::mem::replace(&mut self.last, to[at]);
                let byte = match (before, to[at]) {
                    (b'\r', b'\n') => continue,
                    (_, b'\r') => b'\n',
                    (_, other) => other,
                };
                to[kept] = byte;
                kept += 1;
                self.take(byte).map_err(|bad| self.fail(bad))?;
            }
            if read == 0 {
                match self.at {
                    At::Quoted => return Err(self.fail(BadRow::Open(self.opened))),
                    At::FormulaText => return Err(self.fail(BadRow::Stray(self.line))),
                    _ => {}
                }
                self.over = true;
                if !matches!(self.last, b'\n' | b'\r') {
                    to[0] = b'\n';
                    kept = 1;
                }
            }
            if kept > 0 {
                return Ok(kept);
            }
        }
        Ok(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns at most this many bytes at a time.
    struct Slow<'a>(&'a [u8], usize);

    impl Read for Slow<'_> {
        fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
            let take = self.0.len().min(to.len()).min(self.1);
            to[..take].copy_from_slice(&self.0[..take]);
            self.0 = &self.0[take..];
            Ok(take)
        }
    }

    fn scanned(text: &str) -> Result<String, BadRow> {
        let read = |step| {
            let mut out = String::new();
            match Scan::new(Slow(text.as_bytes(), step), b',').read_to_string(&mut out) {
                Ok(_) => Ok(out),
                Err(error) => Err(*error.get_ref().and_then(|e| e.downcast_ref::<BadRow>()).expect("ours")),
            }
        };
        let whole = read(usize::MAX);
        for step in 1..5 {
            assert_eq!(read(step), whole, "in pieces of {step}: {text:?}");
        }
        whole
    }

    #[test]
    fn valid_rfc_4180_passes_with_lf_line_ends() {
        for (text, out) in [
            ("", ""),
            ("a,b", "a,b\n"),
            ("a,b\r\nc,d\r", "a,b\nc,d\n"),
            ("\"a\",\"b\"\"c\"\n", "\"a\",\"b\"\"c\"\n"),
            ("\"\",\"\"\"\"", "\"\",\"\"\"\"\n"),
            ("\"two\r\nlines\",x\n", "\"two\nlines\",x\n"),
            ("\"a,b\",c", "\"a,b\",c\n"),
            ("\u{feff}\"a\",b", "\u{feff}\"a\",b\n"),
            ("\"a\"", "\"a\"\n"),
            ("=\"0123\",=1,=\"\"", "=\"0123\",=1,=\"\"\n"),
        ] {
            assert_eq!(scanned(text), Ok(out.to_owned()), "{text:?}");
        }
    }

    #[test]
    fn bad_quotes_are_reported_by_line() {
        for (text, bad) in [
            ("a,b\nc,\"12 inch\nd,e\n", BadRow::Open(2)),
            ("a,\"", BadRow::Open(1)),
            ("a,b\r\n\r\nc,\"\"\"\r\n", BadRow::Open(3)),
            ("a,b\nc,\"12 inch\nd,e\nf,\"5 inch\n", BadRow::AfterQuote { line: 4, opened: 2 }),
            ("\"a\" ,b", BadRow::AfterQuote { line: 1, opened: 1 }),
            ("a,b\nc,12\" pipe\n", BadRow::Stray(2)),
            ("a, \"b\"\n", BadRow::Stray(1)),
            ("\u{feff}a\"b", BadRow::Stray(1)),
            ("a\n=\"1,2\"", BadRow::Stray(2)),
            ("=\"1", BadRow::Stray(1)),
            ("=\"1\"\"2\"", BadRow::Stray(1)),
        ] {
            assert_eq!(scanned(text), Err(bad), "{text:?}");
        }
    }

    #[test]
    fn an_endless_row_is_rejected() {
        let read = |begin: &str| {
            let text = begin.as_bytes().chain(io::repeat(b'x'));
            let error = Scan::new(text, b',').read_to_end(&mut Vec::new()).expect_err("no end");
            *error.get_ref().and_then(|e| e.downcast_ref::<BadRow>()).expect("ours")
        };
        assert_eq!(read("a,b\nc,"), BadRow::TooLong { line: 2, quoted: false });
        assert_eq!(read("a,b\nc,\"x\n\n"), BadRow::TooLong { line: 2, quoted: true });
    }
}
