//! `quota`: what may be sent in a day and an hour, taken by an order and given back.

use posthaste_model::{Channel, Suffix, UnixMs};
use posthaste_protocol::record::{KeyId, NoticeId};
use posthaste_protocol::scripts::quota::{Limits, MOST_PREFIXES, Quota, Share, TakeQuota};

use crate::db::{Db, channel};

const DAY: &str = "quota:{sms}:d1000";
const HOUR: &str = "quota:{sms}:h2000";

/// Orders of two callers.
struct Case {
    db: Db,
    channel: Channel,
    keys: [KeyId; 2],
    orders: Vec<Suffix>,
}

impl Case {
    fn new() -> Self {
        let keys = ["abcdefghijkl", "mnopqrstuvwx"].map(|key| key.parse().expect("a key"));
        let orders = (0..9).map(|n| format!("u1:{n}").parse().expect("an order")).collect();
        Self { db: Db::start(), channel: channel("sms"), keys, orders }
    }

    /// Order `n` of caller `key`: three messages of two segments, two of them to one prefix.
    fn ask(&self, n: usize, key: usize, limits: Limits) -> TakeQuota<'_> {
        const PREFIXES: [(NoticeId, u32); 2] = [(id(1), 2), (id(2), 1)];
        TakeQuota {
            channel: &self.channel,
            day: UnixMs(1000),
            hour: UnixMs(2000),
            share: Share::Take,
            suffix: &self.orders[n],
            segments: 6,
            messages: 3,
            key: &self.keys[key],
            limits,
            taking: [u8::try_from(n).expect("few"); 8],
            prefixes: const { &PREFIXES },
        }
    }

    fn held(&self, key: &str, field: &str) -> Option<i64> {
        self.db.raw(&["HGET", key, field]).text().and_then(|text| text.parse().ok())
    }
}

const fn id(n: u8) -> NoticeId {
    NoticeId::random([n; 8])
}

const FREE: Limits = Limits { segments_a_day: 0, messages_an_hour: 0, to_prefix_an_hour: 0 };

#[test]
fn a_day_has_so_many_segments_for_all_keys_together() {
    let case = Case::new();
    let limits = Limits { segments_a_day: 13, ..FREE };
    let ask = |n, key| case.ask(n, key, limits);
    assert_eq!(case.db.reply(&ask(0, 0)), Quota::Done { before: 0, now: 6 });
    case.db.again();
    // The same order, by whoever asks.
    assert_eq!(case.db.reply(&TakeQuota { taking: [9; 8], ..ask(0, 1) }), Quota::Same(6));
    assert_eq!(case.db.reply(&ask(1, 1)), Quota::Done { before: 6, now: 12 });
    for key in [0, 1] {
        assert_eq!(case.db.unchanged(&ask(2, key)), Quota::Day(12));
    }
    assert_eq!(
        case.db.unchanged(&TakeQuota { share: Share::Look, segments: 1, ..ask(3, 0) }),
        Quota::Done { before: 12, now: 12 }
    );
    assert_eq!(
        case.db.unchanged(&TakeQuota { share: Share::Look, segments: 2, ..ask(3, 0) }),
        Quota::Day(12)
    );
    // Another day begins with nothing.
    assert_eq!(
        case.db.reply(&TakeQuota { day: UnixMs(9000), ..ask(2, 0) }),
        Quota::Done { before: 0, now: 6 }
    );
    let (day, hour) = (case.db.snapshot().until(DAY), case.db.snapshot().until(HOUR));
    assert!(day > hour && hour.is_some(), "{day:?} {hour:?}");
}

#[test]
fn an_order_that_was_not_stored_gives_its_segments_back_once() {
    let case = Case::new();
    let limits = Limits { segments_a_day: 6, ..FREE };
    let (take, back) = (case.ask(0, 0, limits), TakeQuota { share: Share::Return, ..case.ask(0, 0, limits) });
    assert_eq!(case.db.unchanged(&back), Quota::Same(0));
    assert_eq!(case.db.reply(&take), Quota::Done { before: 0, now: 6 });
    let taken_at = case.db.sent() - 1;
    // Of another taking it is not the one to give back.
    assert_eq!(case.db.unchanged(&TakeQuota { taking: [7; 8], ..back.clone() }), Quota::Same(6));
    assert_eq!(case.db.reply(&back), Quota::Done { before: 6, now: 0 });
    case.db.again();
    case.db.harmless(taken_at);
    // It may be asked for anew, and then an old copy of what gave it back takes nothing away.
    let returned_at = case.db.sent() - 1;
    assert_eq!(case.db.reply(&TakeQuota { taking: [8; 8], ..take }), Quota::Done { before: 0, now: 6 });
    case.db.harmless(returned_at);
    case.db.harmless(taken_at);
    assert_eq!(case.held(DAY, "segments"), Some(6));
    // The hour forgets no try.
    assert_eq!(case.held(HOUR, "k:abcdefghijkl"), Some(6));
}

#[test]
fn one_key_never_uses_up_the_hour_of_another() {
    let case = Case::new();
    let limits = Limits { messages_an_hour: 7, ..FREE };
    assert_eq!(case.db.reply(&case.ask(0, 0, limits)), Quota::Done { before: 0, now: 6 });
    assert_eq!(case.db.reply(&case.ask(1, 0, limits)), Quota::Done { before: 6, now: 12 });
    assert_eq!(case.db.unchanged(&case.ask(2, 0, limits)), Quota::Key(6));
    assert_eq!(case.db.reply(&case.ask(2, 1, limits)), Quota::Done { before: 12, now: 18 });
    // The next hour.
    let later = TakeQuota { hour: UnixMs(3000), ..case.ask(3, 0, limits) };
    assert_eq!(case.db.reply(&later), Quota::Done { before: 18, now: 24 });
}

#[test]
fn numbers_of_one_prefix_get_so_many_from_all_keys_together() {
    let case = Case::new();
    let limits = Limits { to_prefix_an_hour: 4, ..FREE };
    assert_eq!(case.db.reply(&case.ask(0, 0, limits)), Quota::Done { before: 0, now: 6 });
    assert_eq!(case.db.reply(&case.ask(1, 1, limits)), Quota::Done { before: 6, now: 12 });
    // The second prefix has room for two more, the first for none: nothing is taken.
    assert_eq!(case.db.unchanged(&case.ask(2, 1, limits)), Quota::Prefix(4));
    let other = [(id(2), 2)];
    assert_eq!(
        case.db.reply(&TakeQuota { prefixes: &other, ..case.ask(2, 1, limits) }),
        Quota::Done { before: 12, now: 18 }
    );
}

#[test]
fn five_hundred_prefixes_are_told_at_once() {
    let case = Case::new();
    let limits = Limits { to_prefix_an_hour: 2, ..FREE };
    let many: Vec<_> =
        (0..MOST_PREFIXES + 9).map(|n| (NoticeId::random((n as u64).to_be_bytes()), 1)).collect();
    let ask = |n| TakeQuota { prefixes: &many, ..case.ask(n, 0, limits) };
    assert!(matches!(case.db.reply(&ask(0)), Quota::Done { .. }));
    assert!(matches!(case.db.reply(&ask(1)), Quota::Done { .. }));
    assert_eq!(case.db.unchanged(&ask(2)), Quota::Prefix(2));
    assert_eq!(case.db.raw(&["HLEN", HOUR]).int(), Some(i64::try_from(MOST_PREFIXES).expect("few") + 1));
}

#[test]
fn a_record_of_another_type_is_an_error_before_anything_is_written() {
    let case = Case::new();
    for key in [DAY, HOUR] {
        case.db.raw(&["SADD", key, "x"]);
        let before = case.db.snapshot();
        assert!(case.db.call(&case.ask(0, 0, Limits { messages_an_hour: 9, ..FREE })).is_err());
        assert!(case.db.snapshot() == before, "{key}");
        case.db.raw(&["DEL", key]);
    }
}
