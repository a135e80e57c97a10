//! Steps of couriers on a walk: claim, begin, settle, reclaim, and maintain their channel.

use std::time::Duration;

use posthaste_model::{OutcomeKind, Priority, Reason};
use posthaste_protocol::ScriptAnswer;
use posthaste_protocol::scripts::ParcelRef;
use posthaste_protocol::scripts::begin::Begin;
use posthaste_protocol::scripts::claim::{Claim, ClaimReply as Claimed};
use posthaste_protocol::scripts::claim_unresolved::ClaimUnresolved;
use posthaste_protocol::scripts::expire_parcels::{ExpireParcels, Index};
use posthaste_protocol::scripts::promote_due::PromoteDue;
use posthaste_protocol::scripts::purge_orders::PurgeOrders;
use posthaste_protocol::scripts::reclaim_leases::ReclaimLeases;
use posthaste_protocol::scripts::register_process::RegisterProcess;
use posthaste_protocol::scripts::release::Release;
use posthaste_protocol::scripts::renew::Renew;
use posthaste_protocol::scripts::settle::{AttemptReport, Settle, Settlement};
use posthaste_protocol::scripts::unstage_parcels::Unstage;
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
        if let Ok(ScriptAnswer { reply: Claimed::Claimed(taken), fence, .. }) = self.call(&claim)? {
            let parcels =
                taken.parcels.into_iter().map(|parcel| ParcelRef { parcel_id: parcel.parcel_id, fence });
            self.couriers[at].held.extend(parcels);
        }
        Ok(())
    }

    pub(crate) fn of_parcel(&mut self, act: u32) -> Differ {
        let keys = self.keys.clone();
        let Some((at, parcel, attempts)) = self.parcel() else { return Ok(()) };
        let channel = self.couriers[at].channel.clone();
        let deliveries = self.deliveries(&attempts);
        match act {
            0 => {
                let deliveries = deliveries
                    .into_iter()
                    .map(|(delivery, attempt)| (delivery, attempt.wrapping_add(1)))
                    .collect();
                let (deliveries_a_token, parcels) = (self.rng.random_range(0..3), [(parcel, deliveries)]);
                let partitions = [1, 64, 1_024][self.rng.random_range(0..3)];
                let begin = Begin {
                    keys: &keys,
                    channel: &channel,
                    send_window: WINDOW,
                    deliveries_a_token,
                    partitions,
                    parcels: &parcels,
                };
                self.call(&begin)?.ok();
            }
            1 => {
                let report = |(delivery, attempt)| AttemptReport {
                    delivery,
                    attempt,
                    outcome: OutcomeKind::ALL[self.rng.random_range(0..OutcomeKind::ALL.len())],
                    reason: Reason::Rejected,
                    value: self.rng.random_range(0..3_000),
                };
                let reports = deliveries.into_iter().map(report).collect();
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
                self.call(&ReclaimLeases {
                    keys: &keys,
                    channel: &channel,
                    limit: 200,
                    blame,
                    forget_after,
                })?
                .ok();
            }
            1 => {
                let index = [Index::Ready(Priority::Urgent), Index::Ready(Priority::Bulk), Index::Unresolved];
                let index = index.into_iter().nth(self.rng.random_range(0..3)).unwrap_or(Index::Unresolved);
                self.call(&ExpireParcels { keys: &keys, channel: &channel, index, from: 0, limit: 200 })?
                    .ok();
            }
            2 => drop(self.call(&ClaimUnresolved {
                keys: &keys,
                channel: &channel,
                limit: 10,
                put_off: WINDOW,
            })?),
            3 => {
                let register = RegisterProcess {
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
                self.call(&PurgeOrders { keys: &keys, day, retention_days: 90 })?.ok();
            }
            5 => drop(self.call(&Unstage { keys: &keys, order_id: None, upload: None })?),
            _ => drop(self.call(&PromoteDue { keys: &keys })?),
        }
        Ok(())
    }
}
