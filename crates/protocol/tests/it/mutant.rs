//! Scripts with one guard taken out: a table that shows what the guard is for must find it.

use std::cell::Cell;

use posthaste_protocol::scripts::ALL;
use posthaste_protocol::{Invocation, ScriptText};

thread_local! {
    static HUNTED: Cell<Option<Mutant>> = const { Cell::new(None) };
}

/// A guard, and what stands in its place.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mutant {
    /// The script it is taken out of; `None`: of each that has it.
    pub(crate) script: Option<&'static str>,
    pub(crate) guard: &'static str,
    pub(crate) instead: &'static str,
}

impl Mutant {
    fn is_in(&self, script: &ScriptText) -> bool {
        self.script.is_none_or(|name| name == script.name) && script.body.contains(self.guard)
    }

    /// Runs a table on the mutant: whatever this thread calls meanwhile has it.
    pub(crate) fn under<T>(self, table: impl FnOnce() -> T) -> T {
        assert!(ALL.iter().any(|contract| self.is_in(contract.text)), "no script has it: {self:?}");
        // The next table of this thread is not hunted by accident, also when this one panics. One that is hunted may hunt itself.
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

/// The call as it is made: with the mutant that is hunted, if its script has the guard.
pub(crate) fn changed(call: Invocation) -> Invocation {
    let Some(mutant) = HUNTED.get().filter(|mutant| mutant.is_in(call.script)) else { return call };
    let body = call.script.body.replace(mutant.guard, mutant.instead);
    let script = ScriptText { name: call.script.name, body, sha: "0".repeat(40) };
    Invocation { script: Box::leak(Box::new(script)), ..call }
}
