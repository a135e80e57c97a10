//! DATA: receives a message, within bounds, and decides on it.

use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::{Buf, Bytes};

use super::body::{self, DotFinder};
use super::session::{Session, Stop};
use super::wire::Lost;
use crate::record::{AttemptOutcome, AttemptStage, Cut, Ending};
use crate::settings::Tolerance;

/// Room is reserved in steps of this many bytes.
const STEP: usize = 64 * 1024;

/// A message being received.
struct Incoming<'a> {
    raw: Vec<u8>,
    size: u64,
    refusal: Option<(u16, &'static str)>,
    room: Room<'a>,
}

/// Bytes reserved from what all connections together may hold; returned when dropped.
struct Room<'a> {
    receiving: &'a AtomicUsize,
    held: usize,
}

impl Room<'_> {
    /// Whether there is room for `bytes` in all.
    fn grow(&mut self, bytes: usize, most: usize) -> bool {
        if bytes <= self.held {
            return true;
        }
        let more = (bytes - self.held).next_multiple_of(STEP);
        let taken = |receiving: usize| receiving.checked_add(more).filter(|sum| *sum <= most);
        if self.receiving.fetch_update(Ordering::Relaxed, Ordering::Relaxed, taken).is_err() {
            return false;
        }
        self.held += more;
        true
    }
}

impl Drop for Room<'_> {
    fn drop(&mut self) {
        self.receiving.fetch_sub(self.held, Ordering::Relaxed);
    }
}

impl Session<'_> {
    pub(super) async fn data(&mut self) -> Result<(), Stop> {
        let Some(transaction) = &self.transaction else {
            return self.bad(503, "5.5.1 Say MAIL first");
        };
        if transaction.taken.is_empty() {
            return self.answer(554, "5.5.1 No valid recipients");
        }
        // A copy, because checking for faults needs the whole session.
        let taken = transaction.taken.clone();
        let recipients: Vec<&str> = taken.iter().map(String::as_str).collect();
        let met = self.meet(AttemptStage::Data, &recipients).await;
        if let Some(answer) = met? {
            return self.refuse_early(AttemptStage::Data, answer.code, answer.text());
        }
        if self.wire.has_input() && self.server.settings.tolerance == Tolerance::Strict {
            self.refuse_early(AttemptStage::Data, 503, "5.5.1 Nothing may follow DATA before 354")?;
            return Err(Stop::Close);
        }
        self.answer(354, "End data with <CR><LF>.<CR><LF>")?;
        self.wire.flush().await?;
        match self.meet(AttemptStage::Body, &recipients).await {
            Err(Stop::Cut(cut)) if cut != Cut::Hang => return self.cut_body(cut).await,
            met => met.map(drop)?,
        }
        self.receive(&recipients).await
    }

    /// Cuts the connection once the first bytes of the message have arrived.
    async fn cut_body(&mut self, cut: Cut) -> Result<(), Stop> {
        let raw = match self.wire.piece().await {
            Ok(piece) => piece.split().freeze(),
            Err(_) => Bytes::new(),
        };
        let outcome =
            AttemptOutcome { ending: Ending::Cut, stage: AttemptStage::Body, code: None, cut: Some(cut) };
        let size = raw.len();
        self.finish(outcome, raw.to_vec(), u64::try_from(size).unwrap_or(u64::MAX));
        self.stage = AttemptStage::Dot;
        Err(Stop::Cut(cut))
    }

    async fn receive(&mut self, recipients: &[&str]) -> Result<(), Stop> {
        let server = self.server;
        let lenient = server.settings.tolerance == Tolerance::Lenient;
        let room = Room { receiving: &server.receiving, held: 0 };
        let mut incoming = Incoming { raw: Vec::new(), size: 0, refusal: None, room };
        let mut finder = DotFinder::new(lenient);
        loop {
            let most = (server.settings.max_message_bytes, server.settings.receiving_bytes);
            let piece = match self.wire.piece().await {
                Ok(piece) => piece,
                Err(lost) => return Err(self.left(incoming, lost)),
            };
            let end = finder.find(piece);
            let of_message = end.unwrap_or(piece.len());
            incoming.take(piece.get(..of_message).unwrap_or_default(), most);
            piece.advance(of_message);
            if end.is_some() {
                break;
            }
        }
        if lenient && incoming.raw.last() == Some(&b'\r') {
            self.wire.skip_lf();
        }
        self.dialogue.add('C', &format!("({} bytes)", incoming.size));
        self.messages += 1;
        self.answer_message(incoming, recipients).await
    }

    /// The client left in the middle of the message.
    fn left(&mut self, incoming: Incoming<'_>, lost: Lost) -> Stop {
        self.finish(AttemptOutcome::new(Ending::Left, AttemptStage::Body, None), incoming.raw, incoming.size);
        Stop::Lost(lost)
    }

    async fn answer_message(&mut self, mut incoming: Incoming<'_>, recipients: &[&str]) -> Result<(), Stop> {
        let eight_bit = self.transaction.as_ref().is_some_and(|t| t.eight_bit || t.utf8);
        if incoming.refusal.is_none() && self.server.settings.tolerance == Tolerance::Strict {
            incoming.refusal = body::complaint(&incoming.raw, eight_bit).map(|text| (554, text));
        }
        if let Some((code, text)) = incoming.refusal {
            let outcome = AttemptOutcome::new(Ending::Refused, AttemptStage::Dot, Some(code));
            self.finish(outcome, incoming.raw, incoming.size);
            return self.answer(code, text);
        }
        let met = self.meet(AttemptStage::Dot, recipients).await;
        self.stage = AttemptStage::Dot;
        match met {
            Ok(None) => {
                let outcome = AttemptOutcome::new(Ending::Accepted, AttemptStage::Dot, Some(250));
                let answered = self.put(outcome, incoming.raw, incoming.size);
                match answered {
                    Some(id) => self.answer(250, &format!("2.0.0 Ok: queued as {id}")),
                    None => self.answer(452, "4.3.1 The message cannot be recorded"),
                }
            }
            Ok(Some(answer)) => {
                let outcome = AttemptOutcome::new(Ending::Refused, AttemptStage::Dot, Some(answer.code));
                self.finish(outcome, incoming.raw, incoming.size);
                self.answer(answer.code, answer.text())
            }
            Err(stop) => {
                // The message is complete: the sender cannot tell an error here from a lost positive answer.
                let cut = match stop {
                    Stop::Cut(cut) => cut,
                    _ => Cut::Drop,
                };
                let outcome = AttemptOutcome {
                    ending: Ending::Taken,
                    stage: AttemptStage::Dot,
                    code: None,
                    cut: Some(cut),
                };
                self.finish(outcome, incoming.raw, incoming.size);
                Err(stop)
            }
        }
    }

    /// Records the attempt. Returns its id, or nothing if the record file cannot be written.
    fn put(&mut self, outcome: AttemptOutcome, raw: Vec<u8>, size: u64) -> Option<u64> {
        // Boxed, because the ring counts the bytes of the message, not the allocated capacity.
        match self.conclude(outcome, Bytes::from(raw.into_boxed_slice()), size) {
            Ok(id) => Some(id),
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(event = "sandbox.record_failed", error, "cannot write to the record file");
                None
            }
        }
    }

    fn finish(&mut self, outcome: AttemptOutcome, raw: Vec<u8>, size: u64) {
        self.put(outcome, raw, size);
    }
}

impl Incoming<'_> {
    /// Adds a piece, or only counts it once the message can no longer be accepted.
    fn take(&mut self, piece: &[u8], (most_message, most_receiving): (usize, usize)) {
        self.size += u64::try_from(piece.len()).unwrap_or(u64::MAX);
        if self.refusal.is_some() {
            return;
        }
        let sum = self.raw.len() + piece.len();
        if sum > most_message.saturating_add(b".\r\n".len()) {
            self.refusal = Some((552, "5.3.4 The message is too large"));
        } else if !self.room.grow(sum, most_receiving) {
            self.refusal = Some((452, "4.3.1 Too much mail is coming in"));
        } else {
            self.raw.extend_from_slice(piece);
            return;
        }
        // Keep the beginning, to show what it was.
        self.raw.truncate(STEP);
        self.raw.shrink_to_fit();
    }
}
