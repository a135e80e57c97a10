//! `bind_idempotency_key`, `take_daily_places` and `return_daily_places`, which run before an order is stored, in
//! their own slots.

use std::time::Duration;

use posthaste_model::{OrderId, SenderId, UnixMs};
use posthaste_protocol::scripts::bind_idempotency_key::{BindIdempotencyKey, BoundIdempotencyKey};
use posthaste_protocol::scripts::free_idempotency_key::FreeIdempotencyKey;
use posthaste_protocol::scripts::return_daily_places::ReturnDailyPlaces;
use posthaste_protocol::scripts::take_daily_places::{DailyPlace, DailyPlaces, TakeDailyPlaces};

use crate::db::Db;

fn order_id(text: &str) -> OrderId {
    text.parse().expect("an order id")
}

fn bind(order_id: &OrderId, digest: u8) -> BindIdempotencyKey<'_> {
    BindIdempotencyKey {
        owner: "k1",
        key_digest: "abc",
        order_id,
        digest: [digest; 12],
        ttl: Duration::from_secs(86_400),
    }
}

#[test]
fn a_key_is_bound_once() {
    let db = Db::start();
    let (first, second) = (order_id("u1:5"), order_id("u1:6"));
    let step = db.step(&bind(&first, b'a'));
    assert_eq!(step.reply, BoundIdempotencyKey::Bound);
    let until = db.snapshot().until("idem:{k1:abc}").expect("an end");
    step.changed(&[("until", until)], &["+ idem:{k1:abc}: aaaaaaaaaaaau1:5 until @until"]);
    let now = db.now().0;
    assert!((now + 86_300_000..=now + 86_400_000).contains(&until), "{until} at {now}");
    db.again();
    assert_eq!(db.unchanged(&bind(&first, b'a')), BoundIdempotencyKey::Bound, "the same call again");
    assert_eq!(db.unchanged(&bind(&second, b'b')), BoundIdempotencyKey::Conflict);
    let step = db.step(&bind(&second, b'a'));
    assert_eq!(step.reply, BoundIdempotencyKey::AlreadyDone(first.clone()));
    let shared = "~ idem:{k1:abc}: aaaaaaaaaaaau1:5 until @until -> aaaaaaaaaaaau1:5+ until @until";
    step.changed(&[("until", until)], &[shared]);
    db.again();
    assert_eq!(db.unchanged(&bind(&second, b'a')), BoundIdempotencyKey::AlreadyDone(first.clone()));
    assert_eq!(db.unchanged(&bind(&first, b'a')), BoundIdempotencyKey::Bound);
    assert_eq!(db.unchanged(&bind(&second, b'b')), BoundIdempotencyKey::Conflict);
    let other_owner = BindIdempotencyKey { owner: "k2", ..bind(&second, b'b') };
    assert_eq!(db.reply(&other_owner), BoundIdempotencyKey::Bound);
}

#[test]
fn a_key_is_freed_only_by_its_request_and_only_if_unshared() {
    let db = Db::start();
    let (first, second) = (order_id("u1:5"), order_id("u1:6"));
    let unbind = |order_id| FreeIdempotencyKey { owner: "k1", key_digest: "abc", order_id };
    assert_eq!(db.reply(&bind(&first, b'a')), BoundIdempotencyKey::Bound);
    assert!(!db.unchanged(&unbind(&second)));
    assert!(db.reply(&unbind(&first)));
    assert_eq!(db.snapshot().until("idem:{k1:abc}"), None, "it is free");
    assert_eq!(db.reply(&bind(&second, b'b')), BoundIdempotencyKey::Bound, "for another body too");
    assert!(!db.unchanged(&unbind(&first)), "a late copy");
    // A repeat got the order id, and may store its order under it.
    assert_eq!(db.reply(&bind(&first, b'b')), BoundIdempotencyKey::AlreadyDone(second.clone()));
    assert!(!db.unchanged(&unbind(&second)));
    assert_eq!(db.reply(&bind(&first, b'b')), BoundIdempotencyKey::AlreadyDone(second));
}

struct Day<'a> {
    db: &'a Db,
    sender: SenderId,
    daily: u32,
    start: UnixMs,
}

impl<'a> Day<'a> {
    fn new(db: &'a Db, daily: u32) -> Self {
        let start = UnixMs(db.now().0 - 3_600_000);
        Self { db, sender: "u1".parse().expect("a sender"), daily, start }
    }

    fn reserve<'b>(&'b self, order_id: &'b OrderId) -> TakeDailyPlaces<'b> {
        TakeDailyPlaces { sender: &self.sender, order_id, daily: self.daily, day_start: self.start }
    }

    /// When a place was taken; it must have been just now.
    fn placed(&self, order_id: &str) -> u64 {
        let (at, now) = (self.db.snapshot().sorted("limit:{u1}")[order_id], self.db.now().0);
        assert!(at <= now && at + 60_000 > now, "{at} at {now}");
        at
    }

    fn take(&self, text: &str) -> (u32, DailyPlace) {
        match self.db.reply(&self.reserve(&order_id(text))) {
            DailyPlaces::Ok { used, already_done: false, taken } => {
                (used, DailyPlace { order_id: order_id(text), taken })
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn an_order_takes_one_place() {
    let db = Db::start();
    let day = Day::new(&db, 2);
    let step = db.step(&day.reserve(&order_id("u1:5")));
    let taken = UnixMs(day.placed("u1:5"));
    assert_eq!(step.reply, DailyPlaces::Ok { used: 1, already_done: false, taken });
    step.changed(&[("at", day.placed("u1:5"))], &["+ limit:{u1} u1:5: @at until @at+172800000"]);
    db.again();
    assert_eq!(
        db.unchanged(&day.reserve(&order_id("u1:5"))),
        DailyPlaces::Ok { used: 1, already_done: true, taken }
    );
    assert_eq!(day.take("u1:6").0, 2);
    let full = db.unchanged(&day.reserve(&order_id("u1:7")));
    assert_eq!(full, DailyPlaces::LimitReached { used: 2, to_check: vec![] });
    // An order that has a place keeps it on a full day.
    assert_eq!(
        db.unchanged(&day.reserve(&order_id("u1:5"))),
        DailyPlaces::Ok { used: 2, already_done: true, taken }
    );
}

#[test]
fn a_full_day_lists_places_older_than_ten_minutes() {
    let db = Db::start();
    let day = Day::new(&db, 2);
    day.take("u1:5");
    db.later(Duration::from_secs(601));
    let taken = UnixMs(db.snapshot().sorted("limit:{u1}")["u1:5"]);
    let old = DailyPlace { order_id: order_id("u1:5"), taken };
    day.take("u1:6");
    let full = db.unchanged(&day.reserve(&order_id("u1:7")));
    assert_eq!(full, DailyPlaces::LimitReached { used: 2, to_check: vec![old] });
}

#[test]
fn places_of_earlier_days_do_not_count() {
    let db = Db::start();
    let day = Day::new(&db, 1);
    let yesterday = (day.start.0 - 1).to_string();
    for old in ["u1:1", "u1:2"] {
        db.raw(&["ZADD", "limit:{u1}", &yesterday, old]);
    }
    let step = db.step(&day.reserve(&order_id("u1:5")));
    assert_eq!(
        step.reply,
        DailyPlaces::Ok { used: 1, already_done: false, taken: UnixMs(day.placed("u1:5")) }
    );
    let expected = ["+ limit:{u1} u1:5: @at until @at+172800000", "- limit:{u1} u1:1", "- limit:{u1} u1:2"];
    step.changed(&[("at", day.placed("u1:5"))], &expected);
    // A place taken yesterday is not a place today.
    db.raw(&["ZADD", "limit:{u1}", &yesterday, "u1:2"]);
    assert_eq!(
        db.unchanged(&day.reserve(&order_id("u1:2"))),
        DailyPlaces::LimitReached { used: 1, to_check: vec![] }
    );
}

#[test]
fn places_are_returned() {
    let db = Db::start();
    let day = Day::new(&db, 2);
    let (_, first) = day.take("u1:5");
    day.take("u1:6");
    let unknown = DailyPlace { order_id: order_id("u1:9"), taken: first.taken };
    let (sender, places) = (&day.sender, [first.clone(), unknown]);
    let step = db.step(&ReturnDailyPlaces { sender, places: &places });
    assert_eq!(step.reply, 1);
    step.changed(&[], &["- limit:{u1} u1:5"]);
    db.again();
    assert_eq!(db.unchanged(&ReturnDailyPlaces { sender, places: &places }), 0);
    assert_eq!(db.unchanged(&ReturnDailyPlaces { sender, places: &[] }), 0);
    assert_eq!(day.take("u1:7").0, 2);
}

#[test]
fn an_old_copy_does_not_return_a_place_taken_again() {
    let db = Db::start();
    let day = Day::new(&db, 2);
    let (_, first) = day.take("u1:5");
    let places = [first];
    let back = ReturnDailyPlaces { sender: &day.sender, places: &places };
    assert_eq!(db.reply(&back), 1);
    db.pass(places[0].taken);
    day.take("u1:5");
    assert_eq!(db.unchanged(&back), 0);
}

#[test]
fn the_key_of_an_inactive_sender_expires() {
    let db = Db::start();
    let day = Day::new(&db, 2);
    day.take("u1:5");
    let left = db.raw(&["PTTL", "limit:{u1}"]).int().expect("a time");
    assert!((47 * 3_600_000..=48 * 3_600_000).contains(&left), "{left}");
}
