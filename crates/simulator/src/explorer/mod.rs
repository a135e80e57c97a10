//! How the protocol is explored: what one state of the system is, and what can happen in it.
//!
//! The scripts themselves run ([`Script`](crate::Script) on a [`World`]); only what is around
//! them is modelled. `tests/explorer_scaffold.rs` shows the pattern on a toy protocol, with a mutant that
//! is caught. [`suite`] holds what is explored to its end, [`walk`] goes at random through what is far too large for
//! that, [`mutants`] shows that a missing guard is found out. By hand: the example `explore`.
//!
//! # A state
//!
//! | part | what it holds | why |
//! |---|---|---|
//! | world | the whole database with its clock | the scripts decide on nothing else |
//! | couriers | per courier: what its memory holds | a crash empties the memory and nothing else |
//! | late | requests on their way | a request may arrive late, twice, or its reply never |
//! | truth | per row: attempts the provider took | the outside truth that the history is compared with |
//! | left | crashes, lost replies, late copies, refusals that are left | they make the space finite, and the figures say which |
//! | ghosts | what was ever told as unknown; a defect, if a run ended in one | properties look at one state only, so the past must stand in it |
//!
//! A state is `Clone + PartialEq + Hash + Debug + Send + Sync`. Only content is hashed, never an address;
//! collections are ordered. A list whose order means nothing (requests on their way) is kept sorted, so
//! that the same situation is one state. [`World`] does its part: a copy costs one count, a
//! write copies the map of keys and the value written.
//!
//! # What can happen
//!
//! - **A courier acts**: sends its next request, or gives rows to the provider. It may always ask (its timer), so
//!   hearing an event adds no behaviour: in the model every event is lost, and nothing may depend on one. That each
//!   due order is announced is a property of its own.
//! - **A request arrives**: its script runs whole, because scripts are atomic, and its sender hears the reply. That it is
//!   slow to arrive is no action of its own: its sender might as well have paused before.
//! - **A second copy** stays on its way, in the budget of copies, and arrives at any later point; or the first one does,
//!   when its sender died meanwhile.
//! - **A reply is lost**: the courier repeats the same request.
//! - **The provider answers**: accepted, refused for later, refused for good, nothing at all. Each is an
//!   action of its own.
//! - **A crash**: the courier's memory goes, and another takes its place under a new id.
//! - **A pause** needs no action: a courier that does not act is paused, for as long as time moves.
//! - **Time**: the clock jumps to the next instant that a script can tell apart (an end of a lease or of a send, the end
//!   of a wait, a due time or the millisecond after it), found in the world's own indexes, never by a small step: states
//!   that differ only in idle milliseconds would never meet again. Jumps have no budget.
//!
//! Not modelled: memory full, a wiped or rolled-back database, keys lost without a word. Tests on real servers do that.
//!
//! # Rules of the checker (stateright 0.31)
//!
//! - `Model::actions` must give the same actions in the same order for the same state, and `next_state` the
//!   same result: paths are stored as indices and played again. `None` means that nothing changed.
//! - Properties are plain functions, so everything they need is in the model or the state.
//! - `eventually` is not sound where paths meet or turn in a circle, by its own documentation. "Nothing is
//!   stuck" is therefore an `always` over every state: should every process die and every request on its way be
//!   lost, one healthy courier and the passing of time bring every row to its end; and whatever is not final is
//!   in an index.
//! - That each ambiguous window was entered is counted ([`windows`]), because a count says more than `sometimes`.
//! - `next_state` cannot fail: a [`RunError`](crate::RunError) goes into the state and an `always` refuses
//!   it.
//! - A run ends with the first broken property (`finish_when(HasDiscoveries::AnyFailures)`); with properties that all
//!   hold it goes to the end. The checker would keep the last broken state of a block of 1,500: the model shows it the
//!   first alone, so that with one thread the path to it is the shortest.
//! - `is_done` is also true after a time limit or a target count. A run counts as exhaustive only if it had
//!   neither ([`report::Report::exhaustive`]).
//! - Fingerprints have 64 bits: for ten million states the chance of one being mistaken for another is 3 in
//!   a million. A test holds states of one fingerprint to have the same followers.
//! - Couriers of one channel are alike, and so are the rows of a parcel: states that differ by their names are one. Time
//!   and fences count by what can be told apart, so that nothing grows for ever.
//! - A call on a database met before is recalled instead of run: scripts are functions of the two.

pub mod action;
mod blame;
mod canon;
pub mod check;
pub mod command;
mod complete;
mod elsewhere;
mod memo;
pub mod mutants;
pub mod report;
pub mod scenario;
pub mod state;
mod step;
pub mod suite;
pub mod view;
pub mod walk;
pub mod windows;

use std::hash::{Hash, Hasher};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use stateright::{Model, Property};

use crate::world::{Class, Classes, Clock, Event, Flavour};
use crate::{Scripts, World};
use action::Action;
use canon::Naming;
use check::PROPERTIES;
use command::{CallFault, Command, Heard, Server};
use memo::{Deed, Outcome};
use scenario::{EPOCH, START_MS, Scenario};
use state::{Courier, State, Truth};
use view::{Names, View};
use windows::{Counts, Window};

/// A scenario with the scripts to run it on: the model that the checker explores.
#[derive(Debug)]
pub struct Explorer {
    /// What is explored.
    pub scenario: Scenario,
    /// How often each window was entered.
    pub counts: Arc<Counts>,
    scripts: Scripts,
    names: Names,
    namings: Vec<Naming>,
    known: Arc<complete::Known>,
    memo: Arc<memo::Memo>,
    first_fault: OnceLock<u64>,
    /// After this moment nothing more follows any state. The checker's own limit is looked at between threads only.
    until: Option<Instant>,
}

impl Explorer {
    /// The exploration of a scenario with these scripts: the protocol's own, or mutants of them.
    #[must_use]
    pub fn new(scenario: Scenario, scripts: Scripts) -> Self {
        let rows = match &scenario.parcels[..] {
            [only] => usize::try_from(only.rows).ok(),
            _ => None,
        };
        let namings = Naming::all(rows, &scenario.couriers);
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

    /// Whether this is the first broken state that was met. The checker keeps the last one of each property, and the first
    /// has the shortest way to it.
    fn is_first(&self, state: &State) -> bool {
        *self.first_fault.get_or_init(|| state.fingerprint) == state.fingerprint
    }

    /// How many different databases were brought to their end by a healthy courier.
    #[must_use]
    pub fn databases(&self) -> usize {
        self.known.len()
    }

    /// The state before anything happens: orders accepted, couriers idle.
    #[must_use]
    pub fn first(&self) -> State {
        let s = &self.scenario;
        let classes = Classes::NONE.with(Class::Expired);
        let clock = Clock::at_ms(START_MS - s.lead_ms).with_lead_ms(s.lead_ms);
        let mut world = World::new(Flavour::Redis70, clock).watching(classes);
        let set = world.call(&["SET", &s.keys.epoch(), EPOCH]);
        let view = Arc::new(View::read(s, &self.names, &world));
        let rows = |parcel: &scenario::ParcelSpec| vec![Truth::default(); parcel.rows as usize];
        let mut state = State {
            world,
            view,
            couriers: s.couriers.iter().map(|channel| Courier::new(*channel, 0)).collect(),
            resolvers: vec![None; s.channels.len()],
            late: Vec::new(),
            truth: s.parcels.iter().map(rows).collect(),
            retired: vec![false; s.orders.len()],
            left: s.budgets,
            fault: None,
            fingerprint: 0,
            entered: Vec::new(),
            place: None,
        };
        if !s.wide {
            state.place = Some(self.memo.place(&state.world, |world| View::read(s, &self.names, world)));
        }
        if let Err(fault) = set {
            state.found(check::ANSWERS, || format!("{fault:?}"));
        }
        for order in (0..s.orders.len()).filter(|order| s.orders[*order].accepted) {
            self.run(&mut state, &Command::Enqueue { order });
        }
        self.check_state(&mut state);
        state
    }

    /// Takes a step and checks everything. False if nothing came of it.
    pub fn advance(&self, state: &mut State, action: &Action) -> bool {
        let before = Arc::clone(&state.view);
        if !self.take(state, action) {
            return false;
        }
        if !Arc::ptr_eq(&before, &state.view) {
            self.check_state(state);
        }
        true
    }

    /// Checks that a healthy courier alone brings every row to its end.
    pub fn check_completion(&self, state: &mut State) {
        if state.fault.is_none()
            && let Err(text) = self.completes(&state.world, &state.view)
        {
            state.found(check::COMPLETES, || text);
        }
    }

    /// Makes a call and looks at what it changed. Nothing is heard of a call that failed.
    fn run(&self, state: &mut State, command: &Command) -> Option<Heard> {
        let before = Arc::clone(&state.view);
        let old = self.is_answered(state, command);
        let due_before = self.due_of_old_move(state, command);
        let done = self.perform(state, Deed::Call(command.clone()));
        self.check_change(state, &before, Some(command));
        self.check_bells(state, &before, command, &done.events);
        self.check_answer(state, command, done.heard.as_ref().ok());
        if due_before.is_some_and(|(order, due)| state.view.orders[order].due != due) {
            state.found(check::OLD, || format!("{command:?}"));
        }
        if old && state.view.parcels.iter().zip(&before.parcels).any(|(new, old)| new.lease != old.lease) {
            state.found(check::OLD, || format!("{command:?}"));
        }
        done.heard
            .clone()
            .map_err(|fault| state.found(check::ANSWERS, || format!("{command:?}: {fault}")))
            .ok()
    }

    fn server(&self) -> Server<'_> {
        Server { scenario: &self.scenario, scripts: &self.scripts, epoch: EPOCH }
    }

    /// Whether this claim was answered before, or a later one of the same courier.
    fn is_answered(&self, state: &State, command: &Command) -> bool {
        let Command::Claim { courier, life, number, .. } = command else { return false };
        let channel = self.scenario.couriers[*courier];
        let last = self.names.request(&state.world, channel, *courier, *life);
        last.is_some_and(|(last, ..)| *number <= last)
    }

    /// When an order is due that a command would move too late: its time has come, or it is not what it was.
    fn due_of_old_move(&self, state: &State, command: &Command) -> Option<(usize, Option<i64>)> {
        let Command::Move { order, revision, .. } = command else { return None };
        let due = state.view.orders[*order].due;
        let come = due.is_some_and(|due| due <= state.view.now);
        let old = come || self.names.revision(&state.world, *order) != *revision;
        old.then_some((*order, due))
    }

    /// Does something to the database and looks at it again, or recalls what that did before.
    fn perform(&self, state: &mut State, deed: Deed) -> Arc<Outcome> {
        let look = |world: &World| View::read(&self.scenario, &self.names, world);
        let place = state.place.take();
        let (outcome, view) = match &place {
            Some(place) => {
                let (outcome, after) = self.memo.recall(place, &deed).unwrap_or_else(|| {
                    let (heard, events) = self.perform_on(&mut state.world, &deed);
                    let after = self.memo.place(&state.world, look);
                    (self.memo.remember(place, deed, heard, events, &after), after)
                });
                state.world = after.world.clone();
                let view = Arc::clone(&after.view);
                state.place = Some(after);
                (outcome, view)
            }
            None => {
                let (heard, events) = self.perform_on(&mut state.world, &deed);
                (Arc::new(Outcome::passing(heard, events)), Arc::new(look(&state.world)))
            }
        };
        if !Arc::ptr_eq(&view, &state.view) && view != state.view {
            state.view = view;
        }
        outcome
    }

    fn perform_on(&self, world: &mut World, deed: &Deed) -> (Result<Heard, CallFault>, Vec<Event>) {
        let mut events = Vec::new();
        let heard = match deed {
            Deed::Call(command) => self.server().answer(world, &mut events, command),
            Deed::Time(at) => {
                let lead = self.scenario.lead_ms;
                world.set_clock(Clock::at_ms(at - lead).with_lead_ms(lead));
                Ok(Heard::Done)
            }
        };
        (heard, events)
    }

    /// An order leaves the index of due orders only when its bell has rung.
    fn check_bells(&self, state: &mut State, before: &View, command: &Command, events: &[Event]) {
        if !matches!(command, Command::Ring | Command::Claim { .. }) {
            return;
        }
        let after = Arc::clone(&state.view);
        for (order, (old, new)) in before.orders.iter().zip(&after.orders).enumerate() {
            let left = old.due.is_some() && new.due.is_none();
            let delivery = self.names.delivery(order);
            if left && new.head.is_some() {
                // No courier of the model hears events: whatever it finds, it finds by asking.
                state.entered.push(Window::Unheard);
            }
            if left && old.bell && !events.iter().any(|event| event.expired_key() == Some(delivery)) {
                state.found(check::INDEXES, || format!("order {order} was rung without its bell"));
            }
        }
    }
}

impl Hash for State {
    /// The fingerprint made when the state was.
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        hasher.write_u64(self.fingerprint);
    }
}

impl PartialEq for State {
    fn eq(&self, other: &Self) -> bool {
        self.fingerprint == other.fingerprint
    }
}

macro_rules! properties {
    ($($at:literal)*) => {
        vec![$(Property::always(PROPERTIES[$at], |model: &Explorer, state: &State| {
            state.fault.as_ref().is_none_or(|fault| fault.property != PROPERTIES[$at] || !model.is_first(state))
        }),)*]
    };
}

impl Model for Explorer {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let mut state = self.first();
        self.check_completion(&mut state);
        state.fingerprint = canon::fingerprint(self, &state);
        vec![state]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if self.until.is_none_or(|until| Instant::now() < until) {
            self.possible(state, actions);
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        if !self.advance(&mut state, &action) {
            return None;
        }
        if !Arc::ptr_eq(&last.view, &state.view) {
            self.check_completion(&mut state);
        }
        self.counts.add(&state.entered);
        state.fingerprint = canon::fingerprint(self, &state);
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        properties![0 1 2 3 4 5 6 7 8 9 10 11 12]
    }
}
