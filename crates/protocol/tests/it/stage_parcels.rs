//! `stage_parcels` and `unstage_parcels`: parcels of a big order being uploaded, and the removal of abandoned
//! uploads.

use std::time::Duration;

use posthaste_model::{Channel, OrderId};
use posthaste_protocol::scripts::enqueue::{Enqueue, Enqueued};
use posthaste_protocol::scripts::stage_parcels::{StageParcels, Staged};
use posthaste_protocol::scripts::unstage_parcels::{Unstage, Unstaged};

use crate::db::{Db, channel};
use crate::order::{Order, UPLOAD};

const SILENCE: Duration = Duration::from_secs(900);

type Parcels = Vec<(Channel, u32, Vec<u8>)>;

fn parcels(list: &[(&str, u32)]) -> Parcels {
    list.iter().map(|(name, n)| (channel(name), *n, vec![1, 2, 3])).collect()
}

fn order_id() -> OrderId {
    "u1:5".parse().expect("an order id")
}

fn stage<'a>(db: &'a Db, order_id: &'a OrderId, open: bool, parcels: &'a Parcels) -> StageParcels<'a> {
    upload(db, order_id, UPLOAD, open, parcels)
}

fn upload<'a>(
    db: &'a Db,
    order_id: &'a OrderId,
    upload: &'a str,
    open: bool,
    parcels: &'a Parcels,
) -> StageParcels<'a> {
    StageParcels { keys: &db.keys, order_id, upload, open: open.then_some(b"content".as_slice()), parcels }
}

#[test]
fn the_first_call_opens_and_the_next_ones_continue() {
    let (db, order_id) = (Db::start(), order_id());
    let step = db.step(&stage(&db, &order_id, true, &parcels(&[("email", 0), ("sms", 0), ("email", 1)])));
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
    let step = db.step(&stage(&db, &order_id, false, &parcels(&[("sms", 1)])));
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
    db.check_invariants();
}

#[test]
fn stored_parcels_are_stored_again() {
    let (db, order_id) = (Db::start(), order_id());
    let first = parcels(&[("email", 0), ("email", 1)]);
    let opened = db.step(&stage(&db, &order_id, true, &first)).now;
    db.reply(&stage(&db, &order_id, false, &parcels(&[("email", 2)])));
    // A copy of the first call counts as progress and loses nothing.
    db.pass(posthaste_model::UnixMs(opened));
    let step = db.step(&stage(&db, &order_id, true, &first));
    assert_eq!(step.reply, Staged::Ok);
    assert!(step.changes.iter().all(|line| line.starts_with("~ staging:{0} u1:5: ")), "{:?}", step.changes);
    assert_eq!(db.snapshot().hash("staged:{0}:u1:5")["email"], b"3");
}

#[test]
fn a_number_beyond_the_next_one_is_a_hole() {
    let (db, order_id) = (Db::start(), order_id());
    let unchanged = |open, list: &[(&str, u32)]| db.unchanged(&stage(&db, &order_id, open, &parcels(list)));
    assert_eq!(unchanged(true, &[("email", 1)]), Staged::Gap);
    db.reply(&stage(&db, &order_id, true, &parcels(&[("email", 0)])));
    assert_eq!(unchanged(false, &[("email", 2)]), Staged::Gap);
    assert_eq!(unchanged(false, &[("email", 1), ("email", 3)]), Staged::Gap);
    assert_eq!(unchanged(false, &[("email", 1), ("sms", 1)]), Staged::Gap);
}

#[test]
fn an_upload_that_is_not_open_is_gone() {
    let (db, order_id) = (Db::start(), order_id());
    let one = parcels(&[("email", 0)]);
    let unchanged = |open| db.unchanged(&stage(&db, &order_id, open, &one));
    assert_eq!(unchanged(false), Staged::UploadLost, "never opened");
    db.reply(&stage(&db, &order_id, true, &one));
    db.later(SILENCE);
    assert_eq!(
        (unchanged(true), unchanged(false)),
        (Staged::UploadLost, Staged::UploadLost),
        "idle too long"
    );
    db.raw(&["ZADD", "staging:{0}", "0", "u1:5"]);
    assert_eq!((unchanged(true), unchanged(false)), (Staged::UploadLost, Staged::UploadLost), "given up");
    let unstage = Unstage { keys: &db.keys, order_id: None, upload: None };
    assert_eq!(db.reply(&unstage), Unstaged::Done(Some("u1:5".into())));
    assert_eq!(unchanged(false), Staged::UploadLost, "removed");
    assert_eq!(db.reply(&stage(&db, &order_id, true, &one)), Staged::Ok, "opened again");
}

#[test]
fn another_upload_takes_over_and_the_two_never_mix() {
    let db = Db::start();
    let order = Order::big("u1:5").channels(&[("email", 1_000)]);
    let order_id = &order.order_id;
    let (one, two, second) =
        (parcels(&[("email", 0)]), parcels(&[("email", 0), ("email", 1)]), parcels(&[("email", 1)]));
    db.reply(&upload(&db, order_id, "a", true, &one));
    let step = db.step(&upload(&db, order_id, "b", true, &two));
    assert_eq!(step.reply, Staged::Ok);
    let staged = |db: &Db| {
        let staged = db.snapshot().hash("staged:{0}:u1:5");
        ["#", "#email", "email"].map(|field| String::from_utf8_lossy(&staged[field]).into_owned())
    };
    assert_eq!(staged(&db), ["b", "2", "2"]);
    assert_eq!(db.unchanged(&upload(&db, order_id, "a", false, &second)), Staged::UploadLost);
    assert_eq!(
        db.unchanged(&Unstage { keys: &db.keys, order_id: Some(order_id), upload: Some("a") }),
        Unstaged::Done(None)
    );
    let enqueue = |upload| Enqueue { upload, ..order.call(&db, None) };
    assert_eq!(db.unchanged(&enqueue("a")), Enqueued::UploadLost);
    // An upload that takes over starts from nothing, and parcels of the other beyond it are not part of the order.
    db.reply(&upload(&db, order_id, "c", true, &one));
    assert_eq!(staged(&db), ["c", "1", "2"]);
    assert_eq!(db.unchanged(&enqueue("c")), Enqueued::Incomplete);
    let short = Order::big("u1:5").channels(&[("email", 500)]);
    assert_eq!(db.unchanged(&Enqueue { upload: "c", ..short.call(&db, None) }), Enqueued::Incomplete);
    db.reply(&upload(&db, order_id, "c", false, &second));
    assert!(matches!(db.reply(&enqueue("c")), Enqueued::Accepted { already_done: false, .. }));
    db.check_invariants();
}

#[test]
fn an_order_with_this_id_exists() {
    let db = Db::start();
    let order = Order::big("u1:5");
    order.accept(&db);
    let one = parcels(&[("email", 0)]);
    for open in [true, false] {
        assert_eq!(db.unchanged(&stage(&db, &order.order_id, open, &one)), Staged::OrderExists);
    }
}

#[test]
fn an_abandoned_upload_leaves_nothing() {
    let db = Db::start();
    let order = Order::big("u1:5").channels(&[("email", 2), ("sms", 1)]);
    order.stage(&db);
    let silent = Unstage { keys: &db.keys, order_id: None, upload: None };
    assert_eq!(db.unchanged(&silent), Unstaged::Done(None), "it may still be enqueued");
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
fn an_upload_may_be_given_up_by_name() {
    let db = Db::start();
    let orders = ["u1:5", "u1:6"].map(Order::big);
    orders.iter().for_each(|order| order.stage(&db));
    let named = Unstage { keys: &db.keys, order_id: Some(&orders[1].order_id), upload: None };
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
    let unstage = Unstage { keys: &db.keys, order_id: Some(&order.order_id), upload: None };
    let keys = || db.raw(&["DBSIZE"]).int().expect("a number");
    let before = keys();
    assert_eq!(db.reply(&unstage), Unstaged::More("u1:5".into()));
    assert!(keys() >= before - 501, "{} of {before} keys left", keys());
    let refused = db.unchanged(&order.call(&db, None));
    assert_eq!(refused, Enqueued::UploadLost);
    assert_eq!(
        db.unchanged(&stage(&db, &order.order_id, false, &parcels(&[("email", 0)]))),
        Staged::UploadLost
    );
    // Another process continues, without knowing the order id.
    let silent = Unstage { keys: &db.keys, order_id: None, upload: None };
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
    let named = Unstage { keys: &db.keys, order_id: Some(&order.order_id), upload: None };
    assert_eq!(db.unchanged(&named), Unstaged::Done(None));
    db.check_invariants();
}
