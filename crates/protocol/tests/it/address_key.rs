//! The key of the hashes of addresses: agreed once, and replaced only while no list has an entry.

use posthaste_model::UnixMs;
use posthaste_protocol::record::AddressKey;
use posthaste_protocol::scripts::address_key::{AgreeOnKey, KeyAgreed};
use posthaste_protocol::scripts::delete_suppression::SuppressionDeletion;
use posthaste_protocol::scripts::suppress::PutSuppressions;

use crate::db::Db;
use crate::suppressions::{LIST, delete, delete_seen, email, key, put_one, ready, refusal};

#[test]
fn a_random_key_is_stored_once() {
    let db = Db::start();
    let (first, second) = (key(), AddressKey::new(&[8; 32]));
    let made = |key| AgreeOnKey { keys: &db.keys, key, made: true };
    let step = db.step(&made(&first));
    assert_eq!(step.reply, KeyAgreed::Stored(first.clone()));
    step.changed(&[], &["+ address_key:{0} check: <16 bytes>", "+ address_key:{0} key: <32 bytes>"]);
    db.again();
    assert_eq!(db.unchanged(&made(&second)), KeyAgreed::Stored(first));
}

#[test]
fn a_key_from_the_settings_is_never_stored() {
    let db = Db::start();
    let own = |key| AgreeOnKey { keys: &db.keys, key, made: false };
    let (first, second) = (key(), AddressKey::new(&[8; 32]));
    let step = db.step(&own(&first));
    assert_eq!(step.reply, KeyAgreed::Own);
    step.changed(&[], &["+ address_key:{0} check: <16 bytes>"]);
    db.again();
    assert_eq!(db.unchanged(&own(&first)), KeyAgreed::Own);
    let made = AgreeOnKey { keys: &db.keys, key: &second, made: true };
    assert_eq!(db.unchanged(&made), KeyAgreed::KeyRequired);
    // Another key may replace it only while no list has an entry.
    assert_eq!(db.reply(&own(&second)), KeyAgreed::Own);
    assert_eq!(db.reply(&own(&first)), KeyAgreed::Own);
    put_one(&db, &refusal(1));
    assert_eq!(db.unchanged(&own(&second)), KeyAgreed::WrongKey { made: false });
    // A deleted entry counts: its late copies must be recognized.
    delete(&db, 1);
    assert_eq!(db.unchanged(&own(&second)), KeyAgreed::WrongKey { made: false });
}

#[test]
fn a_key_from_the_settings_replaces_a_random_one_if_lists_are_empty() {
    let db = ready();
    let second = AddressKey::new(&[8; 32]);
    let own = AgreeOnKey { keys: &db.keys, key: &second, made: false };
    put_one(&db, &refusal(1));
    assert_eq!(db.unchanged(&own), KeyAgreed::WrongKey { made: true });
    db.raw(&["DEL", LIST]);
    let step = db.step(&own);
    assert_eq!(step.reply, KeyAgreed::Own);
    step.changed(&[], &["- address_key:{0} key"]);
    // A process with the old key can no longer write.
    let entries = [refusal(2)];
    let late = PutSuppressions { keys: &db.keys, key: &key(), channel: &email(), entries: &entries };
    assert_eq!(db.unchanged(&late), None);
    assert_eq!(delete_seen(&db, 2, UnixMs(1)), SuppressionDeletion::WrongKey);
    db.raw(&["DEL", "address_key:{0}"]);
    assert_eq!(db.unchanged(&late), None);
    db.raw(&["SET", "address_key:{0}", "x"]);
    assert_eq!(db.unchanged(&own), KeyAgreed::Unreadable);
}
