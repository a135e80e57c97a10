//! Lets time pass without waiting: all times in the database move back instead.

use std::time::Duration;

use crate::db::Db;
use crate::snapshot::Held;

const TIMED: [&str; 9] =
    ["due", "ready", "leased", "couriers", "courier_ends", "unresolved", "parked", "limit", "staging"];

/// Hashes with times in their values.
const MOVED: [&str; 7] =
    ["history", "channels", "lease", "crashes", "courier_states", "suppressed", "consent"];

impl Db {
    /// As if `span` had passed since all changes so far.
    pub(crate) fn later(&self, span: Duration) {
        let ms = u64::try_from(span.as_millis()).expect("a span");
        let all = self.snapshot();
        let mut commands: Vec<Vec<Vec<u8>>> = Vec::new();
        let mut command = |args: &[&[u8]]| commands.push(args.iter().map(|arg| arg.to_vec()).collect());
        for key in all.names() {
            let family = key.split(':').next().unwrap_or_default();
            match all.get(key).expect("a key") {
                Held::Sorted(parcel_ids) if TIMED.contains(&family) => {
                    for (parcel_id, score) in parcel_ids.iter().filter(|(_, score)| *score != "0") {
                        let score = score.parse::<u64>().expect("whole ms") - ms;
                        command(&[
                            b"ZADD",
                            key.as_bytes(),
                            score.to_string().as_bytes(),
                            parcel_id.as_bytes(),
                        ]);
                    }
                }
                Held::Hash(fields) if MOVED.contains(&family) => {
                    for (field, value) in fields {
                        let earlier = match (family, field.as_str()) {
                            ("history", "h") => earlier_head(value, ms),
                            ("history", "x" | "f") | ("channels", _) => earlier_word(value, 0, ms),
                            ("lease", _) => earlier_word(value, 3, ms),
                            ("courier_states", _) => {
                                (2..5).fold(value.clone(), |value, word| earlier_word(&value, word, ms))
                            }
                            ("crashes", _) => earlier_word(value, 1, ms),
                            ("suppressed", _) => moved_entry(value, |time| time - ms),
                            ("consent", _) => moved_consent(value, |time| time - ms),
                            _ => continue,
                        };
                        command(&[b"HSET", key.as_bytes(), field.as_bytes(), &earlier]);
                    }
                }
                _ => {}
            }
            if let Some(until) = all.until(key) {
                command(&[b"PEXPIREAT", key.as_bytes(), (until - ms).to_string().as_bytes()]);
            }
        }
        self.pipeline(&commands);
        self.shift_moments(ms);
    }
}

impl Db {
    /// As if the clock had gone back by `span` since all entries of a list were written.
    pub(crate) fn ahead(&self, list: &str, span: Duration) {
        let ms = u64::try_from(span.as_millis()).expect("a span");
        for (field, value) in self.snapshot().hash(list) {
            let moved = match list.starts_with("consent") {
                true => moved_consent(&value, |time| time + ms),
                false => moved_entry(&value, |time| time + ms),
            };
            self.raw(&[b"HSET", list.as_bytes(), field.as_bytes(), &moved]);
        }
    }

    /// Moves all final orders to the retirement list of 91 days ago; returns that day, or `None` when there are none.
    pub(crate) fn age_final(&self) -> Option<u64> {
        let all = self.snapshot();
        let long_ago = self.now().0 / 86_400_000 - 91;
        let mut found = None;
        for name in all.names().filter(|name| name.starts_with("retire:")) {
            let Some(Held::List(suffixes)) = all.get(name) else { panic!("{name}") };
            let target = self.keys.retire(long_ago);
            if target != name {
                for order_id in suffixes {
                    self.raw(&["RPUSH", &target, order_id]);
                }
                self.raw(&["DEL", name]);
            }
            found = Some(long_ago);
        }
        found
    }
}

/// Accepted, due and not_after of a packed head.
fn earlier_head(head: &[u8], ms: u64) -> Vec<u8> {
    let mut head = head.to_vec();
    if head.len() < 34 || head[0] != 1 {
        return head;
    }
    for at in [4, 10, 16] {
        let time = head[at..at + 6].iter().fold(0, |n, b| n * 256 + u64::from(*b)) - ms;
        head[at..at + 6].copy_from_slice(&time.to_be_bytes()[2..]);
    }
    head
}

/// First and last of a suppression.
fn moved_entry(record: &[u8], to: impl Fn(u64) -> u64) -> Vec<u8> {
    let mut record = record.to_vec();
    if record.len() != 19 || record[0] != 1 {
        return record;
    }
    for at in [4, 10] {
        let time = to(record[at..at + 6].iter().fold(0, |n, b| n * 256 + u64::from(*b)));
        record[at..at + 6].copy_from_slice(&time.to_be_bytes()[2..]);
    }
    record
}

/// The moment of a consent record, if it is from this server's clock.
fn moved_consent(record: &[u8], to: impl Fn(u64) -> u64) -> Vec<u8> {
    let mut record = record.to_vec();
    if record.len() >= 12 && record[0] == 1 && record[2] == b'h' {
        let time = to(record[3..9].iter().fold(0, |n, b| n * 256 + u64::from(*b)));
        record[3..9].copy_from_slice(&time.to_be_bytes()[2..]);
    }
    record
}

/// One word of a text that is a time, unless it is 0.
fn earlier_word(value: &[u8], which: usize, ms: u64) -> Vec<u8> {
    let value = String::from_utf8_lossy(value);
    let mut words: Vec<String> = value.split(' ').map(str::to_owned).collect();
    if let Some(time) = words.get(which).and_then(|word| word.parse::<u64>().ok()).filter(|time| *time > 0) {
        words[which] = (time - ms).to_string();
    }
    words.join(" ").into_bytes()
}
