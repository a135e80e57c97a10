//! `limit_sms`: what may be sent in a day and an hour, taken by an order and returned.

use posthaste_model::{Channel, OrderId, UnixMs};
use posthaste_protocol::record::{KeyId, NoticeId};
use posthaste_protocol::scripts::limit_sms::{LimitSms, MOST_PREFIXES, Quota, QuotaStep, SmsLimits};

use crate::db::{Db, channel};

const DAY: &str = "quota:{sms}:d1000";
const HOUR: &str = "quota:{sms}:h2000";

/// Orders of two callers.
struct Case {
    db: Db,
    channel: Channel,
    keys: [KeyId; 2],
    orders: Vec<OrderId>,
}

impl Case {
    fn new() -> Self {
        let keys = ["abcdefghijkl", "mnopqrstuvwx"].map(|key| key.parse().expect("a key"));
        let orders = (0..9).map(|n| format!("u1:{n}").parse().expect("an order")).collect();
        Self { db: Db::start(), channel: channel("sms"), keys, orders }
    }

    /// Order `n` of caller `key`: three messages of two segments, two of them to one prefix.
    fn ask(&self, n: usize, key: usize, limits: SmsLimits) -> LimitSms<'_> {
        const PREFIXES: [(NoticeId, u32); 2] = [(id(1), 2), (id(2), 1)];
        LimitSms {
            channel: &self.channel,
            day: UnixMs(1000),
            hour: UnixMs(2000),
            share: QuotaStep::Take,
            order_id: &self.orders[n],
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

const FREE: SmsLimits = SmsLimits { segments_a_day: 0, messages_an_hour: 0, to_prefix_an_hour: 0 };

#[test]
fn the_daily_limit_counts_all_keys_together() {
    let case = Case::new();
    let limits = SmsLimits { segments_a_day: 13, ..FREE };
    let ask = |n, key| case.ask(n, key, limits);
    assert_eq!(case.db.reply(&ask(0, 0)), Quota::Done { before: 0, now: 6 });
    case.db.again();
    // The same order, whichever key is used.
    assert_eq!(case.db.reply(&LimitSms { taking: [9; 8], ..ask(0, 1) }), Quota::AlreadyDone(6));
    assert_eq!(case.db.reply(&ask(1, 1)), Quota::Done { before: 6, now: 12 });
    for key in [0, 1] {
        assert_eq!(case.db.unchanged(&ask(2, key)), Quota::DayLimit(12));
    }
    assert_eq!(
        case.db.unchanged(&LimitSms { share: QuotaStep::Check, segments: 1, ..ask(3, 0) }),
        Quota::Done { before: 12, now: 12 }
    );
    assert_eq!(
        case.db.unchanged(&LimitSms { share: QuotaStep::Check, segments: 2, ..ask(3, 0) }),
        Quota::DayLimit(12)
    );
    // Another day starts at zero.
    assert_eq!(
        case.db.reply(&LimitSms { day: UnixMs(9000), ..ask(2, 0) }),
        Quota::Done { before: 0, now: 6 }
    );
    let (day, hour) = (case.db.snapshot().until(DAY), case.db.snapshot().until(HOUR));
    assert!(day > hour && hour.is_some(), "{day:?} {hour:?}");
}

#[test]
fn an_order_that_was_not_stored_returns_its_segments_once() {
    let case = Case::new();
    let limits = SmsLimits { segments_a_day: 6, ..FREE };
    let (take, back) =
        (case.ask(0, 0, limits), LimitSms { share: QuotaStep::Return, ..case.ask(0, 0, limits) });
    assert_eq!(case.db.unchanged(&back), Quota::AlreadyDone(0));
    assert_eq!(case.db.reply(&take), Quota::Done { before: 0, now: 6 });
    let taken_at = case.db.sent() - 1;
    // Another taking is not returned.
    assert_eq!(case.db.unchanged(&LimitSms { taking: [7; 8], ..back.clone() }), Quota::AlreadyDone(6));
    assert_eq!(case.db.reply(&back), Quota::Done { before: 6, now: 0 });
    case.db.again();
    case.db.harmless(taken_at);
    // It may be taken again, and then an old copy of the return takes nothing away.
    let returned_at = case.db.sent() - 1;
    assert_eq!(case.db.reply(&LimitSms { taking: [8; 8], ..take }), Quota::Done { before: 0, now: 6 });
    case.db.harmless(returned_at);
    case.db.harmless(taken_at);
    assert_eq!(case.held(DAY, "segments"), Some(6));
    // The hour counts every attempt.
    assert_eq!(case.held(HOUR, "k:abcdefghijkl"), Some(6));
}

#[test]
fn one_key_never_uses_up_the_hour_of_another() {
    let case = Case::new();
    let limits = SmsLimits { messages_an_hour: 7, ..FREE };
    assert_eq!(case.db.reply(&case.ask(0, 0, limits)), Quota::Done { before: 0, now: 6 });
    assert_eq!(case.db.reply(&case.ask(1, 0, limits)), Quota::Done { before: 6, now: 12 });
    assert_eq!(case.db.unchanged(&case.ask(2, 0, limits)), Quota::KeyLimit(6));
    assert_eq!(case.db.reply(&case.ask(2, 1, limits)), Quota::Done { before: 12, now: 18 });
    // The next hour.
    let later = LimitSms { hour: UnixMs(3000), ..case.ask(3, 0, limits) };
    assert_eq!(case.db.reply(&later), Quota::Done { before: 18, now: 24 });
}

#[test]
fn the_prefix_limit_counts_all_keys_together() {
    let case = Case::new();
    let limits = SmsLimits { to_prefix_an_hour: 4, ..FREE };
    assert_eq!(case.db.reply(&case.ask(0, 0, limits)), Quota::Done { before: 0, now: 6 });
    assert_eq!(case.db.reply(&case.ask(1, 1, limits)), Quota::Done { before: 6, now: 12 });
    // The second prefix has room for two more, the first for none: nothing is taken.
    assert_eq!(case.db.unchanged(&case.ask(2, 1, limits)), Quota::PrefixLimit(4));
    let other = [(id(2), 2)];
    assert_eq!(
        case.db.reply(&LimitSms { prefixes: &other, ..case.ask(2, 1, limits) }),
        Quota::Done { before: 12, now: 18 }
    );
}

#[test]
fn five_hundred_prefixes_fit_in_one_call() {
    let case = Case::new();
    let limits = SmsLimits { to_prefix_an_hour: 2, ..FREE };
    let many: Vec<_> =
        (0..MOST_PREFIXES + 9).map(|n| (NoticeId::random((n as u64).to_be_bytes()), 1)).collect();
    let ask = |n| LimitSms { prefixes: &many, ..case.ask(n, 0, limits) };
    assert!(matches!(case.db.reply(&ask(0)), Quota::Done { .. }));
    assert!(matches!(case.db.reply(&ask(1)), Quota::Done { .. }));
    assert_eq!(case.db.unchanged(&ask(2)), Quota::PrefixLimit(2));
    assert_eq!(case.db.raw(&["HLEN", HOUR]).int(), Some(i64::try_from(MOST_PREFIXES).expect("few") + 1));
}

#[test]
fn a_record_of_another_type_is_an_error_before_anything_is_written() {
    let case = Case::new();
    for key in [DAY, HOUR] {
        case.db.raw(&["SADD", key, "x"]);
        let before = case.db.snapshot();
        assert!(case.db.call(&case.ask(0, 0, SmsLimits { messages_an_hour: 9, ..FREE })).is_err());
        assert!(case.db.snapshot() == before, "{key}");
        case.db.raw(&["DEL", key]);
    }
}
