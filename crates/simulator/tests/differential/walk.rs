//! Random walks through the protocol: its own scripts, called as couriers and queue call them, mostly rightly.
//!
//! Both sides read the time from a key, so that leases, windows and days pass at will.

use std::time::Duration;

use posthaste_model::{
    Address, Channel, Content, CourierId, Lane, Member, OnUnknown, Reason, Row, SenderId, Suffix, Text,
    UnixMs, Verdict,
};
use posthaste_protocol::record::{Head, Inline, Outcomes, encode_content, encode_parcel};
use posthaste_protocol::scripts::ParcelRef;
use posthaste_protocol::scripts::audit::Audit;
use posthaste_protocol::scripts::begin::Begin;
use posthaste_protocol::scripts::bind::Bind;
use posthaste_protocol::scripts::cancel::Cancel;
use posthaste_protocol::scripts::claim::{Claim, Reply as Claimed};
use posthaste_protocol::scripts::close::{Close, Index};
use posthaste_protocol::scripts::enqueue::Enqueue;
use posthaste_protocol::scripts::inquire::Inquire;
use posthaste_protocol::scripts::receipt::{Receipt, Word};
use posthaste_protocol::scripts::register::Register;
use posthaste_protocol::scripts::release::Release;
use posthaste_protocol::scripts::renew::Renew;
use posthaste_protocol::scripts::reschedule::Reschedule;
use posthaste_protocol::scripts::reserve::Reserve;
use posthaste_protocol::scripts::resolve::{Decision, Resolve};
use posthaste_protocol::scripts::retire::Retire;
use posthaste_protocol::scripts::ring::Ring;
use posthaste_protocol::scripts::settle::{Report, Settle, Settlement};
use posthaste_protocol::scripts::stage::Stage;
use posthaste_protocol::scripts::sweep::Sweep;
use posthaste_protocol::scripts::unreserve::Unreserve;
use posthaste_protocol::scripts::unstage::Unstage;
use posthaste_protocol::{Answer, Invocation, Keys, Refusal, Script};
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

use crate::pair::Pair;

const DAY: u64 = 86_400_000;
const LEASE: Duration = Duration::from_secs(10);
const WINDOW: Duration = Duration::from_secs(30);
const EPOCH: &str = "epoch-1";

/// One walk.
pub(crate) struct Walk<'p> {
    pair: &'p mut Pair,
    rng: StdRng,
    keys: Keys,
    now: u64,
    requests: u64,
    orders: Vec<(Suffix, Vec<Channel>)>,
    couriers: Vec<Courier>,
    sent: Vec<Invocation>,
}

struct Courier {
    id: CourierId,
    channel: Channel,
    number: u64,
    held: Vec<ParcelRef>,
}

/// How the two differ.
type Differ<T = ()> = Result<T, String>;

impl<'p> Walk<'p> {
    /// An empty database, set up. Time begins far in the past or in the future, so that what has a deadline is
    /// always, or never, past it for the servers' own clock.
    pub(crate) fn start(pair: &'p mut Pair, mut rng: StdRng) -> Differ<Self> {
        pair.empty();
        let real = u64::try_from(pair.world.clock().ms()).expect("a time");
        let now = if rng.random() { real - 400 * DAY } else { real + DAY };
        let courier = |id: &str, channel: &str| Courier {
            id: id.parse().expect("an id"),
            channel: channel.parse().expect("a channel"),
            number: 0,
            held: Vec::new(),
        };
        let couriers = vec![courier("c1", "email"), courier("c2", "email"), courier("c3", "sms")];
        let keys = Keys::of_partition(0);
        let mut walk = Self { pair, rng, keys, now, requests: 0, orders: vec![], couriers, sent: vec![] };
        walk.set_clock()?;
        let register =
            Register { keys: &walk.keys.clone(), fresh_epoch: EPOCH, partitions: 1, channel: None };
        walk.invoke(register.invoke("r0", ""))?;
        Ok(walk)
    }

    /// So many steps.
    pub(crate) fn go(&mut self, steps: u32) -> Differ {
        for step in 0..steps {
            let act = self.rng.random_range(0..62_u32);
            self.step(act).map_err(|difference| format!("step {step} (act {act}): {difference}"))?;
        }
        Ok(())
    }

    fn set_clock(&mut self) -> Differ {
        let (seconds, micros) = ((self.now / 1000).to_string(), (self.now % 1000 * 1000 + 7).to_string());
        let set = "return redis.call('HSET', KEYS[1], 's', ARGV[1], 'us', ARGV[2])";
        self.pair.eval(set, &["clock"], &[seconds, micros]).map(drop)
    }

    fn invoke(&mut self, call: Invocation) -> Differ<posthaste_protocol::Value> {
        let text = call.script.body.replace("redis.call('TIME')", "redis.call('HMGET', 'clock', 's', 'us')");
        let reply = self.pair.eval(&text, &call.keys, &call.args);
        let reply =
            reply.map_err(|difference| format!("{}: {difference}\n{:?}", call.script.name, call.args))?;
        self.sent.push(call);
        Ok(reply.into())
    }

    fn call<S: Script>(&mut self, script: &S) -> Differ<Result<Answer<S::Reply>, Refusal>> {
        self.requests += 1;
        let request = format!("r{}", self.requests);
        // Now and then the caller comes from another database.
        let epoch = if self.rng.random_bool(0.01) { "other" } else { EPOCH };
        let reply = self.invoke(script.invoke(&request, epoch))?;
        let answer = S::read(&request, reply);
        if let Err(error @ (Refusal::Malformed(_) | Refusal::Server(_))) = &answer {
            return Err(format!("{}: {error}", S::contract().text.name));
        }
        Ok(answer)
    }

    fn order(&mut self) -> Option<(Suffix, Vec<Channel>)> {
        let recent = self.orders.len().saturating_sub(6);
        self.orders[recent..].choose(&mut self.rng).cloned()
    }

    /// A courier, a parcel it was given, and the attempts recorded for its rows.
    fn parcel(&mut self) -> Option<(usize, ParcelRef, Vec<u8>)> {
        let courier = self.rng.random_range(0..self.couriers.len());
        let held = &self.couriers[courier].held;
        let parcel = held[held.len().saturating_sub(5)..].choose(&mut self.rng)?.clone();
        let attempts = self.attempts(&parcel.member, &self.couriers[courier].channel);
        Some((courier, parcel, attempts))
    }

    fn attempts(&self, member: &Member, channel: &Channel) -> Vec<u8> {
        let read = || {
            let world = &self.pair.world;
            let history = world.hash_at(self.keys.history(&member.suffix).as_bytes())?;
            let head = Head::decode(history.get(b"h")?).ok()?;
            let outcome = self.keys.outcome(&member.suffix, channel, member.number);
            let record =
                world.text(outcome.as_bytes()).or_else(|| history.get(b"o").map(|record| &record[..]));
            let outcomes =
                Outcomes::decode(record, head.parcel_rows(channel, member.number), head.due).ok()?;
            Some(outcomes.rows().map(|row| row.attempt).collect())
        };
        read().unwrap_or_default()
    }

    /// Some of the rows, in order.
    fn rows(&mut self, attempts: &[u8]) -> Vec<(u16, u8)> {
        let wrong = self.rng.random_bool(0.1);
        let rows = attempts.iter().enumerate().filter(|_| self.rng.random_bool(0.6));
        let off = u8::from(wrong);
        rows.map(|(row, attempt)| (u16::try_from(row).expect("a row"), attempt.wrapping_add(off)))
            .take(500)
            .collect()
    }

    fn accept(&mut self) -> Differ {
        let keys = self.keys.clone();
        let suffix: Suffix =
            format!("u{}:{}", self.orders.len() % 3, self.orders.len() + 1).parse().expect("a suffix");
        let (email, sms): (Channel, Channel) = ("email".parse().expect("one"), "sms".parse().expect("one"));
        let big = self.rng.random_bool(0.3);
        let rows = if big && self.rng.random_bool(0.2) { 502 } else { self.rng.random_range(1..4) };
        let channels = match self.rng.random_range(0..4) {
            0 => vec![(email, rows), (sms, 2)],
            1 => vec![(sms, rows)],
            _ => vec![(email, rows)],
        };
        let all: u32 = channels.iter().map(|(_, rows)| rows).sum();
        let content = Content { text: Text::new("some text of a message"), ..Content::default() };
        let pieces = if big { None } else { Inline::encode(&content, &some_rows(0, all)) };
        if pieces.is_none() {
            let mut parcels = Vec::new();
            for (channel, rows) in &channels {
                for n in 0..rows.div_ceil(500) {
                    parcels.push((
                        channel.clone(),
                        n,
                        encode_parcel(&some_rows(n * 500, (rows - n * 500).min(500))),
                    ));
                }
            }
            let open = encode_content(&content);
            self.call(&Stage { keys: &keys, suffix: &suffix, open: Some(&open), parcels: &parcels })?.ok();
            if self.rng.random_bool(0.1) {
                return Ok(());
            }
        }
        let due = [None, None, Some(self.now + 5_000), Some(self.now + 60_000), Some(self.now - 1)];
        let enqueue = Enqueue {
            keys: &keys,
            suffix: &suffix,
            due: due.choose(&mut self.rng).copied().flatten().map(UnixMs),
            lane: if self.rng.random_bool(0.3) { Lane::Urgent } else { Lane::Bulk },
            on_unknown: [OnUnknown::Default, OnUnknown::Retry, OnUnknown::Hold][self.rng.random_range(0..3)],
            not_after: None,
            span: Duration::from_secs(if self.rng.random_bool(0.2) { 30 } else { 259_200 }),
            digest: [self.rng.random_range(0..2); 12],
            channels: &channels,
            no_contact: &[],
            inline: pieces.as_deref(),
        };
        self.call(&enqueue)?.ok();
        if self.rng.random_bool(0.1) {
            self.call(&enqueue)?.ok();
        }
        self.orders.push((suffix, channels.into_iter().map(|(channel, _)| channel).collect()));
        Ok(())
    }

    fn claim(&mut self, again: bool) -> Differ {
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
        };
        if let Ok(Answer { reply: Claimed::Taken(taken), fence, .. }) = self.call(&claim)? {
            let parcels = taken.parcels.into_iter().map(|parcel| ParcelRef { member: parcel.member, fence });
            self.couriers[at].held.extend(parcels);
        }
        Ok(())
    }

    fn of_parcel(&mut self, act: u32) -> Differ {
        let keys = self.keys.clone();
        let Some((at, parcel, attempts)) = self.parcel() else { return Ok(()) };
        let channel = self.couriers[at].channel.clone();
        let rows = self.rows(&attempts);
        match act {
            0 => {
                let rows = rows.into_iter().map(|(row, attempt)| (row, attempt.wrapping_add(1))).collect();
                let (tokens, parcels) = (self.rng.random(), [(parcel, rows)]);
                let begin =
                    Begin { keys: &keys, channel: &channel, send_window: WINDOW, tokens, parcels: &parcels };
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

    fn of_order(&mut self, act: u32) -> Differ {
        let keys = self.keys.clone();
        let Some((suffix, channels)) = self.order() else { return Ok(()) };
        let channel = channels[0].clone();
        let member = Member { suffix: suffix.clone(), number: 0 };
        let attempts = self.attempts(&member, &channel);
        let rows = self.rows(&attempts);
        match act {
            0 => drop(self.call(&Cancel { keys: &keys, suffix: &suffix })?),
            1 => {
                let due = UnixMs(self.now + self.rng.random_range(0..90_000));
                self.call(&Reschedule { keys: &keys, suffix: &suffix, due, not_after: None })?.ok();
            }
            2 => {
                let decide = |rng: &mut StdRng| match rng.random_range(0..6) {
                    0 => Decision::Retry,
                    1 => Decision::Repeat,
                    2 => Decision::Hold(Reason::Held),
                    3 => Decision::Found(Verdict::Delivered, Reason::None),
                    4 => Decision::Found(Verdict::Failed, Reason::Rejected),
                    _ => Decision::Found(Verdict::Sent, Reason::None),
                };
                let decisions: Vec<_> =
                    rows.into_iter().map(|(row, attempt)| (row, attempt, decide(&mut self.rng))).collect();
                self.call(&Resolve {
                    keys: &keys,
                    channel: &channel,
                    member: &member,
                    decisions: &decisions,
                })?
                .ok();
            }
            3 => {
                let Some((row, attempt)) = rows.choose(&mut self.rng).copied() else { return Ok(()) };
                let word = [Word::Sent, Word::Delivered, Word::Failed][self.rng.random_range(0..3)];
                let reason = Reason::None;
                self.call(&Receipt {
                    keys: &keys,
                    channel: &channel,
                    member: &member,
                    row,
                    attempt,
                    word,
                    reason,
                })?
                .ok();
            }
            _ => drop(self.call(&Audit { keys: &keys, channel: &channel, suffix: &suffix, from: 0 })?),
        }
        Ok(())
    }

    fn of_channel(&mut self, act: u32) -> Differ {
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
                let register =
                    Register { keys: &keys, fresh_epoch: "epoch-2", partitions: 1, channel: Some(&channel) };
                self.call(&register)?.ok();
            }
            4 => {
                let day = self.now / DAY - self.rng.random_range(0..100);
                self.call(&Retire { keys: &keys, day, retention_days: 90 })?.ok();
            }
            5 => drop(self.call(&Unstage { keys: &keys, suffix: None })?),
            _ => drop(self.call(&Ring { keys: &keys })?),
        }
        Ok(())
    }

    fn of_sender(&mut self, act: u32) -> Differ {
        let sender: SenderId = format!("u{}", self.rng.random_range(0..2)).parse().expect("an id");
        let suffix = Suffix::new(&sender, self.rng.random_range(1..5));
        match act {
            0 => {
                let (key_digest, digest) =
                    (["a", "b"][self.rng.random_range(0..2)], [self.rng.random_range(0..2); 12]);
                let ttl = Duration::from_millis(DAY * 100_000);
                self.call(&Bind { owner: "o", key_digest, suffix: &suffix, digest, ttl })?.ok();
            }
            1 => {
                let day_start = UnixMs(self.now - self.now % DAY);
                self.call(&Reserve { sender: &sender, suffix: &suffix, daily: 2, day_start })?.ok();
            }
            _ => drop(self.call(&Unreserve { sender: &sender, suffixes: &[suffix] })?),
        }
        Ok(())
    }

    fn step(&mut self, act: u32) -> Differ {
        match act {
            0..8 => self.accept(),
            8..16 => self.claim(false),
            16 => self.claim(true),
            17..26 => self.of_parcel(0),
            26..38 => self.of_parcel(1),
            38 | 39 => self.of_parcel(act - 36),
            40..49 => self.of_order([0, 1, 2, 2, 2, 3, 3, 4, 1][act as usize - 40]),
            49..54 => self.of_channel([0, 0, 1, 2, 6][act as usize - 49]),
            54 => {
                let act = self.rng.random_range(3..6);
                self.of_channel(act)
            }
            55 => {
                let act = self.rng.random_range(0..3);
                self.of_sender(act)
            }
            56..58 => {
                // A late second copy.
                let recent = self.sent.len().saturating_sub(30);
                let copy = self.sent[recent..].choose(&mut self.rng).cloned();
                copy.map_or(Ok(()), |copy| self.invoke(copy).map(drop))
            }
            _ => {
                self.now += *[1_000, 11_000, 11_000, 90_000, 3 * DAY + 1, 31 * DAY]
                    .choose(&mut self.rng)
                    .unwrap_or(&1);
                self.set_clock()
            }
        }
    }

    /// Which scripts were called.
    pub(crate) fn called(&self) -> impl Iterator<Item = &'static str> {
        self.sent.iter().map(|call| call.script.name)
    }
}

fn some_rows(first: u32, count: u32) -> Vec<Row> {
    let row = |index| Row {
        index,
        recipient: format!("r{index}"),
        name: String::new(),
        address: Address::new(format!("a{index}@b.c")),
    };
    (first..first + count).map(row).collect()
}
