//! A mutant for each guard in the consent scripts: the table of orders must detect it.

use crate::consent::{all, ready};
use crate::mutant::Mutant;
use crate::suppressions::agree;

#[test]
fn every_missing_guard_is_detected() {
    let mutants = [
        ("if is_received(person, notice.id) then", "if false then"),
        ("return person.said == 'i'", "return false"),
        ("and person.moment > notice.moment\n", "and person.moment >= notice.moment\n"),
        ("and notice.clock == person.clock\n", ""),
        ("and (person.clock == 'p' or person.moment <= now)", ""),
        ("      remember_notice(person, notice.id)\n      return 'o'", "      return 'o'"),
        (
            "if notice.clock == '-' or person.said ~= '-' and not is_after",
            "if person.said ~= '-' and not is_after",
        ),
        ("person.said ~= '-' and not is_after(notice, person.clock, person.moment)", "false"),
        ("notice.moment > moment + (", "notice.moment >= moment + ("),
        ("(notice.clock == by and 0 or CLOCKS_APART)", "0"),
        ("if source == 'p' and notice.moment", "if false and notice.moment"),
        ("elseif own and person.said ~= 'o' and", "elseif false and"),
        ("if not (own or source == 'p') or not may_delete(reason) then", "if not may_delete(reason) then"),
        (
            "if not (own or source == 'p') or not may_delete(reason) then",
            "if not (own or source == 'p') then",
        ),
        ("if is_beneath(person) and not (by == 'p' and may_delete(below)) then", "if false then"),
        ("not (by == 'p' and may_delete(below))", "not may_delete(below)"),
        ("not (by == 'p' and may_delete(below))", "true"),
        ("      person.beneath = sub(old, 3, 4) .. holder\n", ""),
        ("    person.beneath = sub(entry, 17, 19)\n", ""),
        ("    record_choice(person, 'o', notice)\n", ""),
        ("record_choice(person, 'i', notice)\n", ""),
        (
            "if person.said ~= said or person.clock ~= by or notice.moment > person.moment then",
            "if true then",
        ),
        ("or notice.moment > person.moment then", "then"),
        ("NOTICE * MOST_NOTICES", "NOTICE * 99"),
        ("    person.beneath = '\\0\\0-'\n    local letter", "    local letter"),
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
