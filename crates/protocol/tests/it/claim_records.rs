//! `claim` among records that can't be read and keys of a wrong type.

use posthaste_protocol::scripts::claim::{Claim, ClaimReply};

use crate::claim::{accept, parcel_ids};
use crate::db::Db;
use crate::order::{Courier, LEASE, Order};

/// Unreadable records neither block the others nor stay at the head of ready.
#[test]
fn unreadable_records_block_no_others() {
    let heads: [(&str, Option<Vec<u8>>, &str); 6] = [
        ("gone", None, "nowhere"),
        ("another type", Some(vec![]), "parked"),
        ("a head cut short", Some(vec![1; 20]), "parked"),
        (
            "channels cut short",
            Some([[1, b'i', b'b', b'd'].as_slice(), &[1; 30], b"\x05ema"].concat()),
            "parked",
        ),
        (
            "of another channel",
            Some([[1, b'i', b'b', b'd'].as_slice(), &[2; 30], b"\x02vk\0\0\0\x01"].concat()),
            "parked",
        ),
        ("newer", Some([[2].as_slice(), &[9; 50]].concat()), "later"),
    ];
    for (name, head, place) in heads {
        for begin in [0, 9] {
            let db = Db::start();
            let broken = accept(&db, &["u1:1", "u1:2"]).remove(0);
            let history = db.keys.history(&broken.order_id);
            match head.as_deref() {
                None => drop(db.raw(&["DEL", &history])),
                Some([]) => drop(db.raw(&["SET", &history, "x"])),
                Some(head) => drop(db.raw(&[b"HSET", history.as_bytes(), b"h", head])),
            }
            let courier = Courier::new(&db, "c1");
            let answer = db.answer(&Claim { begin, ..courier.next() });
            let ClaimReply::Claimed(taken) = answer.reply else { panic!("{:?}", answer.reply) };
            assert_eq!(parcel_ids(&taken), ["u1:2:0"], "{name}");
            let all = db.snapshot();
            let found = match place {
                "parked" => all.sorted("parked:{0}:email").get("u1:1:0") == Some(&answer.now.0),
                "later" => all.sorted("ready:{0}:email:bulk").get("u1:1:0") == Some(&(answer.now.0 + 10_000)),
                _ => true,
            };
            assert!(found, "{name}: {:#?}", all.since(&Default::default(), &[]));
            let waits = all.sorted("ready:{0}:email:bulk").len();
            assert_eq!(waits, usize::from(place == "later"), "{name}");
        }
    }
}

#[test]
fn outcomes_that_cannot_be_read_park_their_parcel_when_they_are_needed() {
    for (record, place) in [
        (b"short".to_vec(), "parked:{0}:email"),
        ([[0; 6].as_slice(), &[32; 12]].concat(), "ready:{0}:email:bulk"),
    ] {
        let db = Db::start();
        let broken = accept(&db, &["u1:1", "u1:2"]).remove(0);
        db.raw(&[b"HSET", db.keys.history(&broken.order_id).as_bytes(), b"o", &record]);
        let courier = Courier::new(&db, "c1");
        let (taken, _) = courier.take(&Claim { begin: 9, ..courier.next() });
        assert_eq!(parcel_ids(&taken), ["u1:2:0"]);
        assert!(db.snapshot().sorted(place).contains_key("u1:1:0"), "{place}");
    }
}

#[test]
fn members_that_are_not_parcels_are_dropped() {
    let db = Db::start();
    accept(&db, &["u1:1"]);
    for parcel_id in ["", "nonsense", "u1:x", ":0"] {
        db.raw(&["ZADD", "ready:{0}:email:bulk", "1", parcel_id]);
    }
    let courier = Courier::new(&db, "c1");
    assert_eq!(parcel_ids(&courier.take(&courier.next()).0), ["u1:1:0"]);
    assert!(db.snapshot().get("ready:{0}:email:bulk").is_none());
}

#[test]
fn indexes_of_a_wrong_type_stop_it_before_it_writes() {
    for key in [
        "due:{0}:urgent",
        "ready:{0}:email:urgent",
        "leased:{0}:email",
        "lease:{0}:email",
        "request:{0}:email",
        "couriers:{0}:email",
        "channels:{0}",
        "crashes:{0}:email",
        "unresolved:{0}:email",
        "parked:{0}:email",
    ] {
        let db = Db::start();
        Order::inline("u1:1").due_in(&db, LEASE).accept(&db);
        db.later(LEASE * 2);
        db.raw(&["DEL", key]);
        db.raw(&["SET", key, "x"]);
        let before = db.snapshot();
        let refusal = db.call(&Courier::new(&db, "c1").next()).expect_err("refused");
        assert!(refusal.to_string().contains("WRONGTYPE"), "{key}: {refusal}");
        assert!(db.snapshot() == before, "{key}");
    }
}
