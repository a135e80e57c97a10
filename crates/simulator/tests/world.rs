//! What no real server does on command: moving the clock at will, comparing states, separating copies.

use std::hash::{DefaultHasher, Hash, Hasher};

use posthaste_simulator::fake_redis::{Class, Classes, CommandError, Data, Event, FakeClock, Flavour, Reply};
use posthaste_simulator::{FakeRedis, ScriptProgram, ScriptRunError, Value};

const NOW: i64 = 1_700_000_000_000;

fn world(flavour: Flavour) -> FakeRedis {
    FakeRedis::new(flavour, FakeClock::at_ms(NOW))
}

fn run(world: &mut FakeRedis, script: &str) -> Value {
    ScriptProgram::new(script).expect("a script").run::<&str, &str>(world, &[], &[]).expect("a reply").reply
}

fn call(world: &mut FakeRedis, command: &str) -> Value {
    let words: Vec<&str> = command.split(' ').collect();
    world.call(&words).map_or_else(|fault| Value::Error(fault.to_string()), Value::from)
}

fn names(events: &[Event]) -> Vec<&'static str> {
    let name = |event: &Event| match event {
        Event::Key { name, .. } => *name,
        Event::Message { .. } => "message",
    };
    events.iter().map(name).collect()
}

fn digest(world: &FakeRedis) -> u64 {
    let mut hasher = DefaultHasher::new();
    world.hash(&mut hasher);
    hasher.finish()
}

fn digest_regardless(world: &FakeRedis) -> u64 {
    let mut hasher = DefaultHasher::new();
    world.hash_regardless_of_field_order(&mut hasher);
    hasher.finish()
}

#[test]
fn a_key_is_gone_after_its_time_and_not_at_it() {
    let mut world = world(Flavour::Redis70);
    call(&mut world, &format!("SET k v PXAT {}", NOW + 5));
    for (ms, exists) in [(0, 1), (5, 1), (6, 0)] {
        world.set_clock(FakeClock::at_ms(NOW + ms));
        assert_eq!(call(&mut world, "EXISTS k"), Value::Int(exists), "{ms} ms later");
    }
    assert_eq!(names(&world.take_events()), ["set", "expire", "expired"]);
}

#[test]
fn time_may_run_ahead_of_expiry() {
    let ring = "
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
return { string.format('%.0f', now), redis.call('EXISTS', 'bell') }";
    let mut world = world(Flavour::Redis70);
    call(&mut world, &format!("SET bell 0 PXAT {}", NOW + 5));
    world.set_clock(FakeClock::at_ms(NOW + 5).with_lead_ms(1));
    let late = Value::Bytes((NOW + 6).to_string().into());
    assert_eq!(run(&mut world, ring), Value::Array(vec![late.clone(), Value::Int(1)]));
    world.set_clock(FakeClock::at_ms(NOW + 6));
    assert_eq!(run(&mut world, ring), Value::Array(vec![late, Value::Int(0)]));
}

#[test]
fn time_has_microseconds() {
    let mut world = FakeRedis::new(Flavour::Redis70, FakeClock::at_micros(1_234_567_890));
    let seconds = [b"1234".to_vec(), b"567890".to_vec()].map(Value::Bytes).to_vec();
    assert_eq!(run(&mut world, "return redis.call('TIME')"), Value::Array(seconds));
}

#[test]
fn each_server_announces_a_deadline_in_the_past_its_own_way() {
    let bell = "redis.call('SET', 'k', 0, 'PXAT', 1) redis.call('EXISTS', 'k')
redis.call('SET', 'k', 0) return redis.call('PEXPIREAT', 'k', 1)";
    for (flavour, reported) in [
        (Flavour::Redis70, &["set", "expire", "expired", "set", "del"][..]),
        (Flavour::Redis80, &["set", "expire", "expired", "set", "del"]),
        (Flavour::Valkey81, &["set", "expired"]),
    ] {
        let mut world = world(flavour);
        let run = ScriptProgram::new(bell)
            .expect("a script")
            .run::<&str, &str>(&mut world, &[], &[])
            .expect("a reply");
        assert_eq!(names(&run.events), reported, "{flavour:?}");
        assert!(world.is_empty());
        let expired: Vec<_> = run.events.iter().filter_map(Event::expired_key).collect();
        assert_eq!(expired, [b"k"], "{flavour:?}: exactly one");
    }
}

#[test]
fn deadlines_run_on_with_time_on_redis_7_only() {
    for (flavour, left) in [(Flavour::Redis70, 0), (Flavour::Redis80, 1), (Flavour::Valkey81, 1)] {
        let mut world = world(flavour);
        call(&mut world, &format!("SET k v PXAT {}", NOW + 10));
        world.set_clock(FakeClock::at_ms(NOW).with_lead_ms(3));
        assert_eq!(call(&mut world, &format!("PEXPIREAT k {}", NOW + 2)), Value::Int(1));
        assert_eq!(call(&mut world, "EXISTS k"), Value::Int(left), "{flavour:?}");
    }
}

#[test]
fn the_server_expires_keys_on_request() {
    let mut world = world(Flavour::Redis70);
    for n in 1..=3 {
        call(&mut world, &format!("SET k{n} v PXAT {}", NOW + n));
    }
    call(&mut world, "SET stays v");
    world.take_events();
    world.set_clock(FakeClock::at_ms(NOW + 3));
    assert_eq!(world.overdue().map(|key| key.to_vec()).collect::<Vec<_>>(), [b"k1", b"k2"]);
    assert!(world.expire(b"k2"));
    assert!(!world.expire(b"k3"));
    assert_eq!(world.expire_all_due(), 1);
    assert_eq!(names(&world.take_events()), ["expired", "expired"]);
    world.advance_ms(1);
    assert_eq!(world.drop_overdue_silently(), 1);
    assert_eq!(world.take_events(), []);
    assert_eq!(world.len(), 1);
    world.wipe();
    assert!(world.is_empty() && world.take_events().is_empty());
}

#[test]
fn only_watched_events_are_recorded() {
    let mut world = world(Flavour::Redis70).watching(Classes::NONE.with(Class::Hash));
    for command in ["SET a 1", "HSET h f 1", "DEL a", "HDEL h f"] {
        call(&mut world, command);
    }
    assert_eq!(names(&world.take_events()), ["hset", "hdel"]);
}

#[test]
fn events_before_a_run_are_kept_apart_from_its_own() {
    let mut world = world(Flavour::Redis70);
    call(&mut world, "SET a 1");
    let script = ScriptProgram::new("return redis.call('DEL', 'a')").expect("a script");
    let run = script.run::<&str, &str>(&mut world, &[], &[]).expect("a reply");
    assert_eq!((names(&run.events), run.calls, run.wrote), (vec!["del"], 1, true));
    assert_eq!(names(&world.take_events()), ["set"]);
}

#[test]
fn copies_live_apart() {
    let mut world = world(Flavour::Redis70);
    for command in ["SET s abc", "HSET h f 1", "ZADD z 1 m", "RPUSH l a", "SADD t m"] {
        call(&mut world, command);
    }
    let before = world.clone();
    assert_eq!((digest(&world), &world), (digest(&before), &before));
    for command in ["SETRANGE s 1 X", "HINCRBY h f 1", "ZADD z 2 m", "LSET l 0 b", "SADD t n"] {
        call(&mut world, command);
    }
    assert_ne!(world, before);
    assert_ne!(digest(&world), digest(&before));
    assert_eq!(before.text(b"s"), Some(&b"abc"[..]));
    assert_eq!(
        before.hash_at(b"h").and_then(|hash| hash.get(b"f")).map(|value| value.to_vec()),
        Some(b"1".to_vec())
    );
    assert_eq!(before.sorted_at(b"z").and_then(|sorted| sorted.score(b"m")), Some(1.0));
    assert_eq!(before.list_at(b"l").map(|list| list[0].to_vec()), Some(b"a".to_vec()));
    assert_eq!(before.set_at(b"t").map(|set| set.len()), Some(1));
    for command in ["SETRANGE s 1 b", "HINCRBY h f -1", "ZADD z 1 m", "LSET l 0 a", "SREM t n"] {
        call(&mut world, command);
    }
    assert_eq!((digest(&world), &world), (digest(&before), &before), "back again");
}

#[test]
fn the_order_of_fields_counts_unless_ruled_out() {
    let (mut one, mut other) = (world(Flavour::Redis70), world(Flavour::Redis70));
    call(&mut one, "HSET h a 1 b 2");
    call(&mut other, "HSET h b 2 a 1");
    assert_ne!(one, other);
    assert_ne!(digest(&one), digest(&other));
    assert_eq!(digest_regardless(&one), digest_regardless(&other));
    call(&mut other, "HSET h a 3");
    assert_ne!(digest_regardless(&one), digest_regardless(&other));
}

#[test]
fn clock_and_memory_are_part_of_the_state() {
    let world = world(Flavour::Redis70);
    let mut later = world.clone();
    later.advance_ms(1);
    let mut full = world.clone();
    full.set_memory_full(true);
    for other in [later, full] {
        assert_ne!(world, other);
        assert_ne!(digest(&world), digest(&other));
    }
}

#[test]
fn a_compact_hash_keeps_its_order_and_a_large_one_has_none_to_rely_on() {
    let mut world = world(Flavour::Redis70);
    call(&mut world, "HSET h b 1 a 2 c 3");
    call(&mut world, "HSET h a 4");
    assert_eq!(format!("{:?}", call(&mut world, "HKEYS h")), r#"["b", "a", "c"]"#);
    call(&mut world, &format!("HSET h b {}", "x".repeat(65)));
    assert!(world.hash_at(b"h").is_some_and(|hash| !hash.is_compact()));
    assert_eq!(format!("{:?}", call(&mut world, "HKEYS h")), r#"["c", "b", "a"]"#);
}

#[test]
fn a_loop_without_end_is_stopped() {
    let mut world = world(Flavour::Redis70);
    for script in [
        "while true do end",
        "while true do redis.call('INCR', 'n') end",
        "local function f() return f() end return f()",
        "repeat local ok = redis.pcall('GET', {}) until false",
    ] {
        let script = ScriptProgram::new(script).expect("a script");
        assert_eq!(script.run::<&str, &str>(&mut world, &[], &[]), Err(ScriptRunError::Instructions));
    }
    assert_eq!(run(&mut world, "return 1"), Value::Int(1));
    assert!(world.text(b"n").is_some(), "what was written stays");
}

#[test]
fn growing_without_end_is_stopped() {
    let mut world = world(Flavour::Redis70);
    for script in [
        "local t = {} while true do t[#t + 1] = {} end",
        "return #string.rep('x', 1e9)",
        "return #('x'):rep(1e9)",
        "local t, s = {}, string.rep('x', 1e6) while true do t[#t + 1] = s .. #t end",
    ] {
        let script = ScriptProgram::new(script).expect("a script");
        assert_eq!(script.run::<&str, &str>(&mut world, &[], &[]), Err(ScriptRunError::Memory));
        assert_eq!(run(&mut world, "return 1"), Value::Int(1));
    }
}

#[test]
fn nesting_without_end_is_refused() {
    let mut world = world(Flavour::Redis70);
    let script = ScriptProgram::new("local t = {} t[1] = t return t").expect("a script");
    assert_eq!(script.run::<&str, &str>(&mut world, &[], &[]), Err(ScriptRunError::TooDeep));
}

#[test]
fn a_script_sees_nothing_else() {
    let mut world = world(Flavour::Redis70);
    for name in [
        "_G",
        "io",
        "os",
        "debug",
        "require",
        "load",
        "loadstring",
        "dofile",
        "pcall",
        "xpcall",
        "print",
        "coroutine",
        "collectgarbage",
        "getmetatable",
        "rawset",
        "rawget",
        "setfenv",
        "getfenv",
        "newproxy",
        "cjson",
        "cmsgpack",
        "bit",
        "struct",
    ] {
        let reply = run(&mut world, &format!("return {name}"));
        assert_eq!(reply.error_code(), Some("ERR"), "{name}: {reply:?}");
    }
    for name in ["string.dump", "math.random", "math.randomseed", "redis.setresp", "redis.breakpoint"] {
        assert_eq!(run(&mut world, &format!("return {name} == nil")), Value::Int(1), "{name}");
    }
    assert_eq!(run(&mut world, "setmetatable(string, {})").error_code(), Some("ERR"));
}

#[test]
fn a_script_is_restricted_to_its_slot() {
    let mut world = world(Flavour::Redis70);
    let script =
        ScriptProgram::new("return redis.call('EXISTS', unpack(ARGV))").expect("a script").in_one_slot();
    let mut touch = |keys: &[&str]| script.run(&mut world, &["due:{3}:bulk"], keys).map(|run| run.reply);
    assert_eq!(touch(&["history:{3}:a", "lease:{3}:sms"]), Ok(Value::Int(0)));
    assert_eq!(
        touch(&["history:{3}:a", "lease:{4}:sms"]),
        Err(ScriptRunError::OtherSlot("lease:{4}:sms".to_owned()))
    );
}

#[test]
fn a_script_runs_on_every_thread() {
    let script = ScriptProgram::new("return redis.call('INCR', KEYS[1])").expect("a script");
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let mut world = world(Flavour::Redis70);
                for n in 1..100 {
                    let run = script.run::<_, &str>(&mut world, &["n"], &[]).expect("a reply");
                    assert_eq!(run.reply, Value::Int(n));
                }
            });
        }
    });
}

#[test]
fn commands_can_be_called_without_a_script() {
    let mut world = world(Flavour::Redis70);
    assert_eq!(world.call(&["SET", "k", "v"]), Ok(Reply::Status("OK")));
    assert_eq!(world.call(&["HGET", "k", "f"]), Err(CommandError::WrongType));
    assert_eq!(world.call(&["NOSUCH"]), Err(CommandError::Unmodelled("command NOSUCH".to_owned())));
    assert_eq!(world.call::<&str>(&[]), Err(CommandError::NoCommand));
    assert!(matches!(world.entry(b"k").map(|entry| &entry.data), Some(Data::Text(_))));
}

#[test]
fn a_world_can_be_read_by_people() {
    let mut world = world(Flavour::Redis70);
    call(&mut world, "ZADD due:{0}:bulk 5 a:1");
    call(&mut world, &format!("SET bell 0 PXAT {}", NOW + 1));
    let text = format!("{world:?}");
    assert_eq!(
        text,
        r#"FakeRedis at 1700000000000.000 ms {bell: "0" until 1700000000001 ms, due:{0}:bulk: {a:1: 5.0}}"#
    );
}
