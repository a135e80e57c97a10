//! `stage` and `unstage`: parcels of a big order that streams in, and what becomes of one that never comes.

use std::time::Duration;

use posthaste_model::{Channel, Suffix};
use posthaste_protocol::scripts::enqueue::{Enqueue, Enqueued};
use posthaste_protocol::scripts::stage::{Stage, Staged};
use posthaste_protocol::scripts::unstage::{Unstage, Unstaged};

use crate::db::{Db, channel};
use crate::order::{Order, UPLOAD};

const SILENCE: Duration = Duration::from_secs(900);

type Parcels = Vec<(Channel, u32, Vec<u8>)>;

fn parcels(list: &[(&str, u32)]) -> Parcels {
    list.iter().map(|(name, n)| (channel(name), *n, vec![1, 2, 3])).collect()
}

fn suffix() -> Suffix {
    "u1:5".parse().expect("a suffix")
}

fn stage<'a>(db: &'a Db, suffix: &'a Suffix, open: bool, parcels: &'a Parcels) -> Stage<'a> {
    upload(db, suffix, UPLOAD, open, parcels)
}

fn upload<'a>(
    db: &'a Db,
    suffix: &'a Suffix,
    upload: &'a str,
    open: bool,
    parcels: &'a Parcels,
) -> Stage<'a> {
    Stage { keys: &db.keys, suffix, upload, open: open.then_some(b"content".as_slice()), parcels }
}

#[test]
fn the_first_call_opens_and_the_next_ones_go_on() {
    let (db, suffix) = (Db::start(), suffix());
    let step = db.step(&stage(&db, &suffix, true, &parcels(&[("email", 0), ("sms", 0), ("email", 1)])));
    assert_eq!(step.reply, Staged::Ok);
    step.changed(
        &[],
        &[
            "+ staging:{0} u1:5: @now",
            "+ staged:{0}:u1:5 #: up",
            "+ staged:{0}:u1:5 #email: 2",
            "+ staged:{0}:u1:5 #sms: 1",
            "+ staged:{0}:u1:5 email: 2",
            "+ staged:{0}:u1:5 sms: 1",
            "+ text:{0}:u1:5: content",
            "+ parcel:{0}:u1:5:email:0: <3 bytes>",
            "+ parcel:{0}:u1:5:email:1: <3 bytes>",
            "+ parcel:{0}:u1:5:sms:0: <3 bytes>",
        ],
    );
    let opened = step.now;
    db.later(SILENCE - Duration::from_secs(1));
    let step = db.step(&stage(&db, &suffix, false, &parcels(&[("sms", 1)])));
    assert_eq!(step.reply, Staged::Ok);
    step.changed(
        &[("opened", opened - 899_000)],
        &[
            "~ staging:{0} u1:5: @opened -> @now",
            "~ staged:{0}:u1:5 #sms: 1 -> 2",
            "~ staged:{0}:u1:5 sms: 1 -> 2",
            "+ parcel:{0}:u1:5:sms:1: <3 bytes>",
        ],
    );
    db.sound();
}

#[test]
fn what_was_stored_before_is_stored_again() {
    let (db, suffix) = (Db::start(), suffix());
    let first = parcels(&[("email", 0), ("email", 1)]);
    let opened = db.step(&stage(&db, &suffix, true, &first)).now;
    db.reply(&stage(&db, &suffix, false, &parcels(&[("email", 2)])));
    // A copy of the first call counts as progress and loses nothing.
    db.pass(posthaste_model::UnixMs(opened));
    let step = db.step(&stage(&db, &suffix, true, &first));
    assert_eq!(step.reply, Staged::Ok);
    assert!(step.changes.iter().all(|line| line.starts_with("~ staging:{0} u1:5: ")), "{:?}", step.changes);
    assert_eq!(db.snapshot().hash("staged:{0}:u1:5")["email"], b"3");
}

#[test]
fn a_number_beyond_the_next_one_is_a_hole() {
    let (db, suffix) = (Db::start(), suffix());
    let unchanged = |open, list: &[(&str, u32)]| db.unchanged(&stage(&db, &suffix, open, &parcels(list)));
    assert_eq!(unchanged(true, &[("email", 1)]), Staged::Hole);
    db.reply(&stage(&db, &suffix, true, &parcels(&[("email", 0)])));
    assert_eq!(unchanged(false, &[("email", 2)]), Staged::Hole);
    assert_eq!(unchanged(false, &[("email", 1), ("email", 3)]), Staged::Hole);
    assert_eq!(unchanged(false, &[("email", 1), ("sms", 1)]), Staged::Hole);
}

#[test]
fn what_is_not_open_is_gone() {
    let (db, suffix) = (Db::start(), suffix());
    let one = parcels(&[("email", 0)]);
    let unchanged = |open| db.unchanged(&stage(&db, &suffix, open, &one));
    assert_eq!(unchanged(false), Staged::Gone, "never opened");
    db.reply(&stage(&db, &suffix, true, &one));
    db.later(SILENCE);
    assert_eq!((unchanged(true), unchanged(false)), (Staged::Gone, Staged::Gone), "silent too long");
    db.raw(&["ZADD", "staging:{0}", "0", "u1:5"]);
    assert_eq!((unchanged(true), unchanged(false)), (Staged::Gone, Staged::Gone), "given up");
    let unstage = Unstage { keys: &db.keys, suffix: None, upload: None };
    assert_eq!(db.reply(&unstage), Unstaged::Done(Some("u1:5".into())));
    assert_eq!(unchanged(false), Staged::Gone, "removed");
    assert_eq!(db.reply(&stage(&db, &suffix, true, &one)), Staged::Ok, "opened again");
}

#[test]
fn another_upload_takes_over_and_the_two_never_mix() {
    let db = Db::start();
    let order = Order::big("u1:5").channels(&[("email", 1_000)]);
    let suffix = &order.suffix;
    let (one, two, second) =
        (parcels(&[("email", 0)]), parcels(&[("email", 0), ("email", 1)]), parcels(&[("email", 1)]));
    db.reply(&upload(&db, suffix, "a", true, &one));
    let step = db.step(&upload(&db, suffix, "b", true, &two));
    assert_eq!(step.reply, Staged::Ok);
    let staged = |db: &Db| {
        let staged = db.snapshot().hash("staged:{0}:u1:5");
        ["#", "#email", "email"].map(|field| String::from_utf8_lossy(&staged[field]).into_owned())
    };
    assert_eq!(staged(&db), ["b", "2", "2"]);
    assert_eq!(db.unchanged(&upload(&db, suffix, "a", false, &second)), Staged::Gone);
    assert_eq!(
        db.unchanged(&Unstage { keys: &db.keys, suffix: Some(suffix), upload: Some("a") }),
        Unstaged::Done(None)
    );
    let enqueue = |upload| Enqueue { upload, ..order.call(&db, None) };
    assert_eq!(db.unchanged(&enqueue("a")), Enqueued::Unstaged);
    // One that takes over starts from nothing, and what the other has left beyond it is no part of the order.
    db.reply(&upload(&db, suffix, "c", true, &one));
    assert_eq!(staged(&db), ["c", "1", "2"]);
    assert_eq!(db.unchanged(&enqueue("c")), Enqueued::Incomplete);
    let short = Order::big("u1:5").channels(&[("email", 500)]);
    assert_eq!(db.unchanged(&Enqueue { upload: "c", ..short.call(&db, None) }), Enqueued::Incomplete);
    db.reply(&upload(&db, suffix, "c", false, &second));
    assert!(matches!(db.reply(&enqueue("c")), Enqueued::Accepted { again: false, .. }));
    db.sound();
}

#[test]
fn an_order_of_that_suffix_exists() {
    let db = Db::start();
    let order = Order::big("u1:5");
    order.accept(&db);
    let one = parcels(&[("email", 0)]);
    for open in [true, false] {
        assert_eq!(db.unchanged(&stage(&db, &order.suffix, open, &one)), Staged::Exists);
    }
}

#[test]
fn nothing_is_left_of_an_order_that_never_came() {
    let db = Db::start();
    let order = Order::big("u1:5").channels(&[("email", 2), ("sms", 1)]);
    order.stage(&db);
    let silent = Unstage { keys: &db.keys, suffix: None, upload: None };
    assert_eq!(db.unchanged(&silent), Unstaged::Done(None), "it may still come");
    db.later(SILENCE);
    let step = db.step(&silent);
    assert_eq!(step.reply, Unstaged::Done(Some("u1:5".into())));
    step.changed(
        &[],
        &[
            "- staging:{0} u1:5",
            "- staged:{0}:u1:5 #",
            "- staged:{0}:u1:5 #email",
            "- staged:{0}:u1:5 #sms",
            "- staged:{0}:u1:5 email",
            "- staged:{0}:u1:5 sms",
            "- text:{0}:u1:5",
            "- parcel:{0}:u1:5:email:0",
            "- parcel:{0}:u1:5:sms:0",
        ],
    );
    assert_eq!(db.unchanged(&silent), Unstaged::Done(None));
    db.again();
}

#[test]
fn one_may_be_given_up_by_name() {
    let db = Db::start();
    let orders = ["u1:5", "u1:6"].map(Order::big);
    orders.iter().for_each(|order| order.stage(&db));
    let named = Unstage { keys: &db.keys, suffix: Some(&orders[1].suffix), upload: None };
    assert_eq!(db.reply(&named), Unstaged::Done(Some("u1:6".into())));
    assert!(db.snapshot().names().all(|name| !name.contains("u1:6")));
    assert!(db.snapshot().sorted("staging:{0}").contains_key("u1:5"));
    assert_eq!(db.unchanged(&named), Unstaged::Done(None));
}

#[test]
fn unstaging_goes_in_steps_and_from_the_first_step_on_nothing_can_be_accepted() {
    let db = Db::start();
    let order = Order::big("u1:5").channels(&[("email", 350_000), ("sms", 150_500)]);
    order.stage(&db);
    let unstage = Unstage { keys: &db.keys, suffix: Some(&order.suffix), upload: None };
    let keys = || db.raw(&["DBSIZE"]).int().expect("a number");
    let before = keys();
    assert_eq!(db.reply(&unstage), Unstaged::More("u1:5".into()));
    assert!(keys() >= before - 501, "{} of {before} keys left", keys());
    let refused = db.unchanged(&order.call(&db, None));
    assert_eq!(refused, Enqueued::Unstaged);
    assert_eq!(db.unchanged(&stage(&db, &order.suffix, false, &parcels(&[("email", 0)]))), Staged::Gone);
    // Another process goes on with it, without knowing its name.
    let silent = Unstage { keys: &db.keys, suffix: None, upload: None };
    assert_eq!(db.reply(&silent), Unstaged::More("u1:5".into()));
    assert_eq!(db.reply(&silent), Unstaged::Done(Some("u1:5".into())));
    assert!(db.snapshot().names().all(|name| !name.contains("u1")));
}

#[test]
fn an_accepted_order_is_not_unstaged() {
    let db = Db::start();
    let order = Order::big("u1:5");
    order.accept(&db);
    db.later(SILENCE);
    let named = Unstage { keys: &db.keys, suffix: Some(&order.suffix), upload: None };
    assert_eq!(db.unchanged(&named), Unstaged::Done(None));
    db.sound();
}
