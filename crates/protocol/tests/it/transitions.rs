//! The table of state × event → state on a real server: every cell, and that any other event changes nothing.

use posthaste_model::transition::{TABLE, next};
use posthaste_model::{DeliveryEvent, OutcomeKind, Priority, Reason, State, UnixMs};
use posthaste_protocol::record::DeliveryRecord;
use posthaste_protocol::scripts::ParcelRef;
use posthaste_protocol::scripts::apply_receipt::{ApplyReceipt, ReceiptStatus};
use posthaste_protocol::scripts::cancel::Cancel;
use posthaste_protocol::scripts::list_in_doubt::{DoubtIndex, ListInDoubt};
use posthaste_protocol::scripts::release::Release;
use posthaste_protocol::scripts::resolve::{Decision, Resolve};

use crate::db::Db;
use crate::order::{Courier, Order, SPAN, report};
use crate::snapshot::Snapshot;

/// The attempt recorded for the delivery under test; the one before it was retried.
const ATTEMPT: u8 = 2;

/// An order of two deliveries. Delivery 0 is under test; delivery 1 keeps the parcel open where the state allows it.
struct Case<'a> {
    db: &'a Db,
    order: Order,
    courier: Courier<'a>,
    /// The parcel as it was last claimed.
    parcel: ParcelRef,
}

impl<'a> Case<'a> {
    /// Brings delivery 0 into a state, using only the scripts.
    fn reach(db: &'a Db, big: bool, state: State) -> Self {
        db.reset();
        let order = Order::of_layout(big, "u1:5").deliveries(2);
        order.accept(db);
        let courier = Courier::new(db, "c1");
        let parcel = courier.claim_one();
        let case = Self { db, order, courier, parcel };
        case.courier.begun(&case.parcel, &[(0, 1)]);
        case.courier.settle(&case.parcel, false, &[report(0, 1, OutcomeKind::Retry)]);
        case.courier.begun(&case.parcel, &[(0, ATTEMPT)]);
        let settle = |outcome| drop(case.courier.settle(&case.parcel, true, &[report(0, ATTEMPT, outcome)]));
        match state {
            State::Sending => {}
            State::Pending => settle(OutcomeKind::NotSent),
            State::Sent => settle(OutcomeKind::Sent),
            State::Delivered => settle(OutcomeKind::Delivered),
            State::Failed => settle(OutcomeKind::Failed),
            State::Suppressed => settle(OutcomeKind::Suppressed),
            State::Unresolved => settle(OutcomeKind::Unknown),
            State::Unknown => {
                settle(OutcomeKind::Unknown);
                case.resolve(Decision::Hold(Reason::NotRetried));
            }
            State::Expired => {
                settle(OutcomeKind::NotSent);
                case.expire();
            }
            State::Cancelled => {
                settle(OutcomeKind::NotSent);
                case.cancel();
            }
        }
        assert_eq!(case.state(), state);
        db.check_invariants();
        case
    }

    fn state(&self) -> State {
        self.order.delivery(self.db, 0).state
    }

    fn resolve(&self, decision: Decision) {
        let (parcel_id, decisions) = (self.order.parcel_id(0), [(0, ATTEMPT, decision)]);
        let (keys, channel) = (&self.db.keys, &self.courier.channel);
        self.db.reply(&Resolve { keys, channel, parcel_id: &parcel_id, decisions: &decisions });
    }

    fn receipt(&self, word: ReceiptStatus, attempt: u8) {
        let (keys, channel, parcel_id) = (&self.db.keys, &self.courier.channel, &self.order.parcel_id(0));
        self.db.reply(&ApplyReceipt {
            keys,
            channel,
            parcel_id,
            delivery: 0,
            attempt,
            status: word,
            reason: Reason::None.into(),
        });
    }

    /// Cancels, and lets a claim or the lease holder reach the deliveries.
    fn cancel(&self) {
        self.db.reply(&Cancel { keys: &self.db.keys, order_id: &self.order.order_id });
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
            self.db.raw(&["HSET", &key, &self.parcel.parcel_id.to_string(), &format!("2 {now}")]);
        }
        self.courier.crash();
    }

    /// Applies an event. `false` for events that no script can express.
    fn happen(&mut self, event: DeliveryEvent) -> bool {
        let settle = |me: &Self, attempt, outcome| {
            drop(me.courier.settle(&me.parcel, false, &[report(0, attempt, outcome)]));
        };
        match event {
            DeliveryEvent::Begin => {
                self.hold();
                self.courier.begin(&self.parcel, &[(0, ATTEMPT + 1)]);
            }
            DeliveryEvent::Settle(outcome) => settle(self, ATTEMPT, outcome),
            DeliveryEvent::Evidence(outcome) => settle(self, ATTEMPT - 1, outcome),
            DeliveryEvent::Receipt(OutcomeKind::Sent) => self.receipt(ReceiptStatus::Sent, ATTEMPT),
            DeliveryEvent::Receipt(OutcomeKind::Delivered) => self.receipt(ReceiptStatus::Delivered, ATTEMPT),
            DeliveryEvent::Receipt(OutcomeKind::Failed) => self.receipt(ReceiptStatus::Failed, ATTEMPT),
            DeliveryEvent::Receipt(_) => return false,
            DeliveryEvent::ResolveRetry => self.resolve(Decision::Retry),
            DeliveryEvent::ResolveRepeat => self.resolve(Decision::Repeat),
            DeliveryEvent::ResolveHold => self.resolve(Decision::Hold(Reason::NotRetried)),
            DeliveryEvent::Resolve(outcome) if next(State::Unresolved, event).is_some() => {
                self.resolve(Decision::Found(outcome, Reason::None.into()));
            }
            DeliveryEvent::Resolve(_) => return false,
            DeliveryEvent::LeaseOver => {
                self.hold();
                self.courier.crash();
            }
            DeliveryEvent::Cancel => self.cancel(),
            DeliveryEvent::Expire => self.expire(),
            DeliveryEvent::GiveUp => self.give_up(),
            DeliveryEvent::EndRepeated => return false,
            DeliveryEvent::InDoubt => self.doubt(),
        }
        true
    }

    /// Ends deliveries that may have been begun in a lost period.
    fn doubt(&self) {
        let (keys, channel, halted) = (&self.db.keys, &self.courier.channel, self.db.now());
        let ready = |priority| DoubtIndex::Ready { priority, from: UnixMs(0) };
        for index in [
            DoubtIndex::Leased,
            DoubtIndex::Unresolved,
            DoubtIndex::Parked,
            ready(Priority::Urgent),
            ready(Priority::Bulk),
        ] {
            // Deliveries waiting to be sent again are in doubt as well, as the halt is set to a day later.
            let halted = UnixMs(halted.0 + 86_400_000);
            self.db.reply(&ListInDoubt { keys, channel, index, halted, end: true, from: 0, limit: 9 });
        }
    }
}

fn all_events() -> Vec<DeliveryEvent> {
    let of_outcomes = |event: fn(OutcomeKind) -> DeliveryEvent| OutcomeKind::ALL.map(event);
    let mut events = vec![
        DeliveryEvent::Begin,
        DeliveryEvent::ResolveRetry,
        DeliveryEvent::ResolveRepeat,
        DeliveryEvent::ResolveHold,
    ];
    events.extend([
        DeliveryEvent::LeaseOver,
        DeliveryEvent::Cancel,
        DeliveryEvent::Expire,
        DeliveryEvent::GiveUp,
        DeliveryEvent::EndRepeated,
    ]);
    events.push(DeliveryEvent::InDoubt);
    for event in
        [DeliveryEvent::Settle, DeliveryEvent::Evidence, DeliveryEvent::Receipt, DeliveryEvent::Resolve]
    {
        events.extend(of_outcomes(event));
    }
    events
}

/// Events that touch only delivery 0: where the table has no cell, no key changes at all.
fn is_report(event: DeliveryEvent) -> bool {
    use DeliveryEvent::{Evidence, Receipt, Resolve, ResolveHold, ResolveRepeat, ResolveRetry, Settle};
    matches!(
        event,
        Settle(_) | Evidence(_) | Receipt(_) | Resolve(_) | ResolveRetry | ResolveRepeat | ResolveHold
    )
}

/// The expected state, and whether the delivery changes.
fn expected(state: State, event: DeliveryEvent) -> Option<State> {
    match event {
        // A courier whose attempt is recorded and closed: its report counts as evidence.
        DeliveryEvent::Settle(outcome)
            if !matches!(state, State::Sending | State::Unresolved | State::Unknown) =>
        {
            next(state, DeliveryEvent::Evidence(outcome))
        }
        // Giving up a parcel begins with the end of its lease.
        DeliveryEvent::GiveUp if state == State::Sending => next(state, DeliveryEvent::LeaseOver),
        _ => next(state, event),
    }
}

fn try_all(big: bool, states: &[State]) {
    let db = Db::start();
    let mut tried = 0;
    for state in states {
        for event in all_events() {
            let mut case = Case::reach(&db, big, *state);
            let (before, delivery) = (db.snapshot(), reported(&case));
            if !case.happen(event) {
                continue;
            }
            tried += 1;
            let name = format!("{state:?} × {event:?}");
            match expected(*state, event) {
                Some(to) => assert_eq!(case.state(), to, "{name}"),
                None if is_report(event) => assert_same(&db, &before, &name),
                None => assert_eq!(reported(&case), delivery, "{name}"),
            }
            let faults = db.faults();
            assert!(faults.is_empty(), "{name}: {faults:#?}");
        }
    }
    assert_eq!(tried, states.len() * 31, "events tried on each state");
}

/// Everything a record says about delivery 0; times count from the due time.
fn reported(case: &Case<'_>) -> DeliveryRecord {
    let (mut delivery, due) = (case.order.delivery(case.db, 0), case.order.head(case.db).due.0);
    delivery.changed.0 -= due;
    delivery.not_before = delivery.not_before.map(|at| UnixMs(at.0 - due));
    delivery
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
fn a_delivery_that_waits_for_its_repeat_ends_as_unknown() {
    let db = Db::start();
    for big in [false, true] {
        for event in [DeliveryEvent::Cancel, DeliveryEvent::Expire, DeliveryEvent::GiveUp] {
            let mut case = Case::reach(&db, big, State::Unresolved);
            case.resolve(Decision::Retry);
            assert_eq!(case.state(), State::Pending);
            case.happen(event);
            assert_eq!(Some(case.state()), next(State::Pending, DeliveryEvent::EndRepeated), "{event:?}");
            let ballast = next(State::Pending, event).expect("a cell");
            assert_eq!(case.order.delivery(&db, 1).state, ballast, "{event:?}");
            db.check_invariants();
        }
    }
}

#[test]
fn every_event_of_the_table_is_tried() {
    let events = all_events();
    assert!(TABLE.iter().all(|(_, event, _)| events.contains(event)));
}
