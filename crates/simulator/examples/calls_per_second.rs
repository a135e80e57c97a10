//! Measures how many script calls per second one thread makes: scripts of several sizes, and the protocol's own.
//!
//! `cargo run -p posthaste-simulator --example calls_per_second`

use std::error::Error;
use std::hash::{BuildHasher, RandomState};
use std::io::Write;
use std::time::{Duration, Instant};

use posthaste_model::{
    Address, Channel, Content, CourierId, Delivery, OnUnknown, OrderId, OutcomeKind, ParcelId, Priority,
    Reason, Text,
};
use posthaste_protocol::record::Inline;
use posthaste_protocol::scripts::ParcelRef;
use posthaste_protocol::scripts::begin::Begin;
use posthaste_protocol::scripts::claim::Claim;
use posthaste_protocol::scripts::enqueue::Enqueue;
use posthaste_protocol::scripts::reclaim_leases::ReclaimLeases;
use posthaste_protocol::scripts::register_process::RegisterProcess;
use posthaste_protocol::scripts::settle::{AttemptReport, Settle, Settlement};
use posthaste_protocol::{Invocation, PartitionKeys, ScriptCall as _};
use posthaste_simulator::fake_redis::{Classes, FakeClock, Flavour};
use posthaste_simulator::{FakeRedis, ScriptProgram, Scripts};

const NOW: i64 = 1_700_000_000_000;

/// An empty script: only the overhead of a call.
const EMPTY: &str = "return 1";
/// One read.
const READ: &str = "return redis.call('GET', KEYS[1])";
/// A small write with a check.
const SMALL: &str = "
if redis.call('EXISTS', KEYS[1]) == 0 then
  redis.call('SET', KEYS[1], ARGV[1])
end
return { 'ok', redis.call('INCR', KEYS[2]) }";
/// About as much work as a begin: reads lease, history and deliveries, writes deliveries and counters.
const MIDDLE: &str = "
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local lease = redis.call('HGET', KEYS[1], ARGV[1])
local until_ms = redis.call('ZSCORE', KEYS[2], ARGV[1])
if not lease or not until_ms or tonumber(until_ms) <= now then
  return { 'lost' }
end
local fields = redis.call('HMGET', KEYS[3], 'h', 'f', 'c')
local deliveries = redis.call('GETRANGE', KEYS[4], 0, 23)
local first = string.sub(deliveries, 1, 12)
redis.call('SETRANGE', KEYS[4], 0, string.char(1, 2) .. string.sub(first, 3))
redis.call('HSET', KEYS[3], 'c', string.format('%.0f', tonumber(fields[3] or 0) + 1), 'r', 'x')
redis.call('ZADD', KEYS[2], string.format('%.0f', now + 10000), ARGV[1])
return { 'ok', string.format('%.0f', now), #deliveries }";

fn main() -> Result<(), Box<dyn Error>> {
    let mut out = std::io::stdout().lock();
    let world = settled();
    let keys = ["lease:{0}:sms", "leased:{0}:sms", "history:{0}:a:1", "outcome:{0}:a:1:sms:0"];
    for (name, text) in [("empty", EMPTY), ("read", READ), ("small", SMALL), ("middle", MIDDLE)] {
        let script = ScriptProgram::new(text)?;
        let keys: &[&str] = if name == "middle" { &keys } else { &["bell", "counter"] };
        let mut kept = world.clone();
        let alone = rate(|| script.run(&mut kept, keys, &["a:1:0"]).is_ok());
        let copied = rate(|| script.run(&mut world.clone(), keys, &["a:1:0"]).is_ok());
        writeln!(out, "{name:8} {alone:>9.0} calls/s on one world, {copied:>9.0} on a fresh copy each")?;
    }
    let hasher = RandomState::new();
    let copies = rate(|| !world.clone().is_empty());
    let hashes = rate(|| hasher.hash_one(&world) != 0);
    writeln!(out, "{} keys: {copies:.0} copies/s, {hashes:.0} hashes/s", world.len())?;

    let scripts = Scripts::load()?;
    let mut world =
        FakeRedis::new(Flavour::Redis70, FakeClock::at_ms(NOW)).watching(Classes::EXPIRED_AND_HASH);
    for (name, call) in life()? {
        let copied = rate(|| scripts.invoke(&mut world.clone(), &call).is_ok());
        let run = scripts.invoke(&mut world, &call)?;
        writeln!(
            out,
            "{name:8} {copied:>9.0} calls/s on a fresh copy each, {} commands per call",
            run.calls
        )?;
        assert_eq!(
            run.reply.as_array().and_then(|reply| reply[0].as_bytes()),
            Some(answered(name)),
            "{name}"
        );
    }
    Ok(())
}

fn answered(name: &str) -> &'static [u8] {
    if name == "enqueue" { b"due_now" } else { b"ok" }
}

/// The calls in the life of an order of two deliveries.
fn life() -> Result<Vec<(&'static str, Invocation)>, Box<dyn Error>> {
    let (keys, channel, order_id): (_, Channel, OrderId) =
        (PartitionKeys::of_partition(0), "sms".parse()?, "u1:1".parse()?);
    let (courier, minute) = ("c1".parse::<CourierId>()?, Duration::from_secs(60));
    let delivery = |index| Delivery {
        index,
        recipient: format!("r{index}"),
        name: String::new(),
        address: Address::new(format!("+7900000000{index}")),
    };
    let content =
        Content { text: Text::new("a text of some length, as people send it"), ..Content::default() };
    let pieces =
        Inline::encode(&content, &[delivery(0), delivery(1)]).ok_or("too long for an inline order")?;
    let channels = [(channel.clone(), 2)];
    let enqueue = Enqueue {
        keys: &keys,
        order_id: &order_id,
        due: None,
        priority: Priority::Bulk,
        on_unknown: OnUnknown::Default,
        not_after: None,
        span: minute * 60,
        digest: [1; 12],
        channels: &channels,
        no_contact: &[],
        inline: Some(&pieces),
        upload: "",
    };
    let claim = Claim {
        keys: &keys,
        channel: &channel,
        courier: &courier,
        number: 1,
        lease: minute,
        limit: 10,
        bulk_limit: 10,
        begin: 0,
        send_window: minute,
        empty_handed: true,
    };
    let parcel = ParcelRef { parcel_id: ParcelId { order_id: order_id.clone(), number: 0 }, fence: 1 };
    let deliveries = [(parcel.clone(), vec![(0, 1), (1, 1)])];
    let begin = Begin {
        keys: &keys,
        channel: &channel,
        send_window: minute,
        deliveries_a_token: 0,
        partitions: 1,
        parcels: &deliveries,
    };
    let report = |delivery| AttemptReport {
        delivery,
        attempt: 1,
        outcome: OutcomeKind::Delivered,
        reason: Reason::None,
        value: 0,
    };
    let settlements = [Settlement { parcel, leave: true, reports: vec![report(0), report(1)] }];
    let settle = Settle { keys: &keys, channel: &channel, settlements: &settlements };
    let register = RegisterProcess {
        keys: &keys,
        fresh_epoch: "e",
        partitions: 1,
        channel: Some(&channel),
        receipts: None,
    };
    let sweep =
        ReclaimLeases { keys: &keys, channel: &channel, limit: 200, blame: true, forget_after: minute };
    Ok(vec![
        ("register_process", register.invoke("r1", "")),
        ("enqueue", enqueue.invoke("r2", "e")),
        ("claim", claim.invoke("r3", "e")),
        ("begin", begin.invoke("r4", "e")),
        ("settle", settle.invoke("r5", "e")),
        ("reclaim_leases", sweep.invoke("r6", "e")),
    ])
}

/// A world about as large as a model checker's: 30 keys of all kinds.
fn settled() -> FakeRedis {
    let mut world =
        FakeRedis::new(Flavour::Redis70, FakeClock::at_ms(NOW)).watching(Classes::EXPIRED_AND_HASH);
    let mut commands: Vec<Vec<String>> = vec![
        ["SET", "bell", "7"].map(String::from).to_vec(),
        ["HSET", "lease:{0}:sms", "a:1:0", "5 courier-1 0"].map(String::from).to_vec(),
        ["ZADD", "leased:{0}:sms", "1700000010000", "a:1:0"].map(String::from).to_vec(),
        ["HSET", "history:{0}:a:1", "h", "head", "f", "flags", "c", "0", "t0", "a text"]
            .map(String::from)
            .to_vec(),
        ["SETRANGE", "outcome:{0}:a:1:sms:0", "0", "0123456789ab0123456789ab"].map(String::from).to_vec(),
    ];
    for n in 0..12 {
        commands.push(["ZADD", &format!("ready:{n}"), "1", "a:1:0", "2", "b:2:0"].map(String::from).to_vec());
        commands.push(["HSET", &format!("order:{n}"), "f", "1", "g", "2"].map(String::from).to_vec());
    }
    for command in commands {
        if world.call(&command).is_err() {
            break;
        }
    }
    world
}

/// How often per second `work` runs, measured over about a second.
fn rate(mut work: impl FnMut() -> bool) -> f64 {
    let (begun, mut times) = (Instant::now(), 0_u32);
    while begun.elapsed() < Duration::from_secs(1) {
        for _ in 0..1_000 {
            assert!(work());
        }
        times += 1_000;
    }
    f64::from(times) / begun.elapsed().as_secs_f64()
}
