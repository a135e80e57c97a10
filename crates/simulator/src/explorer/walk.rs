//! Random walks through systems far too large to explore: several orders, channels, couriers and parcels, and every
//! adversity as often as it likes. A seed names a walk, whatever the machine and the time it is given.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use posthaste_model::{Lane, OnUnknown};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use super::Explorer;
use super::action::{Action, Call, Fate};
use super::report::Failure;
use super::scenario::{Budgets, LONG_LIFE_MS, OrderSpec, Resolver, Scenario, UNIT_MS, ms, suffix};
use super::state::State;
use super::windows::{Counts, Window};
use crate::Scripts;

/// Steps in one system at most; then comes the next.
const SYSTEM_STEPS: u64 = 1_500;
/// After so many steps it is looked whether a healthy courier could still end everything.
const COMPLETION_EVERY: u64 = 25;

/// A walk so far.
#[derive(Clone, Debug, Default)]
pub struct Walked {
    /// What names it.
    pub seed: u64,
    /// Steps taken.
    pub steps: u64,
    /// Systems walked through, each with its own orders and couriers.
    pub systems: u64,
    /// Systems in which every row came to its end on the way.
    pub ended: u64,
    /// Orders in all of them.
    pub orders: u64,
    /// Rows in all of them.
    pub rows: u64,
    /// How often each window was entered.
    pub windows: BTreeMap<Window, u64>,
    /// The first broken property: the walk ends there.
    pub failure: Option<Failure>,
}

/// Walks as long as `goes_on` says, which is asked after each step.
#[must_use]
pub fn walk(seed: u64, scripts: &Scripts, mut goes_on: impl FnMut(&Walked) -> bool) -> Walked {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut walked = Walked { seed, ..Walked::default() };
    let counts = Arc::new(Counts::default());
    let mut more = goes_on(&walked);
    while more && walked.failure.is_none() {
        let mut explorer = Explorer::new(some_system(&mut rng), scripts.clone());
        explorer.counts = Arc::clone(&counts);
        more = through(&explorer, &mut rng, &mut walked, &mut goes_on);
    }
    walked.windows = counts.entered();
    walked
}

/// Walks through one system. False if it is enough.
fn through(
    explorer: &Explorer,
    rng: &mut StdRng,
    walked: &mut Walked,
    goes_on: &mut impl FnMut(&Walked) -> bool,
) -> bool {
    let s = &explorer.scenario;
    walked.systems += 1;
    walked.orders += s.orders.len() as u64;
    walked.rows += s.parcels.iter().map(|parcel| u64::from(parcel.rows)).sum::<u64>();
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
    walked.failure = state.fault.map(|fault| Failure {
        property: fault.property,
        text: format!("seed {}, system {}: {s}: {}", walked.seed, walked.systems, fault.text),
        steps: taken.iter().map(|action| format!("{action:?}")).collect(),
    });
    more
}

/// Whether every order came, ended, and was removed or waits for nothing any more.
fn is_over(state: &State) -> bool {
    let view = &state.view;
    let mut orders = view.orders.iter().zip(&state.retired);
    orders.all(|(order, retired)| order.ended || *retired) && view.is_still() && state.late.is_empty()
}

/// A system that no other seed has.
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
    let mut rows: Vec<(usize, u32)> = Vec::new();
    for channel in 0..channels {
        // A small order has all its rows on one channel.
        if rng.random_bool(0.6) && (big || rows.is_empty()) {
            rows.push((channel, if large { rng.random_range(501..=1_003) } else { rng.random_range(1..=6) }));
        }
    }
    if rows.is_empty() {
        rows.push((rng.random_range(0..channels), rng.random_range(1..=6)));
    }
    OrderSpec {
        suffix: suffix(at),
        channels: rows,
        big,
        lane: if rng.random_bool(0.3) { Lane::Urgent } else { Lane::Bulk },
        on_unknown: if rng.random_bool(0.5) { OnUnknown::Retry } else { OnUnknown::Hold },
        due_in: rng.random_bool(0.5).then(|| ms(UNIT_MS * rng.random_range(1..=4))),
        accepted: rng.random_bool(0.5),
    }
}

/// One of the steps: first which kind, by how often that happens, then one of that kind, mostly one that goes well.
fn choose<'a>(rng: &mut StdRng, actions: &'a [Action]) -> Option<&'a Action> {
    let mut kinds: BTreeMap<u32, Vec<&Action>> = BTreeMap::new();
    for action in actions {
        kinds.entry(kind(action).0).or_default().push(action);
    }
    let kinds: Vec<_> = kinds.into_values().collect();
    let kind = kinds.choose_weighted(rng, |actions| kind(actions[0]).1).ok()?;
    kind.choose_weighted(rng, |action| ease(action)).ok().copied()
}

/// A number for the kind of a step, and how often it happens beside the others.
fn kind(action: &Action) -> (u32, u32) {
    match action {
        Action::Claim { .. } => (0, 600),
        Action::Load { .. } => (1, 900),
        Action::Begin { .. } => (2, 800),
        Action::Send { .. } => (3, 1500),
        Action::Settle { .. } => (4, 700),
        Action::Release { .. } => (5, 400),
        Action::Renew { .. } => (6, 60),
        Action::Notice { .. } => (7, 300),
        Action::Stop { .. } => (8, 20),
        Action::Crash { .. } => (9, 40),
        Action::Sweep { .. } => (10, 300),
        Action::Inquire { .. } => (11, 300),
        Action::Resolve { .. } => (12, 400),
        Action::Deliver { .. } => (13, 200),
        Action::Jump => (14, 250),
        Action::Expire => (15, 2),
        Action::Accept { .. } => (16, 200),
        Action::Stranger => (17, 10),
        Action::Cancel { .. } => (18, 15),
        Action::Move { .. } => (19, 60),
        Action::Receipt { .. } => (20, 60),
        Action::Ring => (21, 40),
        Action::Close { .. } => (22, 40),
        Action::Audit { .. } => (23, 40),
        Action::Retire => (24, 20),
        Action::Rest => (25, 2),
    }
}

/// How often one step of a kind happens beside the others of that kind.
fn ease(action: &Action) -> u32 {
    let of_fate = |fate: &Fate| if *fate == Fate::Heard { 10 } else { 1 };
    match action {
        Action::Claim { fate, .. }
        | Action::Settle { fate, .. }
        | Action::Release { fate, .. }
        | Action::Renew { fate, .. }
        | Action::Resolve { fate, .. }
        | Action::Move { fate, .. }
        | Action::Accept { fate, .. } => of_fate(fate),
        Action::Begin { fate, row, .. } => of_fate(fate) * if row.is_none() { 4 } else { 1 },
        Action::Send { call: Call::Taken, .. } => 12,
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
        let Self { seed, steps, systems, ended, orders, rows, windows, failure } = self;
        let windows = windows.len();
        write!(
            f,
            "walk {seed}: {steps} steps through {systems} systems ({ended} came to their end) with {orders} orders of \
             {rows} rows, {windows} windows"
        )?;
        failure.iter().try_for_each(|failure| write!(f, "\n{failure}"))
    }
}
