//! Random Lua expressions: values that a script may return, and numbers that it may pass to a command.

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

const ODD_NUMBERS: &[&str] = &[
    "0",
    "-0",
    "1/0",
    "-1/0",
    "2^53",
    "2^53+1",
    "2^63",
    "-2^63",
    "2^62",
    "1e15",
    "1e16",
    "1e17",
    "1e-4",
    "1e-5",
    "1e100",
    "5e-324",
    "1.7976931348623157e308",
    "3.99",
    "-3.99",
    "0.1",
    "0.3",
    "1e14",
    "99999999999999999",
];

const TEXTS: &[&str] =
    &["''", "'a'", "'OK'", "'ERR x'", "'a\\0b'", "'\\255\\254'", "'line\\r\\nend'", "'12'", "'-FOO bar'"];

fn one(rng: &mut StdRng, words: &[&str]) -> String {
    words.choose(rng).expect("a word").to_string()
}

/// A script that passes values in one direction or the other.
pub(crate) fn script(rng: &mut StdRng) -> String {
    let number = number(rng);
    match rng.random_range(0..8) {
        0..4 => format!("return {}", expression(rng, 0)),
        4 => format!("redis.call('SET', 'n', {number}) return redis.call('GET', 'n')"),
        5 => format!(
            "redis.call('DEL', 'z') redis.call('ZADD', 'z', {number}, 'm') return redis.call('ZSCORE', 'z', 'm')"
        ),
        6 => format!("return {{ tostring({number}), string.format('%.0f', {number}), {number} .. '' }}"),
        _ => format!("error({})", raised(rng)),
    }
}

fn number(rng: &mut StdRng) -> String {
    match rng.random_range(0..6) {
        0 => one(rng, ODD_NUMBERS),
        1 => rng.random_range(-1000..1000).to_string(),
        2 => rng.random_range(i64::MIN..i64::MAX).to_string(),
        3 => format!("{:?}", f64::from(rng.random_range(-1_000_000..1_000_000)) / 1000.0),
        4 => format!("{:?}", rng.random_range(-1e6..1e6)),
        _ => loop {
            let number = f64::from_bits(rng.random());
            if number.is_finite() {
                break format!("{number:e}");
            }
        },
    }
}

fn text(rng: &mut StdRng) -> String {
    one(rng, TEXTS)
}

fn expression(rng: &mut StdRng, depth: u32) -> String {
    let most = if depth > 3 { 6 } else { 11 };
    match rng.random_range(0..most) {
        0 => "nil".into(),
        1 => "true".into(),
        2 => "false".into(),
        3 => text(rng),
        4 | 5 => number(rng),
        6 => format!("{{ ok = {} }}", text(rng)),
        7 => format!("redis.error_reply({})", text(rng)),
        8 => format!("redis.status_reply({})", text(rng)),
        9 => format!("{{ err = {} }}", text(rng)),
        _ => {
            let items: Vec<_> = (0..rng.random_range(0..5)).map(|_| expression(rng, depth + 1)).collect();
            format!("{{ {} }}", items.join(", "))
        }
    }
}

/// What a script may raise. A table without text is left out: it crashes servers.
fn raised(rng: &mut StdRng) -> String {
    match rng.random_range(0..5) {
        0 => "nil".into(),
        1 => "true".into(),
        2 => text(rng),
        3 => number(rng),
        _ => format!("{{ err = {} }}", text(rng)),
    }
}
