//! Lists, written item by item. Only table rows are buffered, at most [`MEASURED`] at a time.

use std::io::Write;

use comfy_table::{ContentArrangement, Table, presets};
use jiff::Zoned;
use posthaste_people_file::escape;
use serde::Serialize;

use super::{Column, Format, Reader};
use crate::failure::{Failure, Result};
use crate::terminal::plain;

/// Number of table rows whose column widths are computed together.
const MEASURED: usize = 500;

/// How a CSV file is written; the default is for programs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct CsvStyle {
    /// The delimiter; a comma if not set.
    pub(crate) delimiter: Option<u8>,
    /// Whether the file begins with a byte order mark, by which spreadsheets recognize UTF-8.
    pub(crate) mark: bool,
    /// Whether cells are escaped so that a spreadsheet runs none as a formula.
    pub(crate) escaped: bool,
}

/// A list being written.
pub(crate) struct Rows<'a, T, W: Write> {
    columns: &'a [Column<T>],
    now: &'a Zoned,
    count: u64,
    /// Whether nothing was written yet.
    first: bool,
    style: CsvStyle,
    to: To<W>,
}

enum To<W: Write> {
    Table { out: W, held: Vec<Vec<String>>, headed: bool },
    Json { out: W },
    Ndjson { out: W },
    Csv { out: Box<csv::Writer<W>>, headed: bool },
}

impl<'a, T: Serialize, W: Write> Rows<'a, T, W> {
    pub(super) fn new(
        format: Format,
        style: CsvStyle,
        now: &'a Zoned,
        columns: &'a [Column<T>],
        out: W,
    ) -> Self {
        let csv = |out| csv::WriterBuilder::new().delimiter(style.delimiter.unwrap_or(b',')).from_writer(out);
        let to = match format {
            Format::Table => To::Table { out, held: Vec::new(), headed: false },
            Format::Json => To::Json { out },
            Format::Ndjson => To::Ndjson { out },
            Format::Csv => To::Csv { out: Box::new(csv(out)), headed: false },
        };
        Self { columns, now, count: 0, first: true, style, to }
    }

    /// Writes the next item.
    ///
    /// # Errors
    /// It cannot be written.
    pub(crate) fn push(&mut self, item: &T) -> Result<()> {
        let first = std::mem::take(&mut self.first);
        self.count += 1;
        match &mut self.to {
            To::Table { out, held, headed } => {
                let reader = Reader::People(self.now);
                held.push(self.columns.iter().map(|column| (column.cell)(item, &reader)).collect());
                if held.len() >= MEASURED {
                    flush(self.columns, out, held, headed)?;
                }
            }
            To::Json { out } => {
                out.write_all(if first { b"[\n  " } else { b",\n  " })?;
                out.write_all(&json(item)?)?;
            }
            To::Ndjson { out } => {
                out.write_all(&json(item)?)?;
                out.write_all(b"\n")?;
            }
            To::Csv { out, headed } => {
                head(self.columns, out, headed, self.style.mark)?;
                let written = |cell: String| match self.style.escaped {
                    true => escape(&cell).into_owned(),
                    false => cell,
                };
                let cells = self.columns.iter().map(|column| written((column.cell)(item, &Reader::Program)));
                out.write_record(cells).map_err(unwritten)?;
            }
        }
        Ok(())
    }

    /// Writes a remark about the list itself after its items, for programs that read JSON. It is not counted as an item.
    ///
    /// # Errors
    /// It cannot be written.
    pub(crate) fn remark(&mut self, remark: &impl Serialize) -> Result<()> {
        match &mut self.to {
            To::Table { .. } | To::Csv { .. } => {}
            To::Json { out } => {
                out.write_all(if std::mem::take(&mut self.first) { b"[\n  " } else { b",\n  " })?;
                out.write_all(&json(remark)?)?;
            }
            To::Ndjson { out } => {
                out.write_all(&json(remark)?)?;
                out.write_all(b"\n")?;
            }
        }
        Ok(())
    }

    /// Writes what is still buffered, and returns the number of items.
    ///
    /// # Errors
    /// It cannot be written.
    pub(crate) fn end(mut self) -> Result<u64> {
        match &mut self.to {
            To::Table { out, held, headed } => {
                flush(self.columns, out, held, headed)?;
                out.flush()?;
            }
            To::Json { out } => {
                out.write_all(if self.first { b"[]\n" } else { b"\n]\n" })?;
                out.flush()?;
            }
            To::Ndjson { out } => out.flush()?,
            To::Csv { out, headed } => {
                head(self.columns, out, headed, self.style.mark)?;
                out.flush()?;
            }
        }
        Ok(self.count)
    }
}

fn head<T, W: Write>(
    columns: &[Column<T>],
    out: &mut csv::Writer<W>,
    headed: &mut bool,
    mark: bool,
) -> Result<()> {
    if !std::mem::replace(headed, true) {
        let titles = columns.iter().map(|column| column.title.to_lowercase().replace(' ', "_"));
        // The mark is the first character of the file; no title needs quotes.
        let marks = std::iter::once(if mark { "\u{feff}" } else { "" }).chain(std::iter::repeat(""));
        out.write_record(marks.zip(titles).map(|(mark, title)| mark.to_owned() + &title))
            .map_err(unwritten)?;
    }
    Ok(())
}

fn flush<T, W: Write>(
    columns: &[Column<T>],
    out: &mut W,
    held: &mut Vec<Vec<String>>,
    headed: &mut bool,
) -> Result<()> {
    let first = !std::mem::replace(headed, true);
    if first || !held.is_empty() {
        let titles = columns.iter().map(|column| if first { column.title } else { "" });
        let text = table(titles, held.drain(..));
        let text = if first { text.as_str() } else { text.split_once('\n').map_or("", |(_, rest)| rest) };
        out.write_all(text.as_bytes())?;
    }
    Ok(())
}

/// Aligned columns without borders, and without trailing blanks.
pub(super) fn table<'t>(
    titles: impl Iterator<Item = &'t str>,
    rows: impl Iterator<Item = Vec<String>>,
) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(titles);
    for row in rows {
        table.add_row(row.iter().map(|cell| plain(cell)).collect::<Vec<_>>());
    }
    let lines =
        table.lines().map(|line| line.strip_prefix(' ').unwrap_or(&line).trim_end().to_owned() + "\n");
    lines.collect()
}

fn json<T: Serialize>(item: &T) -> Result<Vec<u8>> {
    serde_json::to_vec(item).map_err(|error| Failure::error("cannot write a result as JSON").because(error))
}

fn unwritten(error: csv::Error) -> Failure {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error.into(),
        other => Failure::error(format!("cannot write a result as CSV: {other:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: &[Column<serde_json::Value>] = &[
        Column { title: "Name", cell: |item, _| item["name"].as_str().unwrap_or_default().to_owned() },
        Column { title: "Updated at", cell: |item, reader| reader.moment(item["at"].as_str()) },
    ];

    fn written(format: Format, items: &[serde_json::Value]) -> String {
        let now: Zoned = "2026-11-20T12:00:00+00:00[UTC]".parse().expect("a moment");
        let mut out = Vec::new();
        let mut rows = Rows::new(format, CsvStyle::default(), &now, COLUMNS, &mut out);
        for item in items {
            rows.push(item).expect("written");
        }
        assert_eq!(rows.end().expect("ended"), items.len() as u64);
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn every_format_writes_the_same_list() {
        let items = [
            serde_json::json!({"name": "Анна, \u{1b}", "at": "2026-11-20T11:59:00Z"}),
            serde_json::json!({"name": "Bo", "at": null}),
        ];
        assert_eq!(written(Format::Table, &items), "Name     Updated at\nАнна, ·  1 min ago\nBo\n");
        assert_eq!(
            written(Format::Csv, &items),
            "name,updated_at\n\"Анна, \u{1b}\",2026-11-20T11:59:00Z\nBo,\n"
        );
        assert_eq!(written(Format::Ndjson, &items).lines().count(), 2);
        let json: serde_json::Value = serde_json::from_str(&written(Format::Json, &items)).expect("JSON");
        assert_eq!(json, serde_json::Value::from(items.to_vec()));
    }

    #[test]
    fn formulas_are_escaped_on_request_and_read_back_otherwise() {
        let names = ["=1+1", "@anna", "+7 901", "-5", "Anna, \"A\""];
        let items: Vec<_> = names.iter().map(|name| serde_json::json!({"name": name, "at": "x"})).collect();
        let now: Zoned = "2026-11-20T12:00:00+00:00[UTC]".parse().expect("a moment");
        let read = |escaped| {
            let mut out = Vec::new();
            let mut rows =
                Rows::new(Format::Csv, CsvStyle { escaped, ..CsvStyle::default() }, &now, COLUMNS, &mut out);
            items.iter().for_each(|item| rows.push(item).expect("written"));
            rows.end().expect("ended");
            let mut reader = csv::Reader::from_reader(&*out);
            reader.records().map(|row| row.expect("a row")[0].to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(read(false), names);
        assert_eq!(read(true), ["'=1+1", "'@anna", "'+7 901", "'-5", "Anna, \"A\""]);
    }

    #[test]
    fn a_file_for_a_spreadsheet_is_read_back_as_people() {
        const EXPORT: &[Column<serde_json::Value>] = &[
            Column {
                title: "Recipient id",
                cell: |item, _| item["id"].as_str().unwrap_or_default().to_owned(),
            },
            Column {
                title: "Recipient name",
                cell: |item, _| item["name"].as_str().unwrap_or_default().to_owned(),
            },
            Column { title: "Channel", cell: |_, _| "sms".to_owned() },
            Column { title: "Address", cell: |item, _| item["to"].as_str().unwrap_or_default().to_owned() },
        ];
        let names = ["=1+1", "@anna", "-5;=2", "Lee, \"A\"|+7", "Анна\u{ff1d}", "O'Neil", "''=x"];
        let now: Zoned = "2026-11-20T12:00:00+00:00[UTC]".parse().expect("a moment");
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("all.csv");
        for delimiter in [None, Some(b';'), Some(b'\t')] {
            let mut out = Vec::new();
            let style = CsvStyle { delimiter, mark: true, escaped: true };
            let mut rows = Rows::new(Format::Csv, style, &now, EXPORT, &mut out);
            for (at, name) in names.iter().enumerate() {
                let item = serde_json::json!({"id": format!("p{at}"), "name": name, "to": format!("+7901123456{at}")});
                rows.push(&item).expect("written");
            }
            rows.end().expect("ended");
            assert!(out.starts_with("\u{feff}recipient_id".as_bytes()), "{delimiter:?}");
            std::fs::write(&path, &out).expect("a file");
            let source = posthaste_people_file::Source::File(path.clone());
            let mut people =
                posthaste_people_file::People::open(&source, &Default::default()).expect("opened");
            let mut read = Vec::new();
            while let Some(row) = people.next_row().expect("read") {
                read.push(serde_json::to_value(row.expect("a person").1).expect("JSON"));
            }
            let wanted = names.iter().enumerate().map(|(at, name)| {
                let phones = [format!("+7901123456{at}")];
                serde_json::json!({"id": format!("p{at}"), "name": name, "contacts": {"sms": phones}})
            });
            assert_eq!(read, wanted.collect::<Vec<_>>(), "{delimiter:?}");
        }
    }

    #[test]
    fn an_empty_list_is_complete_output() {
        assert_eq!(written(Format::Json, &[]), "[]\n");
        assert_eq!(written(Format::Csv, &[]), "name,updated_at\n");
        assert_eq!(written(Format::Ndjson, &[]), "");
        assert_eq!(written(Format::Table, &[]), "Name  Updated at\n");
    }

    #[test]
    fn a_remark_follows_the_items_in_json_only() {
        let now: Zoned = "2026-11-20T12:00:00+00:00[UTC]".parse().expect("a moment");
        let reported = |format, items: &[serde_json::Value]| {
            let mut out = Vec::new();
            let mut rows = Rows::new(format, CsvStyle::default(), &now, COLUMNS, &mut out);
            items.iter().for_each(|item| rows.push(item).expect("written"));
            rows.remark(&serde_json::json!({"missing": [1]})).expect("written");
            assert_eq!(rows.end().expect("ended"), items.len() as u64);
            String::from_utf8(out).expect("text")
        };
        let item = [serde_json::json!({"name": "Bo"})];
        let json = |text: &str| serde_json::from_str::<serde_json::Value>(text).expect("JSON");
        assert_eq!(
            json(&reported(Format::Json, &item)),
            serde_json::json!([{"name": "Bo"}, {"missing": [1]}])
        );
        assert_eq!(json(&reported(Format::Json, &[])), serde_json::json!([{"missing": [1]}]));
        assert_eq!(reported(Format::Ndjson, &item).lines().last(), Some("{\"missing\":[1]}"));
        assert_eq!(reported(Format::Csv, &item), "name,updated_at\nBo,\n");
    }

    #[test]
    fn a_long_table_has_one_header() {
        let items = vec![serde_json::json!({"name": "x"}); MEASURED * 2 + 1];
        assert_eq!(written(Format::Table, &items).lines().count(), items.len() + 1);
    }
}
