//! Every reachable state of small systems, one test per group: two couriers, an order of two deliveries in one
//! parcel, two crashes, and what the group is named after. Every property holds in every state, and every window the
//! system is meant to cover was entered.

use posthaste_simulator::Scripts;
use posthaste_simulator::explorer::report::{ExplorationLimits, explore};
use posthaste_simulator::explorer::suite;

fn holds(group: &str) {
    let cases = suite::gate(group);
    assert!(!cases.is_empty(), "there is no group {group}");
    let scripts = Scripts::load().expect("the scripts of lua/");
    for case in cases {
        assert_eq!(case.scenario.budgets.crashes, 2);
        let report = explore(case.scenario, scripts.clone(), ExplorationLimits::NONE);
        println!("{report}");
        assert!(report.failure.is_none(), "{report}");
        assert!(report.exhaustive && report.states > 100, "{report}");
        let missed = report.missed(&case.windows);
        assert!(missed.is_empty(), "{report}\nnever entered: {missed:?}");
    }
}

macro_rules! explored {
    ($($group:ident)*) => {
        $(#[test] fn $group() { holds(stringify!($group)); })*

        #[test]
        fn every_group_has_its_test() {
            assert_eq!(suite::GROUPS, [$(stringify!($group)),*]);
        }
    };
}

explored! {
    accepted_late
    begun_one_by_one
    cancelled
    copied_and_asleep
    copied_and_refused
    copied_and_stopped
    copied_and_reported
    copied_and_unknown
    crashes
    late_copies
    lost_and_copied
    lost_and_refused
    lost_replies
    moved
    not_sent
    other_resolvers
    overslept
    poison
    receipts
    refused_for_good
    refused_for_later
    renewals
    slow_sends
    stops
    throttled
    time_over
    tokens
    unknowns
    zombies
}
