//! An order as a stream of lines: the order itself, then one person a line, in bounded memory. Lines of the upload are
//! told back as lines of the file.

use std::collections::BTreeMap;
use std::io;

use bytes::Bytes;
use futures::Stream;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::{People, Person, RowError};
use crate::failure::{Failure, Result};

/// Bytes of a piece of the body, and pieces that wait to be sent.
const PIECE: usize = 64 * 1024;
const PIECES: usize = 4;

/// Row errors that are told one by one.
pub(crate) const TOLD: usize = 100;

/// What to do about rows that are no person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(crate) enum OnInvalid {
    /// Send nothing at all.
    #[default]
    Stop,
    /// Leave them out and tell which.
    Skip,
}

impl OnInvalid {
    /// The queue's word for it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Stop => "refuse",
            Self::Skip => "skip",
        }
    }
}

/// What is to be sent.
pub(crate) struct Upload {
    /// The order without its recipients.
    pub(crate) order: Value,
    /// People named on the command line.
    pub(crate) given: Vec<Person>,
    /// People of a file.
    pub(crate) people: Option<People>,
    /// What to do about bad rows.
    pub(crate) on_invalid: OnInvalid,
}

/// What was read while it was sent.
#[derive(Debug, Default)]
pub(crate) struct Uploaded {
    /// People written.
    pub(crate) people: u64,
    /// How many of them can be reached per channel.
    pub(crate) reachable: BTreeMap<&'static str, u64>,
    /// The first bad rows.
    pub(crate) errors: Vec<RowError>,
    /// All bad rows that were seen.
    pub(crate) error_count: u64,
    /// Why the file could not be read to its end.
    pub(crate) failure: Option<Failure>,
    lines: Lines,
}

impl Uploaded {
    /// The line of the file a line of the upload was made of; `None` for the order itself and for people named on the
    /// command line.
    pub(crate) fn line_of(&self, upload_line: u64) -> Option<u64> {
        self.lines.of(upload_line)
    }
}

/// Lines of the upload and of the file beside each other, kept as the places where their distance changes.
#[derive(Debug, Default)]
struct Lines(Vec<(u64, u64)>);

impl Lines {
    fn add(&mut self, upload: u64, file: u64) {
        let expected = self.0.last().map(|(u, f)| f.wrapping_add(upload - u));
        if expected != Some(file) {
            self.0.push((upload, file));
        }
    }

    fn of(&self, upload: u64) -> Option<u64> {
        let at = self.0.partition_point(|(u, _)| *u <= upload).checked_sub(1)?;
        self.0.get(at).map(|(u, f)| f + (upload - u))
    }
}

/// The body of the upload.
pub(crate) type Body = mpsc::Receiver<io::Result<Bytes>>;

/// A body as a stream.
pub(crate) fn stream(body: Body) -> impl Stream<Item = io::Result<Bytes>> {
    futures::stream::unfold(body, |mut body| async move { body.recv().await.map(|piece| (piece, body)) })
}

impl Upload {
    /// Begins to read, no faster than the body is taken. When a bad row is to stop it, the body breaks off, so that the
    /// queue keeps nothing, and the rest of the file is still looked at.
    pub(crate) fn start(self) -> (Body, JoinHandle<Uploaded>) {
        let (to, body) = mpsc::channel(PIECES);
        (body, tokio::task::spawn_blocking(move || self.run(&to)))
    }

    fn run(self, to: &mpsc::Sender<io::Result<Bytes>>) -> Uploaded {
        let mut told = Uploaded::default();
        match self.write(&mut told, to) {
            Ok(()) => {}
            Err(End::Left) => {}
            Err(End::Stopped) => {
                // Its receiver may have left already; the body is broken off either way.
                let _ = to.blocking_send(Err(io::Error::other("a row cannot be used")));
            }
            Err(End::Failed(failure)) => {
                told.failure = Some(failure);
                let _ = to.blocking_send(Err(io::Error::other("the file cannot be read")));
            }
        }
        told
    }

    fn write(self, told: &mut Uploaded, to: &mpsc::Sender<io::Result<Bytes>>) -> Result<(), End> {
        let mut piece = Vec::with_capacity(PIECE + 1024);
        let mut line = 1_u64;
        line_of(&mut piece, &self.order)?;
        for person in &self.given {
            line += 1;
            told.count(person);
            line_of(&mut piece, person)?;
        }
        if let Some(mut people) = self.people {
            while let Some(row) = people.next()? {
                match row {
                    Ok((at, person)) if told.error_count == 0 || self.on_invalid == OnInvalid::Skip => {
                        line += 1;
                        told.count(&person);
                        told.lines.add(line, at);
                        line_of(&mut piece, &person)?;
                    }
                    Ok(_) => {}
                    Err(error) => {
                        told.error_count += 1;
                        if told.errors.len() < TOLD {
                            told.errors.push(error);
                        }
                    }
                }
                if piece.len() >= PIECE {
                    let whole = std::mem::replace(&mut piece, Vec::with_capacity(PIECE + 1024));
                    to.blocking_send(Ok(whole.into())).map_err(|_| End::Left)?;
                }
            }
        }
        if told.error_count > 0 && self.on_invalid == OnInvalid::Stop {
            return Err(End::Stopped);
        }
        to.blocking_send(Ok(piece.into())).map_err(|_| End::Left)
    }
}

impl Uploaded {
    fn count(&mut self, person: &Person) {
        self.people += 1;
        for channel in person.channels() {
            *self.reachable.entry(channel).or_default() += 1;
        }
    }
}

/// Why writing ended early.
enum End {
    /// Nobody takes the body any more.
    Left,
    /// A bad row is to stop it.
    Stopped,
    /// The file cannot be read.
    Failed(Failure),
}

impl From<Failure> for End {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

fn line_of(piece: &mut Vec<u8>, part: &impl serde::Serialize) -> Result<()> {
    serde_json::to_writer(&mut *piece, part)
        .map_err(|error| Failure::error("a line of the upload is no JSON").because(error))?;
    piece.push(b'\n');
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::{Options, Source};
    use super::*;

    async fn sent(csv: &str, on_invalid: OnInvalid) -> (Result<String, String>, Uploaded) {
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join("people.csv");
        std::fs::write(&file, csv).expect("a file");
        let people = People::open(&Source::File(file), &Options::default()).expect("opened");
        let order = serde_json::json!({"text": "Hello"});
        let given = vec![Person::at("given-1".to_owned(), super::super::Field::Email, "z@b.example")];
        let (mut body, told) = Upload { order, given, people: Some(people), on_invalid }.start();
        let mut text = Ok(String::new());
        while let Some(piece) = body.recv().await {
            match piece {
                Ok(piece) => {
                    if let Ok(text) = &mut text {
                        text.push_str(std::str::from_utf8(&piece).expect("text"));
                    }
                }
                Err(error) => text = Err(error.to_string()),
            }
        }
        (text, told.await.expect("no panic"))
    }

    const ROWS: &str =
        "email,name\na@b.example,Anna\n,Nobody\n\nc@d.example,\"two\nlines\"\ne@f.example,Eve\n";

    #[tokio::test]
    async fn bad_rows_are_left_out_and_lines_lead_back_to_the_file() {
        let (text, told) = sent(ROWS, OnInvalid::Skip).await;
        let text = text.expect("whole");
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], r#"{"text":"Hello"}"#);
        assert_eq!(lines.len(), 5);
        assert_eq!(told.people, 4);
        assert_eq!(told.reachable, BTreeMap::from([("email", 4)]));
        assert_eq!(told.errors, [RowError { line: 3, what: "no address".to_owned() }]);
        let back: Vec<_> = (1..=5).map(|line| told.line_of(line)).collect();
        assert_eq!(back, [None, None, Some(2), Some(5), Some(7)]);
    }

    #[tokio::test]
    async fn a_bad_row_breaks_the_body_off() {
        let (text, told) = sent(ROWS, OnInvalid::Stop).await;
        assert_eq!(text, Err("a row cannot be used".to_owned()));
        assert_eq!(told.error_count, 1);
    }

    #[tokio::test]
    async fn a_body_nobody_takes_ends_the_reading() {
        let mut csv = "email\n".to_owned();
        csv.extend((0..100_000).map(|n| format!("a{n}@b.example\n")));
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join("people.csv");
        std::fs::write(&file, csv).expect("a file");
        let people = People::open(&Source::File(file), &Options::default()).expect("opened");
        let upload =
            Upload { order: Value::Null, given: vec![], people: Some(people), on_invalid: OnInvalid::Stop };
        let (body, told) = upload.start();
        drop(body);
        assert!(told.await.expect("no panic").people < 100_000);
    }
}
