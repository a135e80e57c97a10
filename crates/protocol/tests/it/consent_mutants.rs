//! A mutant of the scripts of consent for each of their guards: the table of orders must find it.

use bytes::Bytes;
use posthaste_protocol::{Invocation, Malformed, Script, ScriptText};

use crate::consent::{all, ready};
use crate::suppressions::agree;

/// A guard of a script, changed so that it guards no more.
pub(crate) struct Mutant {
    pub(crate) text: &'static str,
    pub(crate) instead: &'static str,
}

/// A script with a mutant in it, where it has that text.
pub(crate) struct Mutated<'a, S>(pub(crate) &'a S, pub(crate) Option<&'a Mutant>);

impl<S: Script> Script for Mutated<'_, S> {
    type Reply = S::Reply;

    fn contract() -> &'static posthaste_protocol::Contract {
        S::contract()
    }

    fn keys(&self) -> Vec<String> {
        self.0.keys()
    }

    fn args(&self) -> Vec<Bytes> {
        self.0.args()
    }

    fn decode(code: &str, fields: posthaste_protocol::Fields) -> Result<Self::Reply, Malformed> {
        S::decode(code, fields)
    }

    fn invoke(&self, request: &str, epoch: &str) -> Invocation {
        let call = self.0.invoke(request, epoch);
        let Some(mutant) = self.1.filter(|mutant| call.script.body.contains(mutant.text)) else {
            return call;
        };
        let body = call.script.body.replace(mutant.text, mutant.instead);
        let script = ScriptText { name: call.script.name, body, sha: "0".repeat(40) };
        Invocation { script: Box::leak(Box::new(script)), ..call }
    }
}

#[test]
fn a_guard_that_is_gone_is_noticed() {
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
    let parts: Vec<_> =
        posthaste_protocol::scripts::ALL.iter().map(|contract| contract.text.body.as_str()).collect();
    let db = ready();
    let mut unnoticed = Vec::new();
    for (text, instead) in mutants {
        assert!(parts.iter().any(|body| body.contains(text)), "no script has {text:?}");
        db.reset();
        agree(&db);
        if all(&db, Some(&Mutant { text, instead })).is_ok() {
            unnoticed.push((text, instead));
        }
    }
    assert!(unnoticed.is_empty(), "{unnoticed:#?}");
}
