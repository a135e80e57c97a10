//! The model and a real server, given the same scripts, return the same answers, hold the same keys afterwards and
//! publish the same events.
//!
//! `RIG_SERVER` selects the server. The sequences are drawn from fixed seeds; `POSTHASTE_SEED`, a
//! number, shifts them to others.

mod commands;
mod corpus;
mod expressions;
mod pair;
mod walk;
mod walk_couriers;
mod walk_orders;
mod walk_parked;
mod walk_rollback;
mod walk_suppressions;

use std::collections::BTreeSet;

use commands::{Form, Step, sequence};
use pair::{Pair, shortest_failing};
use posthaste_protocol::scripts;
use posthaste_simulator::{ScriptRunError, Value};
use rand::SeedableRng;
use rand::rngs::StdRng;
use walk::Walk;

/// The first seed of a test; each test takes another ten million.
fn first_seed(test: u64) -> u64 {
    let moved = std::env::var("POSTHASTE_SEED").ok().and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    moved.wrapping_add(test * 10_000_000)
}

/// Runs sequences of random commands, all in one form, and shows the shortest one on which the two differ.
fn sequences(test: u64, count: u64, form: Form) {
    let mut pair = Pair::start();
    let first = first_seed(test);
    for seed in first..first + count {
        let steps = sequence(&mut StdRng::seed_from_u64(seed), form);
        if let Err(difference) = pair.play(&steps) {
            let (steps, difference) = shortest_failing(&mut pair, steps, difference);
            let steps: String = steps.iter().map(|step: &Step| format!("\n  {step:?}")).collect();
            panic!("seed {seed}: {difference}\nafter:{steps}");
        }
    }
}

#[test]
fn single_commands_answer_the_same() {
    sequences(1, 1_500, Form::Single);
}

#[test]
fn arguments_given_as_numbers_answer_the_same() {
    sequences(2, 700, Form::Numbers);
}

#[test]
fn several_commands_in_one_script_answer_the_same() {
    sequences(3, 700, Form::Many);
}

#[test]
fn a_script_that_stops_at_an_error_keeps_what_it_wrote() {
    sequences(4, 700, Form::UntilError);
}

#[test]
fn commands_on_keys_past_their_time_answer_the_same() {
    sequences(5, 1_500, Form::Overdue);
}

#[test]
fn hand_written_scripts_answer_the_same() {
    let mut pair = Pair::start();
    for case in corpus::cases(pair.world.flavour()) {
        if let Err(difference) = pair.eval(case.script, case.keys, case.args) {
            panic!("{difference}\nfor:\n{}", case.script);
        }
    }
}

#[test]
fn values_are_converted_the_same() {
    let mut pair = Pair::start();
    let first = first_seed(6);
    for seed in first..first + 4_000 {
        let script = expressions::script(&mut StdRng::seed_from_u64(seed));
        if let Err(difference) = pair.eval::<&str, &str>(&script, &[], &[]) {
            panic!("seed {seed}: {difference}\nfor:\n{script}");
        }
    }
}

#[test]
fn the_scripts_of_the_protocol_answer_the_same() {
    let mut pair = Pair::start();
    let (first, mut called) = (first_seed(7), BTreeSet::new());
    for seed in first..first + 150 {
        let rng = StdRng::seed_from_u64(seed);
        let walked = Walk::start(&mut pair, rng).and_then(|mut walk| {
            walk.go(120)?;
            called.extend(walk.called());
            Ok(())
        });
        walked.unwrap_or_else(|difference| panic!("seed {seed}: {difference}"));
    }
    let missed: Vec<_> = scripts::ALL
        .iter()
        .map(|contract| contract.text.name)
        .filter(|name| !called.contains(name))
        .collect();
    assert!(missed.is_empty(), "never called: {missed:?}");
}

#[test]
fn full_memory_refuses_the_same() {
    let mut pair = Pair::start();
    let set = "return redis.call('SET', KEYS[1], ARGV[1])";
    pair.eval(set, &["k"], &["1"]).expect("no difference with room left");
    pair.fill_memory();
    for first_line in ["", "#!lua\n", "#!lua flags=allow-oom\n", "#!lua flags=no-writes\n"] {
        for body in [
            set,
            "return redis.call('GET', KEYS[1])",
            "redis.call('DEL', KEYS[1]) return redis.call('SET', KEYS[1], ARGV[1])",
            "redis.call('PEXPIREAT', KEYS[1], 4102444800000) return redis.call('HSET', 'h', 'f', 1)",
        ] {
            let script = format!("{first_line}{body}");
            pair.eval(&script, &["k"], &["2"])
                .unwrap_or_else(|difference| panic!("{difference}\nfor:\n{script}"));
        }
    }
    assert!(pair.world.is_memory_full());
}

#[test]
fn unsupported_commands_end_the_run() {
    let mut pair = Pair::start();
    for script in [
        "return redis.call('FLUSHALL')",
        "return redis.call('SET', 'k', 'v', 'GET')",
        "return redis.call('ZADD', 'z', 'INCR', 1, 'm')",
        "return redis.call('PEXPIREAT', 'k', 1, 'NX')",
        "return { map = { 1, 2 } }",
    ] {
        let run = pair.run_in_world(script);
        assert!(matches!(run, Err(ScriptRunError::Unmodelled(_))), "{script}: {run:?}");
    }
    assert_eq!(pair.run_in_world("error({ text = 1 })"), Err(ScriptRunError::RaisedTable));
    assert_eq!(pair.run_in_world("return 1").map(|run| run.reply), Ok(Value::Int(1)));
}
