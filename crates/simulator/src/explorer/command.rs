//! Requests to the server: every call as a value, so that it can stay in flight and arrive again.

use posthaste_model::{CourierId, OnUnknown, OutcomeKind, ParcelId, Reason, State as DeliveryState, UnixMs};
use posthaste_protocol::record::{DeliveryRecord, DeliveryRecords};
use posthaste_protocol::scripts::apply_receipt::{ApplyReceipt, ReceiptStatus};
use posthaste_protocol::scripts::begin::{Begin, DeliveryBegun};
use posthaste_protocol::scripts::cancel::Cancel;
use posthaste_protocol::scripts::claim::{Claim, ClaimReply};
use posthaste_protocol::scripts::claim_unresolved::ClaimUnresolved;
use posthaste_protocol::scripts::expire_parcels::{ExpireParcels, Index};
use posthaste_protocol::scripts::promote_due::PromoteDue;
use posthaste_protocol::scripts::purge_orders::PurgeOrders;
use posthaste_protocol::scripts::reclaim_leases::ReclaimLeases;
use posthaste_protocol::scripts::release::Release;
use posthaste_protocol::scripts::renew::{Renew, Renewed};
use posthaste_protocol::scripts::repair_indexes::RepairIndexes;
use posthaste_protocol::scripts::reschedule::Reschedule;
use posthaste_protocol::scripts::resolve::{Decided, Decision, Resolve, Resolved};
use posthaste_protocol::scripts::settle::{AttemptReport as SettleReport, Reported, Settle, Settlement};
use posthaste_protocol::scripts::{ParcelCode, ParcelRef};
use posthaste_protocol::{Refusal, ScriptAnswer, ScriptCall};

use super::scenario::{Resolver, Scenario, UNIT_MS, ms};
use super::state::{PendingReport, Truth};
use crate::fake_redis::Event;
use crate::{FakeRedis, ScriptRunError, Scripts};

/// How long a claimed parcel is leased, an unresolved one deferred, and a refused delivery kept waiting, in ms.
const SPAN_MS: i64 = UNIT_MS;

/// How long a renewed lease lasts: longer than at first, because time jumps from end to end.
pub(super) const RENEWED_MS: i64 = 2 * UNIT_MS;

/// A call of a script.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are those of the scripts, which say what they are")]
pub enum ScriptRequest {
    Enqueue { order: usize },
    PromoteDue,
    Claim { courier: usize, life: u16, number: u64, begin: u32 },
    Begin { parcel: usize, fence: u64, deliveries: Vec<(u16, u8)> },
    Settle { parcel: usize, fence: u64, leave: bool, reports: Vec<(u16, PendingReport)> },
    Release { parcel: usize, fence: u64 },
    Renew { parcel: usize, fence: u64 },
    ReclaimLeases { channel: usize },
    ClaimUnresolved { channel: usize },
    Resolve { parcel: usize, decisions: Vec<(u16, u8, Decision)> },
    ApplyReceipt { parcel: usize, delivery: u16, attempt: u8, word: ReceiptStatus },
    Cancel { order: usize },
    Reschedule { order: usize, due: i64, revision: u64 },
    ExpireParcels { channel: usize, index: Index },
    RepairIndexes { order: usize, channel: usize },
    PurgeOrders { day: u64 },
}

/// What the server answered.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "the fields are those of the scripts, which say what they are")]
pub enum ServerAnswer {
    Claimed { already_done: bool, fence: u64, parcels: Vec<(usize, Option<DeliveryRecords>)> },
    Outdated,
    Begun(ParcelCode, Vec<DeliveryBegun>),
    Settled(ParcelCode, Vec<Reported>),
    Released(ParcelCode),
    Renewed(Renewed),
    Reclaimed { unresolved: u64, poison: u64, parcels: u64 },
    Members(Vec<ParcelId>),
    Resolved(Vec<Decided>),
    Receipt(Option<Reported>),
    Repaired(u32),
    Done,
}

/// Why a call had no answer: always a defect, in a script or in the code around it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallFault {
    /// The script failed in a way that no server would answer.
    #[error(transparent)]
    Run(#[from] ScriptRunError),
    /// The codec refused the reply.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

/// Runs the scripts: the protocol's own, or mutants of them.
pub struct ScriptServer<'a> {
    /// The scenario being explored.
    pub scenario: &'a Scenario,
    /// The scripts.
    pub scripts: &'a Scripts,
    /// The epoch the caller expects.
    pub epoch: &'a str,
}

impl ScriptServer<'_> {
    pub(super) fn call<S: ScriptCall>(
        &self,
        world: &mut FakeRedis,
        events: &mut Vec<Event>,
        script: &S,
    ) -> Result<ScriptAnswer<S::Reply>, CallFault> {
        let called = self.scripts.call(world, script, "r", self.epoch)?;
        events.extend(called.run.events);
        Ok(called.answer?)
    }

    /// Whether a call from another epoch is refused.
    #[must_use]
    pub fn refuses(&self, world: &mut FakeRedis, command: &ScriptRequest) -> bool {
        let stranger = ScriptServer { epoch: "other", ..*self };
        let answer = stranger.answer(world, &mut Vec::new(), command);
        matches!(answer, Err(CallFault::Refused(Refusal::WrongEpoch { .. })))
    }

    /// Makes a call; the events for subscribers go to `events`.
    ///
    /// # Errors
    /// A script that fails, or a reply that its codec refuses.
    pub fn answer(
        &self,
        world: &mut FakeRedis,
        events: &mut Vec<Event>,
        command: &ScriptRequest,
    ) -> Result<ServerAnswer, CallFault> {
        let s = self.scenario;
        let keys = &s.keys;
        let channel_of = |parcel: usize| &s.channels[s.parcels[parcel].channel];
        let at =
            |parcel: usize, fence: u64| ParcelRef { parcel_id: s.parcels[parcel].parcel_id.clone(), fence };
        Ok(match command {
            ScriptRequest::Enqueue { order } => self.enqueue(world, events, *order)?,
            ScriptRequest::PromoteDue => {
                self.call(world, events, &PromoteDue { keys })?;
                ServerAnswer::Done
            }
            ScriptRequest::Claim { courier, life, number, begin } => {
                let channel = s.couriers[*courier];
                let most = if s.most_held > 1 { 3 } else { 1 };
                let claim = Claim {
                    keys,
                    channel: &s.channels[channel],
                    courier: &name(*courier, *life),
                    number: *number,
                    lease: ms(SPAN_MS),
                    limit: most,
                    bulk_limit: most,
                    begin: *begin,
                    send_window: s.window(),
                    empty_handed: s.blame,
                };
                let answer = self.call(world, events, &claim)?;
                match answer.reply {
                    ClaimReply::Outdated => ServerAnswer::Outdated,
                    ClaimReply::Claimed(taken) => {
                        let parcels = taken.parcels.into_iter();
                        let place = |parcel_id: &ParcelId| s.parcel(channel, parcel_id);
                        let parcels = parcels
                            .filter_map(|claimed| Some((place(&claimed.parcel_id)?, claimed.outcomes)));
                        ServerAnswer::Claimed {
                            already_done: taken.already_done,
                            fence: answer.fence,
                            parcels: parcels.collect(),
                        }
                    }
                }
            }
            ScriptRequest::Begin { parcel, fence, deliveries } => {
                let parcels = [(at(*parcel, *fence), deliveries.clone())];
                let begin = Begin {
                    keys,
                    channel: channel_of(*parcel),
                    send_window: s.window(),
                    deliveries_a_token: u16::from(s.tokens),
                    partitions: 1,
                    parcels: &parcels,
                };
                let reply = self.call(world, events, &begin)?.reply.pop();
                reply.map_or(ServerAnswer::Done, |(code, deliveries)| ServerAnswer::Begun(code, deliveries))
            }
            ScriptRequest::Settle { parcel, fence, leave, reports } => {
                let reports =
                    reports.iter().map(|(delivery, report)| settle_report(*delivery, report)).collect();
                let settlements = [Settlement { parcel: at(*parcel, *fence), leave: *leave, reports }];
                let settle = Settle { keys, channel: channel_of(*parcel), settlements: &settlements };
                let reply = self.call(world, events, &settle)?.reply.parcels.pop();
                reply.map_or(ServerAnswer::Done, |(code, deliveries)| ServerAnswer::Settled(code, deliveries))
            }
            ScriptRequest::Release { parcel, fence } => {
                let parcels = [at(*parcel, *fence)];
                let release = Release { keys, channel: channel_of(*parcel), wait: ms(0), parcels: &parcels };
                self.call(world, events, &release)?
                    .reply
                    .pop()
                    .map_or(ServerAnswer::Done, ServerAnswer::Released)
            }
            ScriptRequest::Renew { parcel, fence } => {
                let parcels = [at(*parcel, *fence)];
                let renew =
                    Renew { keys, channel: channel_of(*parcel), lease: ms(RENEWED_MS), parcels: &parcels };
                self.call(world, events, &renew)?
                    .reply
                    .pop()
                    .map_or(ServerAnswer::Done, ServerAnswer::Renewed)
            }
            ScriptRequest::Resolve { parcel, decisions } => {
                let spec = &s.parcels[*parcel];
                let resolve = Resolve {
                    keys,
                    channel: &s.channels[spec.channel],
                    parcel_id: &spec.parcel_id,
                    decisions,
                };
                match self.call(world, events, &resolve)?.reply {
                    Resolved::Ok { deliveries, .. } => ServerAnswer::Resolved(deliveries),
                    Resolved::NotFound => ServerAnswer::Done,
                }
            }
            ScriptRequest::ApplyReceipt { parcel, delivery, attempt, word } => {
                let spec = &s.parcels[*parcel];
                let receipt = ApplyReceipt {
                    keys,
                    channel: &s.channels[spec.channel],
                    parcel_id: &spec.parcel_id,
                    delivery: *delivery,
                    attempt: *attempt,
                    status: *word,
                    reason: Reason::None.into(),
                };
                ServerAnswer::Receipt(self.call(world, events, &receipt)?.reply)
            }
            other => self.answer_rare(world, events, other)?,
        })
    }

    /// Calls that name a channel or an order.
    fn answer_rare(
        &self,
        world: &mut FakeRedis,
        events: &mut Vec<Event>,
        command: &ScriptRequest,
    ) -> Result<ServerAnswer, CallFault> {
        let s = self.scenario;
        let keys = &s.keys;
        match command {
            ScriptRequest::ReclaimLeases { channel } => {
                let sweep = ReclaimLeases {
                    keys,
                    channel: &s.channels[*channel],
                    limit: 200,
                    blame: s.blame,
                    forget_after: ms(86_400_000),
                };
                let swept = self.call(world, events, &sweep)?.reply;
                return Ok(ServerAnswer::Reclaimed {
                    unresolved: swept.unresolved,
                    poison: swept.poison,
                    parcels: swept.parcels,
                });
            }
            ScriptRequest::ClaimUnresolved { channel } => {
                let channel = &s.channels[*channel];
                let request = ClaimUnresolved { keys, channel, limit: 1, put_off: ms(SPAN_MS) };
                return Ok(ServerAnswer::Members(self.call(world, events, &request)?.reply.parcel_ids));
            }
            ScriptRequest::Cancel { order } => {
                self.call(world, events, &Cancel { keys, order_id: &s.orders[*order].order_id })?;
            }
            ScriptRequest::Reschedule { order, due, revision } => {
                let order_id = &s.orders[*order].order_id;
                let due = UnixMs(u64::try_from(*due).unwrap_or(0));
                self.call(
                    world,
                    events,
                    &Reschedule { keys, order_id, due, not_after: None, revision: *revision },
                )?;
            }
            ScriptRequest::ExpireParcels { channel, index } => {
                let close = ExpireParcels {
                    keys,
                    channel: &s.channels[*channel],
                    index: *index,
                    from: 0,
                    limit: 200,
                };
                self.call(world, events, &close)?;
            }
            ScriptRequest::RepairIndexes { order, channel } => {
                let audit = RepairIndexes {
                    keys,
                    channel: &s.channels[*channel],
                    order_id: &s.orders[*order].order_id,
                    from: 0,
                };
                use posthaste_protocol::scripts::repair_indexes::RepairedIndexes;
                if let RepairedIndexes::Ok { mended, .. } = self.call(world, events, &audit)?.reply {
                    return Ok(ServerAnswer::Repaired(mended));
                }
            }
            ScriptRequest::PurgeOrders { day } => {
                self.call(world, events, &PurgeOrders { keys, day: *day, retention_days: 90 })?;
            }
            _ => {}
        }
        Ok(ServerAnswer::Done)
    }
}

/// The id of a courier's process.
fn name(courier: usize, life: u16) -> CourierId {
    let name = format!("c{courier}-{life}").parse();
    name.unwrap_or_else(|_| unreachable!("letters, digits and a dash are a courier id"))
}

fn settle_report(delivery: u16, report: &PendingReport) -> SettleReport {
    let reason = match report.outcome {
        OutcomeKind::Unknown => Reason::TimedOut,
        OutcomeKind::Failed => Reason::Rejected,
        OutcomeKind::Retry | OutcomeKind::NotSent => Reason::Throttled,
        _ => Reason::None,
    };
    SettleReport { delivery, attempt: report.attempt, outcome: report.outcome, reason, value: report.value }
}

/// What the channel's resolver does with an unresolved delivery. `truth` is what the provider knows of it, if it can
/// be asked.
#[must_use]
pub fn plan(
    scenario: &Scenario,
    parcel: usize,
    delivery: &DeliveryRecord,
    truth: Option<&Truth>,
) -> Decision {
    let policy = scenario.orders[scenario.parcels[parcel].order].on_unknown;
    let trusting = scenario.resolver == Resolver::Trusting && truth.is_some();
    match (policy, delivery.repeated && !trusting) {
        _ if delivery.reason == Reason::RetriesExhausted => Decision::Hold(Reason::RetriesExhausted),
        _ if scenario.tokens && delivery.token.is_some() => Decision::Repeat,
        _ if scenario.resolver == Resolver::Asking => match truth {
            Some(truth) if truth.taken.contains(&delivery.attempt) => {
                Decision::Found(OutcomeKind::Sent, Reason::None.into())
            }
            Some(_) => Decision::Repeat,
            None => Decision::Hold(Reason::NotRetried),
        },
        (OnUnknown::Retry, false) => Decision::Retry,
        (OnUnknown::Retry, true) => Decision::Hold(Reason::RetryUnconfirmed),
        _ => Decision::Hold(Reason::NotRetried),
    }
}

/// Whether a delivery in this state waits for a resolver.
#[must_use]
pub fn is_unresolved(state: DeliveryState) -> bool {
    state == DeliveryState::Unresolved
}
