//! Uploads an order as a stream of lines: the order itself, then one person per line, in bounded memory. Maps lines of the
//! upload back to lines of the file.

use std::collections::BTreeMap;
use std::io;

use bytes::Bytes;
use futures::Stream;
use posthaste_client::OrderRequest;
use posthaste_people_file::{Known, People, Person, Reasons, RowMatch};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::failure::{Failure, Result};

/// Size of a piece of the body in bytes, and number of pieces that may wait to be sent.
const PIECE: usize = 64 * 1024;
const PIECES: usize = 4;

/// Merged rows that are named.
const NAMED: usize = 5;

/// What to do about invalid rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(crate) enum OnInvalid {
    /// Send nothing.
    #[default]
    Reject,
    /// Leave them out and list them.
    Skip,
}

/// What to send.
pub(crate) struct Upload {
    /// The order without its recipients.
    pub(crate) order: OrderRequest,
    /// People given on the command line.
    pub(crate) given: Vec<Person>,
    /// People of a file.
    pub(crate) people: Option<People>,
    /// What to do about invalid rows.
    pub(crate) on_invalid: OnInvalid,
    /// The channels to use; all if empty.
    pub(crate) channels: Vec<String>,
    /// Whether to use all addresses of a channel instead of only the first.
    pub(crate) all_addresses: bool,
    /// Whether rows with the same id are one person even if their addresses differ.
    pub(crate) merge_ids: bool,
}

/// Rows merged with an earlier row.
#[derive(Debug, Default)]
pub(crate) struct Merged {
    /// How many.
    pub(crate) count: u64,
    /// The first ones: their line, and the line of the row they were merged with.
    pub(crate) first: Vec<(u64, u64)>,
}

/// Statistics of an upload.
#[derive(Debug, Default)]
pub(crate) struct Uploaded {
    /// People written, including those given on the command line.
    pub(crate) people: u64,
    /// People given on the command line.
    pub(crate) given: u64,
    /// Data rows of the file.
    pub(crate) rows: u64,
    /// Rows merged with an earlier row; they were not written.
    pub(crate) merged: Merged,
    /// Rows without an address on the channels to use; they were not written.
    pub(crate) unreachable: Reasons,
    /// People with more than one address on a channel, of which only the first is used.
    pub(crate) spare: Reasons,
    /// How many of the people can be reached, per channel.
    pub(crate) reachable: BTreeMap<&'static str, u64>,
    /// All invalid rows.
    pub(crate) errors: Reasons,
    /// Why the file could not be read to its end.
    pub(crate) failure: Option<Failure>,
    lines: Lines,
}

impl Uploaded {
    /// The line of the file that a line of the upload was made from; `None` for the order itself and for people given on the
    /// command line.
    pub(crate) fn line_of(&self, upload_line: u64) -> Option<u64> {
        self.lines.of(upload_line)
    }
}

/// Maps lines of the upload to lines of the file. Only the places where their difference changes are stored.
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
    /// Begins to read, no faster than the body is sent. If an invalid row has to stop the upload, the body is aborted, so that
    /// the queue keeps nothing; the rest of the file is still checked.
    pub(crate) fn start(self) -> (Body, JoinHandle<Uploaded>) {
        let (to, body) = mpsc::channel(PIECES);
        (body, tokio::task::spawn_blocking(move || self.run(&to)))
    }

    fn run(self, to: &mpsc::Sender<io::Result<Bytes>>) -> Uploaded {
        let mut reported = Uploaded::default();
        match self.write(&mut reported, to) {
            Ok(()) => {}
            Err(End::Left) => {}
            Err(End::Stopped) => {
                // The receiver may already be gone; the body is aborted either way.
                let _ = to.blocking_send(Err(io::Error::other("a row is invalid")));
            }
            Err(End::Failed(failure)) => {
                reported.failure = Some(failure);
                let _ = to.blocking_send(Err(io::Error::other("the file cannot be read")));
            }
        }
        reported
    }

    fn write(self, reported: &mut Uploaded, to: &mpsc::Sender<io::Result<Bytes>>) -> Result<(), End> {
        let mut piece = Vec::with_capacity(PIECE + 1024);
        let mut line = 1_u64;
        line_of(&mut piece, &self.order)?;
        for person in &self.given {
            line += 1;
            reported.count(person);
            line_of(&mut piece, person)?;
        }
        reported.given = reported.people;
        let mut known = Known::new(self.merge_ids);
        self.given.iter().for_each(|person| known.reserve(&person.id));
        if let Some(mut people) = self.people {
            while let Some(row) = people.next_row().map_err(Failure::from)? {
                reported.rows += 1;
                let (at, mut person) = match row {
                    Ok(row) => row,
                    Err(error) => {
                        reported.errors.add(Some(error.line), &error.what);
                        continue;
                    }
                };
                let used = person.used(&self.channels, self.all_addresses);
                if used.is_empty() {
                    let what = format!("no address on {}", self.channels.join(" or "));
                    reported.unreachable.add(Some(at), &what);
                    continue;
                }
                match known.look(at, &mut person, &used) {
                    RowMatch::New => {}
                    RowMatch::Merged(with) => {
                        reported.merged.add(at, with);
                        continue;
                    }
                    RowMatch::Refused(what) => {
                        reported.errors.add(Some(at), what);
                        continue;
                    }
                }
                if person.has_spare() && !self.all_addresses {
                    reported.spare.add(Some(at), SPARE);
                }
                if reported.errors.count() == 0 || self.on_invalid == OnInvalid::Skip {
                    line += 1;
                    reported.count(&person);
                    reported.lines.add(line, at);
                    line_of(&mut piece, &person)?;
                }
                if piece.len() >= PIECE {
                    let whole = std::mem::replace(&mut piece, Vec::with_capacity(PIECE + 1024));
                    to.blocking_send(Ok(whole.into())).map_err(|_| End::Left)?;
                }
            }
        }
        if reported.errors.count() > 0 && self.on_invalid == OnInvalid::Reject {
            return Err(End::Stopped);
        }
        to.blocking_send(Ok(piece.into())).map_err(|_| End::Left)
    }
}

/// The note for a person whose addresses are not all used.
const SPARE: &str = "more than one address on a channel; the first is used (--all-addresses sends to each)";

impl Merged {
    fn add(&mut self, line: u64, with: u64) {
        self.count += 1;
        if self.first.len() < NAMED {
            self.first.push((line, with));
        }
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
    /// The receiver of the body is gone.
    Left,
    /// An invalid row stops the upload.
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
        .map_err(|error| Failure::error("cannot write a line of the upload as JSON").because(error))?;
    piece.push(b'\n');
    Ok(())
}

#[cfg(test)]
mod tests {
    use posthaste_people_file::{Field, OTHER_ADDRESSES, Options, Source};

    use super::*;

    fn upload(order: OrderRequest, people: People, on_invalid: OnInvalid) -> Upload {
        let (given, people, channels) = (vec![], Some(people), vec![]);
        Upload { order, given, people, on_invalid, channels, all_addresses: false, merge_ids: false }
    }

    async fn sent(csv: &str, on_invalid: OnInvalid) -> (Result<String, String>, Uploaded) {
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join("people.csv");
        std::fs::write(&file, csv).expect("a file");
        let people = People::open(&Source::File(file), &Options::default()).expect("opened");
        let order =
            OrderRequest { text: Some(posthaste_model::Text::new("Hello")), ..OrderRequest::default() };
        let given = vec![Person::at(
            "given-1".to_owned(),
            Field::Address(&posthaste_model::channels::EMAIL),
            "z@b.example",
        )];
        let (mut body, reported) = Upload { given, ..upload(order, people, on_invalid) }.start();
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
        (text, reported.await.expect("no panic"))
    }

    const ROWS: &str =
        "email,name\na@b.example,Anna\n,Nobody\n\nc@d.example,\"two\nlines\"\ne@f.example,Eve\n";

    #[tokio::test]
    async fn bad_rows_are_left_out_and_lines_map_to_the_file() {
        let (text, reported) = sent(ROWS, OnInvalid::Skip).await;
        let text = text.expect("whole");
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], r#"{"text":"Hello"}"#);
        assert_eq!(lines.len(), 5);
        assert_eq!(reported.people, 4);
        assert_eq!(reported.reachable, BTreeMap::from([("email", 4)]));
        assert_eq!(reported.errors.lines().collect::<Vec<_>>(), ["line 3: no address"]);
        assert_eq!((reported.rows, reported.given), (4, 1));
        let back: Vec<_> = (1..=5).map(|line| reported.line_of(line)).collect();
        assert_eq!(back, [None, None, Some(2), Some(5), Some(7)]);
    }

    #[tokio::test]
    async fn every_row_is_written_merged_or_left_out() {
        let csv = "id,email,phone\n7,a@b.example,\n7,A@b.example;x@b.example,\n7,a@B.EXAMPLE,\n8,,+7 901\n\
                   9,c@b.example;d@b.example,\n,c@b.example,\n,,\n,e@b.example,\n";
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join("people.csv");
        std::fs::write(&file, csv).expect("a file");
        let people = People::open(&Source::File(file), &Options::default()).expect("opened");
        let upload = Upload {
            channels: vec!["email".to_owned()],
            ..upload(OrderRequest::default(), people, OnInvalid::Skip)
        };
        let (mut body, reported) = upload.start();
        while body.recv().await.is_some() {}
        let reported = reported.await.expect("no panic");
        assert_eq!((reported.rows, reported.people), (7, 3));
        assert_eq!((reported.merged.count, reported.merged.first.clone()), (2, vec![(4, 2), (7, 6)]));
        let other = format!("line 3: {}", OTHER_ADDRESSES);
        assert_eq!(reported.errors.lines().collect::<Vec<_>>(), [other]);
        assert_eq!(reported.unreachable.lines().collect::<Vec<_>>(), ["line 5: no address on email"]);
        assert_eq!(reported.spare.lines().collect::<Vec<_>>(), [format!("line 6: {SPARE}")]);
        assert_eq!(
            reported.rows,
            reported.people + reported.merged.count + reported.errors.count() + reported.unreachable.count()
        );
    }

    #[tokio::test]
    async fn a_bad_row_aborts_the_body() {
        let (text, reported) = sent(ROWS, OnInvalid::Reject).await;
        assert_eq!(text, Err("a row is invalid".to_owned()));
        assert_eq!(reported.errors.count(), 1);
    }

    #[tokio::test]
    async fn reading_ends_if_the_receiver_is_gone() {
        let mut csv = "email\n".to_owned();
        csv.extend((0..100_000).map(|n| format!("a{n}@b.example\n")));
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join("people.csv");
        std::fs::write(&file, csv).expect("a file");
        let people = People::open(&Source::File(file), &Options::default()).expect("opened");
        let (body, reported) = upload(OrderRequest::default(), people, OnInvalid::Reject).start();
        drop(body);
        assert!(reported.await.expect("no panic").people < 100_000);
    }
}
