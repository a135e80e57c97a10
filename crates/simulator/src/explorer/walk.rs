//! Random walks through systems far too large to explore: several orders, channels, couriers and parcels, and every
//! adversity without limit. A seed determines a walk, on any machine and with any time limit.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use posthaste_model::{OnUnknown, Priority};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use super::Explorer;
use super::action::{Call, CallFate, Step};
use super::coverage::{Window, WindowCounts};
use super::report::ExplorationFailure;
use super::scenario::{Budgets, LONG_LIFE_MS, OrderSpec, Resolver, Scenario, UNIT_MS, ms, order_id};
use super::state::ExplorerState;
use crate::Scripts;

/// Most steps in one system; then the next one follows.
const SYSTEM_STEPS: u64 = 1_500;
/// After this many steps it is checked whether a healthy courier could still end everything.
const COMPLETION_EVERY: u64 = 25;

/// A walk so far.
#[derive(Clone, Debug, Default)]
pub struct Walked {
    /// Its seed.
    pub seed: u64,
    /// Steps taken.
    pub steps: u64,
    /// Systems walked through, each with its own orders and couriers.
    pub systems: u64,
    /// Systems in which every delivery came to its end on the way.
    pub ended: u64,
    /// Orders in all of them.
    pub orders: u64,
    /// Deliveries in all of them.
    pub deliveries: u64,
    /// How often each window was entered.
    pub windows: BTreeMap<Window, u64>,
    /// The first violation: the walk ends there.
    pub failure: Option<ExplorationFailure>,
}

/// Walks as long as `goes_on` returns true, which is called after each step.
#[must_use]
pub fn walk(seed: u64, scripts: &Scripts, mut goes_on: impl FnMut(&Walked) -> bool) -> Walked {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut walked = Walked { seed, ..Walked::default() };
    let counts = Arc::new(WindowCounts::default());
    let mut more = goes_on(&walked);
    while more && walked.failure.is_none() {
        let mut explorer = Explorer::new(some_system(&mut rng), scripts.clone());
        explorer.counts = Arc::clone(&counts);
        more = through(&explorer, &mut rng, &mut walked, &mut goes_on);
    }
    walked.windows = counts.entered();
    walked
}

/// Walks through one system. False to stop.
fn through(
    explorer: &Explorer,
    rng: &mut StdRng,
    walked: &mut Walked,
    goes_on: &mut impl FnMut(&Walked) -> bool,
) -> bool {
    let s = &explorer.scenario;
    walked.systems += 1;
    walked.orders += s.orders.len() as u64;
    walked.deliveries += s.parcels.iter().map(|parcel| u64::from(parcel.deliveries)).sum::<u64>();
    let mut state = explorer.first();
    let mut taken = Vec::new();
    let mut actions = Vec::new();
    let mut more = true;
    for step in 1..=SYSTEM_STEPS {
        actions.clear();
        explorer.possible(&state, &mut actions);
        let Some(action) = choose(rng, &actions).cloned() else { break };
        explorer.advance(&mut state, &action);
        explorer.counts.add(&state.entered);
        taken.push(action);
        walked.steps += 1;
        more = goes_on(walked);
        if step % COMPLETION_EVERY == 0 || !more || step == SYSTEM_STEPS {
            explorer.check_completion(&mut state);
        }
        if state.fault.is_some() || !more || is_over(&state) {
            break;
        }
    }
    walked.ended += u64::from(is_over(&state));
    walked.failure = state.fault.map(|fault| ExplorationFailure {
        property: fault.property,
        text: format!("seed {}, system {}: {s}: {}", walked.seed, walked.systems, fault.text),
        steps: taken.iter().map(|action| format!("{action:?}")).collect(),
    });
    more
}

/// Whether every order was accepted, ended, and was purged or no longer waits for anything.
fn is_over(state: &ExplorerState) -> bool {
    let view = &state.view;
    let mut orders = view.orders.iter().zip(&state.retired);
    orders.all(|(order, retired)| order.ended || *retired) && view.is_still() && state.late.is_empty()
}

/// A system determined by the seed.
fn some_system(rng: &mut StdRng) -> Scenario {
    let channels = &["sms", "email", "vk"][..rng.random_range(1..=3)];
    let mut couriers: Vec<usize> = (0..channels.len()).collect();
    couriers.extend((0..rng.random_range(1..=5)).map(|_| rng.random_range(0..channels.len())));
    // One large order in some systems: several parcels of one channel.
    let large = rng.random_bool(0.1);
    let orders = (0..rng.random_range(2..=8)).map(|at| some_order(rng, at, channels.len(), large && at == 0));
    let orders = orders.collect();
    let s = Scenario::new("walk", channels, orders, couriers);
    let policies = [Resolver::ByPolicy, Resolver::ByPolicy, Resolver::Trusting, Resolver::Asking];
    Scenario {
        budgets: Budgets::ALL,
        claim_begins: vec![0, rng.random_range(1..=6)],
        window_units: rng.random_range(1..=3),
        life_ms: *[UNIT_MS / 2, 40 * UNIT_MS, LONG_LIFE_MS, LONG_LIFE_MS, LONG_LIFE_MS]
            .choose(rng)
            .unwrap_or(&LONG_LIFE_MS),
        lead_ms: rng.random_range(0..=1),
        tokens: rng.random_bool(0.3),
        resolver: *policies.choose(rng).unwrap_or(&Resolver::ByPolicy),
        strangers: true,
        blame: rng.random_bool(0.8),
        wide: true,
        most_held: rng.random_range(1..=3),
        ..s
    }
}

fn some_order(rng: &mut StdRng, at: usize, channels: usize, large: bool) -> OrderSpec {
    let big = large || rng.random_bool(0.4);
    let mut deliveries: Vec<(usize, u32)> = Vec::new();
    for channel in 0..channels {
        // A small order has all its deliveries on one channel.
        if rng.random_bool(0.6) && (big || deliveries.is_empty()) {
            deliveries
                .push((channel, if large { rng.random_range(501..=1_003) } else { rng.random_range(1..=6) }));
        }
    }
    if deliveries.is_empty() {
        deliveries.push((rng.random_range(0..channels), rng.random_range(1..=6)));
    }
    OrderSpec {
        order_id: order_id(at),
        channels: deliveries,
        big,
        priority: if rng.random_bool(0.3) { Priority::Urgent } else { Priority::Bulk },
        on_unknown: if rng.random_bool(0.5) { OnUnknown::Retry } else { OnUnknown::Hold },
        due_in: rng.random_bool(0.5).then(|| ms(UNIT_MS * rng.random_range(1..=4))),
        accepted: rng.random_bool(0.5),
    }
}

/// Picks a step: first its kind, weighted by how often that happens, then one of that kind, preferring those that go
/// well.
fn choose<'a>(rng: &mut StdRng, actions: &'a [Step]) -> Option<&'a Step> {
    let mut kinds: BTreeMap<u32, Vec<&Step>> = BTreeMap::new();
    for action in actions {
        kinds.entry(kind(action).0).or_default().push(action);
    }
    let kinds: Vec<_> = kinds.into_values().collect();
    let kind = kinds.choose_weighted(rng, |actions| kind(actions[0]).1).ok()?;
    kind.choose_weighted(rng, |action| ease(action)).ok().copied()
}

/// A number for the kind of a step, and its weight among the kinds.
fn kind(action: &Step) -> (u32, u32) {
    match action {
        Step::Claim { .. } => (0, 600),
        Step::Load { .. } => (1, 900),
        Step::Begin { .. } => (2, 800),
        Step::Send { .. } => (3, 1500),
        Step::Settle { .. } => (4, 700),
        Step::Release { .. } => (5, 400),
        Step::Renew { .. } => (6, 60),
        Step::Notice { .. } => (7, 300),
        Step::Stop { .. } => (8, 20),
        Step::Crash { .. } => (9, 40),
        Step::ReclaimLeases { .. } => (10, 300),
        Step::ClaimUnresolved { .. } => (11, 300),
        Step::Resolve { .. } => (12, 400),
        Step::Deliver { .. } => (13, 200),
        Step::Jump => (14, 250),
        Step::Expire => (15, 2),
        Step::Accept { .. } => (16, 200),
        Step::Stranger => (17, 10),
        Step::Cancel { .. } => (18, 15),
        Step::Reschedule { .. } => (19, 60),
        Step::Receipt { .. } => (20, 60),
        Step::PromoteDue => (21, 40),
        Step::ExpireParcels { .. } => (22, 40),
        Step::RepairIndexes { .. } => (23, 40),
        Step::PurgeOrders => (24, 20),
        Step::Rest => (25, 2),
    }
}

/// The weight of a step among those of its kind.
fn ease(action: &Step) -> u32 {
    let of_fate = |fate: &CallFate| if *fate == CallFate::Received { 10 } else { 1 };
    match action {
        Step::Claim { fate, .. }
        | Step::Settle { fate, .. }
        | Step::Release { fate, .. }
        | Step::Renew { fate, .. }
        | Step::Resolve { fate, .. }
        | Step::Reschedule { fate, .. }
        | Step::Accept { fate, .. } => of_fate(fate),
        Step::Begin { fate, delivery, .. } => of_fate(fate) * if delivery.is_none() { 4 } else { 1 },
        Step::Send { call: Call::Taken, .. } => 12,
        _ => 1,
    }
}

impl Walked {
    /// Those of the windows that were not entered.
    #[must_use]
    pub fn missed(&self, windows: &[Window]) -> Vec<Window> {
        windows.iter().copied().filter(|window| !self.windows.contains_key(window)).collect()
    }
}

impl fmt::Display for Walked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, steps, systems, ended, orders, deliveries, windows, failure } = self;
        let windows = windows.len();
        write!(
            f,
            "walk {seed}: {steps} steps through {systems} systems ({ended} came to their end) with {orders} orders of \
             {deliveries} deliveries, {windows} windows"
        )?;
        failure.iter().try_for_each(|failure| write!(f, "\n{failure}"))
    }
}
