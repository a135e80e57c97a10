//! `report_courier`: what couriers say about themselves, for as long as it holds.

use std::time::Duration;

use posthaste_model::{Channel, CourierId, UnixMs};
use posthaste_protocol::scripts::report_courier::{CourierReport, CourierState, ReportCourier};

use crate::db::{Db, channel};
use crate::mutant::Mutant;

/// For how long the reports of these tests hold.
const HOLDS: Duration = Duration::from_secs(10);

/// A report that the channel is stopped.
pub(crate) fn report<'a>(
    db: &'a Db,
    channel: &'a Channel,
    courier: &'a CourierId,
    number: u64,
) -> ReportCourier<'a> {
    ReportCourier {
        keys: &db.keys,
        channel,
        courier,
        number,
        state: Some(CourierState::Stopped),
        ends_in: None,
        holds: HOLDS,
        why: "token refused: \"42\"",
    }
}

/// The stored reports.
fn stored(db: &Db) -> Vec<CourierReport> {
    let all = db.snapshot().hash("courier_states:{0}").clone();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    all.iter()
        .map(|(field, value)| CourierReport::read(&text(field.as_ref()), &text(value)).expect("a report"))
        .collect()
}

fn a_report_is_kept_until_the_next() {
    let db = Db::start();
    let (email, courier) = (channel("email"), "c1".parse().expect("an id"));
    let first = db.step(&report(&db, &email, &courier, 1));
    assert_eq!(first.reply, Some(UnixMs(first.now)));
    let expected = CourierReport {
        channel: email.clone(),
        courier: "c1".to_owned(),
        state: CourierState::Stopped,
        since: UnixMs(first.now),
        seen: UnixMs(first.now),
        holds: UnixMs(first.now + 10_000),
        ends: None,
        why: "token refused: \"42\"".to_owned(),
    };
    assert_eq!(stored(&db), std::slice::from_ref(&expected));
    // A repeat, and a late copy of an earlier one, change nothing.
    assert_eq!(db.unchanged(&report(&db, &email, &courier, 1)), None);
    assert_eq!(db.unchanged(&report(&db, &email, &courier, 0)), None);
    // The same state goes on.
    db.later(Duration::from_secs(2));
    let began = stored(&db)[0].since;
    let second = db.step(&report(&db, &email, &courier, 2));
    assert_eq!(second.reply, Some(began));
    assert_eq!((stored(&db)[0].since, stored(&db)[0].seen), (began, UnixMs(second.now)));
    // Another one begins now.
    let ends_in = Some(Duration::from_secs(15));
    let resting =
        ReportCourier { state: Some(CourierState::Resting), ends_in, ..report(&db, &email, &courier, 3) };
    let third = db.step(&resting);
    assert_eq!(third.reply, Some(UnixMs(third.now)));
    assert_eq!(stored(&db)[0].ends, Some(UnixMs(third.now + 15_000)));
    // One that ends is removed, and leaves nothing.
    db.reply(&ReportCourier { state: None, ..report(&db, &email, &courier, 4) });
    let keys = db.snapshot();
    assert!(keys.names().all(|name| !name.starts_with("courier_")), "{keys:?}");
}

fn reports_that_hold_no_longer_are_removed() {
    let db = Db::start();
    let email = channel("email");
    let couriers: Vec<CourierId> = (0..30).map(|n| format!("c{n}").parse().expect("an id")).collect();
    for courier in &couriers {
        db.reply(&report(&db, &email, courier, 1));
    }
    db.later(HOLDS);
    let fresh = "fresh".parse().expect("an id");
    db.reply(&report(&db, &email, &fresh, 1));
    assert_eq!(stored(&db).len(), 11, "20 at most in a call");
    db.reply(&report(&db, &email, &fresh, 2));
    assert_eq!(stored(&db).iter().map(|report| report.courier.as_str()).collect::<Vec<_>>(), ["fresh"]);
}

#[test]
fn a_courier_says_what_it_does() {
    a_report_is_kept_until_the_next();
    reports_that_hold_no_longer_are_removed();
}

#[test]
fn keys_of_a_wrong_type_stop_it_before_it_writes() {
    let db = Db::start();
    let (email, courier) = (channel("email"), "c1".parse().expect("an id"));
    for key in [db.keys.courier_states(), db.keys.courier_ends()] {
        db.raw(&["SET", &key, "x"]);
        let before = db.snapshot();
        assert!(db.call(&report(&db, &email, &courier, 1)).is_err());
        assert!(db.snapshot() == before);
        db.raw(&["DEL", &key]);
    }
}

#[test]
fn what_is_no_report_is_not_read() {
    let good = "1 resting 5 6 7 8 why it rests";
    let read = CourierReport::read("email:c1", good).expect("a report");
    assert_eq!((read.why.as_str(), read.ends), ("why it rests", Some(UnixMs(8))));
    assert_eq!(
        CourierReport::read("email:c1", "1 working 5 6 7 0 ").map(|read| read.why),
        Some(String::new())
    );
    for (field, value) in [
        ("email", good),
        ("E mail:c1", good),
        ("email:c1", ""),
        ("email:c1", "1 dancing 5 6 7 8 why"),
        ("email:c1", "1 resting 5 6 x 8 why"),
        ("email:c1", "1 resting 5 6 7 8"),
    ] {
        assert_eq!(CourierReport::read(field, value), None, "{field} {value}");
    }
}

#[test]
fn a_guard_that_is_missing_is_noticed() {
    for (guard, instead) in [
        ("tonumber(last_number) >= number", "tonumber(last_number) > number"),
        ("if last_state == state then", "if false then"),
        ("'LIMIT', 0, 20)", "'LIMIT', 0, 0)"),
        ("'-inf', now_text, 'LIMIT', 0, 20", "'-inf', '+inf', 'LIMIT', 0, 20"),
        ("if state == '' then", "if false then"),
    ] {
        let mutant = Mutant { script: Some("report_courier"), guard, instead };
        let table = || std::panic::catch_unwind(a_courier_says_what_it_does);
        assert!(mutant.under(table).is_err(), "not noticed: {guard}");
    }
}
