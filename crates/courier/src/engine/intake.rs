//! Taking in claimed parcels: inline ones at once, the others when their deliveries have been loaded.

use std::sync::Arc;
use std::time::Duration;

use posthaste_model::{Channel, UnixMs};
use posthaste_store::{
    CallError, ClaimedParcel, DeliveryRecord, InvalidReply, LoadedParcel, ParcelRef, Store,
};
use tokio::time::Instant;

use super::leased_parcels::{Id, Parcel};
use super::reports::Reports;
use super::suppression_check::{self, SuppressedDeliveries};
use super::{Engine, Note};
use crate::panic_guard::noticed;
use crate::probe::Point;

/// How long a parcel is left alone after an invalid reply.
const FAULT: Duration = Duration::from_secs(60);
/// How long a parcel is left alone after a failed suppression lookup.
const UNKNOWN_WHO: Duration = Duration::from_secs(1);

pub(super) struct LoadDone {
    p: u16,
    claimed: Box<ClaimedParcel>,
    fence: u64,
    lease_until: Instant,
    expected: usize,
    now: UnixMs,
    met: Instant,
    /// With the suppressed deliveries, if the lookup succeeded.
    result: Result<(LoadedParcel, Option<SuppressedDeliveries>), CallError>,
}

/// What all parcels of a claim have in common.
pub(super) struct Under {
    pub(super) fence: u64,
    pub(super) lease_until: Instant,
    /// When sends begun by the claim must have ended.
    pub(super) window: Instant,
    /// The server's time.
    pub(super) now: UnixMs,
}

impl Engine {
    /// `suppressed`: `None` if the suppression lookup failed; then nothing is sent.
    pub(super) fn take_in(
        &mut self,
        p: u16,
        claimed: ClaimedParcel,
        suppressed: Option<SuppressedDeliveries>,
        under: Under,
    ) {
        let Under { fence, lease_until, window, now } = under;
        let (Some(inline), Some(outcomes)) = (claimed.inline.as_ref(), claimed.outcomes.as_ref()) else {
            if self.takes_nothing() {
                return self.release_one(
                    p,
                    ParcelRef { parcel_id: claimed.parcel_id, fence },
                    Duration::ZERO,
                );
            }
            return self.start_load(p, claimed, fence, lease_until, now);
        };
        let outcomes: Vec<DeliveryRecord> = outcomes.deliveries().collect();
        let known = suppressed.is_some();
        let parcel = Parcel {
            partition: p,
            at: ParcelRef { parcel_id: claimed.parcel_id, fence },
            head: claimed.head,
            content: Arc::new(inline.content.clone()),
            deliveries: inline.deliveries.clone(),
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
            suppressed: suppressed.unwrap_or_default(),
            remembers: self.capabilities.remembers(),
        };
        self.hold(parcel, now, window, known);
    }

    /// `known`: whether the suppression lookup succeeded.
    fn hold(&mut self, parcel: Parcel, now: UnixMs, window: Instant, known: bool) {
        debug_assert!(parcel.outcomes.len() == parcel.deliveries.len());
        let open = parcel.outcomes.iter().filter(|delivery| delivery.state.is_open());
        let (open, fresh) = (
            open.clone().count(),
            open.filter(|delivery| delivery.attempt <= 1 && !delivery.repeated).count(),
        );
        self.meter.met(parcel.head.due, now, open, fresh);
        let (id, begun) = self.held.take(parcel, now);
        if self.takes_nothing() || !known {
            // Released at once; what the claim began has not left.
            self.hand_back_untouched(id, &begun);
        } else if begun.is_empty() {
            self.settle_if_done(id);
        } else {
            self.pace.spend(begun.len());
            self.probe.reached(Point::AfterBegin);
            self.dispatch(id, &begun, window);
        }
    }

    /// Whether claimed parcels must be released at once.
    fn takes_nothing(&self) -> bool {
        self.draining || self.pace.is_stopped()
    }

    fn hand_back_untouched(&mut self, id: Id, begun: &[u16]) {
        let Some(parcel) = self.held.get(id) else { return };
        parcel.close();
        parcel.out = 0;
        for delivery in begun {
            let attempt = parcel.outcomes.get(usize::from(*delivery)).map_or(0, |outcome| outcome.attempt);
            parcel.tell_not_sent(*delivery, attempt);
        }
        self.settle_if_done(id);
    }

    fn start_load(&mut self, p: u16, claimed: ClaimedParcel, fence: u64, lease_until: Instant, now: UnixMs) {
        let expected = claimed.head.parcel_deliveries(&self.channel, claimed.parcel_id.number) as usize;
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
        let at = ParcelRef { parcel_id: done.claimed.parcel_id.clone(), fence: done.fence };
        let (loaded, suppressed) = match done.result {
            Ok((loaded, Some(suppressed))) if !self.takes_nothing() => (loaded, suppressed),
            Ok((_, None)) => {
                self.meter.alert("suppression_unavailable");
                return self.release_one(done.p, at, UNKNOWN_WHO);
            }
            Ok(_) => return self.release_one(done.p, at, Duration::ZERO),
            Err(CallError::InvalidReply(InvalidReply::Record(malformed))) => {
                return self.put_aside(done.p, at, &malformed);
            }
            Err(error) => {
                if self.after_failure(&error) {
                    // What is unreadable now will not be readable in a moment.
                    let fault = matches!(error, CallError::InvalidReply(_));
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
            deliveries: loaded.deliveries,
            outcomes: loaded.outcomes.deliveries().collect(),
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
            suppressed,
            remembers: self.capabilities.remembers(),
        };
        self.hold(parcel, done.now, done.lease_until, true);
    }
}

/// Loads a parcel of a big order and looks up its suppressed deliveries.
async fn load(
    store: &Store,
    p: u16,
    channel: &Channel,
    claimed: &ClaimedParcel,
) -> Result<(LoadedParcel, Option<SuppressedDeliveries>), CallError> {
    let loaded = store.load(p, channel, &claimed.parcel_id, &claimed.head).await?;
    let sender = claimed.parcel_id.order_id.sender();
    let requested: Vec<_> = loaded.deliveries.iter().map(|delivery| (sender, &delivery.address)).collect();
    let found = match suppression_check::look_up(store, channel, &requested).await {
        Ok(found) => Some(suppression_check::of_deliveries(found.into_iter())),
        Err(CallError::Fatal(why)) => return Err(CallError::Fatal(why)),
        Err(error) => {
            tracing::warn!(
                event = "suppression.lookup_failed",
                %channel,
                %error,
                "suppression lookup failed; lease released"
            );
            None
        }
    };
    Ok((loaded, found))
}
