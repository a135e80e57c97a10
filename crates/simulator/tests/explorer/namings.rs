//! States that count as equal: whatever can follow one of them can follow the other. Otherwise an exploration would
//! miss what only the other leads to.

use std::collections::{BTreeSet, HashMap, VecDeque};

use posthaste_model::OnUnknown;
use posthaste_simulator::Scripts;
use posthaste_simulator::explorer::Explorer;
use posthaste_simulator::explorer::scenario::{Budgets, Scenario, UNIT_MS, ms};
use posthaste_simulator::explorer::state::ExplorerState;
use posthaste_simulator::explorer::suite::two_deliveries;
use stateright::Model;

const STATES: usize = 6_000;
const PAIRS_OF_EACH: usize = 4;

fn following(explorer: &Explorer, state: &ExplorerState) -> Vec<ExplorerState> {
    let mut actions = Vec::new();
    explorer.actions(state, &mut actions);
    actions.into_iter().filter_map(|action| explorer.next_state(state, action)).collect()
}

fn are_one(scenario: Scenario) {
    let explorer = Explorer::new(scenario, Scripts::load().expect("the scripts of lua/"));
    let first = explorer.init_states().remove(0);
    let mut known: HashMap<u64, (BTreeSet<u64>, usize)> = HashMap::new();
    let mut waiting = VecDeque::from([first]);
    let mut pairs = 0;
    while let Some(state) = waiting.pop_front() {
        let seen = known.get(&state.fingerprint);
        if seen.map_or(known.len() >= STATES, |(_, times)| *times > PAIRS_OF_EACH) {
            continue;
        }
        let next = following(&explorer, &state);
        let fingerprints: BTreeSet<u64> = next.iter().map(|state| state.fingerprint).collect();
        match known.get_mut(&state.fingerprint) {
            Some((before, times)) => {
                assert_eq!(
                    *before, fingerprints,
                    "{}: an equal state has other successors: {state:?}",
                    explorer.scenario
                );
                *times += 1;
                pairs += 1;
            }
            None => {
                known.insert(state.fingerprint, (fingerprints, 0));
                waiting.extend(next);
            }
        }
    }
    println!("{}: {} states, {pairs} pairs", explorer.scenario, known.len());
    assert!(known.len() > 300 && pairs > 300, "{} states, {pairs} pairs", known.len());
}

#[test]
fn crashes_and_copies() {
    are_one(two_deliveries(OnUnknown::Retry, false, Budgets { crashes: 1, copies: 1, ..Budgets::NONE }));
}

#[test]
fn lost_replies_of_a_big_order() {
    are_one(two_deliveries(OnUnknown::Retry, true, Budgets { crashes: 1, lost: 1, ..Budgets::NONE }));
}

#[test]
fn waits_and_sleepers() {
    let budgets = Budgets { later: 1, overslept: 1, zombies: 1, ..Budgets::NONE };
    are_one(Scenario { blame: true, ..two_deliveries(OnUnknown::Retry, false, budgets) });
}

#[test]
fn ends_of_an_order_that_is_due_later() {
    let budgets = Budgets { crashes: 1, copies: 1, cancels: 1, expiries: 1, moves: 1, ..Budgets::NONE };
    let mut scenario = two_deliveries(OnUnknown::Hold, false, budgets);
    scenario.orders[0].due_in = Some(ms(UNIT_MS));
    are_one(scenario);
}

#[test]
fn receipts_from_outside() {
    let budgets = Budgets { receipts: 1, renewals: 1, stops: 1, throttled: 1, unknown: 1, ..Budgets::NONE };
    are_one(Scenario { single_begins: true, ..two_deliveries(OnUnknown::Retry, false, budgets) });
}
