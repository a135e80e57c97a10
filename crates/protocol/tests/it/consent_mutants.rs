//! A mutant for each guard in the consent scripts: the table of orders must detect it.

use crate::consent::{all, ready};
use crate::mutant::Mutant;
use crate::suppressions::agree;

#[test]
fn every_missing_guard_is_detected() {
    let mutants = [
        ("if is_heard(told, notice.id) then", "if false then"),
        ("return told.said == 'i'", "return false"),
        ("and told.moment > notice.moment\n", "and told.moment >= notice.moment\n"),
        ("and notice.clock == told.clock\n", ""),
        ("and (told.clock == 'p' or told.moment <= now)", ""),
        ("      hear(told, notice.id)\n      return 'o'", "      return 'o'"),
        (
            "if notice.clock == '-' or told.said ~= '-' and not is_after",
            "if told.said ~= '-' and not is_after",
        ),
        ("told.said ~= '-' and not is_after(notice, told.clock, told.moment)", "false"),
        ("notice.moment > moment + (", "notice.moment >= moment + ("),
        ("(notice.clock == by and 0 or CLOCKS_APART)", "0"),
        ("if source == 'p' and notice.moment", "if false and notice.moment"),
        ("elseif own and told.said ~= 'o' and", "elseif false and"),
        ("if not (own or source == 'p') or not may_lift(reason) then", "if not may_lift(reason) then"),
        ("if not (own or source == 'p') or not may_lift(reason) then", "if not (own or source == 'p') then"),
        ("if is_beneath(told) and not (by == 'p' and may_lift(below)) then", "if false then"),
        ("not (by == 'p' and may_lift(below))", "not may_lift(below)"),
        ("not (by == 'p' and may_lift(below))", "true"),
        ("      told.beneath = sub(old, 3, 4) .. holder\n", ""),
        ("    told.beneath = sub(entry, 17, 19)\n", ""),
        ("    say(told, 'o', notice)\n", ""),
        ("say(told, 'i', notice)\n", ""),
        ("if told.said ~= said or told.clock ~= by or notice.moment > told.moment then", "if true then"),
        ("or notice.moment > told.moment then", "then"),
        ("NOTICE * MOST_NOTICES", "NOTICE * 99"),
        ("    told.beneath = '\\0\\0-'\n    local letter", "    local letter"),
        ("math.max(now - ms, 0)", "now"),
        ("  elseif by == '-' then\n    ms = now", ""),
        ("not old_consent and ARGV[8] ~= '1'", "not old_consent"),
    ];
    let db = ready();
    let mut unnoticed = Vec::new();
    for (guard, instead) in mutants {
        db.reset();
        agree(&db);
        let mutant = Mutant { script: None, guard, instead };
        if mutant.under(|| all(&db)).is_ok() {
            unnoticed.push(mutant);
        }
    }
    assert!(unnoticed.is_empty(), "undetected: {unnoticed:#?}");
}
