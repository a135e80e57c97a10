//! A mutant of each guard of what is parked, put back and ended: the tables of `parked` and `unreadable` must find it.

use std::panic::catch_unwind;

use crate::mutant::Mutant;
use crate::{parked, unreadable};

/// The tables, the quickest first.
const TABLES: &[fn()] = &[
    parked::a_holder_parks_what_it_cannot_read,
    parked::what_is_released_is_put_back_by_audit,
    parked::a_record_of_a_later_version_is_not_ended,
    parked::rows_of_a_later_version_are_not_ended,
    parked::rows_that_can_be_read_fail_and_the_order_ends,
    parked::an_order_whose_head_cannot_be_read_is_ended_as_a_whole,
    parked::of_rows_that_cannot_be_read_all_are_unknown_and_the_counters_agree,
    parked::what_is_held_or_whole_is_not_ended,
    parked::what_may_have_left_is_unknown_when_it_is_ended,
    parked::of_a_parcel_with_one_senseless_row_or_none_at_all_all_are_unknown,
    parked::an_order_that_is_ended_before_its_time_is_never_rung,
    unreadable::claim_takes_the_others_and_begins_nothing_of_it,
    unreadable::whoever_settles_sweeps_or_hands_back_does_so_with_the_others,
    unreadable::housekeeping_goes_on_and_names_what_it_met,
    unreadable::what_is_over_ends_beside_it,
];

#[test]
fn a_guard_that_is_gone_is_noticed() {
    let mutants = [
        ("park", "(holder ~= '' and holds(leases[p], holder))", "(holder ~= '')"),
        ("park", "(holder == '' and not leases[p])", "(holder == '')"),
        ("park", "if parcel and holder ~= '' then", "if false then"),
        ("park", "left_members[#left_members + 1] = member", ""),
        ("park", "write_parked()", ""),
        ("unpark", "local taken = redis.call('ZREM', KEYS[3], unpack(names))", "local taken = #names"),
        ("unpark", "redis.call('HDEL', KEYS[4], unpack(fields))", ""),
        ("fail_parcel", "if not redis.call('ZSCORE', KEYS[6], member) then", "if false then"),
        ("fail_parcel", "if redis.call('ZSCORE', KEYS[3], member) or", "if"),
        ("fail_parcel", "or redis.call('HEXISTS', KEYS[4], member) == 1 then", "then"),
        ("fail_parcel", "if not order or parcel_rows(order, n) <= 0 then", "if not order then"),
        ("close", "math.max(parcel[name] - 1, 0)", "parcel[name] - 1"),
        (
            "fail_parcel",
            "if flaw == 'newer' then\n  return answer('newer')\nelseif not order or",
            "if not order or",
        ),
        ("fail_parcel", "if flaw == 'newer' then\n  return answer('newer')\nelseif flaw and", "if flaw and"),
        ("fail_parcel", "flaw = rows_flaw(parcel)", ""),
        ("fail_parcel", "if unreadable == 'newer' then", "if false then"),
        ("fail_parcel", "if state >= ROW_VERSION then", "if false then"),
        (
            "fail_parcel",
            "if s == ROW_VERSION + SENDING or s == ROW_VERSION + UNRESOLVED then",
            "if false then",
        ),
        ("fail_parcel", "local found = { [UNKNOWN] = ended }", "local found = { [UNKNOWN] = 0 }"),
        ("fail_parcel", "found[state] = (found[state] or 0) + 1", "found[state] = 1"),
        ("fail_parcel", "redis.call('ZREM', KEYS[6], member)", ""),
        ("fail_parcel", "redis.call('HDEL', KEYS[7], channel .. ':' .. member)", ""),
        ("fail_order", "if r and not head and r[2] then", "if false then"),
        ("fail_order", "if r and not head and redis.call('EXISTS', KEYS[5]) == 0 then", "if false then"),
        ("fail_order", "if flaw == 'newer' then", "if false then"),
        ("fail_order", "if names and not forced then", "if false then"),
        ("fail_order", "if #doomed > 0 then", "if false then"),
        ("fail_order", "redis.call('HSET', KEYS[5], 't', why .. ' ' .. now_text)", ""),
        ("fail_order", "redis.call('RPUSH', 'retire:' .. tag .. ':' .. floor(now / DAY), suffix)", ""),
        ("fail_order", "redis.call('ZREM', KEYS[6], suffix)", ""),
        ("fail_order", "redis.call('HDEL', KEYS[7], suffix)", ""),
        ("fail_order", "redis.call('ZREM', KEYS[3], suffix)", ""),
        ("fail_order", "redis.call('ZREM', KEYS[4], suffix)", ""),
    ];
    let mut unnoticed = Vec::new();
    for (script, guard, instead) in mutants {
        let mutant = Mutant { script: Some(script), guard, instead };
        if !mutant.under(|| TABLES.iter().any(|table| catch_unwind(table).is_err())) {
            unnoticed.push(mutant);
        }
    }
    assert!(unnoticed.is_empty(), "nobody notices: {unnoticed:#?}");
}
