//! Random sequences of calls, lost time and late copies: the invariants hold after each, and everything accepted
//! ends.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use posthaste_model::State;
use posthaste_model::transition::TABLE;
use posthaste_protocol::record::{DeliveryRecords, Head};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::db::Db;
use crate::random_step::any_act;
use crate::random_walk::Walk;
use crate::snapshot::Held;

/// State and attempt of every delivery that has a record.
type Deliveries = BTreeMap<(String, usize), (State, u8)>;

fn deliveries_of(walk: &Walk<'_>) -> Deliveries {
    let all = walk.db.snapshot();
    let mut deliveries = Deliveries::new();
    for order in &walk.orders {
        let fields = all.hash(&walk.db.keys.history(&order.order_id));
        let Some(head) = fields.get("h").and_then(|h| Head::decode(h).ok()) else { continue };
        for channel in Walk::channels() {
            for n in 0..head.parcels(&channel) {
                let key = walk.db.keys.outcome(&order.order_id, &channel, n);
                let record = match all.get(&key) {
                    Some(Held::Text(record)) => Some(record),
                    _ => fields.get("o"),
                };
                let outcomes = DeliveryRecords::decode(
                    record.map(Vec::as_slice),
                    head.parcel_deliveries(&channel, n),
                    head.due,
                );
                for (i, delivery) in outcomes.expect("outcomes").deliveries().enumerate() {
                    deliveries.insert((key.clone(), i), (delivery.state, delivery.attempt));
                }
            }
        }
    }
    deliveries
}

/// State changes one call may make: one cell, or two in a row (a report, then the end of its order).
fn allowed() -> Moves {
    let one: BTreeSet<_> = TABLE.iter().map(|(from, _, to)| (*from, *to)).collect();
    let two = one
        .iter()
        .flat_map(|(from, by)| one.iter().filter(move |(b, _)| b == by).map(move |(_, to)| (*from, *to)));
    one.iter().copied().chain(two.filter(|(_, to)| *to != State::Sending)).collect()
}

type Moves = BTreeSet<(State, State)>;

fn check_moves(
    before: &Deliveries,
    after: &Deliveries,
    allowed: &Moves,
    act: &impl std::fmt::Debug,
    seen: &mut Moves,
) {
    for (delivery, (to, attempt)) in after {
        let (from, last) = before.get(delivery).copied().unwrap_or((State::Pending, 0));
        assert!(from == *to || allowed.contains(&(from, *to)), "{delivery:?}: {from:?} -> {to:?} by {act:?}");
        if from != *to {
            seen.insert((from, *to));
        }
        let begun = from == State::Pending && *to == State::Sending;
        assert_eq!(
            *attempt,
            last.wrapping_add(u8::from(begun)),
            "{delivery:?}: {from:?} -> {to:?} by {act:?}"
        );
    }
}

/// Walks of this many steps; their number is `PROPTEST_CASES` (256 by default) divided by `share`.
fn walk(share: u32, length: usize) -> Moves {
    let db = Db::start();
    let (allowed, seen) = (allowed(), RefCell::new(BTreeSet::new()));
    let usual = Config::default();
    let cases = usual.cases.div_ceil(share);
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 2_000, ..usual };
    let acts = prop::collection::vec(any_act(), 1..length);
    let outcome = TestRunner::new(config).run(&acts, |acts| {
        let mut walk = Walk::new(&db);
        let mut before = deliveries_of(&walk);
        for act in &acts {
            walk.act(act);
            let after = deliveries_of(&walk);
            check_moves(&before, &after, &allowed, act, &mut seen.borrow_mut());
            before = after;
            let faults = db.faults();
            prop_assert!(faults.is_empty(), "after {act:?}: {faults:#?}");
        }
        walk.drain();
        Ok(())
    });
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
    seen.into_inner()
}

#[test]
fn short_walks() {
    println!("moves seen: {:?}", walk(1, 25));
}

#[test]
fn long_walks() {
    println!("moves seen: {:?}", walk(4, 120));
}
