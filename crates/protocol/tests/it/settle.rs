//! `settle`: reports of couriers, in time, late and repeated.

use posthaste_model::{OutcomeKind, Reason, State, UnixMs};
use posthaste_protocol::scripts::cancel::Cancel;
use posthaste_protocol::scripts::settle::{AttemptReport, Reported, Settle, Settlement};
use posthaste_protocol::scripts::{ParcelCode, ParcelRef};

use crate::db::{Db, Step};
use crate::order::{Courier, Order, SPAN, report};

/// An order whose deliveries are all sending under attempt 1.
pub(crate) fn sending(db: &Db, big: bool, deliveries: u32) -> (Order, Courier<'_>, ParcelRef) {
    let order = Order::of_layout(big, "u1:5").deliveries(deliveries).accept(db).clone();
    let courier = Courier::new(db, "c1");
    let parcel = courier.claim_one();
    let all: Vec<_> = (0..u16::try_from(deliveries).expect("deliveries")).map(|i| (i, 1)).collect();
    courier.begun(&parcel, &all);
    (order, courier, parcel)
}

pub(crate) fn settle(
    courier: &Courier<'_>,
    db: &Db,
    parcel: &ParcelRef,
    leave: bool,
    reports: &[AttemptReport],
) -> (ParcelCode, Vec<Reported>, Step<u64>) {
    let settlements = [Settlement { parcel: parcel.clone(), leave, reports: reports.to_vec() }];
    let step = db.step(&Settle { keys: &db.keys, channel: &courier.channel, settlements: &settlements });
    let mut reply = step.reply;
    let (code, letters) = reply.parcels.remove(0);
    (code, letters, Step { reply: reply.ended, now: step.now, changes: step.changes })
}

#[test]
fn the_last_report_ends_the_order() {
    for big in [false, true] {
        let db = Db::start();
        let (_, courier, parcel) = sending(&db, big, 1);
        let failed = AttemptReport { reason: Reason::InvalidAddress, ..report(0, 1, OutcomeKind::Failed) };
        let (code, letters, step) = settle(&courier, &db, &parcel, false, &[failed]);
        assert_eq!((code, letters, step.reply), (ParcelCode::Settled, vec![Reported::Applied], 1));
        let retired = format!("+ retire:{{0}}:{}: u1:5", step.now / 86_400_000);
        let outcome = if big { "outcome:{0}:u1:5:email:0" } else { "history:{0}:u1:5 o" };
        let delivery = format!("~ {outcome}: 0/1/0 sending#1 -> 0/0/0 failed#1,invalid_address");
        let mut expected = vec![
            "- leased:{0}:email u1:5:0",
            "- lease:{0}:email u1:5:0",
            "~ history:{0}:u1:5 v: 1 -> 2",
            "+ history:{0}:u1:5 f: @now",
            &retired,
            &delivery,
        ];
        if big {
            expected.extend([
                "~ history:{0}:u1:5 c:email: sending=1 -> failed=1",
                "~ history:{0}:u1:5 l: 1 -> 0",
            ]);
        }
        step.changed(&[], &expected);
        db.again();
        db.check_invariants();
    }
}

#[test]
fn every_outcome_does_what_it_says() {
    let cases = [
        (OutcomeKind::Sent, 0, "0/0/0 sent#1,provider_unavailable"),
        (OutcomeKind::Delivered, 0, "0/0/0 delivered#1,provider_unavailable"),
        (OutcomeKind::Failed, 0, "0/0/0 failed#1,provider_unavailable"),
        (OutcomeKind::Suppressed, 0, "0/0/0 suppressed#1,provider_unavailable"),
        (OutcomeKind::Unknown, 0, "0/0/1 unresolved#1,provider_unavailable"),
        (OutcomeKind::Retry, 0, "1/0/0 pending#1,tries=1,provider_unavailable"),
        (OutcomeKind::Retry, 90_001, "1/0/0 pending#1,tries=1,provider_unavailable,wait=@wait"),
        (OutcomeKind::NotSent, 0, "1/0/0 pending#1,provider_unavailable"),
        (OutcomeKind::NotSent, 1_000, "1/0/0 pending#1,provider_unavailable,wait=@wait"),
        (OutcomeKind::Part, 3, "1/0/0 pending#1,provider_unavailable,token=3"),
    ];
    let db = Db::start();
    for (outcome, value, expected) in cases {
        for big in [false, true] {
            db.reset();
            let (order, courier, parcel) = sending(&db, big, 1);
            let reported = AttemptReport {
                delivery: 0,
                attempt: 1,
                outcome,
                reason: Reason::ProviderUnavailable,
                value,
            };
            let (code, letters, step) = settle(&courier, &db, &parcel, true, &[reported]);
            assert_eq!(letters, [Reported::Applied], "{outcome:?}");
            let delivery = order.delivery(&db, 0);
            let code_expected =
                if delivery.state == State::Pending { ParcelCode::Ready } else { ParcelCode::Settled };
            assert_eq!(code, code_expected, "{outcome:?}");
            // A wait is stored in hundredths of a second since the due time, rounded up.
            let due = order.head(&db).due.0;
            let wait = (step.now + u64::from(value) - due).div_ceil(10) * 10 + due;
            let outcome = if big { "outcome:{0}:u1:5:email:0" } else { "history:{0}:u1:5 o" };
            let line =
                format!("~ {outcome}: 0/1/0 sending#1 -> {}", expected.replace("@wait", &wait.to_string()));
            assert!(step.changes.contains(&line), "{line}\n{:#?}", step.changes);
            if delivery.state == State::Pending {
                let at = if expected.contains("wait") { wait } else { step.now };
                let line = format!("+ ready:{{0}}:email:bulk u1:5:0: {at}");
                assert!(step.changes.contains(&line), "{line}\n{:#?}", step.changes);
            }
            if delivery.state == State::Unresolved {
                let index = db.snapshot().sorted("unresolved:{0}:email")["u1:5:0"];
                assert!(index > step.now + 25_000 && index <= step.now + 30_000, "its send_by");
            }
            db.again();
            db.check_invariants();
        }
    }
}

#[test]
fn a_parcel_stays_until_its_deliveries_are_settled() {
    for big in [false, true] {
        let db = Db::start();
        let (order, courier, parcel) = sending(&db, big, 3);
        let (code, _, _) = settle(&courier, &db, &parcel, true, &[report(1, 1, OutcomeKind::Sent)]);
        assert_eq!(code, ParcelCode::Sending, "two deliveries are on the wire");
        let (code, _, _) = settle(&courier, &db, &parcel, false, &[report(0, 1, OutcomeKind::Retry)]);
        assert_eq!(code, ParcelCode::Leased);
        db.check_invariants();
        // Both outcomes of a repeated delivery are reported with their own attempt.
        courier.begun(&parcel, &[(0, 2)]);
        let both = [report(0, 2, OutcomeKind::Delivered), report(2, 1, OutcomeKind::Sent)];
        let (code, letters, step) = settle(&courier, &db, &parcel, false, &both);
        assert_eq!((code, letters, step.reply), (ParcelCode::Settled, vec![Reported::Applied; 2], 1));
        assert_eq!(order.delivery(&db, 0).tries, 1);
        db.check_invariants();
    }
}

#[test]
fn a_copy_of_a_report_does_not_touch_the_next_attempt() {
    for big in [false, true] {
        let db = Db::start();
        let (order, courier, parcel) = sending(&db, big, 2);
        for outcome in [
            OutcomeKind::Retry,
            OutcomeKind::NotSent,
            OutcomeKind::Unknown,
            OutcomeKind::Failed,
            OutcomeKind::Suppressed,
        ] {
            let attempt = order.delivery(&db, 0).attempt;
            courier.settle(&parcel, false, &[report(0, attempt, OutcomeKind::Retry)]);
            courier.begun(&parcel, &[(0, attempt + 1)]);
            // The old report arrives now, with the same fence.
            let (_, letters, step) = settle(&courier, &db, &parcel, false, &[report(0, attempt, outcome)]);
            assert_eq!((letters, step.changes), (vec![Reported::Stale], vec![]), "{outcome:?}");
        }
        // Except for a report that it was taken: that is evidence.
        let attempt = order.delivery(&db, 0).attempt;
        let (code, letters, _) =
            settle(&courier, &db, &parcel, false, &[report(0, attempt - 1, OutcomeKind::Sent)]);
        assert_eq!((code, letters), (ParcelCode::Leased, vec![Reported::Evidence]));
        assert_eq!(order.delivery(&db, 0).state, State::Sent);
        let (_, letters, step) =
            settle(&courier, &db, &parcel, false, &[report(0, attempt, OutcomeKind::Failed)]);
        assert_eq!((letters, step.changes), (vec![Reported::NothingNew], vec![]));
        db.check_invariants();
    }
}

#[test]
fn without_the_lease_only_evidence_is_accepted() {
    let db = Db::start();
    let (order, courier, parcel) = sending(&db, false, 2);
    let mut other = parcel.clone();
    other.fence += 7;
    for outcome in OutcomeKind::ALL {
        let (code, letters, step) = settle(&courier, &db, &other, true, &[report(0, 1, outcome)]);
        assert_eq!(
            (code, letters, step.changes),
            (ParcelCode::LeaseLost, vec![Reported::NothingNew], vec![]),
            "{outcome:?}"
        );
    }
    let (_, letters, step) = settle(&courier, &db, &other, true, &[report(0, 2, OutcomeKind::Delivered)]);
    assert_eq!((letters, step.changes), (vec![Reported::Stale], vec![]), "an attempt never made");
    let (_, letters, step) = settle(&courier, &db, &other, true, &[report(5, 1, OutcomeKind::Delivered)]);
    assert_eq!((letters, step.changes), (vec![Reported::Stale], vec![]), "no such delivery");
    assert_eq!(order.delivery(&db, 0).state, State::Sending);
}

#[test]
fn no_report_counts_on_a_delivery_never_begun() {
    for big in [false, true] {
        let db = Db::start();
        let order = Order::of_layout(big, "u1:5").accept(&db).clone();
        let courier = Courier::new(&db, "c1");
        let parcel = courier.claim_one();
        for attempt in [0, 1, 129, 200, 255] {
            for outcome in OutcomeKind::ALL {
                let (_, letters, step) =
                    settle(&courier, &db, &parcel, false, &[report(0, attempt, outcome)]);
                assert!(
                    letters != [Reported::Applied] && letters != [Reported::Evidence],
                    "{attempt} {outcome:?}"
                );
                assert_eq!(step.changes, Vec::<String>::new(), "{attempt} {outcome:?}");
            }
        }
        assert_eq!(order.delivery(&db, 0).state, State::Pending);
    }
}

#[test]
fn a_report_after_the_lease_counts_until_the_delivery_is_begun_again() {
    let db = Db::start();
    let (order, courier, parcel) = sending(&db, false, 3);
    courier.crash();
    assert_eq!(order.try_outcomes(&db, 0).expect("outcomes").counts(), (0, 0, 3));
    let reports = [
        report(0, 1, OutcomeKind::Failed),
        report(1, 1, OutcomeKind::Retry),
        report(2, 1, OutcomeKind::Unknown),
    ];
    let (code, letters, step) = settle(&courier, &db, &parcel, true, &reports);
    assert_eq!(code, ParcelCode::LeaseLost);
    assert_eq!(letters, [Reported::Applied, Reported::Applied, Reported::NothingNew]);
    // The parcel is not leased, so with a pending delivery it goes to ready.
    assert!(
        step.changes.contains(&format!("+ ready:{{0}}:email:bulk u1:5:0: {}", step.now)),
        "{:#?}",
        step.changes
    );
    db.again();
    db.check_invariants();
}

#[test]
fn late_evidence_takes_a_parcel_out_of_ready() {
    for big in [false, true] {
        let db = Db::start();
        let (order, courier, parcel) = sending(&db, big, 1);
        settle(&courier, &db, &parcel, true, &[report(0, 1, OutcomeKind::Retry)]);
        let (code, letters, step) =
            settle(&courier, &db, &parcel, true, &[report(0, 1, OutcomeKind::Delivered)]);
        assert_eq!((code, letters, step.reply), (ParcelCode::LeaseLost, vec![Reported::Evidence], 1));
        assert!(step.changes.contains(&"- ready:{0}:email:bulk u1:5:0".to_owned()), "{:#?}", step.changes);
        assert_eq!(order.delivery(&db, 0).state, State::Delivered);
        db.check_invariants();
    }
}

#[test]
fn deliveries_of_an_ended_order_end_when_their_parcel_leaves() {
    for cancel in [true, false] {
        let db = Db::start();
        let (order, courier, parcel) = sending(&db, true, 3);
        if cancel {
            db.reply(&Cancel { keys: &db.keys, order_id: &order.order_id });
        } else {
            db.later(SPAN);
        }
        // Messages on the wire finish; their reports count although they come late.
        let reports = [
            report(0, 1, OutcomeKind::Sent),
            report(1, 1, OutcomeKind::NotSent),
            report(2, 1, OutcomeKind::Unknown),
        ];
        let (code, letters, _) = settle(&courier, &db, &parcel, true, &reports);
        assert_eq!((code, letters), (ParcelCode::Settled, vec![Reported::Applied; 3]));
        let states: Vec<_> = order
            .try_outcomes(&db, 0)
            .expect("outcomes")
            .deliveries()
            .map(|delivery| delivery.state)
            .collect();
        let end = if cancel { State::Cancelled } else { State::Expired };
        assert_eq!(states, [State::Sent, end, State::Unresolved]);
        db.check_invariants();
    }
}

#[test]
fn progress_clears_crash_marks() {
    let db = Db::start();
    let (_, courier, parcel) = sending(&db, false, 3);
    db.raw(&["HSET", "crashes:{0}:email", "u1:5:0", "2 5"]);
    settle(&courier, &db, &parcel, false, &[report(0, 1, OutcomeKind::Unknown)]);
    assert_eq!(db.snapshot().hash("crashes:{0}:email")["u1:5:0"], b"2 5", "an unknown is no progress");
    let (_, _, step) = settle(&courier, &db, &parcel, false, &[report(1, 1, OutcomeKind::Retry)]);
    assert_eq!(db.snapshot().hash("crashes:{0}:email")["u1:5:0"], format!("0 {}", step.now).as_bytes());
    courier.begun(&parcel, &[(1, 2)]);
    let last = [report(1, 2, OutcomeKind::Sent), report(2, 1, OutcomeKind::Sent)];
    let (code, _, _) = settle(&courier, &db, &parcel, false, &last);
    assert_eq!(code, ParcelCode::Settled);
    assert!(db.snapshot().get("crashes:{0}:email").is_none());
}

#[test]
fn a_wait_is_stored_beside_a_token() {
    let db = Db::start();
    let order = Order::inline("u1:5").accept(&db).clone();
    let courier = Courier::new(&db, "c1");
    let parcel = courier.claim_one();
    courier.begin_with(&parcel, &[(0, 1)], 1);
    let token = order.delivery(&db, 0).token;
    let throttled = AttemptReport { value: 60_500, ..report(0, 1, OutcomeKind::NotSent) };
    let (code, _, step) = settle(&courier, &db, &parcel, true, &[throttled]);
    assert_eq!(code, ParcelCode::Ready);
    let (delivery, due) = (order.delivery(&db, 0), order.head(&db).due.0);
    let until = UnixMs(due + (step.now + 60_500 - due).div_ceil(1_000) * 1_000);
    assert!(token.is_some());
    assert_eq!((delivery.token, delivery.not_before), (token, Some(until)));
    assert!(
        step.changes.contains(&format!("+ ready:{{0}}:email:bulk u1:5:0: {}", until.0)),
        "{:#?}",
        step.changes
    );
}
