//! Scripts with one guard removed: the table that covers the guard must detect it.

use std::cell::Cell;

use posthaste_protocol::scripts::ALL;
use posthaste_protocol::{Invocation, ScriptText};

thread_local! {
    static HUNTED: Cell<Option<Mutant>> = const { Cell::new(None) };
}

/// A guard, and its replacement.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mutant {
    /// The script it is removed from; `None`: every script that has it.
    pub(crate) script: Option<&'static str>,
    pub(crate) guard: &'static str,
    pub(crate) instead: &'static str,
}

impl Mutant {
    fn is_in(&self, script: &ScriptText) -> bool {
        self.script.is_none_or(|name| name == script.name) && script.body.contains(self.guard)
    }

    /// Runs a table on the mutant: every call of this thread uses it in the meantime.
    pub(crate) fn under<T>(self, table: impl FnOnce() -> T) -> T {
        assert!(ALL.iter().any(|contract| self.is_in(contract.text)), "no script has this guard: {self:?}");
        // The mutant must not stay active for the next table of this thread, even if this one panics. A table may run mutants of its
        // own.
        struct Over(Option<Mutant>);
        impl Drop for Over {
            fn drop(&mut self) {
                HUNTED.set(self.0);
            }
        }
        let _over = Over(HUNTED.replace(Some(self)));
        table()
    }
}

/// The call as it is made: with the active mutant, if its script has the guard.
pub(crate) fn changed(call: Invocation) -> Invocation {
    let Some(mutant) = HUNTED.get().filter(|mutant| mutant.is_in(call.script)) else { return call };
    let body = call.script.body.replace(mutant.guard, mutant.instead);
    let script = ScriptText { name: call.script.name, body, sha: "0".repeat(40) };
    Invocation { script: Box::leak(Box::new(script)), ..call }
}
