//! Leases: renewed by the task that works on their parcels, released when it stops.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use posthaste_store::{CallError, Malformed, ParcelRef, Renewed, ScriptAnswer, ToPark};
use tokio::time::Instant;

use super::leased_parcels::Id;
use super::{Engine, Note};
use crate::panic_guard::noticed;
use crate::probe::Point;

const MOST_PARCELS: usize = 200;
/// How long a parcel of a later version is left to programs that can read it.
const NEWER: Duration = Duration::from_secs(10);

/// Why a parcel is parked, as a stable reason word.
pub(crate) fn malformed_word(malformed: &Malformed) -> &'static str {
    let first = malformed.what.split([' ', ':']).next().unwrap_or_default();
    match first {
        "text" | "content" | "inline" | "piece" => "content",
        "parcel" | "deliveries" => "deliveries",
        "outcomes" => "outcomes",
        "counters" => "counters",
        "record" => "type",
        _ => "head",
    }
}

pub(super) struct RenewDone {
    p: u16,
    started: Instant,
    ids: Vec<Id>,
    result: Result<ScriptAnswer<Vec<Renewed>>, CallError>,
}

pub(super) struct ReleaseDone {
    parcels: usize,
    result: Result<(), CallError>,
}

impl Engine {
    /// Renews all leases held, every `renew_every`.
    pub(super) fn renew_leases(&mut self, now: Instant) {
        if now < self.next_renewal {
            return;
        }
        self.next_renewal = now + self.settings.renew_every;
        let mut by_partition: BTreeMap<u16, Vec<(Id, ParcelRef)>> = BTreeMap::new();
        // If a server has not answered yet, it gets no further call, and the others do not wait for it.
        let free = |p: u16| !self.renewing.contains_key(&p) && !self.held.is_away(p);
        for (id, parcel) in self.held.iter().filter(|(_, parcel)| !parcel.lost && free(parcel.partition)) {
            by_partition.entry(parcel.partition).or_default().push((id, parcel.at.clone()));
        }
        let chunks: Vec<_> = by_partition
            .into_iter()
            .flat_map(|(p, parcels)| {
                parcels.chunks(MOST_PARCELS).map(|chunk| (p, chunk.to_vec())).collect::<Vec<_>>()
            })
            .collect();
        for (p, chunk) in chunks {
            *self.renewing.entry(p).or_default() += 1;
            let (ids, parcels): (Vec<_>, Vec<_>) = chunk.into_iter().unzip();
            let (store, notes, channel) = (self.store.clone(), self.notes.clone(), self.channel.clone());
            let (lease, meter) = (self.settings.lease, Arc::clone(&self.meter));
            tokio::spawn(async move {
                let result = noticed(&meter, "renew", store.renew(p, &channel, lease, &parcels)).await;
                let _ = notes.send(Note::Renewed(RenewDone { p, started: now, ids, result }));
            });
        }
    }

    pub(super) fn on_renewed(&mut self, done: RenewDone) {
        if let Some(calls) = self.renewing.get_mut(&done.p) {
            *calls -= 1;
            if *calls == 0 {
                self.renewing.remove(&done.p);
            }
        }
        let answer = match done.result {
            Ok(answer) => answer,
            Err(error) => {
                // Not renewed: deliveries not begun by the end of the lease are not begun.
                self.after_failure(&error);
                return;
            }
        };
        let until = done.started + self.settings.lease - self.settings.lease / 10;
        for (id, renewed) in done.ids.into_iter().zip(answer.reply) {
            let Some(parcel) = self.held.get(id) else { continue };
            match renewed {
                Renewed::Renewed => parcel.lease_until = until,
                Renewed::LeaseExpired | Renewed::LeaseLost => {
                    // The last settle of the parcel, if in progress, has already ended the lease.
                    if !parcel.settling {
                        tracing::warn!(
                            event = "lease.lost",
                            channel = %self.channel,
                            "lease lost; the rest of its parcel is left to other couriers"
                        );
                    }
                    parcel.lost = true;
                    parcel.close();
                    self.drop_if_idle(id);
                    self.settle_if_done(id);
                }
            }
        }
    }

    /// Releases what waits, keeps what is on the wire.
    pub(super) fn hand_back_waiting(&mut self, wait: Duration) {
        self.held.close_all();
        let idle: Vec<(Id, u16, ParcelRef)> = self
            .held
            .iter()
            .filter(|(_, parcel)| {
                parcel.out == 0 && parcel.reports.is_empty() && !parcel.settling && !parcel.lost
            })
            .map(|(id, parcel)| (id, parcel.partition, parcel.at.clone()))
            .collect();
        let mut by_partition: BTreeMap<u16, Vec<ParcelRef>> = BTreeMap::new();
        for (id, p, at) in idle {
            self.held.drop_parcel(id);
            by_partition.entry(p).or_default().push(at);
        }
        for (p, parcels) in by_partition {
            for chunk in parcels.chunks(MOST_PARCELS) {
                self.start_release(p, chunk.to_vec(), wait);
            }
        }
        let rest: Vec<Id> = self.held.iter().map(|(id, _)| id).collect();
        for id in rest {
            self.drop_if_idle(id);
            self.settle_if_done(id);
        }
    }

    /// Releases a parcel that was not taken in.
    pub(super) fn release_one(&mut self, p: u16, parcel: ParcelRef, wait: Duration) {
        self.start_release(p, vec![parcel], wait);
    }

    /// An unreadable parcel is not sent. One of a later version is left to a program that can read it, with nothing
    /// begun and no try spent; a damaged one is parked, so that it does not block others.
    pub(super) fn put_aside(&mut self, p: u16, parcel: ParcelRef, malformed: &Malformed) {
        let order = parcel.parcel_id.order_id.wire_id();
        if malformed.newer {
            self.meter.newer(&self.channel, 1, &order);
            return self.start_release(p, vec![parcel], NEWER);
        }
        tracing::error!(
            event = "record.parked",
            channel = %self.channel,
            order,
            why = %malformed,
            "unreadable parcel parked"
        );
        self.meter.alert("record_parked");
        self.releasing += 1;
        let (store, notes, channel) = (self.store.clone(), self.notes.clone(), self.channel.clone());
        let (meter, probe) = (Arc::clone(&self.meter), Arc::clone(&self.probe));
        let parcels = [ToPark {
            parcel_id: parcel.parcel_id,
            fence: Some(parcel.fence),
            why: malformed_word(malformed),
        }];
        tokio::spawn(async move {
            let call = async {
                probe.reached(Point::BeforePark);
                store.park(p, &channel, &parcels).await
            };
            let result = noticed(&meter, "park", call).await.map(drop);
            let _ = notes.send(Note::Released(ReleaseDone { parcels: 1, result }));
        });
    }

    fn start_release(&mut self, p: u16, parcels: Vec<ParcelRef>, wait: Duration) {
        self.releasing += parcels.len();
        let (store, notes, channel) = (self.store.clone(), self.notes.clone(), self.channel.clone());
        let meter = Arc::clone(&self.meter);
        tokio::spawn(async move {
            let released = noticed(&meter, "release", store.release(p, &channel, wait, &parcels)).await;
            let result = released.map(drop);
            let _ = notes.send(Note::Released(ReleaseDone { parcels: parcels.len(), result }));
        });
    }

    pub(super) fn on_released(&mut self, done: ReleaseDone) {
        self.releasing -= done.parcels;
        if let Err(error) = &done.result {
            // Not released: it is reclaimed when the lease is over.
            self.after_failure(error);
        }
    }

    /// The hard stage of a stop: cuts off calls on the wire and settles them as unknown; settles batches that were
    /// only begun as not sent.
    pub(super) fn cut_off(&mut self) {
        self.drain();
        tracing::warn!(
            event = "courier.calls_cut_off",
            channel = %self.channel,
            calls = self.calls,
            "calls on the wire are cut off; the outcome of their messages is unknown"
        );
        self.cut.cancel();
        for batch in std::mem::take(&mut self.batches) {
            self.report_unsent(batch);
        }
    }

    /// The soft stage of a stop: claims nothing new, releases what is not begun, lets calls on the wire finish.
    pub(super) fn drain(&mut self) {
        if !self.draining {
            self.draining = true;
            tracing::info!(
                event = "courier.draining",
                channel = %self.channel,
                held = self.held.deliveries(),
                "draining"
            );
            self.hand_back_waiting(Duration::ZERO);
        }
    }
}
