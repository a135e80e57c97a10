//! Random commands over few keys, few members and odd numbers, so that they interact.

use std::fmt;

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

/// How a step's commands are put into a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// One command, its words as strings.
    Single,
    /// One command; words that look like a number are passed as numbers.
    Numbers,
    /// Several commands; refusals are values.
    Many,
    /// Several commands, up to the first refusal.
    UntilError,
    /// As `Single`, and many keys have a deadline in the past.
    Overdue,
}

const SINGLE: [&str; 3] = [
    "return redis.call(unpack(ARGV))",
    "#!lua\nreturn redis.call(unpack(ARGV))",
    "return redis.pcall(unpack(ARGV))",
];
const NUMBERS: &str = "
local words = {}
for i, word in ipairs(ARGV) do words[i] = tonumber(word) or word end
return redis.call(unpack(words))";
const MANY: &str = "#!lua flags=allow-oom
local replies, at = {}, 1
while at <= #ARGV do
  local count = tonumber(ARGV[at])
  replies[#replies + 1] = redis.pcall(unpack(ARGV, at + 1, at + count))
  at = at + count + 1
end
return replies";

/// One script call.
#[derive(Clone)]
pub(crate) struct Step {
    /// The script.
    pub(crate) script: String,
    /// Its ARGV.
    pub(crate) words: Vec<Vec<u8>>,
    /// The commands in it.
    pub(crate) commands: Vec<Vec<Vec<u8>>>,
    /// Whether the reply is a list of replies.
    pub(crate) many: bool,
}

impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, command) in self.commands.iter().enumerate() {
            f.write_str(if at > 0 { "; " } else { "" })?;
            for word in command {
                let word = if word.len() > 40 { &[&word[..20], b"..."].concat() } else { word };
                write!(f, "\"{}\" ", word.escape_ascii())?;
            }
        }
        Ok(())
    }
}

impl Step {
    fn new(rng: &mut StdRng, form: Form) -> Self {
        match form {
            Form::Single | Form::Overdue => {
                let command = command(rng, form);
                let script = SINGLE.choose(rng).expect("a form").to_string();
                Self { script, words: command.clone(), commands: vec![command], many: false }
            }
            Form::Numbers => {
                let command = command(rng, form);
                Self { script: NUMBERS.into(), words: command.clone(), commands: vec![command], many: false }
            }
            Form::Many | Form::UntilError => {
                let commands: Vec<_> = (0..rng.random_range(1..6)).map(|_| command(rng, form)).collect();
                let count = |command: &[Vec<u8>]| command.len().to_string().into_bytes();
                let words =
                    commands.iter().flat_map(|command| [vec![count(command)], command.clone()].concat());
                let words = words.collect();
                let script = if form == Form::Many { MANY.into() } else { MANY.replace("pcall", "call") };
                Self { script, words, commands, many: true }
            }
        }
    }

    /// Whether a reply contains the remaining lifetime of a key.
    pub(crate) fn asks_for_lifetime(&self) -> bool {
        self.commands
            .iter()
            .any(|command| command.first().is_some_and(|name| name.eq_ignore_ascii_case(b"pttl")))
    }
}

/// Steps that belong together, starting from an empty database.
pub(crate) fn sequence(rng: &mut StdRng, form: Form) -> Vec<Step> {
    (0..rng.random_range(4..24)).map(|_| Step::new(rng, form)).collect()
}

/// How many words belong together in a reply without a defined order, if the command's replies are such.
pub(crate) fn has_undefined_order(command: &[Vec<u8>]) -> Option<usize> {
    match command.first()?.to_ascii_lowercase().as_slice() {
        b"hgetall" => Some(2),
        b"hkeys" => Some(1),
        _ => None,
    }
}

/// Kinds of arguments, one letter each: see [`word`].
const SHAPES: &[(&str, &str)] = &[
    ("exists", "k k*"),
    ("del", "k k*"),
    ("unlink", "k k*"),
    ("type", "k"),
    ("pttl", "k"),
    ("pexpireat", "k D"),
    ("get", "S"),
    ("set", "S v O*"),
    ("set", "S v O*"),
    ("mget", "k k*"),
    ("mset", "k v kv*"),
    ("getrange", "S i i"),
    ("setrange", "S o v"),
    ("strlen", "S"),
    ("incr", "S"),
    ("incrby", "S i"),
    ("append", "S v"),
    ("hget", "H m"),
    ("hmget", "H m m*"),
    ("hgetall", "H"),
    ("hkeys", "H"),
    ("hset", "H m v mv*"),
    ("hset", "H m v mv*"),
    ("hsetnx", "H m v"),
    ("hdel", "H m m*"),
    ("hlen", "H"),
    ("hincrby", "H m i"),
    ("hexists", "H m"),
    ("hstrlen", "H m"),
    ("zadd", "Z A* s m sm*"),
    ("zadd", "Z s m sm*"),
    ("zrem", "Z m m*"),
    ("zscore", "Z m"),
    ("zmscore", "Z m m*"),
    ("zcard", "Z"),
    ("zrank", "Z m"),
    ("zcount", "Z b b"),
    ("zrange", "Z i i R*"),
    ("zrange", "Z i i"),
    ("zrange", "Z b b Y R*"),
    ("zrange", "Z b b Y R*"),
    ("zrangebyscore", "Z b b R*"),
    ("zpopmin", "Z"),
    ("zpopmin", "Z c"),
    ("rpush", "L v v*"),
    ("rpush", "L v v*"),
    ("lpush", "L v v*"),
    ("lpop", "L"),
    ("lpop", "L c"),
    ("lindex", "L i"),
    ("llen", "L"),
    ("lrange", "L i i"),
    ("lrem", "L i v"),
    ("ltrim", "L i i"),
    ("lset", "L j v"),
    ("sadd", "T m m*"),
    ("srem", "T m m*"),
    ("sismember", "T m"),
    ("scard", "T"),
    ("publish", "k v"),
];

fn command(rng: &mut StdRng, form: Form) -> Vec<Vec<u8>> {
    if form == Form::Overdue && rng.random_bool(0.25) {
        // Something that will be found expired.
        let key = word(rng, 'k');
        return [&b"set"[..], &key, b"7", b"PXAT", b"5"].map(<[u8]>::to_vec).to_vec();
    }
    let (name, shape) = SHAPES.choose(rng).expect("a command");
    let mut words = vec![any_case(rng, name)];
    for part in shape.split(' ') {
        let (kinds, times) = match part.strip_suffix('*') {
            Some(kinds) => (kinds, [0, 0, 1, 2, 3].choose(rng).copied().unwrap_or(0)),
            None => (part, 1),
        };
        for kind in std::iter::repeat_n(kinds, times).flat_map(str::chars) {
            match kind {
                'O' => words.extend(set_option(rng)),
                'R' => words.extend(range_option(rng)),
                kind => words.push(word(rng, kind)),
            }
        }
    }
    // Sometimes a word too few or too many.
    match rng.random_range(0..40) {
        0 => drop(words.pop()),
        1 => words.push(word(rng, 'v')),
        _ => {}
    }
    words
}

fn any_case(rng: &mut StdRng, word: &str) -> Vec<u8> {
    if rng.random_bool(0.5) { word.to_uppercase().into() } else { word.into() }
}

fn one(rng: &mut StdRng, words: &[&str]) -> Vec<u8> {
    words.choose(rng).expect("a word").as_bytes().to_vec()
}

/// One word: a key (k any, S H Z L T of a type), m member, v value, i index or number, j index of LSET,
/// o offset, c count, s score, b end of a range of scores, D deadline, A option of ZADD, Y the word BYSCORE.
fn word(rng: &mut StdRng, kind: char) -> Vec<u8> {
    // Numbers are usually well formed, so that sequences make progress.
    let odd = rng.random_bool(0.08);
    match kind {
        'S' | 'H' | 'Z' | 'L' | 'T' if rng.random_bool(0.95) => {
            let kind = kind.to_ascii_lowercase();
            if rng.random_bool(0.7) { format!("{kind}1").into() } else { format!("{kind}2").into() }
        }
        'S' | 'H' | 'Z' | 'L' | 'T' | 'k' => {
            one(rng, &["s1", "s2", "h1", "h2", "z1", "z2", "l1", "l2", "t1", "t2", "{tag}\0key", "K"])
        }
        'm' => one(rng, &["a", "b", "c", "d", "1", "2", "10", "", "x\0y", "\u{fc}", LONG]),
        'v' if odd => "long value ".repeat(20).into(),
        'v' => one(
            rng,
            &["a", "b", "0", "1", "-7", "10", "", "1.5", "x\0y\r\n", "9223372036854775807", "\u{fc}"],
        ),
        'i' if odd => one(
            rng,
            &["abc", "1.5", "", "-0", " 1", "9223372036854775807", "-9223372036854775808", "+1", "1e3"],
        ),
        // Redis 8.0 takes the index of LSET modulo 2^32, so no number of that size is used.
        'j' if odd => one(rng, &["abc", "1.5", "", "-0", "2147483647"]),
        'i' | 'j' => one(rng, &["0", "1", "2", "3", "-1", "-2", "-3", "5", "100", "-100"]),
        'o' if odd => one(rng, &["-1", "x", "536870912", "9223372036854775807", ""]),
        'o' => one(rng, &["0", "1", "3", "10", "70"]),
        'c' if odd => one(rng, &["-1", "x", ""]),
        'c' => one(rng, &["0", "1", "2", "10"]),
        's' if odd => one(rng, &["nan", "abc", "", "1e400", "1e-400", " 1", "0x10", "(1", "-nan"]),
        's' => one(
            rng,
            &[
                "0",
                "1",
                "2",
                "3",
                "1.5",
                "-2.25",
                "inf",
                "-inf",
                "+inf",
                "1e3",
                "0.1",
                "1e20",
                "1e-7",
                "-0",
                "+4",
                "123456789012345678",
                "1700000000123",
            ],
        ),
        'b' if odd => one(rng, &["abc", "(abc", "", "(", "nan", "[1"]),
        'b' => one(
            rng,
            &[
                "-inf", "+inf", "inf", "0", "1", "2", "(1", "(2", "(-inf", "(+inf", "1.5", "(1.5", "-3",
                "1e3", "-0",
            ],
        ),
        'D' if odd => one(rng, &["abc", "", "1.5", "9223372036854775808", "-9223372036854775808"]),
        'D' => one(rng, &["-5", "0", "1", "1000", "4102444800000", "5102444800000"]),
        'A' => one(rng, &["NX", "xx", "GT", "lt", "CH", "ch"]),
        'Y' => any_case(rng, "byscore"),
        other => panic!("no kind {other}"),
    }
}

/// Longer than what fits into a compact hash.
const LONG: &str = "a member that is longer than the sixty-four bytes which a listpack takes";

fn set_option(rng: &mut StdRng) -> Vec<Vec<u8>> {
    let name = *["nx", "xx", "keepttl", "px", "pxat", "pxat", "bogus"].choose(rng).expect("an option");
    let mut words = vec![any_case(rng, name)];
    match name {
        "px" => words.push(one(rng, &["1000000000000", "100000000", "0", "-1", "x", "9223372036854775807"])),
        "pxat" => words.push(word(rng, 'D')),
        _ => {}
    }
    words
}

fn range_option(rng: &mut StdRng) -> Vec<Vec<u8>> {
    let name =
        *["withscores", "withscores", "limit", "limit", "rev", "byscore", "bogus"].choose(rng).expect("one");
    let mut words = vec![any_case(rng, name)];
    if name == "limit" {
        words.extend([word(rng, 'i'), word(rng, 'i')]);
    }
    words
}
