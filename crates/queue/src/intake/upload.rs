//! NDJSON uploads: the order on the first line, one recipient on each further one, in bounded memory.
//!
//! Up to [`HELD`] rows nothing is written before the last line was read, as for JSON. Beyond that rows stream into the store
//! while the next lines come; when the upload is refused then, what was streamed is removed again.

use std::sync::Arc;

use axum::body::Body;
use posthaste_model::Suffix;
use posthaste_store::{NothingStored, OrderWriter};

use super::accept::{Cleared, Known, abandon, accept, clear, conclude, problem};
use super::answer::AcceptedView;
use super::digest::{self, Digest};
use super::draft::Draft;
use super::dry::{self, Count};
use super::flaw::{Flaw, FlawCode, Place, refused};
use super::json;
use super::lines::Lines;
use super::order::{OrderBody, RecipientBody};
use super::settings::Rules;
use super::sieve::{Rows, Sieve};
use crate::aside::SMALL_BODY;
use crate::auth::{Caller, Share};
use crate::problem::{Code, Problem};
use crate::state::AppState;

/// The media type of uploads and batches.
pub(crate) const MEDIA_TYPE: &str = "application/x-ndjson";
/// Bytes of the first line at most.
const MOST_ORDER: usize = 4 * 1024 * 1024;
/// Bytes of a recipient at most.
const MOST_RECIPIENT: usize = 64 * 1024;
/// Lines and bytes that are checked together, about.
const PIECE_LINES: usize = 1_000;
const PIECE_BYTES: usize = 128 * 1024;
/// Rows held before anything is written.
const HELD: usize = 4_000;

/// An upload on its way.
struct Upload {
    state: AppState,
    share: Arc<Share>,
    known: Known,
    draft: Draft,
    /// Digest of the first line: what a key is tied to before the last line is known.
    first: [u8; 12],
    rows: Rows,
    open: Option<(Cleared, OrderWriter)>,
    count: Option<Count>,
}

/// Lines that are checked together.
#[derive(Default)]
struct Piece {
    bytes: Vec<u8>,
    /// The number of each line, and where in the bytes it ends.
    lines: Vec<(u64, usize)>,
}

impl Piece {
    /// The next lines; none at the end of the body.
    async fn read(lines: &mut Lines) -> Result<Self, Problem> {
        let mut piece = Self::default();
        while piece.lines.len() < PIECE_LINES && piece.bytes.len() < PIECE_BYTES {
            let Some(line) = lines.next().await? else { break };
            piece.bytes.extend_from_slice(line.bytes);
            piece.lines.push((line.number, piece.bytes.len()));
        }
        Ok(piece)
    }

    /// Sorts the recipients, the first of which is `index` of the order.
    fn sort(&self, index: u32, sieve: &mut Sieve, rows: &mut Rows) {
        let mut begin = 0;
        for (index, (number, end)) in (index..).zip(&self.lines) {
            let line = &self.bytes[begin..*end];
            begin = *end;
            let read = json::part::<RecipientBody<'_>>(line);
            sieve.take(index, Place::Line(*number), &String::from_utf8_lossy(line), read, rows);
            if sieve.is_full() {
                return;
            }
        }
    }
}

/// Takes an upload.
pub(super) async fn take(
    state: AppState,
    caller: Caller,
    dry: bool,
    known: Known,
    body: Body,
) -> Result<AcceptedView, Problem> {
    let mut lines = Lines::new(body, MOST_ORDER);
    let Some(line) = lines.next().await? else {
        let detail = "the first line is the order, without its recipients";
        return Err(Problem::new(Code::MalformedJson, detail));
    };
    let line_is_small = line.bytes.len() <= SMALL_BODY;
    let (line, rules, id) = (line.bytes.to_vec(), state.rules.clone(), known.id.clone());
    let share = caller.share.clone();
    let first = move || first_line(&line, &caller, id.as_ref(), &rules);
    let (draft, digest) = state.aside.run(&share, line_is_small, first).await?;
    lines.limit(MOST_RECIPIENT);
    let sieve = Sieve::new(&draft, digest.clone(), &state.rules, rand::random());
    let first = digest::of_bytes(&[b"upload", &digest.finish()]);
    let count = dry.then(|| Count::new(rand::random()));
    let mut upload = Upload { state, share, known, draft, first, rows: Rows::new(), open: None, count };
    let sorted = upload.read(&mut lines, sieve).await;
    match sorted.and_then(|sieve| sieve.finish().map_err(Problem::from)) {
        Ok(sorted) => upload.finish(sorted).await,
        Err(problem) => Err(upload.give_up(problem).await),
    }
}

fn first_line(
    line: &[u8],
    caller: &Caller,
    id: Option<&Suffix>,
    rules: &Rules,
) -> Result<(Draft, Digest), Problem> {
    let body: OrderBody<'_> = json::object(line)?;
    let not_here = |pointer: &str, detail: &'static str| {
        Err(refused(vec![Flaw { line: Some(1), ..Flaw::new(pointer, FlawCode::NotHere, detail) }]))
    };
    if body.recipients.is_some() {
        return not_here("/recipients", "one recipient a line, after the order");
    }
    if body.order_id.is_some() {
        return not_here("/order_id", "it stands in the path of PUT /v1/orders/{id}");
    }
    let digest = Digest::of(&body);
    Ok((Draft::new(body, caller, id, rules)?, digest))
}

impl Upload {
    /// Reads all recipients.
    async fn read(&mut self, lines: &mut Lines, mut sieve: Sieve) -> Result<Sieve, Problem> {
        let most = self.state.rules.max_uploaded;
        let mut index = 0;
        loop {
            let piece = Piece::read(lines).await?;
            let count = u32::try_from(piece.lines.len()).unwrap_or(u32::MAX);
            if count == 0 {
                return Ok(sieve);
            }
            if count > most - index {
                let detail = format!("{most} recipients at most in one upload");
                return Err(Problem::new(Code::TooManyRecipients, detail).with("limit", most));
            }
            let small = piece.bytes.len() <= SMALL_BODY;
            let mut rows = std::mem::take(&mut self.rows);
            let sort = move || {
                piece.sort(index, &mut sieve, &mut rows);
                Ok((sieve, rows))
            };
            (sieve, self.rows) = self.state.aside.run(&self.share, small, sort).await?;
            index += count;
            if sieve.is_full() {
                return Ok(sieve);
            }
            if sieve.refuses() {
                // The rest is read for its faults alone.
                self.rows.clear();
            }
            if self.rows.len() >= HELD || (self.open.is_some() && !self.rows.is_empty()) {
                self.write().await?;
            }
        }
    }

    async fn write(&mut self) -> Result<(), Problem> {
        if let Some(count) = &mut self.count {
            count.add(&mut self.rows);
            return Ok(());
        }
        let (cleared, writer) = match &mut self.open {
            Some(open) => open,
            None => {
                let cleared = clear(&self.state, &self.draft, &self.known, self.first, None).await?;
                let head = self.draft.head(&cleared.tie.suffix, cleared.times, &self.state.rules);
                match self.state.store.open_order(head) {
                    Ok(writer) => self.open.insert((cleared, writer)),
                    Err(error) => {
                        let (told, proof) = (problem(&error, &cleared.tie), NothingStored::never_tried());
                        return Err(abandon(&self.state, &self.draft, &cleared, &proof, told).await);
                    }
                }
            }
        };
        for (channel, row) in self.rows.drain(..) {
            writer.push(&channel, row).await.map_err(|error| problem(&error, &cleared.tie))?;
        }
        Ok(())
    }

    async fn finish(mut self, sorted: super::sieve::Sorted) -> Result<AcceptedView, Problem> {
        if let Some(mut count) = self.count.take() {
            count.add(&mut self.rows);
            return dry::answer(&self.state, &self.draft, self.known.id.as_ref(), sorted, &count);
        }
        match self.open {
            Some((cleared, writer)) => {
                let cleared = match cleared.paid(&self.state, &self.draft, &sorted.tally.paid).await {
                    Ok(cleared) => cleared,
                    Err(problem) => {
                        if let Err(error) = writer.abort().await {
                            tracing::debug!(%error, "what was streamed of a refused upload is swept later");
                        }
                        return Err(problem);
                    }
                };
                let accepted = writer.finish(sorted.digest, &sorted.no_contact).await;
                conclude(&self.state, &self.draft, cleared, accepted, sorted.tally).await
            }
            None => accept(&self.state, self.draft, &self.known, sorted, self.rows).await,
        }
    }

    /// Removes what was written; answers what is told.
    async fn give_up(self, problem: Problem) -> Problem {
        let Some((cleared, writer)) = self.open else { return problem };
        if let Err(error) = writer.abort().await {
            tracing::debug!(%error, "what was streamed of a refused upload is swept later");
        }
        // What is streamed is no order before it is finished.
        abandon(&self.state, &self.draft, &cleared, &NothingStored::never_tried(), problem).await
    }
}
