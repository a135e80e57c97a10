//! The table of state × event → state on a real server: every cell of it, and that whatever is not in it changes nothing.

use posthaste_model::transition::{TABLE, next};
use posthaste_model::{Event, Lane, Reason, State, UnixMs, Verdict};
use posthaste_protocol::record::RowOutcome;
use posthaste_protocol::scripts::ParcelRef;
use posthaste_protocol::scripts::cancel::Cancel;
use posthaste_protocol::scripts::doubt::{Doubt, DoubtIndex};
use posthaste_protocol::scripts::receipt::{Receipt, Word};
use posthaste_protocol::scripts::release::Release;
use posthaste_protocol::scripts::resolve::{Decision, Resolve};

use crate::db::Db;
use crate::order::{Courier, Order, SPAN, report};
use crate::snapshot::Snapshot;

/// The attempt recorded for the row under test; the one before it was retried.
const ATTEMPT: u8 = 2;

/// An order of two rows. Row 0 is under test; row 1 keeps the parcel alive where the state allows it.
struct Case<'a> {
    db: &'a Db,
    order: Order,
    courier: Courier<'a>,
    /// The parcel as it was last claimed.
    parcel: ParcelRef,
}

impl<'a> Case<'a> {
    /// Brings row 0 into a state, through the scripts alone.
    fn reach(db: &'a Db, big: bool, state: State) -> Self {
        db.reset();
        let order = Order::of_layout(big, "u1:5").rows(2);
        order.accept(db);
        let courier = Courier::new(db, "c1");
        let parcel = courier.claim_one();
        let case = Self { db, order, courier, parcel };
        case.courier.begun(&case.parcel, &[(0, 1)]);
        case.courier.settle(&case.parcel, false, &[report(0, 1, Verdict::Retry)]);
        case.courier.begun(&case.parcel, &[(0, ATTEMPT)]);
        let settle = |verdict| drop(case.courier.settle(&case.parcel, true, &[report(0, ATTEMPT, verdict)]));
        match state {
            State::Sending => {}
            State::Pending => settle(Verdict::NotSent),
            State::Sent => settle(Verdict::Sent),
            State::Delivered => settle(Verdict::Delivered),
            State::Failed => settle(Verdict::Failed),
            State::Suppressed => settle(Verdict::Suppressed),
            State::Unresolved => settle(Verdict::Unknown),
            State::Unknown => {
                settle(Verdict::Unknown);
                case.resolve(Decision::Hold(Reason::Held));
            }
            State::Expired => {
                settle(Verdict::NotSent);
                case.expire();
            }
            State::Cancelled => {
                settle(Verdict::NotSent);
                case.cancel();
            }
        }
        assert_eq!(case.state(), state);
        db.sound();
        case
    }

    fn state(&self) -> State {
        self.order.row(self.db, 0).state
    }

    fn resolve(&self, decision: Decision) {
        let (member, decisions) = (self.order.member(0), [(0, ATTEMPT, decision)]);
        let (keys, channel) = (&self.db.keys, &self.courier.channel);
        self.db.reply(&Resolve { keys, channel, member: &member, decisions: &decisions });
    }

    fn receipt(&self, word: Word, attempt: u8) {
        let (keys, channel, member) = (&self.db.keys, &self.courier.channel, &self.order.member(0));
        self.db.reply(&Receipt { keys, channel, member, row: 0, attempt, word, reason: Reason::None });
    }

    /// Cancels, and lets claim or the holder of the lease meet the rows.
    fn cancel(&self) {
        self.db.reply(&Cancel { keys: &self.db.keys, suffix: &self.order.suffix });
        self.meet();
    }

    fn expire(&self) {
        self.db.later(SPAN);
        self.meet();
    }

    fn meet(&self) {
        assert!(self.courier.claim().is_empty());
        let (keys, channel, parcels) =
            (&self.db.keys, &self.courier.channel, std::slice::from_ref(&self.parcel));
        self.db.reply(&Release { keys, channel, wait: Default::default(), parcels });
    }

    /// Takes the parcel again if it is ready.
    fn hold(&mut self) {
        if let Some(parcel) = self.courier.claim().pop() {
            self.parcel = parcel;
        }
    }

    fn give_up(&mut self) {
        self.hold();
        let (key, now) = (self.db.keys.crashes(&self.courier.channel), self.db.now().0);
        let leased = self.db.snapshot().sorted(&self.db.keys.leased(&self.courier.channel));
        if !leased.is_empty() {
            self.db.raw(&["HSET", &key, &self.parcel.member.to_string(), &format!("2 {now}")]);
        }
        self.courier.crash();
    }

    /// Lets an event happen. `false` for those that nothing can express.
    fn happen(&mut self, event: Event) -> bool {
        let settle = |me: &Self, attempt, verdict| {
            drop(me.courier.settle(&me.parcel, false, &[report(0, attempt, verdict)]));
        };
        match event {
            Event::Begin => {
                self.hold();
                self.courier.begin(&self.parcel, &[(0, ATTEMPT + 1)]);
            }
            Event::Settle(verdict) => settle(self, ATTEMPT, verdict),
            Event::Evidence(verdict) => settle(self, ATTEMPT - 1, verdict),
            Event::Receipt(Verdict::Sent) => self.receipt(Word::Sent, ATTEMPT),
            Event::Receipt(Verdict::Delivered) => self.receipt(Word::Delivered, ATTEMPT),
            Event::Receipt(Verdict::Failed) => self.receipt(Word::Failed, ATTEMPT),
            Event::Receipt(_) => return false,
            Event::ResolveRetry => self.resolve(Decision::Retry),
            Event::ResolveRepeat => self.resolve(Decision::Repeat),
            Event::ResolveHold => self.resolve(Decision::Hold(Reason::Held)),
            Event::Resolve(verdict) if next(State::Unresolved, event).is_some() => {
                self.resolve(Decision::Found(verdict, Reason::None));
            }
            Event::Resolve(_) => return false,
            Event::LeaseOver => {
                self.hold();
                self.courier.crash();
            }
            Event::Cancel => self.cancel(),
            Event::Expire => self.expire(),
            Event::GiveUp => self.give_up(),
            Event::EndRepeated => return false,
            Event::InDoubt => self.doubt(),
        }
        true
    }

    /// Ends what may have been begun in a span that was lost.
    fn doubt(&self) {
        let (keys, channel, halted) = (&self.db.keys, &self.courier.channel, self.db.now());
        let ready = |lane| DoubtIndex::Ready { lane, from: UnixMs(0) };
        for index in [
            DoubtIndex::Leased,
            DoubtIndex::Unresolved,
            DoubtIndex::Parked,
            ready(Lane::Urgent),
            ready(Lane::Bulk),
        ] {
            // Rows that wait to be sent again are in doubt as well, for all that is known here.
            let halted = UnixMs(halted.0 + 86_400_000);
            self.db.reply(&Doubt { keys, channel, index, halted, end: true, from: 0, limit: 9 });
        }
    }
}

fn all_events() -> Vec<Event> {
    let of_verdicts = |event: fn(Verdict) -> Event| Verdict::ALL.map(event);
    let mut events = vec![Event::Begin, Event::ResolveRetry, Event::ResolveRepeat, Event::ResolveHold];
    events.extend([Event::LeaseOver, Event::Cancel, Event::Expire, Event::GiveUp, Event::EndRepeated]);
    events.push(Event::InDoubt);
    for event in [Event::Settle, Event::Evidence, Event::Receipt, Event::Resolve] {
        events.extend(of_verdicts(event));
    }
    events
}

/// Events that touch row 0 alone: where the table names no cell, no key changes at all.
fn is_report(event: Event) -> bool {
    use Event::{Evidence, Receipt, Resolve, ResolveHold, ResolveRepeat, ResolveRetry, Settle};
    matches!(
        event,
        Settle(_) | Evidence(_) | Receipt(_) | Resolve(_) | ResolveRetry | ResolveRepeat | ResolveHold
    )
}

/// The state to be found, and whether the row changes.
fn expected(state: State, event: Event) -> Option<State> {
    match event {
        // A courier whose attempt is recorded, but closed: what it says counts as evidence.
        Event::Settle(verdict) if !matches!(state, State::Sending | State::Unresolved | State::Unknown) => {
            next(state, Event::Evidence(verdict))
        }
        // Giving a parcel up begins with the end of its lease.
        Event::GiveUp if state == State::Sending => next(state, Event::LeaseOver),
        _ => next(state, event),
    }
}

fn try_all(big: bool, states: &[State]) {
    let db = Db::start();
    let mut tried = 0;
    for state in states {
        for event in all_events() {
            let mut case = Case::reach(&db, big, *state);
            let (before, row) = (db.snapshot(), told(&case));
            if !case.happen(event) {
                continue;
            }
            tried += 1;
            let name = format!("{state:?} × {event:?}");
            match expected(*state, event) {
                Some(to) => assert_eq!(case.state(), to, "{name}"),
                None if is_report(event) => assert_same(&db, &before, &name),
                None => assert_eq!(told(&case), row, "{name}"),
            }
            let faults = db.faults();
            assert!(faults.is_empty(), "{name}: {faults:#?}");
        }
    }
    assert_eq!(tried, states.len() * 32, "events tried on each state");
}

/// All a record says of row 0; moments count from the due time.
fn told(case: &Case<'_>) -> RowOutcome {
    let (mut row, due) = (case.order.row(case.db, 0), case.order.head(case.db).due.0);
    row.changed.0 -= due;
    row.not_before = row.not_before.map(|at| UnixMs(at.0 - due));
    row
}

#[track_caller]
fn assert_same(db: &Db, before: &Snapshot, name: &str) {
    let after = db.snapshot();
    assert!(after == *before, "{name}: {:#?}", after.since(before, &[]));
}

#[test]
fn every_cell_of_an_inline_order() {
    try_all(false, &State::ALL);
}

#[test]
fn every_cell_of_a_big_order() {
    try_all(true, &State::ALL);
}

#[test]
fn a_row_that_waits_for_its_repeat_ends_as_unknown() {
    let db = Db::start();
    for big in [false, true] {
        for event in [Event::Cancel, Event::Expire, Event::GiveUp] {
            let mut case = Case::reach(&db, big, State::Unresolved);
            case.resolve(Decision::Retry);
            assert_eq!(case.state(), State::Pending);
            case.happen(event);
            assert_eq!(Some(case.state()), next(State::Pending, Event::EndRepeated), "{event:?}");
            let ballast = next(State::Pending, event).expect("a cell");
            assert_eq!(case.order.row(&db, 1).state, ballast, "{event:?}");
            db.sound();
        }
    }
}

#[test]
fn every_event_of_the_table_is_tried() {
    let events = all_events();
    assert!(TABLE.iter().all(|(_, event, _)| events.contains(event)));
}
