//! The scenarios that are explored to their end in every run of the tests, and larger ones for more time.

use posthaste_model::OnUnknown;

use super::scenario::{Budgets, Scenario};

/// Two couriers and one order of two rows in one parcel.
#[must_use]
pub fn two_rows(on_unknown: OnUnknown, big: bool, budgets: Budgets) -> Scenario {
    let policy = if on_unknown == OnUnknown::Retry { "retry" } else { "hold" };
    let layout = if big { "big" } else { "inline" };
    let s = Scenario::small(&format!("{policy} {layout}"), on_unknown, big, 2);
    Scenario { budgets, blame: false, single_begins: false, ..s }
}

/// Two couriers and one order of one row.
#[must_use]
pub fn one_row(on_unknown: OnUnknown, budgets: Budgets) -> Scenario {
    let policy = if on_unknown == OnUnknown::Retry { "retry" } else { "hold" };
    let s = Scenario::small(&format!("{policy} one row"), on_unknown, false, 1);
    Scenario { budgets, blame: false, ..s }
}
