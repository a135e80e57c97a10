//! Rows to people, one by one, each problem with its line.

use std::fs::File;
use std::io::{self, Cursor, Read};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use csv::ByteRecord;
use encoding_rs::{Encoding, UTF_8};
use encoding_rs_io::DecodeReaderBytesBuilder;

use super::{Columns, Map, Person, dialect, encoding};
use crate::failure::{Failure, Result};

/// So much of the begin is looked at to find delimiter, columns, and of standard input the encoding.
const SAMPLE: u64 = 256 * 1024;

/// A row longer than this is refused: mostly a quote that was left open.
const LONGEST_ROW: u64 = 1024 * 1024;

/// Where people come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// Standard input.
    Stdin,
    /// A file.
    File(PathBuf),
}

impl std::str::FromStr for Source {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(if text == "-" { Self::Stdin } else { Self::File(text.into()) })
    }
}

/// What is said about the file; what is not said is found.
#[derive(Debug, Clone, Default)]
pub(crate) struct Options {
    /// Columns that are named otherwise.
    pub(crate) maps: Vec<Map>,
    /// The delimiter.
    pub(crate) delimiter: Option<u8>,
    /// The encoding.
    pub(crate) encoding: Option<&'static Encoding>,
}

/// A row that is no person.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub(crate) struct RowError {
    /// Its line in the file, from 1.
    pub(crate) line: u64,
    /// What is wrong; never the content of a cell.
    pub(crate) what: String,
}

/// People of a file, in its order.
pub(crate) struct People {
    reader: csv::Reader<Box<dyn Read + Send>>,
    since_row: Arc<AtomicU64>,
    columns: Columns,
    encoding: &'static Encoding,
    delimiter: u8,
    record: ByteRecord,
    /// The first row is in `record` already and is no header.
    first_is_person: bool,
    over: bool,
}

impl People {
    /// Opens the file and finds out how to read it.
    ///
    /// # Errors
    /// The file cannot be read; its columns say nothing.
    pub(crate) fn open(source: &Source, options: &Options) -> Result<Self> {
        let (raw, found): (Box<dyn Read + Send>, _) = match source {
            Source::Stdin => (Box::new(io::stdin()), None),
            Source::File(path) => {
                let open = || File::open(path).map_err(|error| unread(source, error));
                let found = match options.encoding {
                    Some(_) => None,
                    None => Some(encoding::find(open()?).map_err(|error| unread(source, error))?),
                };
                (Box::new(open()?), found)
            }
        };
        Self::read(raw, found, options).map_err(|failure| match failure.kind() {
            crate::failure::Kind::Error => unread(source, failure),
            _ => failure,
        })
    }

    /// Reads from anything; `found` is the encoding if it is known already.
    fn read(
        mut raw: Box<dyn Read + Send>,
        found: Option<&'static Encoding>,
        options: &Options,
    ) -> Result<Self> {
        let mut begin = Vec::new();
        raw.by_ref().take(SAMPLE).read_to_end(&mut begin)?;
        let encoding = options.encoding.or(found).unwrap_or_else(|| encoding::guess(&begin));
        let (text, _, _) = encoding.decode(&begin);
        let delimiter = options.delimiter.unwrap_or_else(|| dialect::delimiter(&text));
        drop(text);
        let whole = Cursor::new(begin).chain(raw);
        let since_row = Arc::new(AtomicU64::new(0));
        let decoded: Box<dyn Read + Send> = if encoding == UTF_8 {
            // Bytes that are no UTF-8 are to be found in their row, so nothing may replace them here.
            Box::new(Lines::new(whole, &since_row))
        } else {
            let from = DecodeReaderBytesBuilder::new().encoding(Some(encoding)).build(whole);
            Box::new(Lines::new(from, &since_row))
        };
        let mut reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .delimiter(delimiter)
            .from_reader(decoded);
        let mut record = ByteRecord::new();
        if !reader.read_byte_record(&mut record).map_err(csv_failure)? {
            return Err(Failure::refused("there is nobody in it: it is empty"));
        }
        since_row.store(0, Ordering::Relaxed);
        let first: Vec<String> = record
            .iter()
            .map(|cell| String::from_utf8_lossy(cell).trim_start_matches('\u{feff}').to_owned())
            .collect();
        let first: Vec<&str> = first.iter().map(String::as_str).collect();
        let columns = Columns::find(&first, &options.maps)?;
        let first_is_person = !columns.has_header;
        Ok(Self { reader, since_row, columns, encoding, delimiter, record, first_is_person, over: false })
    }

    /// The columns.
    pub(crate) fn columns(&self) -> &Columns {
        &self.columns
    }

    /// How the file is read, for people: `UTF-8, comma`.
    pub(crate) fn words(&self) -> String {
        format!("{}, {}", self.encoding.name(), dialect::word(self.delimiter))
    }

    /// The next row: its line and the person; `None` after the last one. A row error does not end the file.
    ///
    /// # Errors
    /// The file cannot be read any further.
    pub(crate) fn next(&mut self) -> Result<Option<Result<(u64, Person), RowError>>> {
        loop {
            if self.over {
                return Ok(None);
            }
            if !std::mem::take(&mut self.first_is_person) {
                self.since_row.store(0, Ordering::Relaxed);
                if !self.reader.read_byte_record(&mut self.record).map_err(csv_failure)? {
                    self.over = true;
                    continue;
                }
            }
            // Spreadsheets leave rows of nothing but delimiters.
            if self.record.iter().all(|cell| cell.iter().all(u8::is_ascii_whitespace)) {
                continue;
            }
            let line = self.line();
            return Ok(Some(self.person(line).map(|person| (line, person))));
        }
    }

    /// The line the row in `record` begins on. (The position of a record is that of the blank lines before it.)
    fn line(&self) -> u64 {
        let inside: usize = self.record.iter().map(|cell| cell.iter().filter(|b| **b == b'\n').count()).sum();
        self.reader.position().line().saturating_sub(1 + inside as u64)
    }

    fn person(&self, line: u64) -> Result<Person, RowError> {
        let refuse = |what: String| RowError { line, what };
        let (fields, columns) = (self.record.len(), self.columns.count());
        if fields > columns && self.record.iter().skip(columns).any(|cell| !cell.is_empty()) {
            return Err(refuse(format!("{fields} fields, but there are {columns} columns")));
        }
        let mut person = Person::new(format!("line-{line}"));
        for (at, cell) in self.record.iter().enumerate() {
            let Some(field) = self.columns.field(at) else { continue };
            let cell = std::str::from_utf8(cell).map_err(|_| {
                refuse(format!("its {} is no UTF-8; is the file in another --encoding?", field.word()))
            })?;
            if cell.contains('\u{fffd}') {
                return Err(refuse(format!("its {} is no {}", field.word(), self.encoding.name())));
            }
            person.take(field, cell.trim_start_matches('\u{feff}'));
        }
        if person.is_reachable() { Ok(person) } else { Err(refuse("no address".to_owned())) }
    }
}

/// A file whose lines all end with one LF, the last one too, so that they can be counted, and whose rows cannot grow
/// without bound.
struct Lines<R> {
    from: R,
    since_row: Arc<AtomicU64>,
    last: u8,
    over: bool,
}

impl<R: Read> Lines<R> {
    fn new(from: R, since_row: &Arc<AtomicU64>) -> Self {
        Self { from, since_row: Arc::clone(since_row), last: b'\n', over: false }
    }
}

impl<R: Read> Read for Lines<R> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        if self.since_row.load(Ordering::Relaxed) > LONGEST_ROW {
            return Err(io::Error::new(io::ErrorKind::InvalidData, TOO_LONG));
        }
        while !self.over && !to.is_empty() {
            let read = self.from.read(to)?;
            let mut kept = 0;
            for at in 0..read {
                let before = std::mem::replace(&mut self.last, to[at]);
                match (before, to[at]) {
                    (b'\r', b'\n') => continue,
                    (_, b'\r') => to[kept] = b'\n',
                    (_, other) => to[kept] = other,
                }
                kept += 1;
            }
            self.over = read == 0;
            if self.over && !matches!(self.last, b'\n' | b'\r') {
                to[0] = b'\n';
                kept = 1;
            }
            if kept > 0 {
                self.since_row.fetch_add(kept as u64, Ordering::Relaxed);
                return Ok(kept);
            }
        }
        Ok(0)
    }
}

const TOO_LONG: &str = "a row is longer than 1 MiB; is a quote left open in it?";

fn csv_failure(error: csv::Error) -> Failure {
    let line = error.position().map(csv::Position::line);
    let at = line.map_or_else(String::new, |line| format!(" at line {line}"));
    match error.into_kind() {
        csv::ErrorKind::Io(error) if error.kind() == io::ErrorKind::InvalidData => {
            Failure::refused(format!("the rows cannot be read{at}")).because(error)
        }
        csv::ErrorKind::Io(error) => error.into(),
        other => Failure::refused(format!("the rows cannot be read{at}: {other:?}")),
    }
}

fn unread(source: &Source, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Failure {
    match source {
        Source::Stdin => Failure::error("cannot read standard input").because(error),
        Source::File(path) => Failure::usage(format!("cannot read {}", path.display())).because(error),
    }
}

#[cfg(test)]
mod tests {
    use encoding_rs::WINDOWS_1251;

    use super::*;

    fn people(bytes: &[u8], options: &Options) -> Result<(String, Vec<String>)> {
        let mut people = People::read(Box::new(Cursor::new(bytes.to_vec())), None, options)?;
        let mut rows = Vec::new();
        while let Some(row) = people.next()? {
            rows.push(match row {
                Ok((line, person)) => format!("{line} {}", serde_json::to_string(&person).expect("JSON")),
                Err(error) => error.to_string(),
            });
        }
        Ok((people.words(), rows))
    }

    #[test]
    fn a_plain_file_is_read() {
        let (words, rows) =
            people(b"email,name\na@b.example,Anna\nc@d.example,Bo\n", &Options::default()).expect("read");
        assert_eq!(words, "UTF-8, comma");
        assert_eq!(
            rows,
            [
                r#"2 {"id":"line-2","name":"Anna","contacts":{"email":["a@b.example"]}}"#,
                r#"3 {"id":"line-3","name":"Bo","contacts":{"email":["c@d.example"]}}"#,
            ]
        );
    }

    #[test]
    fn a_spreadsheet_of_windows_is_read() {
        let text = "Почта;Имя;Код\r\na@b.example;Анна;7\r\n;;\r\nc@d.example;Борис;8\r\n";
        let (bytes, _, _) = WINDOWS_1251.encode(text);
        let (words, rows) = people(&bytes, &Options::default()).expect("read");
        assert_eq!(words, "windows-1251, semicolon");
        assert_eq!(
            rows,
            [
                r#"2 {"id":"7","name":"Анна","contacts":{"email":["a@b.example"]}}"#,
                r#"4 {"id":"8","name":"Борис","contacts":{"email":["c@d.example"]}}"#,
            ]
        );
        let with_mark = format!("\u{feff}{text}");
        assert_eq!(people(with_mark.as_bytes(), &Options::default()).expect("read").1, rows);
        let utf16: Vec<u8> = with_mark.encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert_eq!(people(&utf16, &Options::default()).expect("read").1, rows);
    }

    #[test]
    fn bad_rows_are_told_by_line_and_do_not_end_the_file() {
        let mut bytes =
            b"email,name\n\"a@b.example\",\"two\nlines\"\n,Nobody\nx@y.example,Bo,one,too many\n\n".to_vec();
        bytes.extend(b"c@d.example,\xd0\nlast@d.example,Last\n");
        let options = Options { encoding: Some(UTF_8), ..Options::default() };
        let (_, rows) = people(&bytes, &options).expect("read");
        assert_eq!(
            rows,
            [
                r#"2 {"id":"line-2","name":"two\nlines","contacts":{"email":["a@b.example"]}}"#,
                "line 4: no address",
                "line 5: 4 fields, but there are 2 columns",
                "line 7: its name is no UTF-8; is the file in another --encoding?",
                r#"8 {"id":"line-8","name":"Last","contacts":{"email":["last@d.example"]}}"#,
            ]
        );
    }

    #[test]
    fn a_list_of_addresses_needs_no_titles() {
        let (_, rows) = people(b"a@b.example\nc@d.example\n", &Options::default()).expect("read");
        assert_eq!(rows.len(), 2);
        assert!(rows[0].starts_with("1 "), "{rows:?}");
    }

    #[test]
    fn an_open_quote_ends_within_bounds() {
        let mut bytes = b"email,name\na@b.example,\"".to_vec();
        bytes.extend(std::iter::repeat_n(b"x,\n", 1_000_000).flatten());
        let failure = people(&bytes, &Options::default()).expect_err("an endless row");
        assert!(failure.lines().join(" ").contains("quote"), "{failure:?}");
    }

    #[test]
    fn an_empty_file_has_nobody() {
        assert!(people(b"", &Options::default()).is_err());
        assert_eq!(people(b"email\n", &Options::default()).expect("titles alone").1.len(), 0);
    }
}
