//! Results of commands on standard output: as a table for people, or as JSON, NDJSON or CSV for programs.

mod missing;
mod reason;
mod rows;

use std::io::{self, Write};

use jiff::Zoned;
use serde::Serialize;

use crate::failure::{Failure, Result};

pub(crate) use missing::{missing_words, tell_missing};
pub(crate) use reason::suppressed;
pub(crate) use rows::{CsvStyle, Rows};

/// The output format of results.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// A table for people.
    Table,
    /// One JSON document.
    Json,
    /// One JSON object per line.
    Ndjson,
    /// A header, and one line per row.
    Csv,
}

/// Who reads a cell.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Reader<'a> {
    /// People: times relative to now, words instead of codes.
    People(&'a Zoned),
    /// Programs: values as the server sent them.
    Program,
}

impl Reader<'_> {
    /// Yes or no for this reader; empty if unknown.
    pub(crate) fn answer(&self, answer: Option<bool>) -> String {
        match (self, answer) {
            (_, None) => String::new(),
            (Self::People(_), Some(true)) => "yes".to_owned(),
            (Self::People(_), Some(false)) => "no".to_owned(),
            (Self::Program, Some(answer)) => answer.to_string(),
        }
    }

    /// A time for this reader; empty if there is none.
    pub(crate) fn moment(&self, moment: Option<&str>) -> String {
        match (self, moment) {
            (_, None) => String::new(),
            (Self::People(now), Some(moment)) => crate::moment::show(moment, now),
            (Self::Program, Some(moment)) => moment.to_owned(),
        }
    }
}

/// A column of a table or a CSV file.
pub(crate) struct Column<T> {
    /// Its title.
    pub(crate) title: &'static str,
    /// Returns the cell of an item.
    pub(crate) cell: fn(&T, &Reader<'_>) -> String,
}

/// Standard output with a format.
pub(crate) struct Output {
    format: Format,
    now: Zoned,
}

impl Output {
    /// Output in this format.
    pub(crate) fn new(format: Format) -> Self {
        Self { format, now: crate::moment::now() }
    }

    /// The format.
    pub(crate) fn format(&self) -> Format {
        self.format
    }

    /// Writes a whole list.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub(crate) fn list<T: Serialize>(&self, columns: &[Column<T>], items: &[T]) -> Result<()> {
        let mut rows = self.rows(columns, io::stdout().lock());
        for item in items {
            rows.push(item)?;
        }
        rows.end().map(drop)
    }

    /// Begins a list whose items come one by one, to standard output or a file.
    pub(crate) fn rows<'a, T: Serialize, W: Write>(
        &'a self,
        columns: &'a [Column<T>],
        to: W,
    ) -> Rows<'a, T, W> {
        self.rows_as(CsvStyle::default(), columns, to)
    }

    /// The same, with a style if the format is CSV.
    pub(crate) fn rows_as<'a, T: Serialize, W: Write>(
        &'a self,
        style: CsvStyle,
        columns: &'a [Column<T>],
        to: W,
    ) -> Rows<'a, T, W> {
        Rows::new(self.format, style, &self.now, columns, to)
    }

    /// Writes one thing: for people with `people`, for programs as JSON. As CSV, its parts are written as the rows in
    /// `rows`.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub(crate) fn one<T: Serialize, R: Serialize>(
        &self,
        thing: &T,
        columns: &[Column<R>],
        rows: &[R],
        people: impl FnOnce(&mut dyn Write, &Reader<'_>) -> io::Result<()>,
    ) -> Result<()> {
        match self.format {
            Format::Csv => self.list(columns, rows),
            Format::Table => {
                let mut out = Vec::new();
                people(&mut out, &Reader::People(&self.now))?;
                Ok(io::stdout().lock().write_all(&out)?)
            }
            Format::Json | Format::Ndjson => self.json(thing),
        }
    }

    /// Writes one JSON document, on several lines unless the format is NDJSON.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub(crate) fn json<T: Serialize>(&self, thing: &T) -> Result<()> {
        let text = match self.format {
            Format::Ndjson => serde_json::to_string(thing),
            _ => serde_json::to_string_pretty(thing),
        };
        let text = text.map_err(|error| Failure::error("cannot write a result as JSON").because(error))?;
        Ok(writeln!(io::stdout().lock(), "{text}")?)
    }
}

/// A table for people, as text that ends with a line break.
pub(crate) fn table<T>(columns: &[Column<T>], items: &[T], reader: &Reader<'_>) -> String {
    rows::table(
        columns.iter().map(|column| column.title),
        items.iter().map(|item| columns.iter().map(|column| (column.cell)(item, reader)).collect()),
    )
}
