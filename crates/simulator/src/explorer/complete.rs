//! "Not lost, not stuck": from any state, should every process die and every request on its way be lost, one healthy
//! courier and the passing of time must bring every row to its end.

use std::collections::HashSet;
use std::sync::Mutex;

use posthaste_model::Verdict;
use posthaste_protocol::scripts::ParcelCode;
use posthaste_protocol::scripts::begin::RowBegun;

use super::Explorer;
use super::canon::fingerprint_of_world;
use super::command::{CallFault, Command, Heard, is_unresolved, plan};
use super::state::Report;
use super::view::{View, is_ripe};
use crate::World;
use crate::world::Clock;

/// Rounds of the healthy courier at most, for each parcel.
const ROUNDS: u64 = 80;
const SHARDS: usize = 16;

/// Databases from which everything becomes final, by their fingerprints.
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
    /// Whether a healthy courier ends every row of this database; else why not.
    ///
    /// # Errors
    /// What is left at the end, or the script that failed.
    pub(super) fn completes(&self, world: &World, view: &View) -> Result<(), String> {
        let mut seen = vec![fingerprint_of_world(view)];
        if self.known.shard(seen[0]).contains(&seen[0]) {
            return Ok(());
        }
        let (mut world, mut view) = (world.clone(), view.clone());
        // Time passes, so what lagged behind comes up.
        world.set_clock(Clock::at_ms(view.now));
        let most = ROUNDS * view.parcels.len() as u64;
        let mut number = 0;
        while !(view.is_final() && view.is_still()) {
            number += 1;
            let moved = self.round(&mut world, &view, number).map_err(|fault| fault.to_string())?;
            if number > most || !moved {
                let open =
                    view.parcels.iter().filter(|parcel| parcel.rows.iter().any(|row| row.state.is_open()));
                return Err(format!(
                    "after {number} rounds of a healthy courier: {:?}",
                    open.collect::<Vec<_>>()
                ));
            }
            view = View::read(&self.scenario, &self.names, &world);
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

    /// One round: sweeps, resolves, works, or lets time pass. False if nothing is left to do.
    fn round(&self, world: &mut World, view: &View, number: u64) -> Result<bool, CallFault> {
        let s = &self.scenario;
        let server = self.server();
        let past = |moment: Option<i64>| moment.is_some_and(|at| at <= view.now);
        for channel in 0..s.channels.len() {
            let mine = || view.parcels.iter().zip(&s.parcels).filter(|(_, spec)| spec.channel == channel);
            if mine().any(|(parcel, _)| past(parcel.leased)) {
                server.answer(world, &mut Vec::new(), &Command::Sweep { channel })?;
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
        world.set_clock(Clock::at_ms(at));
        Ok(true)
    }

    fn resolve(&self, world: &mut World, view: &View, channel: usize) -> Result<(), CallFault> {
        let server = self.server();
        let heard = server.answer(world, &mut Vec::new(), &Command::Inquire { channel })?;
        let Heard::Members(members) = heard else { return Ok(()) };
        let parcels = members.iter().filter_map(|member| self.scenario.parcel(channel, member));
        for parcel in parcels {
            let rows = view.parcels[parcel].rows.iter().enumerate();
            let open = rows.filter(|(_, row)| is_unresolved(row.state));
            let decide = |(at, row): (usize, &posthaste_protocol::record::RowOutcome)| {
                let decision = plan(&self.scenario, parcel, row, None);
                Some((u16::try_from(at).ok()?, row.attempt, decision))
            };
            let decisions = open.filter_map(decide).collect();
            server.answer(world, &mut Vec::new(), &Command::Resolve { parcel, decisions })?;
        }
        Ok(())
    }

    /// Claims, begins, sends, settles, and nothing goes wrong.
    fn work(&self, world: &mut World, courier: usize, number: u64) -> Result<(), CallFault> {
        let server = self.server();
        let mut events = Vec::new();
        let claim = Command::Claim { courier, life: u16::MAX, number, begin: 0 };
        let Heard::Taken { fence, parcels, .. } = server.answer(world, &mut events, &claim)? else {
            return Ok(());
        };
        for (parcel, _) in parcels {
            let view = View::read(&self.scenario, &self.names, world);
            let ripe = view.parcels[parcel].rows.iter().enumerate().filter(|(_, row)| is_ripe(row, view.now));
            let rows: Vec<(u16, u8)> = ripe
                .filter_map(|(at, row)| Some((u16::try_from(at).ok()?, row.attempt.wrapping_add(1))))
                .collect();
            let mut reports = Vec::new();
            if !rows.is_empty() {
                let begin = Command::Begin { parcel, fence, rows: rows.clone() };
                if let Heard::Begun(ParcelCode::Ok, begun) = server.answer(world, &mut events, &begin)? {
                    let sent = rows.iter().zip(begun).filter(|(_, it)| matches!(it, RowBegun::Begun { .. }));
                    let report = |attempt| Report { attempt, verdict: Verdict::Sent, again: false, value: 0 };
                    reports = sent.map(|((row, attempt), _)| (*row, report(*attempt))).collect();
                }
            }
            server.answer(world, &mut events, &Command::Settle { parcel, fence, leave: true, reports })?;
        }
        Ok(())
    }
}
