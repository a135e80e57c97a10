//! `address_key`, `suppress` and `delete_suppression`: which addresses are suppressed, and the key used to hash them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use posthaste_model::{Channel, Reason, UnixMs};
use posthaste_protocol::record::{
    AddressKey, Notice, NoticeId, NoticeTime, SuppressionId, SuppressionSource,
};
use posthaste_protocol::scripts::address_key::{AgreeOnKey, KeyAgreed};
use posthaste_protocol::scripts::delete_suppression::{DeleteSuppression, SuppressionDeletion};
use posthaste_protocol::scripts::opt_in::OptIn;
use posthaste_protocol::scripts::suppress::{MOST_ENTRIES, NewSuppression, PutSuppressions, Suppressed};

use crate::db::{Db, channel};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);
pub(crate) const LIST: &str = "suppressed:{0}:email";

/// The key of these tests.
pub(crate) fn key() -> AddressKey {
    AddressKey::new(&[7; 32])
}

/// A readable hash, number `n`.
pub(crate) fn id(n: u32) -> SuppressionId {
    SuppressionId::from_field(format!("hash-of-{n:08}").as_bytes()).expect("an id")
}

/// A provider's refusal of address `n`.
pub(crate) fn refusal(n: u32) -> NewSuppression {
    NewSuppression {
        id: id(n),
        of_sender: false,
        reason: Reason::InvalidAddress,
        source: SuppressionSource::Provider,
        after: 1,
        notice: fresh(),
    }
}

/// A new notice, said now.
pub(crate) fn fresh() -> Notice {
    static COUNT: AtomicU64 = AtomicU64::new(1);
    let id = NoticeId::random(COUNT.fetch_add(1, Ordering::Relaxed).to_be_bytes());
    Notice { id, said: NoticeTime::Ago(Duration::ZERO) }
}

fn strike(n: u32, after: u8) -> NewSuppression {
    NewSuppression { source: SuppressionSource::Bounce, reason: Reason::Bounced, after, ..refusal(n) }
}

/// Stores the key's check value in the database.
pub(crate) fn agree(db: &Db) {
    let key = AgreeOnKey { keys: &db.keys, key: &key(), made: true };
    assert!(matches!(db.reply(&key), KeyAgreed::Stored(_)));
}

/// A step of a random walk: agrees on the key, suppresses address `n` or counts a strike, deletes it, or applies an
/// opt-in.
pub(crate) fn step(db: &Db, n: u32, what: u8) {
    match what {
        0 => agree(db),
        1 | 2 => {
            let entries = [NewSuppression { after: what, ..refusal(n) }];
            db.reply(&PutSuppressions { keys: &db.keys, key: &key(), channel: &email(), entries: &entries });
        }
        3 => {
            let (keys, key, channel, notice) = (&db.keys, &key(), &email(), fresh());
            let reasons = &[Reason::InvalidAddress];
            db.reply(&OptIn { keys, key, channel, id: id(n), notice, reasons, remember: n == 0 });
        }
        _ => {
            if let SuppressionDeletion::Changed(last) = delete_seen(db, n, UnixMs(0)) {
                assert_eq!(delete_seen(db, n, last), SuppressionDeletion::Deleted);
            }
        }
    }
}

pub(crate) fn ready() -> Db {
    let db = Db::start();
    agree(&db);
    db
}

pub(crate) fn email() -> Channel {
    channel("email")
}

/// Puts entries on the list; returns the results and what changed.
fn put(db: &Db, entries: &[NewSuppression]) -> crate::db::Step<Option<Vec<Suppressed>>> {
    db.step(&PutSuppressions { keys: &db.keys, key: &key(), channel: &email(), entries })
}

pub(crate) fn put_one(db: &Db, entry: &NewSuppression) -> Suppressed {
    put(db, std::slice::from_ref(entry)).reply.expect("the same key").remove(0)
}

/// Requires that nothing changes but the received notices and the mark of that; returns the result.
fn put_in_vain(db: &Db, entry: &NewSuppression) -> Suppressed {
    let step = put(db, std::slice::from_ref(entry));
    let is_of_hearing = |line: &String| line.contains(" consent:") || line.starts_with("~ fence:");
    assert!(step.changes.iter().all(is_of_hearing), "{:?}", step.changes);
    db.again();
    step.reply.expect("the same key").remove(0)
}

/// Requires that nothing changes; returns the result.
fn put_first_time(db: &Db, entry: &NewSuppression) -> Suppressed {
    let entries = std::slice::from_ref(entry);
    let put = PutSuppressions { keys: &db.keys, key: &key(), channel: &email(), entries };
    db.unchanged(&put).expect("the same key").remove(0)
}

/// When a record last changed.
fn last(db: &Db, n: u32) -> UnixMs {
    let record = &db.snapshot().hash(LIST)[&String::from_utf8(id(n).as_bytes().to_vec()).expect("text")];
    UnixMs(record[10..16].iter().fold(0, |n, b| n << 8 | u64::from(*b)))
}

pub(crate) fn delete(db: &Db, n: u32) -> SuppressionDeletion {
    delete_seen(db, n, last(db, n))
}

pub(crate) fn delete_seen(db: &Db, n: u32, seen: UnixMs) -> SuppressionDeletion {
    let (keys, channel) = (&db.keys, &email());
    db.reply(&DeleteSuppression { keys, key: &key(), channel, id: id(n), seen })
}

#[test]
fn a_refusal_counts_at_once_and_once() {
    let db = ready();
    let of_sender = NewSuppression {
        of_sender: true,
        reason: Reason::Unsubscribed,
        source: SuppressionSource::Unsubscribe,
        ..refusal(2)
    };
    let step = put(&db, &[refusal(1), of_sender, refusal(1)]);
    assert_eq!(step.reply, Some(vec![Suppressed::Added, Suppressed::Added, Suppressed::AlreadyListed]));
    step.changed(
        &[],
        &[
            "+ address_key:{0} on:email: @now",
            "+ suppressed:{0}:email hash-of-00000001: active invalid_address provider channel 1 @now @now",
            "+ suppressed:{0}:email hash-of-00000002: active unsubscribed unsubscribe sender 1 @now @now",
            "+ consent:{0}:email hash-of-00000001: - - 0 over nothing heard 2",
            "+ consent:{0}:email hash-of-00000002: o h @now over nothing heard 1",
        ],
    );
    db.again();
    db.later(DAY * 200);
    let other = NewSuppression { reason: Reason::Blocked, source: SuppressionSource::Bounce, ..refusal(1) };
    assert_eq!(put_in_vain(&db, &other), Suppressed::AlreadyListed);
    assert_eq!(put_in_vain(&db, &strike(1, 3)), Suppressed::AlreadyListed);
    let step = put(&db, &[refusal(3)]);
    let line = "+ suppressed:{0}:email hash-of-00000003: active invalid_address provider channel 1 @now @now";
    step.changed(&[], &[line, "+ consent:{0}:email hash-of-00000003: - - 0 over nothing heard 1"]);
}

#[test]
fn an_operators_entry_outweighs_a_persons_and_that_a_providers() {
    let db = ready();
    let by = |source, reason| NewSuppression { source, reason, ..refusal(1) };
    put_one(&db, &refusal(1));
    db.later(HOUR);
    let first = last(&db, 1).0;
    let stop = by(SuppressionSource::Stop, Reason::OptedOut);
    let step = put(&db, std::slice::from_ref(&stop));
    assert_eq!(step.reply, Some(vec![Suppressed::AlreadyListed]));
    step.changed(
        &[("first", first)],
        &["~ suppressed:{0}:email hash-of-00000001: active invalid_address provider channel 1 @first @first -> active \
           opted_out stop channel 1 @first @now",
           "~ consent:{0}:email hash-of-00000001: - - 0 over nothing heard 1 -> o h @now over invalid_address,p heard 2"],
    );
    db.again();
    // Equal weight does not replace, and a strike has no weight.
    assert_eq!(
        put_in_vain(&db, &by(SuppressionSource::Unsubscribe, Reason::Unsubscribed)),
        Suppressed::AlreadyListed
    );
    assert_eq!(put_in_vain(&db, &strike(1, 3)), Suppressed::AlreadyListed);
    assert_eq!(
        put_in_vain(&db, &NewSuppression { after: 3, ..by(SuppressionSource::Operator, Reason::Manual) }),
        Suppressed::AlreadyListed
    );
    let operator = by(SuppressionSource::Operator, Reason::Manual);
    assert_eq!(put_one(&db, &operator), Suppressed::AlreadyListed);
    assert_eq!(put_in_vain(&db, &stop), Suppressed::AlreadyListed);
}

#[test]
fn strikes_on_different_days_suffice() {
    let db = ready();
    let step = put(&db, &[strike(1, 3), strike(1, 3)]);
    assert_eq!(step.reply, Some(vec![Suppressed::Struck, Suppressed::CountedBefore]));
    let first = step.now;
    let line = "+ suppressed:{0}:email hash-of-00000001: striking bounced bounce channel 1 @now @now";
    let received = "+ consent:{0}:email hash-of-00000001: - - 0 over nothing heard 2";
    step.changed(&[], &["+ address_key:{0} on:email: @now", line, received]);
    db.again();
    db.later(HOUR * 20 - SECOND * 9);
    assert_eq!(put_in_vain(&db, &strike(1, 3)), Suppressed::CountedBefore);
    db.later(SECOND * 9);
    let first = first - ms(HOUR * 20);
    let step = put(&db, &[strike(1, 3)]);
    assert_eq!(step.reply, Some(vec![Suppressed::Struck]));
    step.changed(
        &[("first", first)],
        &["~ suppressed:{0}:email hash-of-00000001: striking bounced bounce channel 1 @first @first -> striking bounced \
           bounce channel 2 @first @now",
           "~ consent:{0}:email hash-of-00000001: - - 0 over nothing heard 3 -> - - 0 over nothing heard 4"],
    );
    db.again();
    let (first, second) = (first - ms(DAY), step.now - ms(DAY));
    db.later(DAY);
    let step = put(&db, &[strike(1, 3)]);
    assert_eq!(step.reply, Some(vec![Suppressed::Added]));
    step.changed(
        &[("first", first), ("second", second)],
        &["~ suppressed:{0}:email hash-of-00000001: striking bounced bounce channel 2 @first @second -> active bounced \
           bounce channel 3 @first @now",
           "~ consent:{0}:email hash-of-00000001: - - 0 over nothing heard 4 -> - - 0 over nothing heard 5"],
    );
    db.again();
}

#[test]
fn old_strikes_are_forgotten_and_a_refusal_needs_none() {
    let db = ready();
    for n in [1, 2] {
        put_one(&db, &strike(n, 2));
    }
    db.later(DAY * 90 - HOUR);
    assert_eq!(put_one(&db, &strike(1, 2)), Suppressed::Added);
    db.later(HOUR);
    assert_eq!(put_one(&db, &strike(2, 2)), Suppressed::Struck);
    // A refusal counts at once, also on the day of a strike, and sets the reason.
    let step = put(&db, &[refusal(2)]);
    assert_eq!(step.reply, Some(vec![Suppressed::Added]));
    let banned = |line: &String| line.contains("-> active invalid_address provider channel 1");
    assert!(step.changes.iter().any(banned), "{:?}", step.changes);
    // Zero strikes count as one.
    assert_eq!(put_one(&db, &strike(3, 0)), Suppressed::Added);
}

#[test]
fn late_copies_do_not_undo_a_delete_and_new_notices_count_at_once() {
    let db = ready();
    let first = refusal(1);
    put_one(&db, &first);
    let (put_at, banned) = (db.sent() - 1, last(&db, 1));
    db.pass(banned);
    let (keys, channel, key) = (&db.keys, &email(), &key());
    let call = |seen| DeleteSuppression { keys, key, channel, id: id(1), seen };
    let step = db.step(&call(banned));
    assert_eq!(step.reply, SuppressionDeletion::Deleted);
    step.changed(
        &[("first", banned.0)],
        &["~ suppressed:{0}:email hash-of-00000001: active invalid_address provider channel 1 @first @first -> deleted \
           invalid_address provider channel 0 @first @now"],
    );
    db.again();
    let (delete_at, deleted) = (db.sent() - 1, UnixMs(step.now));
    assert_eq!(db.unchanged(&call(deleted)), SuppressionDeletion::AlreadyDone(deleted));
    db.harmless(put_at);
    assert_eq!(put_first_time(&db, &first), Suppressed::Repeated);
    assert_eq!(put_first_time(&db, &NewSuppression { after: 2, ..first.clone() }), Suppressed::Repeated);
    // Another notice is new and counts at once; a late copy of the deletion then finds another record.
    db.pass(deleted);
    assert_eq!(put_one(&db, &refusal(1)), Suppressed::Added);
    let again_at = db.sent() - 1;
    db.harmless(delete_at);
    db.pass(last(&db, 1));
    assert_eq!(delete(&db, 1), SuppressionDeletion::Deleted);
    db.harmless(again_at);
    db.harmless(put_at);
}

#[test]
fn a_deletion_names_the_record_it_may_delete() {
    let db = ready();
    put(&db, &[refusal(1), refusal(2), strike(3, 3)]);
    let at = last(&db, 1);
    let (keys, channel, key) = (&db.keys, &email(), &key());
    let call = |n, seen| DeleteSuppression { keys, key, channel, id: id(n), seen };
    assert_eq!(db.unchanged(&call(1, UnixMs(at.0 + 1))), SuppressionDeletion::Changed(at));
    assert_eq!(db.unchanged(&call(9, at)), SuppressionDeletion::NotFound);
    assert_eq!(db.reply(&call(1, at)), SuppressionDeletion::Deleted);
    db.again();
    // Strikes are reset too.
    assert_eq!(delete(&db, 3), SuppressionDeletion::Deleted);
    db.later(DAY);
    assert_eq!(put_one(&db, &strike(3, 2)), Suppressed::Struck);
    // A record of a later version is left alone.
    db.raw(&[b"HSET", LIST.as_bytes(), id(2).as_bytes(), b"\x02 of a later version"]);
    assert_eq!(db.unchanged(&call(2, at)), SuppressionDeletion::Unreadable);
    assert_eq!(put_first_time(&db, &refusal(2)), Suppressed::Unreadable);
}

#[test]
fn five_hundred_entries_fit_in_one_call() {
    let db = ready();
    let number = |n: usize| u32::try_from(n).expect("a number");
    let all: Vec<_> = (0..MOST_ENTRIES).map(|n| refusal(number(n))).collect();
    assert_eq!(put(&db, &all).reply, Some(vec![Suppressed::Added; MOST_ENTRIES]));
    assert_eq!(db.raw(&["HLEN", LIST]).int(), Some(500));
    db.again();
}

#[test]
fn lists_of_a_wrong_type_stop_a_script_before_it_writes() {
    let db = ready();
    put_one(&db, &refusal(1));
    let entries = [refusal(2)];
    let (keys, channel) = (&db.keys, &email());
    let put = PutSuppressions { keys, key: &key(), channel, entries: &entries };
    let seen = UnixMs(1);
    let delete = DeleteSuppression { keys, key: &key(), channel, id: id(1), seen };
    let (key, notice, reasons) = (&key(), fresh(), &[Reason::Blocked]);
    let back = OptIn { keys, key, channel, id: id(1), notice, reasons, remember: true };
    for spoiled in [LIST, "consent:{0}:email", "address_key:{0}"] {
        db.raw(&["DEL", spoiled]);
        db.raw(&["SADD", spoiled, "x"]);
        let before = db.snapshot();
        assert!(db.call(&put).is_err() && db.call(&back).is_err(), "{spoiled}");
        assert!(db.call(&delete).is_err() || spoiled.starts_with("consent"), "{spoiled}");
        assert!(db.snapshot() == before, "{spoiled}");
        db.raw(&["DEL", spoiled]);
    }
    agree(&db);
    db.reply(&put);
    db.raw(&["DEL", LIST]);
    db.raw(&["SADD", LIST, "x"]);
    let before = db.snapshot();
    assert!(db.call(&AgreeOnKey { keys, key: &AddressKey::new(b"x"), made: false }).is_err());
    assert!(db.snapshot() == before);
}

fn ms(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).expect("a span")
}
