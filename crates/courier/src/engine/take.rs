//! Taking in what a claim brought: parcels with their rows inside at once, the others when their rows are fetched.

use std::sync::Arc;
use std::time::Duration;

use posthaste_model::{Channel, UnixMs};
use posthaste_store::{CallError, Claimed, Fault, Loaded, ParcelRef, RowOutcome, Store};
use tokio::time::Instant;

use super::barred::{self, Barred};
use super::held::{Id, Parcel};
use super::reports::Reports;
use super::{Engine, Note};
use crate::noticed::noticed;
use crate::probe::Point;

/// How long a parcel is left alone after an answer that made no sense.
const FAULT: Duration = Duration::from_secs(60);
/// How long one is left alone while nobody knows who must not be sent anything.
const UNKNOWN_WHO: Duration = Duration::from_secs(1);

pub(super) struct LoadDone {
    p: u16,
    claimed: Box<Claimed>,
    fence: u64,
    lease_until: Instant,
    expected: usize,
    now: UnixMs,
    met: Instant,
    /// With the rows that must not be sent, if that is known.
    result: Result<(Loaded, Option<Barred>), CallError>,
}

/// What a claim says of all its parcels.
pub(super) struct Under {
    pub(super) fence: u64,
    pub(super) lease_until: Instant,
    /// When sends begun with the claim must have ended.
    pub(super) window: Instant,
    /// The server's time.
    pub(super) now: UnixMs,
}

impl Engine {
    /// `barred`: none when nobody could be asked; then nothing is sent.
    pub(super) fn take_in(&mut self, p: u16, claimed: Claimed, barred: Option<Barred>, under: Under) {
        let Under { fence, lease_until, window, now } = under;
        let (Some(inline), Some(outcomes)) = (claimed.inline.as_ref(), claimed.outcomes.as_ref()) else {
            if self.takes_nothing() {
                return self.release_one(p, ParcelRef { member: claimed.member, fence }, Duration::ZERO);
            }
            return self.start_load(p, claimed, fence, lease_until, now);
        };
        let outcomes: Vec<RowOutcome> = outcomes.rows().collect();
        let known = barred.is_some();
        let parcel = Parcel {
            partition: p,
            at: ParcelRef { member: claimed.member, fence },
            head: claimed.head,
            content: Arc::new(inline.content.clone()),
            rows: inline.rows.clone(),
            outcomes,
            met: (now, Instant::now()),
            waiting: 0,
            out: 0,
            closed: false,
            reports: Reports::new(self.settles.unsettled()),
            again: Vec::new(),
            doubtful: Vec::new(),
            lease_until,
            lost: false,
            settling: false,
            barred: barred.unwrap_or_default(),
            remembers: self.abilities.remembers(),
        };
        self.hold(parcel, now, window, known);
    }

    /// `known`: whether it is known who must not be sent anything.
    fn hold(&mut self, parcel: Parcel, now: UnixMs, window: Instant, known: bool) {
        debug_assert!(parcel.outcomes.len() == parcel.rows.len());
        let open = parcel.outcomes.iter().filter(|row| row.state.is_open());
        let (open, fresh) =
            (open.clone().count(), open.filter(|row| row.attempt <= 1 && !row.repeated).count());
        self.meter.met(parcel.head.due, now, open, fresh);
        let (id, begun) = self.held.take(parcel, now);
        if self.takes_nothing() || !known {
            // Handed straight back, and what was begun with the claim has not left.
            self.hand_back_untouched(id, &begun);
        } else if begun.is_empty() {
            self.settle_if_done(id);
        } else {
            self.pace.spend(begun.len());
            self.probe.reached(Point::AfterBegin);
            self.dispatch(id, &begun, window);
        }
    }

    /// Whether what a claim brings now has to be handed back.
    fn takes_nothing(&self) -> bool {
        self.draining || self.pace.is_stopped()
    }

    fn hand_back_untouched(&mut self, id: Id, begun: &[u16]) {
        let Some(parcel) = self.held.get(id) else { return };
        parcel.close();
        parcel.out = 0;
        for row in begun {
            let attempt = parcel.outcomes.get(usize::from(*row)).map_or(0, |outcome| outcome.attempt);
            parcel.tell_not_sent(*row, attempt);
        }
        self.settle_if_done(id);
    }

    fn start_load(&mut self, p: u16, claimed: Claimed, fence: u64, lease_until: Instant, now: UnixMs) {
        let expected = claimed.head.parcel_rows(&self.channel, claimed.member.number) as usize;
        self.held.expected += expected;
        let (store, notes, channel) = (self.store.clone(), self.notes.clone(), self.channel.clone());
        let (met, meter) = (Instant::now(), Arc::clone(&self.meter));
        tokio::spawn(async move {
            let result = noticed(&meter, "load", load(&store, p, &channel, &claimed)).await;
            let claimed = Box::new(claimed);
            let done = LoadDone { p, claimed, fence, lease_until, expected, now, met, result };
            let _ = notes.send(Note::Loaded(done));
        });
    }

    pub(super) fn on_loaded(&mut self, done: LoadDone) {
        self.held.expected -= done.expected;
        let at = ParcelRef { member: done.claimed.member.clone(), fence: done.fence };
        let (loaded, barred) = match done.result {
            Ok((loaded, Some(barred))) if !self.takes_nothing() => (loaded, barred),
            Ok((_, None)) => {
                self.meter.alarm("suppression");
                return self.release_one(done.p, at, UNKNOWN_WHO);
            }
            Ok(_) => return self.release_one(done.p, at, Duration::ZERO),
            Err(CallError::Fault(Fault::Record(flaw))) => return self.put_aside(done.p, at, &flaw),
            Err(error) => {
                if self.after_failure(&error) {
                    // What can't be read now will not be readable in a moment.
                    let fault = matches!(error, CallError::Fault(_));
                    self.release_one(done.p, at, if fault { FAULT } else { Duration::ZERO });
                }
                return;
            }
        };
        let parcel = Parcel {
            partition: done.p,
            at,
            head: done.claimed.head,
            content: loaded.content,
            rows: loaded.rows,
            outcomes: loaded.outcomes.rows().collect(),
            met: (done.now, done.met),
            waiting: 0,
            out: 0,
            closed: false,
            reports: Reports::new(self.settles.unsettled()),
            again: Vec::new(),
            doubtful: Vec::new(),
            lease_until: done.lease_until,
            lost: false,
            settling: false,
            barred,
            remembers: self.abilities.remembers(),
        };
        self.hold(parcel, done.now, done.lease_until, true);
    }
}

/// A parcel of a big order, and which of its rows must not be sent.
async fn load(
    store: &Store,
    p: u16,
    channel: &Channel,
    claimed: &Claimed,
) -> Result<(Loaded, Option<Barred>), CallError> {
    let loaded = store.load(p, channel, &claimed.member, &claimed.head).await?;
    let sender = claimed.member.suffix.sender();
    let asked: Vec<_> = loaded.rows.iter().map(|row| (sender, &row.address)).collect();
    let found = match barred::look_up(store, channel, &asked).await {
        Ok(found) => Some(barred::of_rows(found.into_iter())),
        Err(CallError::Stop(why)) => return Err(CallError::Stop(why)),
        Err(error) => {
            tracing::warn!(%channel, %error, "it can't be known who must not be sent anything: handed back");
            None
        }
    };
    Ok((loaded, found))
}
