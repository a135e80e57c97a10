//! All keys of a database with their values, and the differences between two snapshots.

use std::collections::{BTreeMap, BTreeSet};

use posthaste_model::UnixMs;
use posthaste_rig::RespReply;

use crate::print_records::Printer;

/// The value of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Held {
    /// A string.
    Text(Vec<u8>),
    /// A hash.
    Hash(BTreeMap<String, Vec<u8>>),
    /// A sorted set.
    Sorted(BTreeMap<String, String>),
    /// A list, or what a test put in its place: a set, which no script uses.
    List(Vec<String>),
}

/// All keys, and when each expires (-1: never).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Snapshot {
    keys: BTreeMap<String, (Held, i64)>,
}

const DUMP: &str = "
local out = {}
for _, key in ipairs(redis.call('KEYS', '*')) do
  local kind = redis.call('TYPE', key).ok
  local value
  if kind == 'string' then
    value = redis.call('GET', key)
  elseif kind == 'hash' then
    value = redis.call('HGETALL', key)
  elseif kind == 'zset' then
    value = redis.call('ZRANGE', key, 0, -1, 'WITHSCORES')
  elseif kind == 'set' then
    value = redis.call('SMEMBERS', key)
  else
    value = redis.call('LRANGE', key, 0, -1)
  end
  out[#out + 1] = { key, kind, redis.call('PEXPIRETIME', key), value }
end
return out";

fn text(reply: &RespReply) -> String {
    String::from_utf8_lossy(&bytes(reply)).into_owned()
}

fn bytes(reply: &RespReply) -> Vec<u8> {
    match reply {
        RespReply::Bytes(bytes) => bytes.clone(),
        other => other.text().unwrap_or_default().into(),
    }
}

impl Snapshot {
    /// Reads everything in one call.
    pub(crate) fn take(raw: impl Fn(&[&str]) -> RespReply) -> Self {
        let mut keys = BTreeMap::new();
        for entry in raw(&["EVAL", DUMP, "0"]).items() {
            let [key, kind, until, value] = entry.items() else { panic!("{entry:?}") };
            let pairs = || value.items().chunks(2).map(|pair| (text(&pair[0]), &pair[1]));
            let held = match text(kind).as_str() {
                "string" => Held::Text(bytes(value)),
                "hash" => Held::Hash(pairs().map(|(field, value)| (field, bytes(value))).collect()),
                "zset" => Held::Sorted(pairs().map(|(parcel_id, score)| (parcel_id, text(score))).collect()),
                "list" | "set" => Held::List(value.items().iter().map(text).collect()),
                other => panic!("a key of type {other}"),
            };
            keys.insert(text(key), (held, until.int().unwrap_or_default()));
        }
        Self { keys }
    }

    /// The keys that have not expired by this time.
    pub(crate) fn living(mut self, now: UnixMs) -> Self {
        self.keys.retain(|_, (_, until)| !u64::try_from(*until).is_ok_and(|until| until <= now.0));
        self
    }

    /// The names of all keys.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.keys.keys().map(String::as_str)
    }

    /// The value of a key.
    pub(crate) fn get(&self, key: &str) -> Option<&Held> {
        self.keys.get(key).map(|(held, _)| held)
    }

    /// When a key expires; `None`: never.
    pub(crate) fn until(&self, key: &str) -> Option<u64> {
        self.keys.get(key).and_then(|(_, until)| u64::try_from(*until).ok())
    }

    /// A hash; an empty one when there is no such key.
    pub(crate) fn hash(&self, key: &str) -> BTreeMap<String, Vec<u8>> {
        match self.get(key) {
            Some(Held::Hash(fields)) => fields.clone(),
            None => BTreeMap::new(),
            other => panic!("{key}: {other:?}"),
        }
    }

    /// A sorted set with scores in ms; an empty one when there is no such key.
    pub(crate) fn sorted(&self, key: &str) -> BTreeMap<String, u64> {
        match self.get(key) {
            Some(Held::Sorted(parcel_ids)) => {
                parcel_ids.iter().map(|(m, score)| (m.clone(), score.parse().expect("whole ms"))).collect()
            }
            None => BTreeMap::new(),
            other => panic!("{key}: {other:?}"),
        }
    }

    /// One line for every difference: `+` new, `-` gone, `~` changed. Times of deliveries are printed only if they
    /// match no call.
    pub(crate) fn since(&self, before: &Self, moments: &[u64]) -> Vec<String> {
        let (old, new) = (before.lines(moments), self.lines(moments));
        let names: BTreeSet<_> = old.keys().chain(new.keys()).collect();
        let line = |name: &String| match (old.get(name), new.get(name)) {
            (Some(a), Some(b)) if a == b => None,
            (Some(a), Some(b)) => Some(format!("~ {name}: {a} -> {b}")),
            (None, Some(b)) => Some(format!("+ {name}: {b}")),
            (Some(_), None) => Some(format!("- {name}")),
            (None, None) => None,
        };
        names.into_iter().filter_map(line).collect()
    }

    fn lines(&self, moments: &[u64]) -> BTreeMap<String, String> {
        let mut out = BTreeMap::new();
        for (key, (held, until)) in &self.keys {
            let printer = Printer::of(self, key, moments);
            let until = if *until < 0 { String::new() } else { format!(" until {until}") };
            match held {
                Held::Text(value) => drop(out.insert(key.clone(), printer.text(value) + &until)),
                Held::Hash(fields) => {
                    out.extend(
                        fields.iter().map(|(f, v)| (format!("{key} {f}"), printer.field(f, v) + &until)),
                    );
                }
                Held::Sorted(parcel_ids) => {
                    out.extend(
                        parcel_ids.iter().map(|(m, score)| (format!("{key} {m}"), score.clone() + &until)),
                    );
                }
                Held::List(items) => drop(out.insert(key.clone(), items.join(" ") + &until)),
            }
        }
        out
    }
}
