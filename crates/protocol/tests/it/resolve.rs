//! `claim_unresolved`, `resolve` and `apply_receipt`: what happens to unknown deliveries, and late receipts.

use std::time::Duration;

use posthaste_model::{OutcomeKind, Reason, State, UnixMs};
use posthaste_protocol::scripts::apply_receipt::{ApplyReceipt, ReceiptStatus};
use posthaste_protocol::scripts::cancel::Cancel;
use posthaste_protocol::scripts::claim_unresolved::{ClaimUnresolved, UnresolvedParcels};
use posthaste_protocol::scripts::resolve::{Decided, Decision, Resolve, Resolved};
use posthaste_protocol::scripts::settle::Reported;

use crate::db::{Db, Step};
use crate::order::{Courier, Order, SPAN, WINDOW, report};

const PUT_OFF: Duration = Duration::from_secs(60);

/// An order whose deliveries are unresolved under attempt 1, because their courier died.
fn unresolved(db: &Db, big: bool, deliveries: u32) -> (Order, Courier<'_>) {
    let order = Order::of_layout(big, "u1:5").deliveries(deliveries).accept(db).clone();
    let courier = Courier::new(db, "c1");
    let parcel = courier.claim_one();
    let all: Vec<_> = (0..u16::try_from(deliveries).expect("deliveries")).map(|i| (i, 1)).collect();
    courier.begun(&parcel, &all);
    assert_eq!(courier.crash().unresolved, u64::from(deliveries));
    (order, courier)
}

fn claim_unresolved<'a>(db: &'a Db, courier: &'a Courier<'_>) -> ClaimUnresolved<'a> {
    ClaimUnresolved { keys: &db.keys, channel: &courier.channel, limit: 200, put_off: PUT_OFF }
}

fn resolve(
    db: &Db,
    courier: &Courier<'_>,
    order: &Order,
    decisions: &[(u16, u8, Decision)],
) -> Step<Resolved> {
    let (keys, channel, parcel_id) = (&db.keys, &courier.channel, &order.parcel_id(0));
    db.step(&Resolve { keys, channel, parcel_id, decisions })
}

fn deliveries(step: &Step<Resolved>) -> Vec<Decided> {
    match &step.reply {
        Resolved::Ok { deliveries, .. } => deliveries.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_parcel_is_claimed_after_its_send_by_and_by_one_courier_at_a_time() {
    let db = Db::start();
    let (order, courier) = unresolved(&db, false, 1);
    let early = db.unchanged(&claim_unresolved(&db, &courier));
    assert!(early.parcel_ids.is_empty() && early.next.is_some());
    db.later(WINDOW);
    let before = db.snapshot().sorted("unresolved:{0}:email")["u1:5:0"];
    let step = db.step(&claim_unresolved(&db, &courier));
    let next = Some(UnixMs(step.now + 60_000));
    assert_eq!(step.reply, UnresolvedParcels { next, parcel_ids: vec![order.parcel_id(0)] });
    step.changed(&[("before", before)], &["~ unresolved:{0}:email u1:5:0: @before -> @now+60000"]);
    assert!(db.unchanged(&claim_unresolved(&db, &courier)).parcel_ids.is_empty());
    db.later(PUT_OFF);
    assert_eq!(
        db.reply(&claim_unresolved(&db, &courier)).parcel_ids.len(),
        1,
        "the courier that claimed it may have died"
    );
}

#[test]
fn an_unknown_is_repeated_once() {
    for big in [false, true] {
        let db = Db::start();
        let (order, courier) = unresolved(&db, big, 2);
        let retry = [(0, 1, Decision::Retry)];
        let step = resolve(&db, &courier, &order, &retry);
        assert_eq!(deliveries(&step), [Decided::Applied]);
        let outcome = if big { "outcome:{0}:u1:5:email:0" } else { "history:{0}:u1:5 o" };
        let change = format!(
            "~ {outcome}: 0/0/2 unresolved#1,courier_diedx2 -> \
             1/0/1 pending#1,repeated,courier_died unresolved#1,courier_died"
        );
        let mut expected = vec![
            change.as_str(),
            "+ ready:{0}:email:bulk u1:5:0: @now",
            "+ crashes:{0}:email u1:5:0: 0 @now",
            "~ history:{0}:u1:5 v: 2 -> 3",
        ];
        if big {
            expected.push("~ history:{0}:u1:5 c:email: unresolved=2 -> pending=1 unresolved=1");
        }
        step.changed(&[], &expected);
        db.again();
        let again = resolve(&db, &courier, &order, &retry);
        assert_eq!((deliveries(&again), again.changes), (vec![Decided::NothingNew], vec![]));
        db.check_invariants();
        // Unknown again: the one repeat is spent.
        let parcel = courier.claim_one();
        courier.begun(&parcel, &[(0, 2)]);
        courier.settle(&parcel, true, &[report(0, 2, OutcomeKind::Unknown)]);
        let spent = resolve(&db, &courier, &order, &[(0, 2, Decision::Retry)]);
        assert_eq!((deliveries(&spent), spent.changes), (vec![Decided::RetryUnconfirmed], vec![]));
        // With the same token it may still be repeated.
        assert_eq!(
            deliveries(&resolve(&db, &courier, &order, &[(0, 2, Decision::Repeat)])),
            [Decided::Applied]
        );
        db.check_invariants();
    }
}

#[test]
fn a_repeat_is_under_the_same_token() {
    let db = Db::start();
    let order = Order::inline("u1:5").accept(&db).clone();
    let courier = Courier::new(&db, "c1");
    let parcel = courier.claim_one();
    courier.begin_with(&parcel, &[(0, 1)], 1);
    // `later` moves stored times back.
    let mut begun = order.delivery(&db, 0).changed;
    let token = order.delivery(&db, 0).token.expect("a token");
    courier.settle(&parcel, true, &[report(0, 1, OutcomeKind::Unknown)]);
    for attempt in 1..4 {
        resolve(&db, &courier, &order, &[(0, attempt, Decision::Repeat)]);
        let delivery = order.delivery(&db, 0);
        assert_eq!((delivery.state, delivery.token, delivery.repeated), (State::Pending, Some(token), true));
        assert_eq!(delivery.tries, attempt, "each repeat spends a try");
        assert_eq!(delivery.changed, begun, "a resolver needs the age of the first attempt");
        let parcel = courier.claim_one();
        db.later(Duration::from_secs(3));
        begun = UnixMs(begun.0 - 3_000);
        let (_, letters) = courier.begin_with(&parcel, &[(0, attempt + 1)], 1);
        assert_eq!(letters, [posthaste_protocol::scripts::begin::DeliveryBegun::Begun { token }]);
        assert_eq!(order.delivery(&db, 0).changed, begun, "a repeat on the wire is no younger");
        courier.settle(&parcel, true, &[report(0, attempt + 1, OutcomeKind::Unknown)]);
        assert_eq!(order.delivery(&db, 0).changed, begun, "nor one that is unknown again");
    }
    db.check_invariants();
}

#[test]
fn a_delivery_whose_courier_died_is_repeated_alone() {
    let db = Db::start();
    let order = Order::inline("u1:5").accept(&db).clone();
    let courier = Courier::new(&db, "c1");
    let parcel = courier.claim_one();
    courier.begun(&parcel, &[(0, 1)]);
    db.later(Duration::from_secs(10));
    // The server was away, so nothing is blamed; but the courier may have died of this delivery.
    db.reply(&posthaste_protocol::scripts::reclaim_leases::ReclaimLeases {
        blame: false,
        ..courier.sweeping()
    });
    let step = resolve(&db, &courier, &order, &[(0, 1, Decision::Retry)]);
    assert!(
        step.changes.contains(&format!("+ crashes:{{0}}:email u1:5:0: 0 {}", step.now)),
        "{:#?}",
        step.changes
    );
    assert!(courier.take(&courier.next()).0.parcels[0].careful);
}

#[test]
fn held_deliveries_stay_unknown() {
    let db = Db::start();
    let (order, courier) = unresolved(&db, false, 1);
    let begun = order.delivery(&db, 0).changed;
    let step = resolve(&db, &courier, &order, &[(0, 1, Decision::Hold(Reason::RetryUnconfirmed))]);
    assert_eq!(step.reply, Resolved::Ok { ended: 1, deliveries: vec![Decided::Applied] });
    let retired = format!("+ retire:{{0}}:{}: u1:5", step.now / 86_400_000);
    step.changed(
        &[],
        &[
            "~ history:{0}:u1:5 o: 0/0/1 unresolved#1,courier_died -> 0/0/0 unknown#1,retry_unconfirmed",
            "~ history:{0}:u1:5 v: 2 -> 3",
            "+ history:{0}:u1:5 f: @now",
            "- unresolved:{0}:email u1:5:0",
            &retired,
        ],
    );
    assert_eq!(order.delivery(&db, 0).changed, begun);
    db.again();
    db.check_invariants();
}

#[test]
fn the_result_of_a_lookup_counts() {
    for (outcome, state) in [
        (OutcomeKind::Sent, State::Sent),
        (OutcomeKind::Delivered, State::Delivered),
        (OutcomeKind::Failed, State::Failed),
        (OutcomeKind::Suppressed, State::Unknown),
        (OutcomeKind::Retry, State::Unknown),
    ] {
        for big in [false, true] {
            let db = Db::start();
            let (order, courier) = unresolved(&db, big, 2);
            let found = Decision::Found(outcome, Reason::Rejected.into());
            let step = resolve(&db, &courier, &order, &[(0, 1, found), (1, 1, found)]);
            assert_eq!(step.reply, Resolved::Ok { ended: 1, deliveries: vec![Decided::Applied; 2] });
            let delivery = order.delivery(&db, 1);
            assert_eq!((delivery.state, delivery.reason), (state, Reason::Rejected));
            assert!(db.snapshot().get("crashes:{0}:email").is_none(), "no mark is left");
            db.check_invariants();
        }
    }
}

#[test]
fn a_decision_on_another_attempt_changes_nothing() {
    let db = Db::start();
    let (order, courier) = unresolved(&db, false, 2);
    let hold = Decision::Hold(Reason::NotRetried);
    for decision in
        [hold, Decision::Retry, Decision::Repeat, Decision::Found(OutcomeKind::Sent, Reason::None.into())]
    {
        let step = resolve(&db, &courier, &order, &[(0, 0, decision), (0, 2, decision), (9, 1, decision)]);
        assert_eq!((deliveries(&step), step.changes), (vec![Decided::Stale; 3], vec![]));
    }
    let nothing = resolve(&db, &courier, &order, &[]);
    assert_eq!((deliveries(&nothing), nothing.changes), (vec![], vec![]));
}

#[test]
fn a_parcel_under_a_lease_is_not_made_ready() {
    let db = Db::start();
    let (order, courier) = {
        let order = Order::inline("u1:5").deliveries(2).accept(&db).clone();
        (order, Courier::new(&db, "c1"))
    };
    let parcel = courier.claim_one();
    courier.begun(&parcel, &[(0, 1)]);
    courier.settle(&parcel, false, &[report(0, 1, OutcomeKind::Unknown)]);
    let step = resolve(&db, &courier, &order, &[(0, 1, Decision::Retry)]);
    assert!(step.changes.iter().all(|line| !line.contains("ready:")), "{:#?}", step.changes);
    db.check_invariants();
    let (code, _) = courier.settle(&parcel, true, &[]);
    assert_eq!(code, posthaste_protocol::scripts::ParcelCode::Ready);
    db.check_invariants();
}

/// Every reply of `resolve` and `apply_receipt` for records that can't be read.
#[test]
fn unreadable_records_change_nothing() {
    let newer = [[2].as_slice(), &[0; 60]].concat();
    let unreadable = Some(Reported::Unreadable);
    for (head, applied) in [(None, None), (Some(newer), unreadable), (Some(vec![1; 9]), unreadable)] {
        let db = Db::start();
        let (order, courier) = unresolved(&db, false, 1);
        let history = db.keys.history(&order.order_id);
        match head {
            None => drop(db.raw(&["DEL", &history])),
            Some(head) => drop(db.raw(&[b"HSET", history.as_bytes(), b"h", &head])),
        }
        let step = resolve(&db, &courier, &order, &[(0, 1, Decision::Retry)]);
        assert_eq!((step.reply, step.changes), (Resolved::NotFound, vec![]));
        assert_eq!(
            db.unchanged(&receipt(&db, &courier, &order.parcel_id(0), 1, ReceiptStatus::Delivered)),
            applied
        );
    }
    let db = Db::start();
    let order = Order::big("u1:5").due_in(&db, SPAN).accept(&db).clone();
    db.reply(&Cancel { keys: &db.keys, order_id: &order.order_id });
    let courier = Courier::new(&db, "c1");
    let step = resolve(&db, &courier, &order, &[(0, 1, Decision::Retry)]);
    assert_eq!((step.reply, step.changes), (Resolved::NotFound, vec![]));
    assert_eq!(db.unchanged(&receipt(&db, &courier, &order.parcel_id(0), 1, ReceiptStatus::Delivered)), None);
    assert_eq!(
        db.unchanged(&receipt(&db, &courier, &order.parcel_id(1), 1, ReceiptStatus::Delivered)),
        None,
        "no such parcel"
    );
}

fn receipt<'a>(
    db: &'a Db,
    courier: &'a Courier<'_>,
    parcel_id: &'a posthaste_model::ParcelId,
    attempt: u8,
    word: ReceiptStatus,
) -> ApplyReceipt<'a> {
    let (keys, channel) = (&db.keys, &courier.channel);
    ApplyReceipt { keys, channel, parcel_id, delivery: 0, attempt, status: word, reason: Reason::None.into() }
}

#[test]
fn a_receipt_before_the_settle_wins() {
    for big in [false, true] {
        let db = Db::start();
        let order = Order::of_layout(big, "u1:5").deliveries(2).accept(&db).clone();
        let courier = Courier::new(&db, "c1");
        let parcel = courier.claim_one();
        courier.begun(&parcel, &[(0, 1)]);
        let parcel_id = order.parcel_id(0);
        let step = db.step(&receipt(&db, &courier, &parcel_id, 1, ReceiptStatus::Delivered));
        assert_eq!(step.reply, Some(Reported::Applied));
        let outcome = if big { "outcome:{0}:u1:5:email:0" } else { "history:{0}:u1:5 o" };
        let change = format!("~ {outcome}: 1/1/0 sending#1 pending#0 -> 1/0/0 delivered#1 pending#0");
        let mut expected = vec![change.as_str(), "~ history:{0}:u1:5 v: 1 -> 2"];
        if big {
            expected.extend(["~ history:{0}:u1:5 c:email: pending=1 sending=1 -> pending=1 delivered=1"]);
            expected.extend(["~ history:{0}:u1:5 l: 2 -> 1"]);
        }
        step.changed(&[], &expected);
        db.again();
        for outcome in OutcomeKind::ALL {
            let (_, letters) = courier.settle(&parcel, false, &[report(0, 1, outcome)]);
            assert_eq!(letters, [Reported::NothingNew], "{outcome:?}");
        }
        assert_eq!(order.delivery(&db, 0).state, State::Delivered);
        db.check_invariants();
    }
}

#[test]
fn a_receipt_resolves_an_unknown_and_clears_its_mark() {
    for (word, state) in [
        (ReceiptStatus::Sent, State::Sent),
        (ReceiptStatus::Delivered, State::Delivered),
        (ReceiptStatus::Failed, State::Failed),
    ] {
        let db = Db::start();
        let (order, courier) = unresolved(&db, false, 1);
        let parcel_id = order.parcel_id(0);
        db.raw(&["HSET", "crashes:{0}:email", "u1:5:0", &format!("0 {}", db.now().0)]);
        let step = db.step(&receipt(&db, &courier, &parcel_id, 1, word));
        assert_eq!((step.reply, order.delivery(&db, 0).state), (Some(Reported::Applied), state));
        for gone in ["- unresolved:{0}:email u1:5:0", "- crashes:{0}:email u1:5:0"] {
            assert!(step.changes.contains(&gone.to_owned()), "{:#?}", step.changes);
        }
        db.again();
        db.check_invariants();
    }
}

#[test]
fn a_receipt_ends_a_delivery_that_waits_for_its_repeat() {
    for big in [false, true] {
        let db = Db::start();
        let (order, courier) = unresolved(&db, big, 1);
        resolve(&db, &courier, &order, &[(0, 1, Decision::Retry)]);
        let parcel_id = order.parcel_id(0);
        let failed = db.unchanged(&receipt(&db, &courier, &parcel_id, 1, ReceiptStatus::Failed));
        assert_eq!(
            failed,
            Some(Reported::NothingNew),
            "a delivery that will be repeated anyway is not failed"
        );
        let step = db.step(&receipt(&db, &courier, &parcel_id, 1, ReceiptStatus::Sent));
        assert_eq!(step.reply, Some(Reported::Applied));
        assert!(step.changes.contains(&"- ready:{0}:email:bulk u1:5:0".to_owned()), "{:#?}", step.changes);
        db.check_invariants();
    }
}

#[test]
fn a_receipt_of_an_earlier_attempt_is_evidence_that_it_was_taken() {
    for (word, state) in [
        (ReceiptStatus::Sent, State::Sent),
        (ReceiptStatus::Delivered, State::Delivered),
        (ReceiptStatus::Failed, State::Sending),
    ] {
        let db = Db::start();
        let (order, courier) = unresolved(&db, false, 1);
        resolve(&db, &courier, &order, &[(0, 1, Decision::Retry)]);
        let parcel = courier.claim_one();
        courier.begun(&parcel, &[(0, 2)]);
        db.reply(&receipt(&db, &courier, &order.parcel_id(0), 1, word));
        assert_eq!(order.delivery(&db, 0).state, state);
        courier.settle(&parcel, true, &[report(0, 2, OutcomeKind::Failed)]);
        let end = if state == State::Sending { State::Failed } else { state };
        assert_eq!(order.delivery(&db, 0).state, end);
        db.check_invariants();
    }
}

#[test]
fn a_receipt_of_an_attempt_never_made_is_refused() {
    for big in [false, true] {
        let db = Db::start();
        let order = Order::of_layout(big, "u1:5").accept(&db).clone();
        let courier = Courier::new(&db, "c1");
        let parcel_id = order.parcel_id(0);
        for attempt in [0, 1, 200, 255] {
            for word in [ReceiptStatus::Sent, ReceiptStatus::Delivered, ReceiptStatus::Failed] {
                let reply = db.unchanged(&receipt(&db, &courier, &parcel_id, attempt, word));
                assert_eq!(reply, Some(Reported::Stale), "{attempt} {word:?}");
            }
        }
        let beyond =
            ApplyReceipt { delivery: 1, ..receipt(&db, &courier, &parcel_id, 1, ReceiptStatus::Sent) };
        assert_eq!(db.unchanged(&beyond), None, "no such delivery");
        let parcel_id = order.parcel_id(1);
        let other = receipt(&db, &courier, &parcel_id, 1, ReceiptStatus::Sent);
        assert_eq!(db.unchanged(&other), None, "no such parcel");
    }
}
