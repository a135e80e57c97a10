//! `begin`: which deliveries may be sent, and which must not.

use posthaste_model::OutcomeKind;
use posthaste_protocol::scripts::ParcelCode;
use posthaste_protocol::scripts::begin::{Begin, DeliveryBegun};
use posthaste_protocol::scripts::cancel::Cancel;

use crate::db::Db;
use crate::order::{Courier, LEASE, Order, SPAN, WINDOW, report};

const BEGUN: DeliveryBegun = DeliveryBegun::Begun { token: 0 };

/// A claimed order with this many deliveries.
fn claimed(
    db: &Db,
    big: bool,
    deliveries: u32,
) -> (Order, Courier<'_>, posthaste_protocol::scripts::ParcelRef) {
    let order = Order::of_layout(big, "u1:5").deliveries(deliveries).accept(db).clone();
    let courier = Courier::new(db, "c1");
    let parcel = courier.claim_one();
    (order, courier, parcel)
}

#[test]
fn deliveries_are_sending_under_their_next_attempt() {
    let db = Db::start();
    let (_, courier, parcel) = claimed(&db, false, 3);
    let parcels = [(parcel, vec![(0, 1), (2, 1)])];
    let begin = |deliveries_a_token| Begin {
        keys: &db.keys,
        channel: &courier.channel,
        send_window: WINDOW,
        deliveries_a_token,
        partitions: 1,
        parcels: &parcels,
    };
    let step = db.step(&begin(0));
    assert_eq!(step.reply, [(ParcelCode::Ok, vec![BEGUN, BEGUN])]);
    step.changed(
        &[],
        &[
            "+ history:{0}:u1:5 o: 1/2/0 sending#1 pending#0 sending#1",
            "+ history:{0}:u1:5 v: 1",
            "~ lease:{0}:email u1:5:0: 2 0 1 0 c1 -> 2 1 0 @now+30000 c1",
        ],
    );
    // A repeat returns the same and changes nothing.
    db.again();
    assert_eq!(db.unchanged(&begin(0)), [(ParcelCode::Ok, vec![BEGUN, BEGUN])]);
    db.check_invariants();
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
        deliveries_a_token: 0,
        partitions: 1,
        parcels: &parcels,
    };
    let step = db.step(&begin);
    step.changed(
        &[],
        &[
            "+ outcome:{0}:u1:5:email:0: 2/1/0 pending#0 sending#1 pending#0",
            "~ history:{0}:u1:5 c:email: pending=3 -> pending=2 sending=1",
            "+ history:{0}:u1:5 v: 1",
            "~ lease:{0}:email u1:5:0: 2 0 1 0 c1 -> 2 1 0 @now+30000 c1",
        ],
    );
    db.check_invariants();
}

#[test]
fn a_delivery_is_begun_only_when_the_attempts_before_it_are_recorded() {
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
            assert_eq!(try_begin(attempt), DeliveryBegun::OtherAttempt, "{attempt} of a fresh delivery");
        }
        assert_eq!(try_begin(1), BEGUN);
        assert_eq!(try_begin(2), DeliveryBegun::OtherAttempt, "the next one while one is sending");
        courier.settle(&parcel, false, &[report(0, 1, OutcomeKind::Retry)]);
        // A late copy of the first begin, under the same fence: the reason for attempt numbers.
        assert_eq!(try_begin(1), DeliveryBegun::OtherAttempt);
        assert_eq!(try_begin(2), BEGUN);
        courier.settle(&parcel, false, &[report(0, 2, OutcomeKind::Unknown)]);
        assert_eq!(try_begin(2), DeliveryBegun::Final, "unresolved");
        assert_eq!(try_begin(3), DeliveryBegun::Final, "unresolved");
        courier.settle(&parcel, false, &[report(0, 2, OutcomeKind::Sent)]);
        assert_eq!(try_begin(3), DeliveryBegun::Final);
        assert_eq!(courier.begin(&parcel, &[(9, 1)]).1, [DeliveryBegun::NoDelivery]);
        db.check_invariants();
    }
}

#[test]
fn attempts_wrap_at_256() {
    let db = Db::start();
    let (order, courier, parcel) = claimed(&db, false, 1);
    for round in 1..=300_u16 {
        let attempt = u8::try_from(round % 256).expect("a byte");
        courier.begun(&parcel, &[(0, attempt)]);
        courier.settle(&parcel, false, &[report(0, attempt, OutcomeKind::NotSent)]);
    }
    let delivery = order.delivery(&db, 0);
    assert_eq!((delivery.attempt, delivery.tries), (44, 0));
    db.check_invariants();
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
    refused(&other, ParcelCode::LeaseLost);
    other.parcel_id.number = 1;
    refused(&other, ParcelCode::LeaseLost);
    db.later(LEASE);
    refused(&parcel, ParcelCode::LeaseExpired);
    db.reply(&courier.sweeping());
    refused(&parcel, ParcelCode::LeaseLost);
    let next = Courier::new(&db, "c2").claim_one();
    refused(&parcel, ParcelCode::LeaseLost);
    courier.begun(&next, &[(0, 1)]);
}

#[test]
fn no_delivery_of_an_ended_order_is_begun() {
    let db = Db::start();
    let (order, courier, parcel) = claimed(&db, false, 1);
    let refused = |code| {
        let before = db.snapshot();
        assert_eq!(courier.begin(&parcel, &[(0, 1)]), (code, vec![]));
        assert!(db.snapshot() == before);
    };
    let history = db.keys.history(&order.order_id);
    let head = db.snapshot().hash(&history)["h"].clone();
    for (head, code) in [
        ([[2].as_slice(), &[0; 60]].concat(), ParcelCode::NewerVersion),
        (vec![1; 9], ParcelCode::Unreadable),
    ] {
        db.raw(&[b"HSET", history.as_bytes(), b"h", &head]);
        refused(code);
    }
    db.raw(&[b"HSET", history.as_bytes(), b"h", &head]);
    db.raw(&[b"HSET", history.as_bytes(), b"o", b"x".as_slice()]);
    refused(ParcelCode::Unreadable);
    db.raw(&["HDEL", &history, "o"]);
    db.reply(&Cancel { keys: &db.keys, order_id: &order.order_id });
    refused(ParcelCode::Cancelled);
    db.raw(&["HDEL", &history, "x"]);
    db.raw(&["DEL", "leased:{0}:email"]);
    db.later(SPAN);
    db.raw(&["ZADD", "leased:{0}:email", &(db.now().0 + 60_000).to_string(), &parcel.parcel_id.to_string()]);
    refused(ParcelCode::Expired);
    db.raw(&["DEL", &history]);
    refused(ParcelCode::NotFound);
}

/// A counter far ahead of the clock, so that the next tokens do not depend on the current time.
fn ahead(db: &Db) -> u32 {
    let counter =
        u32::try_from((db.now().0 + 1_000_000_000) % u64::from(PLACES)).expect("below the number of places");
    db.raw(&["SET", "token:{0}:email", &(counter + 1).to_string()]);
    counter
}

/// Number of tokens of a single partition.
const PLACES: u32 = 2_147_483_646;

#[test]
fn tokens_are_issued_once_and_stay_with_their_delivery() {
    let db = Db::start();
    let (order, courier, parcel) = claimed(&db, true, 3);
    let counter = ahead(&db);
    let nth = |n| (counter + n) % PLACES + 1;
    let token = |n| DeliveryBegun::Begun { token: nth(n) };
    assert_eq!(courier.begin_with(&parcel, &[(0, 1), (2, 1)], 1).1, [token(1), token(2)]);
    assert_eq!(courier.begin_with(&parcel, &[(0, 1), (2, 1)], 1).1, [token(1), token(2)], "a repeat");
    assert_eq!(db.raw(&["GET", "token:{0}:email"]).text(), Some(nth(2).to_string().as_str()));
    courier.settle(&parcel, false, &[report(0, 1, OutcomeKind::NotSent)]);
    let others = [token(1), token(3), DeliveryBegun::NoDelivery];
    assert_eq!(courier.begin_with(&parcel, &[(0, 2), (1, 1), (7, 1)], 1).1, others);
    assert_eq!(order.delivery(&db, 0).token, Some(nth(1)));
    db.check_invariants();
}

#[test]
fn deliveries_begun_together_may_share_a_token_within_their_parcel() {
    let db = Db::start();
    Order::big("u1:5").deliveries(503).accept(&db);
    let courier = Courier::new(&db, "c1");
    let mut parcels: Vec<_> = courier.claim().into_iter().map(|parcel| (parcel, Vec::new())).collect();
    parcels[0].1 = (0..5).map(|delivery| (delivery, 1)).collect();
    parcels[1].1 = vec![(0, 1), (1, 1)];
    let counter = ahead(&db);
    let begin = |deliveries_a_token| Begin {
        keys: &db.keys,
        channel: &courier.channel,
        send_window: WINDOW,
        deliveries_a_token,
        partitions: 1,
        parcels: &parcels,
    };
    let tokens = |reply: Vec<(ParcelCode, Vec<DeliveryBegun>)>| -> Vec<Vec<u32>> {
        let nth = |delivery: DeliveryBegun| match delivery {
            DeliveryBegun::Begun { token } => (token + PLACES - 1 - counter) % PLACES,
            other => panic!("{other:?}"),
        };
        reply.into_iter().map(|(_, deliveries)| deliveries.into_iter().map(nth).collect()).collect()
    };
    let shared = vec![vec![1, 1, 2, 2, 3], vec![4, 4]];
    assert_eq!(tokens(db.reply(&begin(2))), shared);
    assert_eq!(tokens(db.unchanged(&begin(2))), shared, "a repeat");
    assert_eq!(tokens(db.unchanged(&begin(100))), shared, "a repeat that would share otherwise");
    // A delivery with a token keeps it, and does not get a shared one.
    courier.settle(
        &parcels[0].0,
        false,
        &[report(1, 1, OutcomeKind::NotSent), report(4, 1, OutcomeKind::NotSent)],
    );
    let (_, again) = courier.begin_with(&parcels[0].0, &[(1, 2), (4, 2), (5, 1), (6, 1)], 100);
    assert_eq!(tokens(vec![(ParcelCode::Ok, again)]), [vec![1, 3, 5, 5]]);
    db.check_invariants();
}

/// A provider drops a message with a token it knows: a token issued twice would silently lose a message.
#[test]
fn tokens_never_go_back_whatever_happens_to_the_database() {
    for (partitions, unit) in [(1, 1), (64, 1), (1_024, 32)] {
        let places = u64::from(PLACES / partitions);
        for stored in [None, Some("not a number"), Some("of 1,000 s ago"), Some("of 1 s ago")] {
            let db = Db::start();
            let (_, courier, parcel) = claimed(&db, false, 1);
            let clock = |db: &Db| db.now().0 / unit % places;
            let back = match stored {
                Some("of 1,000 s ago") => Some(1_000_000 / unit),
                Some("of 1 s ago") => Some(1_000 / unit),
                _ => None,
            };
            match (stored, back) {
                (_, Some(back)) => {
                    let old = (clock(&db) + places - back) % places * u64::from(partitions) + 1;
                    db.raw(&["SET", "token:{0}:email", &old.to_string()]);
                }
                (Some(text), None) => drop(db.raw(&["SET", "token:{0}:email", text])),
                (None, None) => {}
            }
            let before = clock(&db);
            let parcels = [(parcel, vec![(0, 1)])];
            let begin = Begin {
                keys: &db.keys,
                channel: &courier.channel,
                send_window: WINDOW,
                deliveries_a_token: 1,
                partitions,
                parcels: &parcels,
            };
            let DeliveryBegun::Begun { token } = db.reply(&begin)[0].1[0] else { panic!("not begun") };
            let (place, own) = ((token - 1) / partitions, (token - 1) % partitions);
            let passed = (u64::from(place) + places - before) % places;
            let took = (clock(&db) + places - before) % places;
            assert!(
                (1..=took + 1).contains(&passed),
                "{stored:?}: {passed} past the clock, which moved {took}"
            );
            assert_eq!(own, 0, "partition 0 uses only its own numbers");
        }
    }
}

#[test]
fn tokens_wrap_without_a_gap_or_a_zero() {
    // So many partitions that the cycle is small.
    let partitions = PLACES / 1_000;
    let db = Db::start();
    let order = Order::big("u1:5").deliveries(400);
    order.accept(&db);
    let courier = Courier::new(&db, "c1");
    let parcel = courier.claim_one();
    // Ahead of the clock, and the wrap happens among the tokens issued now, or just before.
    let ahead = (db.now().0 / 32 + 400) % 1_000;
    db.raw(&["SET", "token:{0}:email", &(ahead * u64::from(partitions) + 1).to_string()]);
    let parcels = [(parcel, (0..400).map(|delivery| (delivery, 1)).collect::<Vec<_>>())];
    let begin = Begin {
        keys: &db.keys,
        channel: &courier.channel,
        send_window: WINDOW,
        deliveries_a_token: 1,
        partitions,
        parcels: &parcels,
    };
    let begun = db.reply(&begin).remove(0).1;
    let places = begun.iter().map(|delivery| match delivery {
        DeliveryBegun::Begun { token } if token % partitions == 1 => u64::from(token / partitions),
        other => panic!("{other:?}"),
    });
    let wanted = (1..=400).map(|n| (ahead + n) % 1_000);
    assert_eq!(places.collect::<Vec<_>>(), wanted.collect::<Vec<_>>());
    db.check_invariants();
}

#[test]
fn many_parcels_fit_in_one_call() {
    let db = Db::start();
    for n in 1..=3 {
        Order::inline(&format!("u1:{n}")).accept(&db);
    }
    let big = Order::big("u2:1").deliveries(501);
    big.accept(&db);
    let courier = Courier::new(&db, "c1");
    let mut parcels: Vec<_> = courier.claim().into_iter().map(|parcel| (parcel, vec![(0, 1)])).collect();
    assert_eq!(parcels.len(), 5);
    parcels[1].0.fence = 99;
    let begin = Begin {
        keys: &db.keys,
        channel: &courier.channel,
        send_window: WINDOW,
        deliveries_a_token: 0,
        partitions: 1,
        parcels: &parcels,
    };
    let step = db.step(&begin);
    let codes: Vec<_> = step.reply.iter().map(|(code, _)| *code).collect();
    assert_eq!(
        codes,
        [ParcelCode::Ok, ParcelCode::LeaseLost, ParcelCode::Ok, ParcelCode::Ok, ParcelCode::Ok]
    );
    // Two parcels of one order are one write of its history.
    assert!(step.changes.contains(&"+ history:{0}:u2:1 v: 1".to_owned()), "{:#?}", step.changes);
    assert!(
        step.changes.contains(&"~ history:{0}:u2:1 c:email: pending=501 -> pending=499 sending=2".to_owned())
    );
    db.check_invariants();
    let nothing = Begin { parcels: &[], ..begin };
    assert_eq!(db.unchanged(&nothing), []);
}
