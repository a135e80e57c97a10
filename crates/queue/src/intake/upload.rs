//! NDJSON uploads: the order on the first line, one recipient on each further line, in bounded memory.
//!
//! Up to [`HELD`] deliveries, nothing is written before the last line was read, as for JSON. Above that, deliveries
//! are streamed into the store while further lines arrive; if the upload is then refused, they are removed again.

use std::sync::Arc;

use axum::body::Body;
use posthaste_model::OrderId;
use posthaste_store::{NothingStored, OrderWriter};

use super::accept::{Cleared, Known, abandon, accept, clear, conclude, problem};
use super::answer::AcceptedView;
use super::digest::{self, Digest};
use super::dry_run::{self, Count};
use super::json;
use super::lines::Lines;
use super::order::{OrderBody, RecipientBody};
use super::recipient_validator::{Deliveries, RecipientValidator};
use super::settings::Rules;
use super::state::IntakeState;
use super::validated_order::ValidatedOrder;
use super::validation_error::{Place, ValidationCode, ValidationError, refused};
use crate::auth::{Caller, Share};
use crate::offload::SMALL_BODY;
use crate::problem::{Code, Problem};

/// The media type of uploads and batches.
pub(crate) const MEDIA_TYPE: &str = "application/x-ndjson";
/// Maximum bytes of the first line.
const MOST_ORDER: usize = 4 * 1024 * 1024;
/// Maximum bytes of a recipient.
const MOST_RECIPIENT: usize = 64 * 1024;
/// Approximate number of lines and bytes that are checked together.
const PIECE_LINES: usize = 1_000;
const PIECE_BYTES: usize = 128 * 1024;
/// Deliveries held in memory before anything is written.
const HELD: usize = 4_000;

/// An upload in progress.
struct Upload {
    state: Arc<IntakeState>,
    share: Arc<Share>,
    known: Known,
    draft: ValidatedOrder,
    /// Digest of the first line: what a key is bound to before the last line is known.
    first: [u8; 12],
    deliveries: Deliveries,
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
    /// The next lines; empty at the end of the body.
    async fn read(lines: &mut Lines) -> Result<Self, Problem> {
        let mut piece = Self::default();
        while piece.lines.len() < PIECE_LINES && piece.bytes.len() < PIECE_BYTES {
            let Some(line) = lines.next().await? else { break };
            piece.bytes.extend_from_slice(line.bytes);
            piece.lines.push((line.number, piece.bytes.len()));
        }
        Ok(piece)
    }

    /// Validates the recipients, the first of which has number `index` in the order.
    fn sort(&self, index: u32, validator: &mut RecipientValidator, deliveries: &mut Deliveries) {
        let mut begin = 0;
        for (index, (number, end)) in (index..).zip(&self.lines) {
            let line = &self.bytes[begin..*end];
            begin = *end;
            let read = json::part::<RecipientBody<'_>>(line);
            validator.take(index, Place::Line(*number), &String::from_utf8_lossy(line), read, deliveries);
            if validator.is_full() {
                return;
            }
        }
    }
}

/// Receives an upload.
pub(super) async fn take(
    state: Arc<IntakeState>,
    caller: Caller,
    dry: bool,
    known: Known,
    body: Body,
) -> Result<AcceptedView, Problem> {
    let mut lines = Lines::new(body, MOST_ORDER);
    let Some(line) = lines.next().await? else {
        let detail = "the first line must be the order, without its recipients";
        return Err(Problem::new(Code::MalformedJson, detail));
    };
    let line_is_small = line.bytes.len() <= SMALL_BODY;
    let (line, rules, id) = (line.bytes.to_vec(), state.rules.clone(), known.id.clone());
    let share = caller.share.clone();
    let first = move || first_line(&line, &caller, id.as_ref(), &rules);
    let (draft, digest) = state.offload.run(&share, line_is_small, first).await?;
    lines.limit(MOST_RECIPIENT);
    let validator = RecipientValidator::new(&draft, digest.clone(), &state.rules, rand::random());
    let first = digest::of_bytes(&[b"upload", &digest.finish()]);
    let count = dry.then(|| Count::new(rand::random()));
    let mut upload =
        Upload { state, share, known, draft, first, deliveries: Deliveries::new(), open: None, count };
    let sorted = upload.read(&mut lines, validator).await;
    match sorted.and_then(|validator| validator.finish(&upload.draft.content).map_err(Problem::from)) {
        Ok(sorted) => upload.finish(sorted).await,
        Err(problem) => Err(upload.give_up(problem).await),
    }
}

fn first_line(
    line: &[u8],
    caller: &Caller,
    id: Option<&OrderId>,
    rules: &Rules,
) -> Result<(ValidatedOrder, Digest), Problem> {
    let body: OrderBody<'_> = json::object(line)?;
    let not_allowed = |pointer: &str, detail: &'static str| {
        Err(refused(vec![ValidationError {
            line: Some(1),
            ..ValidationError::new(pointer, ValidationCode::NotAllowedHere, detail)
        }]))
    };
    if body.recipients.is_some() {
        return not_allowed("/recipients", "not allowed here; put one recipient per line after the order");
    }
    if body.id.is_some() {
        return not_allowed("/id", "not allowed here; give the id in the path: PUT /v1/orders/{id}");
    }
    let digest = Digest::of(&body);
    Ok((ValidatedOrder::new(body, caller, id, rules)?, digest))
}

impl Upload {
    /// Reads all recipients.
    async fn read(
        &mut self,
        lines: &mut Lines,
        mut validator: RecipientValidator,
    ) -> Result<RecipientValidator, Problem> {
        let most = self.state.rules.max_uploaded;
        let mut index = 0;
        loop {
            let piece = Piece::read(lines).await?;
            let count = u32::try_from(piece.lines.len()).unwrap_or(u32::MAX);
            if count == 0 {
                return Ok(validator);
            }
            if count > most - index {
                let detail = format!("at most {most} recipients in one upload");
                return Err(Problem::new(Code::TooManyRecipients, detail).with("limit", most));
            }
            let small = piece.bytes.len() <= SMALL_BODY;
            let mut deliveries = std::mem::take(&mut self.deliveries);
            let sort = move || {
                piece.sort(index, &mut validator, &mut deliveries);
                Ok((validator, deliveries))
            };
            (validator, self.deliveries) = self.state.offload.run(&self.share, small, sort).await?;
            index += count;
            if validator.is_full() {
                return Ok(validator);
            }
            if validator.refuses() {
                // The rest is only read to report its errors.
                self.deliveries.clear();
            }
            if self.deliveries.len() >= HELD || (self.open.is_some() && !self.deliveries.is_empty()) {
                self.write().await?;
            }
        }
    }

    async fn write(&mut self) -> Result<(), Problem> {
        if let Some(count) = &mut self.count {
            count.add(&mut self.deliveries);
            return Ok(());
        }
        let (cleared, writer) = match &mut self.open {
            Some(open) => open,
            None => {
                let cleared = clear(&self.state, &self.draft, &self.known, self.first, None).await?;
                let head = self.draft.head(&cleared.tie.order_id, cleared.times, &self.state.rules);
                match self.state.store.open_order(head) {
                    Ok(writer) => self.open.insert((cleared, writer)),
                    Err(error) => {
                        let (reported, proof) = (problem(&error, &cleared.tie), NothingStored::never_tried());
                        return Err(abandon(&self.state, &self.draft, &cleared, &proof, reported).await);
                    }
                }
            }
        };
        for (channel, delivery) in self.deliveries.drain(..) {
            writer.push(&channel, delivery).await.map_err(|error| problem(&error, &cleared.tie))?;
        }
        Ok(())
    }

    async fn finish(mut self, sorted: super::recipient_validator::Sorted) -> Result<AcceptedView, Problem> {
        if let Some(mut count) = self.count.take() {
            count.add(&mut self.deliveries);
            return dry_run::answer(&self.state, &self.draft, self.known.id.as_ref(), sorted, &count);
        }
        match self.open {
            Some((cleared, writer)) => {
                let cleared = match cleared.paid(&self.state, &self.draft, &sorted.tally.paid).await {
                    Ok(cleared) => cleared,
                    Err(problem) => {
                        if let Err(error) = writer.abort().await {
                            tracing::debug!(%error, "could not remove a refused upload; housekeeping removes it later");
                        }
                        return Err(problem);
                    }
                };
                let accepted = writer.finish(sorted.digest, &sorted.no_contact).await;
                conclude(&self.state, &self.draft, cleared, accepted, sorted.tally).await
            }
            None => accept(&self.state, self.draft, &self.known, sorted, self.deliveries).await,
        }
    }

    /// Removes what was written; returns the problem to send.
    async fn give_up(self, problem: Problem) -> Problem {
        let Some((cleared, writer)) = self.open else { return problem };
        if let Err(error) = writer.abort().await {
            tracing::debug!(%error, "could not remove a refused upload; housekeeping removes it later");
        }
        // Streamed data is not an order until it is finished.
        abandon(&self.state, &self.draft, &cleared, &NothingStored::never_tried(), problem).await
    }
}
