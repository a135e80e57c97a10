//! A mutant of `limit_sms` for each of its guards: a day of calls must detect it.

use posthaste_model::UnixMs;
use posthaste_protocol::record::NoticeId;
use posthaste_protocol::scripts::limit_sms::{LimitSms, Quota, QuotaStep, SmsLimits};

use crate::db::{Db, channel};
use crate::mutant::Mutant;

const LIMITED: SmsLimits = SmsLimits { segments_a_day: 12, messages_an_hour: 5, to_prefix_an_hour: 4 };
const FREE: SmsLimits = SmsLimits { segments_a_day: 0, messages_an_hour: 0, to_prefix_an_hour: 0 };

/// A call and its expected reply.
struct Call {
    share: QuotaStep,
    order: u8,
    key: usize,
    taking: u8,
    messages: u32,
    prefix: u8,
    limits: SmsLimits,
    answer: Quota,
}

/// The calls of one day, each message with two segments.
fn day() -> Vec<Call> {
    let call = |share, (order, taking), key, (messages, prefix), answer| Call {
        share,
        order,
        key,
        taking,
        messages,
        prefix,
        limits: LIMITED,
        answer,
    };
    let done = |before, now| Quota::Done { before, now };
    let mut calls = vec![
        // A share that was never taken is not returned.
        call(QuotaStep::Return, (0, 0), 0, (0, b'a'), Quota::AlreadyDone(0)),
        call(QuotaStep::Take, (0, 0), 0, (2, b'a'), done(0, 4)),
        call(QuotaStep::Take, (0, 9), 1, (2, b'a'), Quota::AlreadyDone(4)),
        // A look takes nothing.
        call(QuotaStep::Check, (1, 1), 1, (2, b'b'), done(4, 4)),
        call(QuotaStep::Take, (1, 1), 1, (3, b'a'), Quota::PrefixLimit(2)),
        call(QuotaStep::Take, (1, 1), 0, (4, b'b'), Quota::KeyLimit(2)),
        call(QuotaStep::Take, (1, 1), 1, (4, b'b'), done(4, 12)),
        call(QuotaStep::Take, (2, 2), 2, (1, b'c'), Quota::DayLimit(12)),
        // With another taking, then with this one, then again.
        call(QuotaStep::Return, (1, 7), 1, (0, b'b'), Quota::AlreadyDone(12)),
        call(QuotaStep::Return, (1, 1), 1, (0, b'b'), done(12, 4)),
        call(QuotaStep::Return, (1, 1), 1, (0, b'b'), Quota::AlreadyDone(4)),
        // A late copy of a returned taking, and another try of the same order.
        call(QuotaStep::Take, (1, 1), 2, (4, b'c'), Quota::AlreadyDone(4)),
        call(QuotaStep::Take, (1, 3), 2, (4, b'c'), done(4, 12)),
    ];
    let free = call(QuotaStep::Take, (3, 4), 0, (9, b'a'), done(12, 30));
    calls.push(Call { limits: FREE, ..free });
    calls
}

fn all(db: &Db) -> Result<(), String> {
    let sms = channel("sms");
    let keys = ["abcdefghijkl", "mnopqrstuvwx", "abcdefghijkx"].map(|key| key.parse().expect("a key"));
    for (at, call) in day().into_iter().enumerate() {
        let order_id = format!("u1:{}", call.order).parse().expect("an order");
        let prefixes = [(NoticeId::random([call.prefix; 8]), call.messages)];
        let script = LimitSms {
            channel: &sms,
            day: UnixMs(1_000),
            hour: UnixMs(2_000),
            share: call.share,
            order_id: &order_id,
            segments: u64::from(call.messages) * 2,
            messages: call.messages.into(),
            key: &keys[call.key],
            limits: call.limits,
            taking: [call.taking; 8],
            prefixes: &prefixes,
        };
        let reported = db.call(&script).map_err(|refusal| format!("call {at}: {refusal}"))?;
        if reported.reply != call.answer {
            return Err(format!("call {at}: {:?}, not {:?}", reported.reply, call.answer));
        }
    }
    Ok(())
}

#[test]
fn every_missing_guard_is_detected() {
    let mutants = [
        ("if what == 'return' then", "if false then"),
        ("taking ~= ARGV[10] or share == ''", "share == ''"),
        ("taking ~= ARGV[10] or share == ''", "taking ~= ARGV[10]"),
        ("  redis.call('HSET', KEYS[1], order, taking)\n", ""),
        ("share ~= '' or taking == ARGV[10]", "share ~= ''"),
        ("share ~= '' or taking == ARGV[10]", "taking == ARGV[10]"),
        ("daily > 0 and spent + segments > daily", "false"),
        ("daily > 0 and spent", "spent"),
        ("of_key > 0 and sent + messages > of_key", "false"),
        ("of_key > 0 and sent", "sent"),
        ("if to_prefix > 0 then", "if false then"),
        ("if to_prefix > 0 then", "if true then"),
        ("before + tonumber(ARGV[i + 1]) > to_prefix", "before > to_prefix"),
        ("if what == 'check' then", "if false then"),
    ];
    let db = Db::start();
    assert_eq!(all(&db), Ok(()));
    let mut unnoticed = Vec::new();
    for (guard, instead) in mutants {
        db.reset();
        let mutant = Mutant { script: Some("limit_sms"), guard, instead };
        if mutant.under(|| all(&db)).is_ok() {
            unnoticed.push(mutant);
        }
    }
    assert!(unnoticed.is_empty(), "undetected: {unnoticed:#?}");
}
