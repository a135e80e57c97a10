//! What is asked of the server: every call as a value, so that it can stay on its way and arrive again.

use posthaste_model::{
    Address, Content, CourierId, Member, OnUnknown, Reason, Row, State as RowState, Text, UnixMs, Verdict,
};
use posthaste_protocol::record::{Inline, Outcomes, RowOutcome, encode_content, encode_parcel};
use posthaste_protocol::scripts::audit::Audit;
use posthaste_protocol::scripts::begin::{Begin, RowBegun};
use posthaste_protocol::scripts::cancel::Cancel;
use posthaste_protocol::scripts::claim::{Claim, Reply as ClaimReply};
use posthaste_protocol::scripts::close::{Close, Index};
use posthaste_protocol::scripts::enqueue::Enqueue;
use posthaste_protocol::scripts::inquire::Inquire;
use posthaste_protocol::scripts::receipt::{Receipt, Word};
use posthaste_protocol::scripts::release::Release;
use posthaste_protocol::scripts::renew::{Renew, Renewed};
use posthaste_protocol::scripts::reschedule::Reschedule;
use posthaste_protocol::scripts::resolve::{Decided, Decision, Resolve, Resolved};
use posthaste_protocol::scripts::retire::Retire;
use posthaste_protocol::scripts::ring::Ring;
use posthaste_protocol::scripts::settle::{Report as SettleReport, Reported, Settle, Settlement};
use posthaste_protocol::scripts::stage::Stage;
use posthaste_protocol::scripts::sweep::Sweep;
use posthaste_protocol::scripts::{ParcelCode, ParcelRef};
use posthaste_protocol::{Answer, Refusal, Script};

use super::scenario::{Resolver, Scenario, UNIT_MS, ms};
use super::state::{Report, Truth};
use crate::world::Event;
use crate::{RunError, Scripts, World};

/// How long a claimed parcel is leased, an unresolved one put off, a refused row kept waiting, in ms.
const SPAN_MS: i64 = UNIT_MS;

/// How long a renewed lease lasts: longer than at first, because time jumps from end to end.
pub(super) const RENEWED_MS: i64 = 2 * UNIT_MS;

/// A call of a script.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are those of the scripts, which say what they are")]
pub enum Command {
    Enqueue { order: usize },
    Ring,
    Claim { courier: usize, life: u16, number: u64, begin: u32 },
    Begin { parcel: usize, fence: u64, rows: Vec<(u16, u8)> },
    Settle { parcel: usize, fence: u64, leave: bool, reports: Vec<(u16, Report)> },
    Release { parcel: usize, fence: u64 },
    Renew { parcel: usize, fence: u64 },
    Sweep { channel: usize },
    Inquire { channel: usize },
    Resolve { parcel: usize, decisions: Vec<(u16, u8, Decision)> },
    Receipt { parcel: usize, row: u16, attempt: u8, word: Word },
    Cancel { order: usize },
    Move { order: usize, due: i64, revision: u64 },
    Close { channel: usize, index: Index },
    Audit { order: usize, channel: usize },
    Retire { day: u64 },
}

/// What the server answered.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "the fields are those of the scripts, which say what they are")]
pub enum Heard {
    Taken { again: bool, fence: u64, parcels: Vec<(usize, Option<Outcomes>)> },
    Old,
    Begun(ParcelCode, Vec<RowBegun>),
    Settled(ParcelCode, Vec<Reported>),
    Released(ParcelCode),
    Renewed(Renewed),
    Swept { unresolved: u64, poison: u64, parcels: u64 },
    Members(Vec<Member>),
    Resolved(Vec<Decided>),
    Receipt(Option<Reported>),
    Mended(u32),
    Done,
}

/// Why a call had no answer: always a defect, of a script or of what is around it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallFault {
    /// The script failed in a way no server answers.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The codec refused the reply.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

/// A running of the scripts: the protocol's own, or mutants of them.
pub struct Server<'a> {
    /// What is explored.
    pub scenario: &'a Scenario,
    /// The scripts.
    pub scripts: &'a Scripts,
    /// The epoch the caller expects.
    pub epoch: &'a str,
}

impl Server<'_> {
    fn call<S: Script>(
        &self,
        world: &mut World,
        events: &mut Vec<Event>,
        script: &S,
    ) -> Result<Answer<S::Reply>, CallFault> {
        let called = self.scripts.call(world, script, "r", self.epoch)?;
        events.extend(called.run.events);
        Ok(called.answer?)
    }

    /// Whether a call from another epoch is refused.
    #[must_use]
    pub fn refuses(&self, world: &mut World, command: &Command) -> bool {
        let stranger = Server { epoch: "other", ..*self };
        let answer = stranger.answer(world, &mut Vec::new(), command);
        matches!(answer, Err(CallFault::Refused(Refusal::Epoch { .. })))
    }

    /// Makes a call; what subscribers hear goes to `events`.
    ///
    /// # Errors
    /// A script that fails, or a reply that its codec refuses.
    pub fn answer(
        &self,
        world: &mut World,
        events: &mut Vec<Event>,
        command: &Command,
    ) -> Result<Heard, CallFault> {
        let s = self.scenario;
        let keys = &s.keys;
        let channel_of = |parcel: usize| &s.channels[s.parcels[parcel].channel];
        let at = |parcel: usize, fence: u64| ParcelRef { member: s.parcels[parcel].member.clone(), fence };
        Ok(match command {
            Command::Enqueue { order } => self.enqueue(world, events, *order)?,
            Command::Ring => {
                self.call(world, events, &Ring { keys })?;
                Heard::Done
            }
            Command::Claim { courier, life, number, begin } => {
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
                    ClaimReply::Old => Heard::Old,
                    ClaimReply::Taken(taken) => {
                        let parcels = taken.parcels.into_iter();
                        let place = |member: &Member| s.parcel(channel, member);
                        let parcels =
                            parcels.filter_map(|claimed| Some((place(&claimed.member)?, claimed.outcomes)));
                        Heard::Taken { again: taken.again, fence: answer.fence, parcels: parcels.collect() }
                    }
                }
            }
            Command::Begin { parcel, fence, rows } => {
                let parcels = [(at(*parcel, *fence), rows.clone())];
                let begin = Begin {
                    keys,
                    channel: channel_of(*parcel),
                    send_window: s.window(),
                    rows_a_token: u16::from(s.tokens),
                    partitions: 1,
                    parcels: &parcels,
                };
                let reply = self.call(world, events, &begin)?.reply.pop();
                reply.map_or(Heard::Done, |(code, rows)| Heard::Begun(code, rows))
            }
            Command::Settle { parcel, fence, leave, reports } => {
                let reports = reports.iter().map(|(row, report)| settle_report(*row, report)).collect();
                let settlements = [Settlement { parcel: at(*parcel, *fence), leave: *leave, reports }];
                let settle = Settle { keys, channel: channel_of(*parcel), settlements: &settlements };
                let reply = self.call(world, events, &settle)?.reply.parcels.pop();
                reply.map_or(Heard::Done, |(code, rows)| Heard::Settled(code, rows))
            }
            Command::Release { parcel, fence } => {
                let parcels = [at(*parcel, *fence)];
                let release = Release { keys, channel: channel_of(*parcel), wait: ms(0), parcels: &parcels };
                self.call(world, events, &release)?.reply.pop().map_or(Heard::Done, Heard::Released)
            }
            Command::Renew { parcel, fence } => {
                let parcels = [at(*parcel, *fence)];
                let renew =
                    Renew { keys, channel: channel_of(*parcel), lease: ms(RENEWED_MS), parcels: &parcels };
                self.call(world, events, &renew)?.reply.pop().map_or(Heard::Done, Heard::Renewed)
            }
            Command::Resolve { parcel, decisions } => {
                let spec = &s.parcels[*parcel];
                let resolve =
                    Resolve { keys, channel: &s.channels[spec.channel], member: &spec.member, decisions };
                match self.call(world, events, &resolve)?.reply {
                    Resolved::Ok { rows, .. } => Heard::Resolved(rows),
                    Resolved::Gone => Heard::Done,
                }
            }
            Command::Receipt { parcel, row, attempt, word } => {
                let spec = &s.parcels[*parcel];
                let receipt = Receipt {
                    keys,
                    channel: &s.channels[spec.channel],
                    member: &spec.member,
                    row: *row,
                    attempt: *attempt,
                    word: *word,
                    reason: Reason::None,
                };
                Heard::Receipt(self.call(world, events, &receipt)?.reply)
            }
            other => self.answer_rare(world, events, other)?,
        })
    }

    /// Calls that name a channel or an order.
    fn answer_rare(
        &self,
        world: &mut World,
        events: &mut Vec<Event>,
        command: &Command,
    ) -> Result<Heard, CallFault> {
        let s = self.scenario;
        let keys = &s.keys;
        match command {
            Command::Sweep { channel } => {
                let sweep = Sweep {
                    keys,
                    channel: &s.channels[*channel],
                    limit: 200,
                    blame: s.blame,
                    forget_after: ms(86_400_000),
                };
                let swept = self.call(world, events, &sweep)?.reply;
                return Ok(Heard::Swept {
                    unresolved: swept.unresolved,
                    poison: swept.poison,
                    parcels: swept.parcels,
                });
            }
            Command::Inquire { channel } => {
                let channel = &s.channels[*channel];
                let inquire = Inquire { keys, channel, limit: 1, put_off: ms(SPAN_MS) };
                return Ok(Heard::Members(self.call(world, events, &inquire)?.reply.members));
            }
            Command::Cancel { order } => {
                self.call(world, events, &Cancel { keys, suffix: &s.orders[*order].suffix })?;
            }
            Command::Move { order, due, revision } => {
                let suffix = &s.orders[*order].suffix;
                let due = UnixMs(u64::try_from(*due).unwrap_or(0));
                self.call(
                    world,
                    events,
                    &Reschedule { keys, suffix, due, not_after: None, revision: *revision },
                )?;
            }
            Command::Close { channel, index } => {
                let close =
                    Close { keys, channel: &s.channels[*channel], index: *index, from: 0, limit: 200 };
                self.call(world, events, &close)?;
            }
            Command::Audit { order, channel } => {
                let audit =
                    Audit { keys, channel: &s.channels[*channel], suffix: &s.orders[*order].suffix, from: 0 };
                use posthaste_protocol::scripts::audit::Audited;
                if let Audited::Ok { mended, .. } = self.call(world, events, &audit)?.reply {
                    return Ok(Heard::Mended(mended));
                }
            }
            Command::Retire { day } => {
                self.call(world, events, &Retire { keys, day: *day, retention_days: 90 })?;
            }
            _ => {}
        }
        Ok(Heard::Done)
    }

    /// Accepts an order, with everything that is staged before.
    fn enqueue(&self, world: &mut World, events: &mut Vec<Event>, order: usize) -> Result<Heard, CallFault> {
        let s = self.scenario;
        let spec = &s.orders[order];
        let content = Content { text: Text::new("x"), ..Content::default() };
        let now = world.clock().ms();
        let row = |index| Row {
            index,
            recipient: String::new(),
            name: String::new(),
            address: Address::new(index.to_string()),
        };
        let mut inline = None;
        if spec.big {
            let parcels: Vec<_> = s.parcels.iter().filter(|parcel| parcel.order == order).collect();
            let staged: Vec<_> = parcels
                .iter()
                .map(|parcel| {
                    let rows: Vec<Row> = (0..parcel.rows).map(row).collect();
                    (s.channels[parcel.channel].clone(), parcel.member.number, encode_parcel(&rows))
                })
                .collect();
            let open = encode_content(&content);
            let stage = Stage {
                keys: &s.keys,
                suffix: &spec.suffix,
                upload: "1",
                open: Some(&open),
                parcels: &staged,
            };
            self.call(world, events, &stage)?;
        } else {
            let rows: Vec<Row> = (0..spec.channels.iter().map(|(_, rows)| *rows).sum()).map(row).collect();
            inline = Inline::encode(&content, &rows);
        }
        let channels: Vec<_> =
            spec.channels.iter().map(|(channel, rows)| (s.channels[*channel].clone(), *rows)).collect();
        let enqueue = Enqueue {
            keys: &s.keys,
            suffix: &spec.suffix,
            due: spec.due_in.map(|span| UnixMs(u64::try_from(now).unwrap_or(0)).after(span)),
            lane: spec.lane,
            on_unknown: spec.on_unknown,
            not_after: None,
            span: ms(s.life_ms),
            digest: [1; 12],
            channels: &channels,
            no_contact: &[],
            inline: inline.as_deref(),
            upload: if spec.big { "1" } else { "" },
        };
        self.call(world, events, &enqueue)?;
        Ok(Heard::Done)
    }
}

/// The id of a courier's process.
fn name(courier: usize, life: u16) -> CourierId {
    let name = format!("c{courier}-{life}").parse();
    name.unwrap_or_else(|_| unreachable!("letters, digits and a dash are a courier id"))
}

fn settle_report(row: u16, report: &Report) -> SettleReport {
    let reason = match report.verdict {
        Verdict::Unknown => Reason::TimedOut,
        Verdict::Failed => Reason::Rejected,
        Verdict::Retry | Verdict::NotSent => Reason::Throttled,
        _ => Reason::None,
    };
    SettleReport { row, attempt: report.attempt, verdict: report.verdict, reason, value: report.value }
}

/// What the channel's resolver does with an unresolved row. `truth` is what the provider knows of it, if it can be asked.
#[must_use]
pub fn plan(scenario: &Scenario, parcel: usize, row: &RowOutcome, truth: Option<&Truth>) -> Decision {
    let policy = scenario.orders[scenario.parcels[parcel].order].on_unknown;
    let trusting = scenario.resolver == Resolver::Trusting && truth.is_some();
    match (policy, row.repeated && !trusting) {
        _ if row.reason == Reason::TriesSpent => Decision::Hold(Reason::TriesSpent),
        _ if scenario.tokens && row.token.is_some() => Decision::Repeat,
        _ if scenario.resolver == Resolver::Asking => match truth {
            Some(truth) if truth.taken.contains(&row.attempt) => Decision::Found(Verdict::Sent, Reason::None),
            Some(_) => Decision::Repeat,
            None => Decision::Hold(Reason::Held),
        },
        (OnUnknown::Retry, false) => Decision::Retry,
        (OnUnknown::Retry, true) => Decision::Hold(Reason::RepeatSpent),
        _ => Decision::Hold(Reason::Held),
    }
}

/// Whether a row in this state waits for a resolver.
#[must_use]
pub fn is_unresolved(state: RowState) -> bool {
    state == RowState::Unresolved
}
