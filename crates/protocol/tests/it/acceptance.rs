//! `bind`, `reserve` and `unreserve`: what goes before an order, in slots of its own.

use std::time::Duration;

use posthaste_model::{SenderId, Suffix, UnixMs};
use posthaste_protocol::scripts::bind::{Bind, Bound};
use posthaste_protocol::scripts::reserve::{Place, Reserve, Reserved};
use posthaste_protocol::scripts::unbind::Unbind;
use posthaste_protocol::scripts::unreserve::Unreserve;

use crate::db::Db;

fn suffix(text: &str) -> Suffix {
    text.parse().expect("a suffix")
}

fn bind(suffix: &Suffix, digest: u8) -> Bind<'_> {
    Bind { owner: "k1", key_digest: "abc", suffix, digest: [digest; 12], ttl: Duration::from_secs(86_400) }
}

#[test]
fn a_key_is_bound_once() {
    let db = Db::start();
    let (first, second) = (suffix("u1:5"), suffix("u1:6"));
    let step = db.step(&bind(&first, b'a'));
    assert_eq!(step.reply, Bound::Fresh);
    let until = db.snapshot().until("idem:{k1:abc}").expect("an end");
    step.changed(&[("until", until)], &["+ idem:{k1:abc}: aaaaaaaaaaaau1:5 until @until"]);
    let now = db.now().0;
    assert!((now + 86_300_000..=now + 86_400_000).contains(&until), "{until} at {now}");
    db.again();
    assert_eq!(db.unchanged(&bind(&first, b'a')), Bound::Fresh, "the same call again");
    assert_eq!(db.unchanged(&bind(&second, b'b')), Bound::Other);
    let step = db.step(&bind(&second, b'a'));
    assert_eq!(step.reply, Bound::Same(first.clone()));
    let shared = "~ idem:{k1:abc}: aaaaaaaaaaaau1:5 until @until -> aaaaaaaaaaaau1:5+ until @until";
    step.changed(&[("until", until)], &[shared]);
    db.again();
    assert_eq!(db.unchanged(&bind(&second, b'a')), Bound::Same(first.clone()));
    assert_eq!(db.unchanged(&bind(&first, b'a')), Bound::Fresh);
    assert_eq!(db.unchanged(&bind(&second, b'b')), Bound::Other);
    let other_owner = Bind { owner: "k2", ..bind(&second, b'b') };
    assert_eq!(db.reply(&other_owner), Bound::Fresh);
}

#[test]
fn a_key_is_freed_by_the_request_that_tied_it_and_shares_it_with_none() {
    let db = Db::start();
    let (first, second) = (suffix("u1:5"), suffix("u1:6"));
    let unbind = |suffix| Unbind { owner: "k1", key_digest: "abc", suffix };
    assert_eq!(db.reply(&bind(&first, b'a')), Bound::Fresh);
    assert!(!db.unchanged(&unbind(&second)));
    assert!(db.reply(&unbind(&first)));
    assert_eq!(db.snapshot().until("idem:{k1:abc}"), None, "it is free");
    assert_eq!(db.reply(&bind(&second, b'b')), Bound::Fresh, "for another body too");
    assert!(!db.unchanged(&unbind(&first)), "a late copy");
    // A repeat was told the suffix, and may store its order under it.
    assert_eq!(db.reply(&bind(&first, b'b')), Bound::Same(second.clone()));
    assert!(!db.unchanged(&unbind(&second)));
    assert_eq!(db.reply(&bind(&first, b'b')), Bound::Same(second));
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

    fn reserve<'b>(&'b self, suffix: &'b Suffix) -> Reserve<'b> {
        Reserve { sender: &self.sender, suffix, daily: self.daily, day_start: self.start }
    }

    /// When a place was taken, which must be just now.
    fn placed(&self, suffix: &str) -> u64 {
        let (at, now) = (self.db.snapshot().sorted("limit:{u1}")[suffix], self.db.now().0);
        assert!(at <= now && at + 60_000 > now, "{at} at {now}");
        at
    }

    fn take(&self, text: &str) -> (u32, Place) {
        match self.db.reply(&self.reserve(&suffix(text))) {
            Reserved::Ok { used, again: false, taken } => (used, Place { suffix: suffix(text), taken }),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn an_order_takes_one_place() {
    let db = Db::start();
    let day = Day::new(&db, 2);
    let step = db.step(&day.reserve(&suffix("u1:5")));
    let taken = UnixMs(day.placed("u1:5"));
    assert_eq!(step.reply, Reserved::Ok { used: 1, again: false, taken });
    step.changed(&[("at", day.placed("u1:5"))], &["+ limit:{u1} u1:5: @at until @at+172800000"]);
    db.again();
    assert_eq!(db.unchanged(&day.reserve(&suffix("u1:5"))), Reserved::Ok { used: 1, again: true, taken });
    assert_eq!(day.take("u1:6").0, 2);
    let full = db.unchanged(&day.reserve(&suffix("u1:7")));
    assert_eq!(full, Reserved::Full { used: 2, to_check: vec![] });
    // Who has a place keeps it on a full day.
    assert_eq!(db.unchanged(&day.reserve(&suffix("u1:5"))), Reserved::Ok { used: 2, again: true, taken });
}

#[test]
fn a_full_day_names_places_older_than_ten_minutes() {
    let db = Db::start();
    let day = Day::new(&db, 2);
    day.take("u1:5");
    db.later(Duration::from_secs(601));
    let taken = UnixMs(db.snapshot().sorted("limit:{u1}")["u1:5"]);
    let old = Place { suffix: suffix("u1:5"), taken };
    day.take("u1:6");
    let full = db.unchanged(&day.reserve(&suffix("u1:7")));
    assert_eq!(full, Reserved::Full { used: 2, to_check: vec![old] });
}

#[test]
fn places_of_earlier_days_count_for_nothing() {
    let db = Db::start();
    let day = Day::new(&db, 1);
    let yesterday = (day.start.0 - 1).to_string();
    for old in ["u1:1", "u1:2"] {
        db.raw(&["ZADD", "limit:{u1}", &yesterday, old]);
    }
    let step = db.step(&day.reserve(&suffix("u1:5")));
    assert_eq!(step.reply, Reserved::Ok { used: 1, again: false, taken: UnixMs(day.placed("u1:5")) });
    let expected = ["+ limit:{u1} u1:5: @at until @at+172800000", "- limit:{u1} u1:1", "- limit:{u1} u1:2"];
    step.changed(&[("at", day.placed("u1:5"))], &expected);
    // A place of yesterday is no place of today.
    db.raw(&["ZADD", "limit:{u1}", &yesterday, "u1:2"]);
    assert_eq!(db.unchanged(&day.reserve(&suffix("u1:2"))), Reserved::Full { used: 1, to_check: vec![] });
}

#[test]
fn places_are_given_back() {
    let db = Db::start();
    let day = Day::new(&db, 2);
    let (_, first) = day.take("u1:5");
    day.take("u1:6");
    let unknown = Place { suffix: suffix("u1:9"), taken: first.taken };
    let (sender, places) = (&day.sender, [first.clone(), unknown]);
    let step = db.step(&Unreserve { sender, places: &places });
    assert_eq!(step.reply, 1);
    step.changed(&[], &["- limit:{u1} u1:5"]);
    db.again();
    assert_eq!(db.unchanged(&Unreserve { sender, places: &places }), 0);
    assert_eq!(db.unchanged(&Unreserve { sender, places: &[] }), 0);
    assert_eq!(day.take("u1:7").0, 2);
}

#[test]
fn an_old_copy_gives_no_place_back_that_was_taken_anew() {
    let db = Db::start();
    let day = Day::new(&db, 2);
    let (_, first) = day.take("u1:5");
    let places = [first];
    let back = Unreserve { sender: &day.sender, places: &places };
    assert_eq!(db.reply(&back), 1);
    db.pass(places[0].taken);
    day.take("u1:5");
    assert_eq!(db.unchanged(&back), 0);
}

#[test]
fn a_sender_who_sends_no_more_leaves_no_key() {
    let db = Db::start();
    let day = Day::new(&db, 2);
    day.take("u1:5");
    let left = db.raw(&["PTTL", "limit:{u1}"]).int().expect("a time");
    assert!((47 * 3_600_000..=48 * 3_600_000).contains(&left), "{left}");
}
