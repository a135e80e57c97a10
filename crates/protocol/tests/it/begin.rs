//! `begin`: what may be sent, and what must not be.

use posthaste_model::Verdict;
use posthaste_protocol::scripts::ParcelCode;
use posthaste_protocol::scripts::begin::{Begin, RowBegun};
use posthaste_protocol::scripts::cancel::Cancel;

use crate::db::Db;
use crate::order::{Courier, LEASE, Order, SPAN, WINDOW, report};

const BEGUN: RowBegun = RowBegun::Begun { token: 0 };

/// A claimed order of so many rows.
fn claimed(db: &Db, big: bool, rows: u32) -> (Order, Courier<'_>, posthaste_protocol::scripts::ParcelRef) {
    let order = Order::of_layout(big, "u1:5").rows(rows).accept(db).clone();
    let courier = Courier::new(db, "c1");
    let parcel = courier.claim_one();
    (order, courier, parcel)
}

#[test]
fn rows_are_sending_under_their_next_attempt() {
    let db = Db::start();
    let (_, courier, parcel) = claimed(&db, false, 3);
    let parcels = [(parcel, vec![(0, 1), (2, 1)])];
    let begin = |tokens| Begin {
        keys: &db.keys,
        channel: &courier.channel,
        send_window: WINDOW,
        tokens,
        parcels: &parcels,
    };
    let step = db.step(&begin(false));
    assert_eq!(step.reply, [(ParcelCode::Ok, vec![BEGUN, BEGUN])]);
    step.changed(
        &[],
        &[
            "+ history:{0}:u1:5 o: 1/2/0 sending#1 pending#0 sending#1",
            "+ history:{0}:u1:5 v: 1",
            "~ lease:{0}:email u1:5:0: 1 0 1 0 c1 -> 1 1 1 @now+30000 c1",
        ],
    );
    // A repeat answers the same and changes nothing.
    db.again();
    assert_eq!(db.unchanged(&begin(false)), [(ParcelCode::Ok, vec![BEGUN, BEGUN])]);
    db.sound();
}

#[test]
fn a_big_order_counts_what_is_sending() {
    let db = Db::start();
    let (_, courier, parcel) = claimed(&db, true, 3);
    let parcels = [(parcel, vec![(1, 1)])];
    let begin = Begin {
        keys: &db.keys,
        channel: &courier.channel,
        send_window: WINDOW,
        tokens: false,
        parcels: &parcels,
    };
    let step = db.step(&begin);
    step.changed(
        &[],
        &[
            "+ outcome:{0}:u1:5:email:0: 2/1/0 pending#0 sending#1 pending#0",
            "~ history:{0}:u1:5 c:email: pending=3 -> pending=2 sending=1",
            "+ history:{0}:u1:5 v: 1",
            "~ lease:{0}:email u1:5:0: 1 0 1 0 c1 -> 1 1 1 @now+30000 c1",
        ],
    );
    db.sound();
}

#[test]
fn a_row_is_begun_only_when_the_attempts_before_it_are_recorded() {
    for big in [false, true] {
        let db = Db::start();
        let (_, courier, parcel) = claimed(&db, big, 2);
        let try_begin = |attempt| {
            let before = db.snapshot();
            let (code, letters) = courier.begin(&parcel, &[(0, attempt)]);
            assert!(code == ParcelCode::Ok && (letters == [BEGUN] || db.snapshot() == before));
            letters[0]
        };
        for attempt in [0, 2, 255] {
            assert_eq!(try_begin(attempt), RowBegun::OtherAttempt, "{attempt} of a fresh row");
        }
        assert_eq!(try_begin(1), BEGUN);
        assert_eq!(try_begin(2), RowBegun::OtherAttempt, "the next one while one is sending");
        courier.settle(&parcel, false, &[report(0, 1, Verdict::Retry)]);
        // A late copy of the first begin, under the same fence: the reason for attempt numbers.
        assert_eq!(try_begin(1), RowBegun::OtherAttempt);
        assert_eq!(try_begin(2), BEGUN);
        courier.settle(&parcel, false, &[report(0, 2, Verdict::Unknown)]);
        assert_eq!(try_begin(2), RowBegun::Final, "unresolved");
        assert_eq!(try_begin(3), RowBegun::Final, "unresolved");
        courier.settle(&parcel, false, &[report(0, 2, Verdict::Sent)]);
        assert_eq!(try_begin(3), RowBegun::Final);
        assert_eq!(courier.begin(&parcel, &[(9, 1)]).1, [RowBegun::NoRow]);
        db.sound();
    }
}

#[test]
fn attempts_wrap_at_256() {
    let db = Db::start();
    let (order, courier, parcel) = claimed(&db, false, 1);
    for round in 1..=300_u16 {
        let attempt = u8::try_from(round % 256).expect("a byte");
        courier.begun(&parcel, &[(0, attempt)]);
        courier.settle(&parcel, false, &[report(0, attempt, Verdict::NotSent)]);
    }
    let row = order.row(&db, 0);
    assert_eq!((row.attempt, row.tries), (44, 0));
    db.sound();
}

#[test]
fn only_the_holder_of_the_lease_may_begin() {
    let db = Db::start();
    let (_, courier, parcel) = claimed(&db, false, 1);
    let refused = |parcel: &_, code| {
        let before = db.snapshot();
        assert_eq!(courier.begin(parcel, &[(0, 1)]), (code, vec![]));
        assert!(db.snapshot() == before);
    };
    let mut other = parcel.clone();
    other.fence += 1;
    refused(&other, ParcelCode::Stale);
    other.member.number = 1;
    refused(&other, ParcelCode::Stale);
    db.later(LEASE);
    refused(&parcel, ParcelCode::Over);
    db.reply(&courier.sweeping());
    refused(&parcel, ParcelCode::Stale);
    let next = Courier::new(&db, "c2").claim_one();
    refused(&parcel, ParcelCode::Stale);
    courier.begun(&next, &[(0, 1)]);
}

#[test]
fn nothing_is_begun_of_an_order_that_ended() {
    let db = Db::start();
    let (order, courier, parcel) = claimed(&db, false, 1);
    let refused = |code| {
        let before = db.snapshot();
        assert_eq!(courier.begin(&parcel, &[(0, 1)]), (code, vec![]));
        assert!(db.snapshot() == before);
    };
    let history = db.keys.history(&order.suffix);
    let head = db.snapshot().hash(&history)["h"].clone();
    for (head, code) in
        [([[2].as_slice(), &[0; 60]].concat(), ParcelCode::Newer), (vec![1; 9], ParcelCode::Bad)]
    {
        db.raw(&[b"HSET", history.as_bytes(), b"h", &head]);
        refused(code);
    }
    db.raw(&[b"HSET", history.as_bytes(), b"h", &head]);
    db.raw(&[b"HSET", history.as_bytes(), b"o", b"x".as_slice()]);
    refused(ParcelCode::Bad);
    db.raw(&["HDEL", &history, "o"]);
    db.reply(&Cancel { keys: &db.keys, suffix: &order.suffix });
    refused(ParcelCode::Cancelled);
    db.raw(&["HDEL", &history, "x"]);
    db.raw(&["DEL", "leased:{0}:email"]);
    db.later(SPAN);
    db.raw(&["ZADD", "leased:{0}:email", &(db.now().0 + 60_000).to_string(), &parcel.member.to_string()]);
    refused(ParcelCode::Expired);
    db.raw(&["DEL", &history]);
    refused(ParcelCode::Gone);
}

#[test]
fn tokens_are_given_once_and_stay_with_their_row() {
    let db = Db::start();
    let (order, courier, parcel) = claimed(&db, true, 3);
    let token = |token| RowBegun::Begun { token };
    assert_eq!(courier.begin_with(&parcel, &[(0, 1), (2, 1)], true).1, [token(1), token(2)]);
    assert_eq!(courier.begin_with(&parcel, &[(0, 1), (2, 1)], true).1, [token(1), token(2)], "a repeat");
    assert_eq!(db.raw(&["GET", "token:{0}:email"]).text(), Some("2"));
    courier.settle(&parcel, false, &[report(0, 1, Verdict::NotSent)]);
    let others = [token(1), token(3), RowBegun::NoRow];
    assert_eq!(courier.begin_with(&parcel, &[(0, 2), (1, 1), (7, 1)], true).1, others);
    assert_eq!(order.row(&db, 0).token, Some(1));
    db.raw(&["SET", "token:{0}:email", "2147483646"]);
    courier.settle(&parcel, false, &[report(1, 1, Verdict::Retry)]);
    let (_, courier, parcel) = {
        let order = Order::inline("u1:6").accept(&db).clone();
        let courier = Courier::new(&db, "c2");
        let parcel = courier.claim_one();
        (order, courier, parcel)
    };
    assert_eq!(courier.begin_with(&parcel, &[(0, 1)], true).1, [token(1)], "31 bits, never 0");
    db.sound();
}

#[test]
fn many_parcels_go_in_one_call() {
    let db = Db::start();
    for n in 1..=3 {
        Order::inline(&format!("u1:{n}")).accept(&db);
    }
    let big = Order::big("u2:1").rows(501);
    big.accept(&db);
    let courier = Courier::new(&db, "c1");
    let mut parcels: Vec<_> = courier.claim().into_iter().map(|parcel| (parcel, vec![(0, 1)])).collect();
    assert_eq!(parcels.len(), 5);
    parcels[1].0.fence = 99;
    let begin = Begin {
        keys: &db.keys,
        channel: &courier.channel,
        send_window: WINDOW,
        tokens: false,
        parcels: &parcels,
    };
    let step = db.step(&begin);
    let codes: Vec<_> = step.reply.iter().map(|(code, _)| *code).collect();
    assert_eq!(codes, [ParcelCode::Ok, ParcelCode::Stale, ParcelCode::Ok, ParcelCode::Ok, ParcelCode::Ok]);
    // Two parcels of one order are one write of its history.
    assert!(step.changes.contains(&"+ history:{0}:u2:1 v: 1".to_owned()), "{:#?}", step.changes);
    assert!(
        step.changes.contains(&"~ history:{0}:u2:1 c:email: pending=501 -> pending=499 sending=2".to_owned())
    );
    db.sound();
    let nothing = Begin { parcels: &[], ..begin };
    assert_eq!(db.unchanged(&nothing), []);
}
