//! Random walks through the protocol: its own scripts, called as couriers and queue call them, usually correctly.
//!
//! Both sides read the time and the server's run from a key, so that leases, windows, days and failovers can pass at
//! will.

use posthaste_model::{Channel, CourierId, OrderId, ParcelId};
use posthaste_protocol::record::{DeliveryRecords, Head};
use posthaste_protocol::scripts::ParcelRef;
use posthaste_protocol::scripts::register_process::RegisterProcess;
use posthaste_protocol::{Invocation, PartitionKeys, Refusal, ScriptAnswer, ScriptCall};
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

use crate::pair::Pair;

/// Milliseconds of a day.
pub(crate) const DAY: u64 = 86_400_000;
const EPOCH: &str = "epoch-1";

/// One walk.
pub(crate) struct Walk<'p> {
    pub(crate) pair: &'p mut Pair,
    pub(crate) rng: StdRng,
    pub(crate) keys: PartitionKeys,
    pub(crate) now: u64,
    pub(crate) requests: u64,
    pub(crate) orders: Vec<(OrderId, Vec<Channel>)>,
    pub(crate) couriers: Vec<Courier>,
    pub(crate) sent: Vec<Invocation>,
    /// The epoch of the database, prefixed with `!` while it is halted.
    pub(crate) epoch: String,
    /// The run of the server.
    pub(crate) run: u32,
}

/// A courier, driven by the test.
pub(crate) struct Courier {
    pub(crate) id: CourierId,
    pub(crate) channel: Channel,
    pub(crate) number: u64,
    pub(crate) held: Vec<ParcelRef>,
}

/// How the two differ.
pub(crate) type Differ<T = ()> = Result<T, String>;

impl<'p> Walk<'p> {
    /// An empty database, set up. Time begins far in the past or in the future, so that by the servers' own clock
    /// deadlines have always, or never, passed.
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
        let keys = PartitionKeys::of_partition(0);
        let mut walk = Self {
            pair,
            rng,
            keys,
            now,
            requests: 0,
            orders: vec![],
            couriers,
            sent: vec![],
            epoch: EPOCH.to_owned(),
            run: 0,
        };
        walk.set_clock()?;
        let register = RegisterProcess {
            keys: &walk.keys.clone(),
            fresh_epoch: EPOCH,
            partitions: 1,
            channel: None,
            receipts: None,
        };
        walk.invoke(register.invoke("r0", ""))?;
        Ok(walk)
    }

    /// Takes `steps` steps.
    pub(crate) fn go(&mut self, steps: u32) -> Differ {
        for step in 0..steps {
            let act = self.rng.random_range(0..64_u32);
            self.step(act).map_err(|difference| format!("step {step} (act {act}): {difference}"))?;
        }
        Ok(())
    }

    pub(crate) fn set_clock(&mut self) -> Differ {
        let (seconds, micros) = ((self.now / 1000).to_string(), (self.now % 1000 * 1000 + 7).to_string());
        let set = "return redis.call('HSET', KEYS[1], 's', ARGV[1], 'us', ARGV[2], 'run', ARGV[3])";
        let run = format!("run_id:{:08x}", self.run);
        self.pair.eval(set, &["clock"], &[seconds, micros, run]).map(drop)
    }

    fn invoke(&mut self, call: Invocation) -> Differ<posthaste_protocol::ReplyValue> {
        let text = call.script.body.replace("redis.call('TIME')", "redis.call('HMGET', 'clock', 's', 'us')");
        let text = text.replace("redis.call('INFO', 'server')", "redis.call('HGET', 'clock', 'run')");
        let reply = self.pair.eval(&text, &call.keys, &call.args);
        let reply =
            reply.map_err(|difference| format!("{}: {difference}\n{:?}", call.script.name, call.args))?;
        self.sent.push(call);
        Ok(reply.into())
    }

    pub(crate) fn call<S: ScriptCall>(
        &mut self,
        script: &S,
    ) -> Differ<Result<ScriptAnswer<S::Reply>, Refusal>> {
        self.requests += 1;
        let request = format!("r{}", self.requests);
        // Sometimes the caller expects another database.
        let epoch = if self.rng.random_bool(0.01) { "other" } else { &self.epoch };
        let call = script.invoke(&request, epoch);
        let reply = self.invoke(call)?;
        let answer = S::read(&request, reply);
        if let Err(error @ (Refusal::Malformed(_) | Refusal::Server(_))) = &answer {
            return Err(format!("{}: {error}", S::contract().text.name));
        }
        Ok(answer)
    }

    pub(crate) fn order(&mut self) -> Option<(OrderId, Vec<Channel>)> {
        let recent = self.orders.len().saturating_sub(6);
        self.orders[recent..].choose(&mut self.rng).cloned()
    }

    /// A courier, a parcel it was given, and the attempts recorded for its deliveries.
    pub(crate) fn parcel(&mut self) -> Option<(usize, ParcelRef, Vec<u8>)> {
        let courier = self.rng.random_range(0..self.couriers.len());
        let held = &self.couriers[courier].held;
        let parcel = held[held.len().saturating_sub(5)..].choose(&mut self.rng)?.clone();
        let attempts = self.attempts(&parcel.parcel_id, &self.couriers[courier].channel);
        Some((courier, parcel, attempts))
    }

    pub(crate) fn attempts(&self, parcel_id: &ParcelId, channel: &Channel) -> Vec<u8> {
        let read = || {
            let world = &self.pair.world;
            let history = world.hash_at(self.keys.history(&parcel_id.order_id).as_bytes())?;
            let head = Head::decode(history.get(b"h")?).ok()?;
            let outcome = self.keys.outcome(&parcel_id.order_id, channel, parcel_id.number);
            let record =
                world.text(outcome.as_bytes()).or_else(|| history.get(b"o").map(|record| &record[..]));
            let outcomes =
                DeliveryRecords::decode(record, head.parcel_deliveries(channel, parcel_id.number), head.due)
                    .ok()?;
            Some(outcomes.deliveries().map(|delivery| delivery.attempt).collect())
        };
        read().unwrap_or_default()
    }

    /// Some of the deliveries, in order.
    pub(crate) fn deliveries(&mut self, attempts: &[u8]) -> Vec<(u16, u8)> {
        let wrong = self.rng.random_bool(0.1);
        let deliveries = attempts.iter().enumerate().filter(|_| self.rng.random_bool(0.6));
        let off = u8::from(wrong);
        deliveries
            .map(|(delivery, attempt)| {
                (u16::try_from(delivery).expect("a delivery"), attempt.wrapping_add(off))
            })
            .take(500)
            .collect()
    }

    fn step(&mut self, act: u32) -> Differ {
        // Sending is halted: most steps are about that.
        let act = if self.epoch.starts_with('!') && self.rng.random_bool(0.5) { 63 } else { act };
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
                let act = self.rng.random_range(0..14);
                match act {
                    0..3 => self.of_sender(act),
                    3..12 => self.of_caller(act - 3),
                    _ => self.of_suppressions(),
                }
            }
            56..58 => {
                // A late second copy.
                let recent = self.sent.len().saturating_sub(30);
                let copy = self.sent[recent..].choose(&mut self.rng).cloned();
                copy.map_or(Ok(()), |copy| self.invoke(copy).map(drop))
            }
            62 => {
                let act = self.rng.random_range(0..4);
                self.of_parked(act)
            }
            63 => self.of_rollback(),
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
