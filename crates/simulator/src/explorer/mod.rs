//! How the protocol is explored: what one state of the system is, and what can happen in it.
//!
//! The scripts themselves run ([`ScriptProgram`](crate::ScriptProgram) on a [`FakeRedis`]); only their environment is
//! modelled. `tests/explorer_scaffold.rs` shows the pattern on a toy protocol, with a mutant that is caught. [`suite`]
//! holds the systems that are explored completely, [`walk`] walks at random through those far too large for that,
//! [`mutants`] shows that a missing guard is detected. To run it by hand: the example `explore`.
//!
//! # A state
//!
//! | part | what it holds | why |
//! |---|---|---|
//! | world | the whole database with its clock | the scripts decide on nothing else |
//! | couriers | per courier: the content of its memory | a crash empties the memory and nothing else |
//! | late | requests in flight | a request may arrive late, twice, or its reply never |
//! | truth | per delivery: attempts the provider took | the outside truth that the history is compared with |
//! | left | remaining crashes, lost replies, late copies, refusals | they make the space finite, and the figures name them |
//! | ghosts | what was ever reported as unknown; a defect, if a run ended in one | properties look at one state only, so the past must be part of it |
//!
//! A state is `Clone + PartialEq + Hash + Debug + Send + Sync`. Only content is hashed, never an address;
//! collections are ordered. A list whose order means nothing (requests in flight) is kept sorted, so
//! that the same situation is one state. [`FakeRedis`] does its part: a copy costs one reference count, a
//! write copies the map of keys and the value written.
//!
//! # What can happen
//!
//! - **A courier acts**: sends its next request, or gives deliveries to the provider. It may always poll (its timer),
//!   so receiving an event adds no behaviour: in the model every event is lost, and nothing may depend on one. That
//!   each due order is announced is a property of its own.
//! - **A request arrives**: its script runs completely, because scripts are atomic, and its sender receives the reply.
//!   A slow request is not a separate action: its sender might as well have paused before.
//! - **A second copy** stays in flight, within the budget of copies, and arrives at any later point; or the first one
//!   does, when its sender died meanwhile.
//! - **A reply is lost**: the courier repeats the same request.
//! - **The provider answers**: accepted, refused for later, refused permanently, nothing at all. Each is an action of
//!   its own.
//! - **A crash**: the courier's memory is lost, and another courier takes its place under a new id.
//! - **A pause** needs no action: a courier that does not act is paused, for as long as time moves.
//! - **Time**: the clock jumps to the next instant that a script can tell apart (the end of a lease or of a send, the
//!   end of a wait, a due time or the millisecond after it), found in the world's own indexes. It never moves in small
//!   steps: states that differ only in idle milliseconds would never meet again. Jumps have no budget.
//!
//! Not modelled: memory full, a wiped or rolled-back database, keys lost silently. Tests on real servers cover these.
//!
//! # Rules of the checker (stateright 0.31)
//!
//! - `Model::actions` must give the same actions in the same order for the same state, and `next_state` the same
//!   result: paths are stored as indices and replayed. `None` means that nothing changed.
//! - Properties are plain functions, so everything they need is in the model or the state.
//! - `eventually` is not sound where paths meet or form a cycle, according to its own documentation. "Nothing is
//!   stuck" is therefore an `always` over every state: if every process died and every request in flight were lost,
//!   one healthy courier and the passing of time bring every delivery to its end; and whatever is not final is in an
//!   index.
//! - Entries into each ambiguous window are counted ([`coverage`]), because a count says more than `sometimes`.
//! - `next_state` cannot fail: a [`ScriptRunError`](crate::ScriptRunError) goes into the state and an `always` refuses
//!   it.
//! - A run ends with the first broken property (`finish_when(HasDiscoveries::AnyFailures)`); if all properties hold it
//!   goes to the end. The checker would keep the last broken state of a block of 1,500, so the model shows it only the
//!   first; with one thread the path to it is the shortest.
//! - `is_done` is also true after a time limit or a target count. A run counts as exhaustive only if it had neither
//!   ([`report::ExplorationReport::exhaustive`]).
//! - Fingerprints have 64 bits: for ten million states the chance of mistaking one for another is 3 in a million. A
//!   test checks that states with one fingerprint have the same successors.
//! - Couriers of one channel are interchangeable, and so are the deliveries of a parcel: states that differ only in
//!   names are one. Time and fences count by what can be told apart, so that nothing grows forever.
//! - A call on a known database is looked up instead of run: the result depends only on these two.

mod accept;
pub mod action;
mod blame;
mod call_cache;
mod canonical;
pub mod check;
mod check_state;
pub mod command;
pub mod coverage;
mod environment;
mod liveness;
pub mod mutants;
pub mod report;
pub mod scenario;
pub mod state;
mod step;
pub mod suite;
pub mod view;
pub mod walk;

use std::hash::{Hash, Hasher};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use stateright::{Model, Property};

use crate::fake_redis::{Class, Classes, Event, FakeClock, Flavour};
use crate::{FakeRedis, Scripts};
use action::Step;
use call_cache::{Deed, Outcome};
use canonical::Naming;
use check::PROPERTIES;
use command::{CallFault, ScriptRequest, ScriptServer, ServerAnswer};
use coverage::{Window, WindowCounts};
use scenario::{EPOCH, START_MS, Scenario};
use state::{ExplorerState, ModelCourier, Truth};
use view::{DatabaseView, Names};

/// A scenario with the scripts to run on it: the model that the checker explores.
#[derive(Debug)]
pub struct Explorer {
    /// What is explored.
    pub scenario: Scenario,
    /// How often each window was entered.
    pub counts: Arc<WindowCounts>,
    scripts: Scripts,
    names: Names,
    namings: Vec<Naming>,
    known: Arc<liveness::Known>,
    memo: Arc<call_cache::CallCache>,
    first_fault: OnceLock<u64>,
    /// After this moment no state has successors. The checker's own limit is only checked between threads.
    until: Option<Instant>,
}

impl Explorer {
    /// The exploration of a scenario with these scripts: the protocol's own, or mutants of them.
    #[must_use]
    pub fn new(scenario: Scenario, scripts: Scripts) -> Self {
        let deliveries = match &scenario.parcels[..] {
            [only] => usize::try_from(only.deliveries).ok(),
            _ => None,
        };
        let namings = Naming::all(deliveries, &scenario.couriers);
        let names = Names::new(&scenario);
        Self {
            scenario,
            counts: Arc::default(),
            scripts,
            names,
            namings,
            known: Arc::default(),
            memo: Arc::default(),
            first_fault: OnceLock::new(),
            until: None,
        }
    }

    /// Whether this is the first broken state. The checker keeps the last one of each property, but the first
    /// has the shortest path.
    fn is_first(&self, state: &ExplorerState) -> bool {
        *self.first_fault.get_or_init(|| state.fingerprint) == state.fingerprint
    }

    /// How many different databases a healthy courier brought to their end.
    #[must_use]
    pub fn databases(&self) -> usize {
        self.known.len()
    }

    /// The state before anything happens: orders accepted, couriers idle.
    #[must_use]
    pub fn first(&self) -> ExplorerState {
        let s = &self.scenario;
        let classes = Classes::NONE.with(Class::Expired);
        let clock = FakeClock::at_ms(START_MS - s.lead_ms).with_lead_ms(s.lead_ms);
        let mut world = FakeRedis::new(Flavour::Redis70, clock).watching(classes);
        let set = world.call(&["SET", &s.keys.epoch(), EPOCH]);
        let view = Arc::new(DatabaseView::read(s, &self.names, &world));
        let deliveries = |parcel: &scenario::ParcelSpec| vec![Truth::default(); parcel.deliveries as usize];
        let mut state = ExplorerState {
            world,
            view,
            couriers: s.couriers.iter().map(|channel| ModelCourier::new(*channel, 0)).collect(),
            resolvers: vec![None; s.channels.len()],
            late: Vec::new(),
            truth: s.parcels.iter().map(deliveries).collect(),
            retired: vec![false; s.orders.len()],
            left: s.budgets,
            fault: None,
            fingerprint: 0,
            entered: Vec::new(),
            place: None,
        };
        if !s.wide {
            state.place =
                Some(self.memo.place(&state.world, |world| DatabaseView::read(s, &self.names, world)));
        }
        if let Err(fault) = set {
            state.found(check::ANSWERS, || format!("{fault:?}"));
        }
        for order in (0..s.orders.len()).filter(|order| s.orders[*order].accepted) {
            self.run(&mut state, &ScriptRequest::Enqueue { order });
        }
        self.check_state(&mut state);
        state
    }

    /// Takes a step and checks everything. False if it changed nothing.
    pub fn advance(&self, state: &mut ExplorerState, action: &Step) -> bool {
        let before = Arc::clone(&state.view);
        if !self.take(state, action) {
            return false;
        }
        if !Arc::ptr_eq(&before, &state.view) {
            self.check_state(state);
        }
        true
    }

    /// Checks that a healthy courier alone brings every delivery to its end.
    pub fn check_completion(&self, state: &mut ExplorerState) {
        if state.fault.is_none()
            && let Err(text) = self.completes(&state.world, &state.view)
        {
            state.found(check::COMPLETES, || text);
        }
    }

    /// Makes a call and checks what it changed. A failed call has no answer.
    fn run(&self, state: &mut ExplorerState, command: &ScriptRequest) -> Option<ServerAnswer> {
        let before = Arc::clone(&state.view);
        let old = self.is_answered(state, command);
        let due_before = self.due_of_old_move(state, command);
        let done = self.perform(state, Deed::Call(command.clone()));
        self.check_change(state, &before, Some(command));
        self.check_bells(state, &before, command, &done.events);
        self.check_answer(state, command, done.received.as_ref().ok());
        if due_before.is_some_and(|(order, due)| state.view.orders[order].due != due) {
            state.found(check::OLD, || format!("{command:?}"));
        }
        if old && state.view.parcels.iter().zip(&before.parcels).any(|(new, old)| new.lease != old.lease) {
            state.found(check::OLD, || format!("{command:?}"));
        }
        done.received
            .clone()
            .map_err(|fault| state.found(check::ANSWERS, || format!("{command:?}: {fault}")))
            .ok()
    }

    fn server(&self) -> ScriptServer<'_> {
        ScriptServer { scenario: &self.scenario, scripts: &self.scripts, epoch: EPOCH }
    }

    /// Whether this claim was answered before, or a later one of the same courier.
    fn is_answered(&self, state: &ExplorerState, command: &ScriptRequest) -> bool {
        let ScriptRequest::Claim { courier, life, number, .. } = command else { return false };
        let channel = self.scenario.couriers[*courier];
        let last = self.names.request(&state.world, channel, *courier, *life);
        last.is_some_and(|(last, ..)| *number <= last)
    }

    /// The due time of an order that a command would move too late: it is due already, or its due time has changed.
    fn due_of_old_move(
        &self,
        state: &ExplorerState,
        command: &ScriptRequest,
    ) -> Option<(usize, Option<i64>)> {
        let ScriptRequest::Reschedule { order, revision, .. } = command else { return None };
        let due = state.view.orders[*order].due;
        let come = due.is_some_and(|due| due <= state.view.now);
        let old = come || self.names.revision(&state.world, *order) != *revision;
        old.then_some((*order, due))
    }

    /// Does something to the database and decodes it again, or looks up the earlier result.
    fn perform(&self, state: &mut ExplorerState, deed: Deed) -> Arc<Outcome> {
        let look = |world: &FakeRedis| DatabaseView::read(&self.scenario, &self.names, world);
        let place = state.place.take();
        let (outcome, view) = match &place {
            Some(place) => {
                let (outcome, after) = self.memo.recall(place, &deed).unwrap_or_else(|| {
                    let (received, events) = self.perform_on(&mut state.world, &deed);
                    let after = self.memo.place(&state.world, look);
                    (self.memo.remember(place, deed, received, events, &after), after)
                });
                state.world = after.world.clone();
                let view = Arc::clone(&after.view);
                state.place = Some(after);
                (outcome, view)
            }
            None => {
                let (received, events) = self.perform_on(&mut state.world, &deed);
                (Arc::new(Outcome::passing(received, events)), Arc::new(look(&state.world)))
            }
        };
        if !Arc::ptr_eq(&view, &state.view) && view != state.view {
            state.view = view;
        }
        outcome
    }

    fn perform_on(
        &self,
        world: &mut FakeRedis,
        deed: &Deed,
    ) -> (Result<ServerAnswer, CallFault>, Vec<Event>) {
        let mut events = Vec::new();
        let received = match deed {
            Deed::Call(command) => self.server().answer(world, &mut events, command),
            Deed::Time(at) => {
                let lead = self.scenario.lead_ms;
                world.set_clock(FakeClock::at_ms(at - lead).with_lead_ms(lead));
                Ok(ServerAnswer::Done)
            }
        };
        (received, events)
    }

    /// An order may leave the index of due orders only after its bell has expired.
    fn check_bells(
        &self,
        state: &mut ExplorerState,
        before: &DatabaseView,
        command: &ScriptRequest,
        events: &[Event],
    ) {
        if !matches!(command, ScriptRequest::PromoteDue | ScriptRequest::Claim { .. }) {
            return;
        }
        let after = Arc::clone(&state.view);
        for (order, (old, new)) in before.orders.iter().zip(&after.orders).enumerate() {
            let left = old.due.is_some() && new.due.is_none();
            let delivery = self.names.bell_of(order);
            if left && new.head.is_some() {
                // No courier in the model receives events: it finds everything by polling.
                state.entered.push(Window::Unheard);
            }
            if left && old.bell && !events.iter().any(|event| event.expired_key() == Some(delivery)) {
                state.found(check::INDEXES, || format!("order {order} was promoted before its bell expired"));
            }
        }
    }
}

impl Hash for ExplorerState {
    /// The fingerprint computed when the state was created.
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        hasher.write_u64(self.fingerprint);
    }
}

impl PartialEq for ExplorerState {
    fn eq(&self, other: &Self) -> bool {
        self.fingerprint == other.fingerprint
    }
}

macro_rules! properties {
    ($($at:literal)*) => {
        vec![$(Property::always(PROPERTIES[$at], |model: &Explorer, state: &ExplorerState| {
            state.fault.as_ref().is_none_or(|fault| fault.property != PROPERTIES[$at] || !model.is_first(state))
        }),)*]
    };
}

impl Model for Explorer {
    type State = ExplorerState;
    type Action = Step;

    fn init_states(&self) -> Vec<ExplorerState> {
        let mut state = self.first();
        self.check_completion(&mut state);
        state.fingerprint = canonical::fingerprint(self, &state);
        vec![state]
    }

    fn actions(&self, state: &ExplorerState, actions: &mut Vec<Step>) {
        if self.until.is_none_or(|until| Instant::now() < until) {
            self.possible(state, actions);
        }
    }

    fn next_state(&self, last: &ExplorerState, action: Step) -> Option<ExplorerState> {
        let mut state = last.clone();
        if !self.advance(&mut state, &action) {
            return None;
        }
        if !Arc::ptr_eq(&last.view, &state.view) {
            self.check_completion(&mut state);
        }
        self.counts.add(&state.entered);
        state.fingerprint = canonical::fingerprint(self, &state);
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        properties![0 1 2 3 4 5 6 7 8 9 10 11 12]
    }
}
