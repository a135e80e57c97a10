//! Reads people row by row and reports each problem with its line.

use std::fs::File;
use std::io::{self, Cursor, Read};
use std::path::PathBuf;

use csv::ByteRecord;
use encoding_rs::{Encoding, UTF_8};
use encoding_rs_io::DecodeReaderBytesBuilder;

use posthaste_model::CHANNELS;

use crate::cell::{is_blank, trim};
use crate::columns::is_address;
use crate::scan::{BadRow, Scan};
use crate::{Columns, Field, FileError, FileErrorKind, Map, Person, Result, delimiter, encoding};

/// Bytes at the beginning that are examined to detect the delimiter, the columns and, for standard input, the encoding.
const SAMPLE: u64 = 256 * 1024;

/// Where the file comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
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

/// Options for reading the file; what is not set is detected.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Columns assigned with `--map`.
    pub maps: Vec<Map>,
    /// The delimiter.
    pub delimiter: Option<u8>,
    /// The encoding.
    pub encoding: Option<&'static Encoding>,
}

/// A row that can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct RowError {
    /// Its line in the file, from 1.
    pub line: u64,
    /// What is wrong; never contains the text of a cell.
    pub what: String,
}

/// The people of a file, in order.
pub struct People {
    reader: csv::Reader<Box<dyn Read + Send>>,
    columns: Columns,
    encoding: &'static Encoding,
    is_encoding_guessed: bool,
    delimiter: u8,
    record: ByteRecord,
    /// The first row, already in `record`, is a person and not a header.
    first_is_person: bool,
    over: bool,
}

impl People {
    /// Opens the file and detects how to read it.
    ///
    /// # Errors
    /// The file cannot be read, or no column contains addresses.
    pub fn open(source: &Source, options: &Options) -> Result<Self> {
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
        Self::read(raw, found, options).map_err(|error| match error.kind() {
            FileErrorKind::Unreadable => {
                let (text, _, cause) = error.into_parts();
                unread(source, cause.unwrap_or_else(|| io::Error::other(text)))
            }
            _ => error,
        })
    }

    /// Reads from any source; `found` is the encoding if it is already known.
    pub(crate) fn read(
        mut raw: Box<dyn Read + Send>,
        found: Option<&'static Encoding>,
        options: &Options,
    ) -> Result<Self> {
        let mut begin = Vec::new();
        raw.by_ref().take(SAMPLE).read_to_end(&mut begin)?;
        let encoding = options.encoding.or(found).unwrap_or_else(|| encoding::guess(&begin));
        // A byte order mark or valid UTF-8 is no guess; nobody else writes either.
        let is_encoding_guessed =
            options.encoding.is_none() && encoding != UTF_8 && Encoding::for_bom(&begin).is_none();
        let (text, _, _) = encoding.decode(&begin);
        let declared = delimiter::declared(&text);
        let delimiter = options.delimiter.or(declared).unwrap_or_else(|| delimiter::delimiter(&text));
        drop(text);
        let whole = Cursor::new(begin).chain(raw);
        let decoded: Box<dyn Read + Send> = if encoding == UTF_8 {
            // Not decoded here, so that bytes that are not UTF-8 can be reported with their row.
            Box::new(Scan::new(whole, delimiter))
        } else {
            let from = DecodeReaderBytesBuilder::new().encoding(Some(encoding)).build(whole);
            Box::new(Scan::new(from, delimiter))
        };
        let mut reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .delimiter(delimiter)
            .from_reader(decoded);
        let mut record = ByteRecord::new();
        if declared.is_some() {
            reader.read_byte_record(&mut record).map_err(csv_failure)?;
        }
        loop {
            if !reader.read_byte_record(&mut record).map_err(csv_failure)? {
                return Err(FileError::refused("the list of recipients is empty"));
            }
            if !is_empty(&record) {
                break;
            }
        }
        let first: Vec<String> = record
            .iter()
            .map(|cell| String::from_utf8_lossy(cell).trim_start_matches('\u{feff}').to_owned())
            .collect();
        let first: Vec<&str> = first.iter().map(String::as_str).collect();
        let columns = Columns::find(&first, &options.maps)?;
        let first_is_person = !columns.has_header;
        let over = false;
        Ok(Self { reader, columns, encoding, is_encoding_guessed, delimiter, record, first_is_person, over })
    }

    /// The columns.
    pub fn columns(&self) -> &Columns {
        &self.columns
    }

    /// How the file is read, in words: `UTF-8, comma`.
    pub fn words(&self) -> String {
        format!("{}, {}", self.encoding.name(), delimiter::word(self.delimiter))
    }

    /// Whether the encoding was guessed from the letters, so that names may be read wrong.
    pub fn is_encoding_guessed(&self) -> bool {
        self.is_encoding_guessed
    }

    /// The next row: its line and the person; `None` after the last one. Reading continues after an invalid row.
    ///
    /// # Errors
    /// The file cannot be read any further.
    pub fn next_row(&mut self) -> Result<Option<Result<(u64, Person), RowError>>> {
        loop {
            if self.over {
                return Ok(None);
            }
            let known = std::mem::take(&mut self.first_is_person);
            if !known && !self.reader.read_byte_record(&mut self.record).map_err(csv_failure)? {
                self.over = true;
                continue;
            }
            if is_empty(&self.record) {
                continue;
            }
            let line = self.line();
            return Ok(Some(self.person(line).map(|person| (line, person))));
        }
    }

    /// The line on which the row in `record` begins. (The record's own position is before any preceding blank lines.)
    fn line(&self) -> u64 {
        let inside: usize = self.record.iter().map(|cell| cell.iter().filter(|b| **b == b'\n').count()).sum();
        self.reader.position().line().saturating_sub(1 + inside as u64)
    }

    fn person(&self, line: u64) -> Result<Person, RowError> {
        let refuse = |what: String| RowError { line, what };
        let (fields, columns) = (self.record.len(), self.columns.count());
        if fields > columns && self.record.iter().skip(columns).any(|cell| !is_blank_cell(cell)) {
            return Err(refuse(format!("the row has {fields} fields, but the file has {columns} columns")));
        }
        let by_row = self.columns.by_row();
        let mut person = Person::new(format!("line-{line}"));
        for (at, cell) in self.record.iter().enumerate() {
            let field = match by_row {
                Some((channel, address)) if at == address => self.address_of(channel).map_err(refuse)?,
                _ => self.columns.field(at),
            };
            if !field.is_some_and(Field::is_address) && self.holds_a_row(cell) {
                return Err(refuse("a cell contains whole rows; is a quote not closed?".to_owned()));
            }
            let Some(field) = field else { continue };
            let cell = self.text(field.noun(), cell).map_err(refuse)?;
            person.take(field, cell).map_err(|spoiled| refuse(spoiled.sentence(field.noun())))?;
        }
        // A file with one address per row repeats the id of a person.
        person.has_own_id &= by_row.is_none();
        if person.is_reachable() { Ok(person) } else { Err(refuse("no address".to_owned())) }
    }

    /// The text of a cell; `noun` says what it contains.
    fn text<'a>(&self, noun: &str, cell: &'a [u8]) -> Result<&'a str, String> {
        let text = std::str::from_utf8(cell).map_err(|_| {
            format!("the {noun} is not UTF-8; if the file has another encoding, set --encoding")
        })?;
        match text.contains('\u{fffd}') {
            true => Err(format!("the {noun} is not valid {}", self.encoding.name())),
            false => Ok(text.trim_start_matches('\u{feff}')),
        }
    }

    /// The addresses that this row has, by the cell with its channel; none if the cell is empty.
    fn address_of(&self, channel: usize) -> Result<Option<Field>, String> {
        let name = trim(self.text("channel", self.record.get(channel).unwrap_or_default())?).to_lowercase();
        if name.is_empty() {
            return Ok(None);
        }
        let channel = CHANNELS.iter().find(|channel| channel.name == name).copied();
        channel.map(|channel| Some(Field::Address(channel))).ok_or_else(|| {
            let names: Vec<&str> = CHANNELS.iter().map(|channel| channel.name).collect();
            format!("the channel must be one of {}", names.join(", "))
        })
    }

    /// Whether a line inside a cell looks like a row: as many fields as there are columns, one of them an address.
    fn holds_a_row(&self, cell: &[u8]) -> bool {
        let mut inner = cell.split(|b| *b == b'\n').skip(1).filter_map(|line| std::str::from_utf8(line).ok());
        inner.any(|line| {
            let fields: Vec<&str> = line.split(char::from(self.delimiter)).collect();
            fields.len() > 1
                && fields.len() == self.columns.count()
                && fields.iter().any(|cell| is_address(cell))
        })
    }
}

fn csv_failure(error: csv::Error) -> FileError {
    let line = error.position().map(csv::Position::line);
    let at = line.map_or_else(String::new, |line| format!(" at line {line}"));
    match error.into_kind() {
        csv::ErrorKind::Io(error) if error.get_ref().is_some_and(|inner| inner.is::<BadRow>()) => {
            FileError::refused(format!("{error}; nothing was sent")).remedy(
                "Put a field that contains quotes in quotes, and double the quotes inside it: \"12\"\" pipe\" (RFC 4180).",
            )
        }
        csv::ErrorKind::Io(error) => error.into(),
        other => FileError::refused(format!("cannot parse the file{at}: {other:?}")),
    }
}

/// Whether a row contains only blanks. Spreadsheets leave such rows.
fn is_empty(record: &ByteRecord) -> bool {
    record.iter().all(is_blank_cell)
}

fn is_blank_cell(cell: &[u8]) -> bool {
    std::str::from_utf8(cell).is_ok_and(|cell| cell.chars().all(is_blank))
}

fn unread(source: &Source, error: io::Error) -> FileError {
    match source {
        Source::Stdin => FileError::unreadable("cannot read standard input").because(error),
        Source::File(path) => FileError::usage(format!("cannot read {}", path.display())).because(error),
    }
}

#[cfg(test)]
mod tests;
