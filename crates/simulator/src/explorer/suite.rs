//! The scenarios that are explored to their end, and how large ones are cut off.

use posthaste_model::OnUnknown;

use super::scenario::{Budgets, Scenario, UNIT_MS, ms};

/// Two couriers, one order of two rows; two crashes, a lost reply, a late copy.
#[must_use]
pub fn core(on_unknown: OnUnknown, big: bool, partial: bool) -> Scenario {
    let name = format!(
        "{} {} {}",
        if on_unknown == OnUnknown::Retry { "retry" } else { "hold" },
        if big { "big" } else { "inline" },
        if partial { "partial" } else { "whole" },
    );
    let mut s = Scenario::small(&name, on_unknown, big, 2);
    s.partial = partial;
    s.single_begins = partial;
    s.budgets = Budgets { crashes: 2, lost: 1, copies: 1, ..Budgets::NONE };
    s
}

/// An order that comes due while couriers watch.
#[must_use]
pub fn due(on_unknown: OnUnknown, big: bool) -> Scenario {
    let mut s = core(on_unknown, big, false);
    s.name = format!("due {}", s.name);
    s.orders[0].due_in = Some(ms(UNIT_MS));
    s
}
