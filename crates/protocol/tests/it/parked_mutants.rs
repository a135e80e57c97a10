//! A mutant for each guard of parking, releasing and ending: the tables of `parked` and `unreadable` must detect it.

use std::panic::catch_unwind;

use crate::mutant::Mutant;
use crate::{parked, unreadable};

/// The tables, fastest first.
const TABLES: &[fn()] = &[
    parked::a_holder_parks_what_it_cannot_read,
    parked::released_records_are_put_back_by_repair,
    parked::a_record_of_a_later_version_is_not_ended,
    parked::deliveries_of_a_later_version_are_not_ended,
    parked::deliveries_that_can_be_read_fail_and_the_order_ends,
    parked::an_order_whose_head_cannot_be_read_is_ended_as_a_whole,
    parked::unreadable_deliveries_become_unknown_and_the_counters_agree,
    parked::leased_and_sound_records_are_not_ended,
    parked::deliveries_that_may_have_been_sent_end_as_unknown,
    parked::one_invalid_or_no_delivery_makes_the_whole_parcel_unknown,
    parked::an_order_ended_before_its_time_is_never_promoted,
    unreadable::claim_takes_the_others_and_begins_nothing_of_it,
    unreadable::settle_reclaim_and_release_continue_with_the_others,
    unreadable::housekeeping_continues_and_parks_unreadable_records,
    unreadable::expired_orders_end_beside_unreadable_ones,
];

#[test]
fn every_missing_guard_is_detected() {
    let mutants = [
        ("park", "(holder ~= '' and holds(leases[p], holder))", "(holder ~= '')"),
        ("park", "(holder == '' and not leases[p])", "(holder == '')"),
        ("park", "if parcel and holder ~= '' then", "if false then"),
        ("park", "unleased_members[#unleased_members + 1] = member", ""),
        ("park", "write_parked()", ""),
        (
            "release_parked",
            "local taken = redis.call('ZREM', KEYS[3], unpack(names))",
            "local taken = #names",
        ),
        ("release_parked", "redis.call('HDEL', KEYS[4], unpack(fields))", ""),
        ("fail_parcel", "if not redis.call('ZSCORE', KEYS[6], member) then", "if false then"),
        ("fail_parcel", "if redis.call('ZSCORE', KEYS[3], member) or", "if"),
        ("fail_parcel", "or redis.call('HEXISTS', KEYS[4], member) == 1 then", "then"),
        ("fail_parcel", "if not order or parcel_deliveries(order, n) <= 0 then", "if not order then"),
        ("expire_parcels", "math.max(parcel[name] - 1, 0)", "parcel[name] - 1"),
        (
            "fail_parcel",
            "if err == 'newer_version' then\n  return answer('newer_version')\nelseif not order or",
            "if not order or",
        ),
        (
            "fail_parcel",
            "if err == 'newer_version' then\n  return answer('newer_version')\nelseif err and",
            "if err and",
        ),
        ("fail_parcel", "err = deliveries_error(parcel)", ""),
        ("fail_parcel", "if unreadable == 'newer_version' then", "if false then"),
        ("fail_parcel", "if state >= DELIVERY_VERSION then", "if false then"),
        (
            "fail_parcel",
            "if s == DELIVERY_VERSION + SENDING or s == DELIVERY_VERSION + UNRESOLVED then",
            "if false then",
        ),
        ("fail_parcel", "local found = { [UNKNOWN] = ended }", "local found = { [UNKNOWN] = 0 }"),
        ("fail_parcel", "found[state] = (found[state] or 0) + 1", "found[state] = 1"),
        ("fail_parcel", "redis.call('ZREM', KEYS[6], member)", ""),
        ("fail_parcel", "redis.call('HDEL', KEYS[7], channel .. ':' .. member)", ""),
        ("fail_order", "if r and not head and r[2] then", "if false then"),
        ("fail_order", "if r and not head and redis.call('EXISTS', KEYS[5]) == 0 then", "if false then"),
        ("fail_order", "if err == 'newer_version' then", "if false then"),
        ("fail_order", "if names and not forced then", "if false then"),
        ("fail_order", "if #doomed > 0 then", "if false then"),
        ("fail_order", "redis.call('HSET', KEYS[5], 't', why .. ' ' .. now_text)", ""),
        ("fail_order", "redis.call('RPUSH', 'retire:' .. tag .. ':' .. floor(now / DAY), order_id)", ""),
        ("fail_order", "redis.call('ZREM', KEYS[6], order_id)", ""),
        ("fail_order", "redis.call('HDEL', KEYS[7], order_id)", ""),
        ("fail_order", "redis.call('ZREM', KEYS[3], order_id)", ""),
        ("fail_order", "redis.call('ZREM', KEYS[4], order_id)", ""),
    ];
    let mut unnoticed = Vec::new();
    for (script, guard, instead) in mutants {
        let mutant = Mutant { script: Some(script), guard, instead };
        if !mutant.under(|| TABLES.iter().any(|table| catch_unwind(table).is_err())) {
            unnoticed.push(mutant);
        }
    }
    assert!(unnoticed.is_empty(), "undetected: {unnoticed:#?}");
}
