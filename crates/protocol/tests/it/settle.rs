//! `settle`: reports of couriers, in time, late and twice.

use posthaste_model::{Reason, State, UnixMs, Verdict};
use posthaste_protocol::scripts::cancel::Cancel;
use posthaste_protocol::scripts::settle::{Report, Reported, Settle, Settlement};
use posthaste_protocol::scripts::{ParcelCode, ParcelRef};

use crate::db::{Db, Step};
use crate::order::{Courier, Order, SPAN, report};

/// An order whose rows are all sending under attempt 1.
fn sending(db: &Db, big: bool, rows: u32) -> (Order, Courier<'_>, ParcelRef) {
    let order = Order::of_layout(big, "u1:5").rows(rows).accept(db).clone();
    let courier = Courier::new(db, "c1");
    let parcel = courier.claim_one();
    let all: Vec<_> = (0..u16::try_from(rows).expect("rows")).map(|i| (i, 1)).collect();
    courier.begun(&parcel, &all);
    (order, courier, parcel)
}

fn settle(
    courier: &Courier<'_>,
    db: &Db,
    parcel: &ParcelRef,
    leave: bool,
    reports: &[Report],
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
        let failed = Report { reason: Reason::BadAddress, ..report(0, 1, Verdict::Failed) };
        let (code, letters, step) = settle(&courier, &db, &parcel, false, &[failed]);
        assert_eq!((code, letters, step.reply), (ParcelCode::Left, vec![Reported::Applied], 1));
        let retired = format!("+ retire:{{0}}:{}: u1:5", step.now / 86_400_000);
        let outcome = if big { "outcome:{0}:u1:5:email:0" } else { "history:{0}:u1:5 o" };
        let row = format!("~ {outcome}: 0/1/0 sending#1 -> 0/0/0 failed#1,bad_address");
        let mut expected = vec![
            "- leased:{0}:email u1:5:0",
            "- lease:{0}:email u1:5:0",
            "~ history:{0}:u1:5 v: 1 -> 2",
            "+ history:{0}:u1:5 f: @now",
            &retired,
            &row,
        ];
        if big {
            expected.extend([
                "~ history:{0}:u1:5 c:email: sending=1 -> failed=1",
                "~ history:{0}:u1:5 l: 1 -> 0",
            ]);
        }
        step.changed(&[], &expected);
        db.again();
        db.sound();
    }
}

#[test]
fn every_verdict_does_what_it_says() {
    let cases = [
        (Verdict::Sent, 0, "0/0/0 sent#1,provider_failed"),
        (Verdict::Delivered, 0, "0/0/0 delivered#1,provider_failed"),
        (Verdict::Failed, 0, "0/0/0 failed#1,provider_failed"),
        (Verdict::Suppressed, 0, "0/0/0 suppressed#1,provider_failed"),
        (Verdict::Unknown, 0, "0/0/1 unresolved#1,provider_failed"),
        (Verdict::Retry, 0, "1/0/0 pending#1,tries=1,provider_failed"),
        (Verdict::Retry, 90_001, "1/0/0 pending#1,tries=1,provider_failed,wait=@wait"),
        (Verdict::NotSent, 0, "1/0/0 pending#1,provider_failed"),
        (Verdict::NotSent, 1_000, "1/0/0 pending#1,provider_failed,wait=@wait"),
        (Verdict::Part, 3, "1/0/0 pending#1,provider_failed,token=3"),
    ];
    let db = Db::start();
    for (verdict, value, expected) in cases {
        for big in [false, true] {
            db.reset();
            let (order, courier, parcel) = sending(&db, big, 1);
            let told = Report { row: 0, attempt: 1, verdict, reason: Reason::ProviderFailed, value };
            let (code, letters, step) = settle(&courier, &db, &parcel, true, &[told]);
            assert_eq!(letters, [Reported::Applied], "{verdict:?}");
            let row = order.row(&db, 0);
            let code_expected =
                if row.state == State::Pending { ParcelCode::Ready } else { ParcelCode::Left };
            assert_eq!(code, code_expected, "{verdict:?}");
            // A wait is kept in hundredths of a second since the due time, never too short.
            let due = order.head(&db).due.0;
            let wait = (step.now + u64::from(value) - due).div_ceil(10) * 10 + due;
            let outcome = if big { "outcome:{0}:u1:5:email:0" } else { "history:{0}:u1:5 o" };
            let line =
                format!("~ {outcome}: 0/1/0 sending#1 -> {}", expected.replace("@wait", &wait.to_string()));
            assert!(step.changes.contains(&line), "{line}\n{:#?}", step.changes);
            if row.state == State::Pending {
                let at = if expected.contains("wait") { wait } else { step.now };
                let line = format!("+ ready:{{0}}:email:bulk u1:5:0: {at}");
                assert!(step.changes.contains(&line), "{line}\n{:#?}", step.changes);
            }
            if row.state == State::Unresolved {
                let index = db.snapshot().sorted("unresolved:{0}:email")["u1:5:0"];
                assert!(index > step.now + 25_000 && index <= step.now + 30_000, "its send_by");
            }
            db.again();
            db.sound();
        }
    }
}

#[test]
fn a_parcel_stays_until_its_rows_are_settled() {
    for big in [false, true] {
        let db = Db::start();
        let (order, courier, parcel) = sending(&db, big, 3);
        let (code, _, _) = settle(&courier, &db, &parcel, true, &[report(1, 1, Verdict::Sent)]);
        assert_eq!(code, ParcelCode::Sending, "two rows are on the wire");
        let (code, _, _) = settle(&courier, &db, &parcel, false, &[report(0, 1, Verdict::Retry)]);
        assert_eq!(code, ParcelCode::Held);
        db.sound();
        // Both outcomes of a row that came back are reported under its own attempt.
        courier.begun(&parcel, &[(0, 2)]);
        let both = [report(0, 2, Verdict::Delivered), report(2, 1, Verdict::Sent)];
        let (code, letters, step) = settle(&courier, &db, &parcel, false, &both);
        assert_eq!((code, letters, step.reply), (ParcelCode::Left, vec![Reported::Applied; 2], 1));
        assert_eq!(order.row(&db, 0).tries, 1);
        db.sound();
    }
}

#[test]
fn a_copy_of_a_report_does_not_touch_the_next_attempt() {
    for big in [false, true] {
        let db = Db::start();
        let (order, courier, parcel) = sending(&db, big, 2);
        for verdict in
            [Verdict::Retry, Verdict::NotSent, Verdict::Unknown, Verdict::Failed, Verdict::Suppressed]
        {
            let attempt = order.row(&db, 0).attempt;
            courier.settle(&parcel, false, &[report(0, attempt, Verdict::Retry)]);
            courier.begun(&parcel, &[(0, attempt + 1)]);
            // The old report arrives now, under the same fence.
            let (_, letters, step) = settle(&courier, &db, &parcel, false, &[report(0, attempt, verdict)]);
            assert_eq!((letters, step.changes), (vec![Reported::Stale], vec![]), "{verdict:?}");
        }
        // Except that it was taken: that is evidence.
        let attempt = order.row(&db, 0).attempt;
        let (code, letters, _) =
            settle(&courier, &db, &parcel, false, &[report(0, attempt - 1, Verdict::Sent)]);
        assert_eq!((code, letters), (ParcelCode::Held, vec![Reported::Evidence]));
        assert_eq!(order.row(&db, 0).state, State::Sent);
        let (_, letters, step) =
            settle(&courier, &db, &parcel, false, &[report(0, attempt, Verdict::Failed)]);
        assert_eq!((letters, step.changes), (vec![Reported::Known], vec![]));
        db.sound();
    }
}

#[test]
fn who_does_not_hold_the_lease_reports_evidence_only() {
    let db = Db::start();
    let (order, courier, parcel) = sending(&db, false, 2);
    let mut other = parcel.clone();
    other.fence += 7;
    for verdict in Verdict::ALL {
        let (code, letters, step) = settle(&courier, &db, &other, true, &[report(0, 1, verdict)]);
        assert_eq!(
            (code, letters, step.changes),
            (ParcelCode::Stale, vec![Reported::Known], vec![]),
            "{verdict:?}"
        );
    }
    let (_, letters, step) = settle(&courier, &db, &other, true, &[report(0, 2, Verdict::Delivered)]);
    assert_eq!((letters, step.changes), (vec![Reported::Stale], vec![]), "an attempt never made");
    let (_, letters, step) = settle(&courier, &db, &other, true, &[report(5, 1, Verdict::Delivered)]);
    assert_eq!((letters, step.changes), (vec![Reported::Stale], vec![]), "no such row");
    assert_eq!(order.row(&db, 0).state, State::Sending);
}

#[test]
fn no_report_counts_on_a_row_never_begun() {
    for big in [false, true] {
        let db = Db::start();
        let order = Order::of_layout(big, "u1:5").accept(&db).clone();
        let courier = Courier::new(&db, "c1");
        let parcel = courier.claim_one();
        for attempt in [0, 1, 129, 200, 255] {
            for verdict in Verdict::ALL {
                let (_, letters, step) =
                    settle(&courier, &db, &parcel, false, &[report(0, attempt, verdict)]);
                assert!(
                    letters != [Reported::Applied] && letters != [Reported::Evidence],
                    "{attempt} {verdict:?}"
                );
                assert_eq!(step.changes, Vec::<String>::new(), "{attempt} {verdict:?}");
            }
        }
        assert_eq!(order.row(&db, 0).state, State::Pending);
    }
}

#[test]
fn a_report_after_the_lease_is_heard_until_the_row_is_begun_again() {
    let db = Db::start();
    let (order, courier, parcel) = sending(&db, false, 3);
    courier.crash();
    assert_eq!(order.try_outcomes(&db, 0).expect("outcomes").counts(), (0, 0, 3));
    let reports =
        [report(0, 1, Verdict::Failed), report(1, 1, Verdict::Retry), report(2, 1, Verdict::Unknown)];
    let (code, letters, step) = settle(&courier, &db, &parcel, true, &reports);
    assert_eq!(code, ParcelCode::Stale);
    assert_eq!(letters, [Reported::Applied, Reported::Applied, Reported::Known]);
    // Nobody holds the parcel, so what is pending again goes to ready.
    assert!(
        step.changes.contains(&format!("+ ready:{{0}}:email:bulk u1:5:0: {}", step.now)),
        "{:#?}",
        step.changes
    );
    db.again();
    db.sound();
}

#[test]
fn late_evidence_takes_a_parcel_out_of_ready() {
    for big in [false, true] {
        let db = Db::start();
        let (order, courier, parcel) = sending(&db, big, 1);
        settle(&courier, &db, &parcel, true, &[report(0, 1, Verdict::Retry)]);
        let (code, letters, step) = settle(&courier, &db, &parcel, true, &[report(0, 1, Verdict::Delivered)]);
        assert_eq!((code, letters, step.reply), (ParcelCode::Stale, vec![Reported::Evidence], 1));
        assert!(step.changes.contains(&"- ready:{0}:email:bulk u1:5:0".to_owned()), "{:#?}", step.changes);
        assert_eq!(order.row(&db, 0).state, State::Delivered);
        db.sound();
    }
}

#[test]
fn rows_of_an_ended_order_end_when_their_parcel_leaves() {
    for cancel in [true, false] {
        let db = Db::start();
        let (order, courier, parcel) = sending(&db, true, 3);
        if cancel {
            db.reply(&Cancel { keys: &db.keys, suffix: &order.suffix });
        } else {
            db.later(SPAN);
        }
        // What is on the wire finishes; its report counts although it comes late.
        let reports =
            [report(0, 1, Verdict::Sent), report(1, 1, Verdict::NotSent), report(2, 1, Verdict::Unknown)];
        let (code, letters, _) = settle(&courier, &db, &parcel, true, &reports);
        assert_eq!((code, letters), (ParcelCode::Left, vec![Reported::Applied; 3]));
        let states: Vec<_> =
            order.try_outcomes(&db, 0).expect("outcomes").rows().map(|row| row.state).collect();
        let end = if cancel { State::Cancelled } else { State::Expired };
        assert_eq!(states, [State::Sent, end, State::Unresolved]);
        db.sound();
    }
}

#[test]
fn progress_clears_crash_marks() {
    let db = Db::start();
    let (_, courier, parcel) = sending(&db, false, 3);
    db.raw(&["HSET", "crashes:{0}:email", "u1:5:0", "2 5"]);
    settle(&courier, &db, &parcel, false, &[report(0, 1, Verdict::Unknown)]);
    assert_eq!(db.snapshot().hash("crashes:{0}:email")["u1:5:0"], b"2 5", "an unknown is no progress");
    let (_, _, step) = settle(&courier, &db, &parcel, false, &[report(1, 1, Verdict::Retry)]);
    assert_eq!(db.snapshot().hash("crashes:{0}:email")["u1:5:0"], format!("0 {}", step.now).as_bytes());
    courier.begun(&parcel, &[(1, 2)]);
    let last = [report(1, 2, Verdict::Sent), report(2, 1, Verdict::Sent)];
    let (code, _, _) = settle(&courier, &db, &parcel, false, &last);
    assert_eq!(code, ParcelCode::Left);
    assert!(db.snapshot().get("crashes:{0}:email").is_none());
}

#[test]
fn a_wait_is_kept_beside_a_token() {
    let db = Db::start();
    let order = Order::inline("u1:5").accept(&db).clone();
    let courier = Courier::new(&db, "c1");
    let parcel = courier.claim_one();
    courier.begin_with(&parcel, &[(0, 1)], 1);
    let token = order.row(&db, 0).token;
    let throttled = Report { value: 60_500, ..report(0, 1, Verdict::NotSent) };
    let (code, _, step) = settle(&courier, &db, &parcel, true, &[throttled]);
    assert_eq!(code, ParcelCode::Ready);
    let (row, due) = (order.row(&db, 0), order.head(&db).due.0);
    let until = UnixMs(due + (step.now + 60_500 - due).div_ceil(1_000) * 1_000);
    assert!(token.is_some());
    assert_eq!((row.token, row.not_before), (token, Some(until)));
    assert!(
        step.changes.contains(&format!("+ ready:{{0}}:email:bulk u1:5:0: {}", until.0)),
        "{:#?}",
        step.changes
    );
}

#[test]
fn many_parcels_are_settled_in_one_call() {
    let db = Db::start();
    let big = Order::big("u2:1").rows(501).accept(&db).clone();
    for n in 1..=3 {
        Order::inline(&format!("u1:{n}")).accept(&db);
    }
    let courier = Courier::new(&db, "c1");
    let parcels = courier.claim();
    parcels.iter().for_each(|parcel| courier.begun(parcel, &[(0, 1)]));
    db.raw(&["DEL", "history:{0}:u1:2"]);
    let settlement = |parcel: &ParcelRef| Settlement {
        parcel: parcel.clone(),
        leave: true,
        reports: vec![report(0, 1, Verdict::Sent)],
    };
    let mut settlements: Vec<_> = parcels.iter().map(settlement).collect();
    // One of them twice.
    settlements.push(settlement(&parcels[0]));
    let call = Settle { keys: &db.keys, channel: &courier.channel, settlements: &settlements };
    let step = db.step(&call);
    let mut codes: Vec<_> =
        parcels.iter().zip(&step.reply.parcels).map(|(p, (code, _))| (p.member.to_string(), *code)).collect();
    codes.sort_by_key(|(name, _)| name.clone());
    let expected = [
        ("u1:1:0", ParcelCode::Left),
        ("u1:2:0", ParcelCode::Gone),
        ("u1:3:0", ParcelCode::Left),
        ("u2:1:0", ParcelCode::Ready),
        ("u2:1:1", ParcelCode::Left),
    ];
    assert_eq!(codes, expected.map(|(name, code)| (name.to_owned(), code)));
    assert_eq!(step.reply.ended, 2);
    assert_eq!(step.reply.parcels[5].1.len(), 1, "a letter a report");
    assert!(step.changes.contains(&"~ history:{0}:u2:1 v: 2 -> 3".to_owned()), "{:#?}", step.changes);
    assert_eq!(big.row(&db, 0).state, State::Sent);
    let nothing = Settle { settlements: &[], ..call };
    assert_eq!(db.unchanged(&nothing).parcels, []);
}

#[test]
fn scattered_rows_of_a_big_parcel_are_written_where_they_stand() {
    let db = Db::start();
    let order = Order::big("u1:5").rows(500).accept(&db).clone();
    let courier = Courier::new(&db, "c1");
    let parcel = courier.claim_one();
    let every = |step: usize| (0..500).step_by(step).map(|i| (i, 1)).collect::<Vec<(u16, u8)>>();
    for rows in [every(50), every(7), vec![(1, 1), (2, 1), (3, 1), (499, 1)], every(3), every(1)] {
        courier.begin(&parcel, &rows);
        db.sound();
        let reports: Vec<_> = rows.iter().map(|(i, k)| report(*i, *k, Verdict::Sent)).collect();
        let (_, letters, _) = settle(&courier, &db, &parcel, false, &reports);
        assert!(letters.iter().all(|l| matches!(l, Reported::Applied | Reported::Known)));
        db.sound();
    }
    assert_eq!(order.try_outcomes(&db, 0).expect("outcomes").counters()[State::Sent], 500);
}

#[test]
fn records_that_cannot_be_read_change_nothing() {
    let newer = [[2].as_slice(), &[0; 60]].concat();
    for (head, code) in [(newer, ParcelCode::Newer), (vec![1; 9], ParcelCode::Bad), (vec![], ParcelCode::Bad)]
    {
        let db = Db::start();
        let (order, courier, parcel) = sending(&db, false, 1);
        db.raw(&[b"HSET", db.keys.history(&order.suffix).as_bytes(), b"h", &head]);
        let (found, letters, step) = settle(&courier, &db, &parcel, true, &[report(0, 1, Verdict::Sent)]);
        assert_eq!((found, letters, step.changes), (code, vec![], vec![]));
    }
    for (field, value) in [("c:email", "short"), ("l", "x"), ("l", "")] {
        let db = Db::start();
        let (order, courier, parcel) = sending(&db, true, 1);
        db.raw(&["HSET", &db.keys.history(&order.suffix), field, value]);
        let (found, letters, step) = settle(&courier, &db, &parcel, true, &[report(0, 1, Verdict::Sent)]);
        assert_eq!((found, letters, step.changes), (ParcelCode::Bad, vec![], vec![]), "{field}");
    }
    // Cancelled before it was due: no row was ever begun.
    let db = Db::start();
    let order = Order::big("u1:5").due_in(&db, SPAN).accept(&db).clone();
    db.reply(&Cancel { keys: &db.keys, suffix: &order.suffix });
    let courier = Courier::new(&db, "c1");
    let parcel = ParcelRef { member: order.member(0), fence: 1 };
    let (code, _, step) = settle(&courier, &db, &parcel, true, &[report(0, 1, Verdict::Sent)]);
    assert_eq!((code, step.changes), (ParcelCode::Final, vec![]));
}
