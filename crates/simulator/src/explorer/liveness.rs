//! "Not lost, not stuck": from any state, if every process died and every request in flight were lost, one healthy
//! courier and the passing of time must bring every delivery to its end.

use std::collections::HashSet;
use std::sync::Mutex;

use posthaste_model::OutcomeKind;
use posthaste_protocol::scripts::ParcelCode;
use posthaste_protocol::scripts::begin::DeliveryBegun;

use super::Explorer;
use super::canonical::fingerprint_of_world;
use super::command::{CallFault, ScriptRequest, ServerAnswer, is_unresolved, plan};
use super::state::PendingReport;
use super::view::{DatabaseView, is_ripe};
use crate::FakeRedis;
use crate::fake_redis::FakeClock;

/// Most rounds of the healthy courier, for each parcel.
const ROUNDS: u64 = 80;
const SHARDS: usize = 16;

/// Databases from which everything becomes final, by fingerprint.
#[derive(Debug, Default)]
pub(super) struct Known([Mutex<HashSet<u64>>; SHARDS]);

impl Known {
    fn shard(&self, fingerprint: u64) -> std::sync::MutexGuard<'_, HashSet<u64>> {
        let shard = usize::try_from(fingerprint % SHARDS as u64).unwrap_or(0);
        self.0[shard].lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        (0..SHARDS as u64).map(|shard| self.shard(shard).len()).sum()
    }
}

impl Explorer {
    /// Whether a healthy courier ends every delivery of this database; otherwise why not.
    ///
    /// # Errors
    /// What is left at the end, or the script that failed.
    pub(super) fn completes(&self, world: &FakeRedis, view: &DatabaseView) -> Result<(), String> {
        let mut seen = vec![fingerprint_of_world(view)];
        if self.known.shard(seen[0]).contains(&seen[0]) {
            return Ok(());
        }
        let (mut world, mut view) = (world.clone(), view.clone());
        // Time passes, so the lagging clock catches up.
        world.set_clock(FakeClock::at_ms(view.now));
        let most = ROUNDS * view.parcels.len() as u64;
        let mut number = 0;
        while !(view.is_final() && view.is_still()) {
            number += 1;
            let moved = self.round(&mut world, &view, number).map_err(|fault| fault.to_string())?;
            if number > most || !moved {
                let open = view
                    .parcels
                    .iter()
                    .filter(|parcel| parcel.deliveries.iter().any(|delivery| delivery.state.is_open()));
                return Err(format!(
                    "after {number} rounds of a healthy courier: {:?}",
                    open.collect::<Vec<_>>()
                ));
            }
            view = DatabaseView::read(&self.scenario, &self.names, &world);
            let fingerprint = fingerprint_of_world(&view);
            if self.known.shard(fingerprint).contains(&fingerprint) {
                break;
            }
            seen.push(fingerprint);
        }
        for fingerprint in seen {
            self.known.shard(fingerprint).insert(fingerprint);
        }
        Ok(())
    }

    /// One round: reclaims, resolves, works, or lets time pass. False if nothing is left to do.
    fn round(&self, world: &mut FakeRedis, view: &DatabaseView, number: u64) -> Result<bool, CallFault> {
        let s = &self.scenario;
        let server = self.server();
        let past = |moment: Option<i64>| moment.is_some_and(|at| at <= view.now);
        for channel in 0..s.channels.len() {
            let mine = || view.parcels.iter().zip(&s.parcels).filter(|(_, spec)| spec.channel == channel);
            if mine().any(|(parcel, _)| past(parcel.leased)) {
                server.answer(world, &mut Vec::new(), &ScriptRequest::ReclaimLeases { channel })?;
                return Ok(true);
            }
            if mine().any(|(parcel, _)| past(parcel.unresolved)) {
                self.resolve(world, view, channel)?;
                return Ok(true);
            }
            let due = view.orders.iter().any(|order| order.due.is_some_and(|due| due < view.now));
            if due || mine().any(|(parcel, _)| past(parcel.ready)) {
                let Some(courier) = s.couriers.iter().position(|serves| *serves == channel) else { continue };
                self.work(world, courier, number)?;
                return Ok(true);
            }
        }
        let Some(at) = view.next_instant() else { return Ok(false) };
        world.set_clock(FakeClock::at_ms(at));
        Ok(true)
    }

    fn resolve(&self, world: &mut FakeRedis, view: &DatabaseView, channel: usize) -> Result<(), CallFault> {
        let server = self.server();
        let received = server.answer(world, &mut Vec::new(), &ScriptRequest::ClaimUnresolved { channel })?;
        let ServerAnswer::Members(parcel_ids) = received else { return Ok(()) };
        let parcels = parcel_ids.iter().filter_map(|parcel_id| self.scenario.parcel(channel, parcel_id));
        for parcel in parcels {
            let deliveries = view.parcels[parcel].deliveries.iter().enumerate();
            let open = deliveries.filter(|(_, delivery)| is_unresolved(delivery.state));
            let decide = |(at, delivery): (usize, &posthaste_protocol::record::DeliveryRecord)| {
                let decision = plan(&self.scenario, parcel, delivery, None);
                Some((u16::try_from(at).ok()?, delivery.attempt, decision))
            };
            let decisions = open.filter_map(decide).collect();
            server.answer(world, &mut Vec::new(), &ScriptRequest::Resolve { parcel, decisions })?;
        }
        Ok(())
    }

    /// Claims, begins, sends, settles, without any failure.
    fn work(&self, world: &mut FakeRedis, courier: usize, number: u64) -> Result<(), CallFault> {
        let server = self.server();
        let mut events = Vec::new();
        let claim = ScriptRequest::Claim { courier, life: u16::MAX, number, begin: 0 };
        let ServerAnswer::Claimed { fence, parcels, .. } = server.answer(world, &mut events, &claim)? else {
            return Ok(());
        };
        for (parcel, _) in parcels {
            let view = DatabaseView::read(&self.scenario, &self.names, world);
            let ripe = view.parcels[parcel]
                .deliveries
                .iter()
                .enumerate()
                .filter(|(_, delivery)| is_ripe(delivery, view.now));
            let deliveries: Vec<(u16, u8)> = ripe
                .filter_map(|(at, delivery)| {
                    Some((u16::try_from(at).ok()?, delivery.attempt.wrapping_add(1)))
                })
                .collect();
            let mut reports = Vec::new();
            if !deliveries.is_empty() {
                let begin = ScriptRequest::Begin { parcel, fence, deliveries: deliveries.clone() };
                if let ServerAnswer::Begun(ParcelCode::Ok, begun) =
                    server.answer(world, &mut events, &begin)?
                {
                    let sent = deliveries
                        .iter()
                        .zip(begun)
                        .filter(|(_, it)| matches!(it, DeliveryBegun::Begun { .. }));
                    let report = |attempt| PendingReport {
                        attempt,
                        outcome: OutcomeKind::Sent,
                        again: false,
                        value: 0,
                    };
                    reports = sent.map(|((delivery, attempt), _)| (*delivery, report(*attempt))).collect();
                }
            }
            server.answer(
                world,
                &mut events,
                &ScriptRequest::Settle { parcel, fence, leave: true, reports },
            )?;
        }
        Ok(())
    }
}
