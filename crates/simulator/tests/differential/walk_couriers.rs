//! What couriers do on a walk: claim, begin, settle, sweep, and look after their channel.

use std::time::Duration;

use posthaste_model::{Lane, Reason, Verdict};
use posthaste_protocol::Answer;
use posthaste_protocol::scripts::ParcelRef;
use posthaste_protocol::scripts::begin::Begin;
use posthaste_protocol::scripts::claim::{Claim, Reply as Claimed};
use posthaste_protocol::scripts::close::{Close, Index};
use posthaste_protocol::scripts::inquire::Inquire;
use posthaste_protocol::scripts::register::Register;
use posthaste_protocol::scripts::release::Release;
use posthaste_protocol::scripts::renew::Renew;
use posthaste_protocol::scripts::retire::Retire;
use posthaste_protocol::scripts::ring::Ring;
use posthaste_protocol::scripts::settle::{Report, Settle, Settlement};
use posthaste_protocol::scripts::sweep::Sweep;
use posthaste_protocol::scripts::unstage::Unstage;
use rand::Rng;

use crate::walk::{Courier, DAY, Differ, Walk};

const LEASE: Duration = Duration::from_secs(10);
const WINDOW: Duration = Duration::from_secs(30);

impl Walk<'_> {
    pub(crate) fn claim(&mut self, again: bool) -> Differ {
        let keys = self.keys.clone();
        let at = self.rng.random_range(0..self.couriers.len());
        self.couriers[at].number += u64::from(!again);
        let Courier { id, channel, number, .. } = &self.couriers[at];
        let (id, channel, number) = (id.clone(), channel.clone(), *number);
        let claim = Claim {
            keys: &keys,
            channel: &channel,
            courier: &id,
            number,
            lease: LEASE,
            limit: self.rng.random_range(1..6),
            bulk_limit: self.rng.random_range(0..6),
            begin: self.rng.random_range(0..3),
            send_window: WINDOW,
            empty_handed: self.rng.random_bool(0.5),
        };
        if let Ok(Answer { reply: Claimed::Taken(taken), fence, .. }) = self.call(&claim)? {
            let parcels = taken.parcels.into_iter().map(|parcel| ParcelRef { member: parcel.member, fence });
            self.couriers[at].held.extend(parcels);
        }
        Ok(())
    }

    pub(crate) fn of_parcel(&mut self, act: u32) -> Differ {
        let keys = self.keys.clone();
        let Some((at, parcel, attempts)) = self.parcel() else { return Ok(()) };
        let channel = self.couriers[at].channel.clone();
        let rows = self.rows(&attempts);
        match act {
            0 => {
                let rows = rows.into_iter().map(|(row, attempt)| (row, attempt.wrapping_add(1))).collect();
                let (rows_a_token, parcels) = (self.rng.random_range(0..3), [(parcel, rows)]);
                let partitions = [1, 64, 1_024][self.rng.random_range(0..3)];
                let begin = Begin {
                    keys: &keys,
                    channel: &channel,
                    send_window: WINDOW,
                    rows_a_token,
                    partitions,
                    parcels: &parcels,
                };
                self.call(&begin)?.ok();
            }
            1 => {
                let report = |(row, attempt)| Report {
                    row,
                    attempt,
                    verdict: Verdict::ALL[self.rng.random_range(0..Verdict::ALL.len())],
                    reason: Reason::Rejected,
                    value: self.rng.random_range(0..3_000),
                };
                let reports = rows.into_iter().map(report).collect();
                let settlements = [Settlement { parcel, leave: self.rng.random(), reports }];
                self.call(&Settle { keys: &keys, channel: &channel, settlements: &settlements })?.ok();
            }
            2 => drop(self.call(&Renew {
                keys: &keys,
                channel: &channel,
                lease: LEASE,
                parcels: &[parcel],
            })?),
            _ => {
                let wait = Duration::from_millis(self.rng.random_range(0..2_000));
                self.call(&Release { keys: &keys, channel: &channel, wait, parcels: &[parcel] })?.ok();
            }
        }
        Ok(())
    }

    pub(crate) fn of_channel(&mut self, act: u32) -> Differ {
        let keys = self.keys.clone();
        let channel = self.couriers[self.rng.random_range(0..self.couriers.len())].channel.clone();
        match act {
            0 => {
                let blame = self.rng.random();
                let forget_after = Duration::from_millis(DAY);
                self.call(&Sweep { keys: &keys, channel: &channel, limit: 200, blame, forget_after })?.ok();
            }
            1 => {
                let index = [Index::Ready(Lane::Urgent), Index::Ready(Lane::Bulk), Index::Unresolved];
                let index = index.into_iter().nth(self.rng.random_range(0..3)).unwrap_or(Index::Unresolved);
                self.call(&Close { keys: &keys, channel: &channel, index, from: 0, limit: 200 })?.ok();
            }
            2 => drop(self.call(&Inquire { keys: &keys, channel: &channel, limit: 10, put_off: WINDOW })?),
            3 => {
                let register = Register {
                    keys: &keys,
                    fresh_epoch: "epoch-2",
                    partitions: 1,
                    channel: Some(&channel),
                    receipts: None,
                };
                self.call(&register)?.ok();
            }
            4 => {
                let day = self.now / DAY - self.rng.random_range(0..100);
                self.call(&Retire { keys: &keys, day, retention_days: 90 })?.ok();
            }
            5 => drop(self.call(&Unstage { keys: &keys, suffix: None, upload: None })?),
            _ => drop(self.call(&Ring { keys: &keys })?),
        }
        Ok(())
    }
}
