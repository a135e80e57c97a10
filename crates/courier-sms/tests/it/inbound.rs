//! Replies of recipients.

use posthaste_courier::recording_sink::{ListChange, SinkState};
use posthaste_courier::{ConsentNotice, NoticeMoment, SuppressionList};
use posthaste_model::{Address, Reason, UnixMs};
use serde_json::json;

use super::callbacks::{FORM, Place};
use super::provider::{ACCOUNT, Reply};

const PATH: &str = "/twilio/inbound";
const FROM: &str = "+79160000001";

async fn reply(place: &Place, from: &str, body: &str, opt_out: Option<&str>) -> (u16, String) {
    reply_at(place, 1_760_000_000, from, body, opt_out).await
}

/// A reply made at this second, which is also its number.
async fn reply_at(
    place: &Place,
    second: u64,
    from: &str,
    body: &str,
    opt_out: Option<&str>,
) -> (u16, String) {
    let sid = format!("SM{second:032x}");
    let mut fields = vec![
        ("MessageSid", sid.as_str()),
        ("AccountSid", ACCOUNT),
        ("From", from),
        ("To", "+12025550199"),
        ("Body", body),
        ("NumMedia", "0"),
    ];
    fields.extend(opt_out.map(|kind| ("OptOutType", kind)));
    place.form(PATH, &fields).await
}

#[tokio::test]
async fn a_stop_suppresses_the_number_and_a_start_deletes_it() {
    let place = Place::open().await;
    let nothing = (200, "<Response></Response>".to_owned());
    for body in ["STOP", " stop \n", "Unsubscribe"] {
        assert_eq!(reply(&place, FROM, body, None).await, nothing);
    }
    assert_eq!(reply(&place, FROM, "arret", Some("STOP")).await, nothing);
    let suppressed = ListChange::Suppressed(Address::new(FROM), SuppressionList::Channel, Reason::OptedOut);
    assert_eq!(place.sink.list_changes(), vec![suppressed; 4]);
    for (body, opt_out) in [("start", None), ("UNSTOP", None), ("oui", Some("START"))] {
        assert_eq!(reply(&place, FROM, body, opt_out).await, nothing);
    }
    let deleted = ListChange::OptedIn(Address::new(FROM), SuppressionList::Channel, Reason::OptedOut);
    assert_eq!(place.sink.list_changes()[4..], vec![deleted; 3]);
    place.close().await;
}

#[tokio::test]
async fn a_reply_is_placed_by_twilios_own_moment_of_it() {
    let place = Place::open().await;
    let notice = |second: u64, said| ConsentNotice::named(format!("SM{second:032x}"), said).remembered();
    let at = |second: u64| notice(second, NoticeMoment::Provider(UnixMs(second * 1000)));
    for (second, word) in [(1_760_000_001, "STOP"), (1_760_000_002, "START"), (1_760_000_001, "STOP")] {
        assert_eq!(reply_at(&place, second, FROM, word, None).await.0, 200);
    }
    let reported = place.sink.record().notices.split_off(0);
    assert_eq!(reported, [at(1_760_000_001), at(1_760_000_002), at(1_760_000_001)]);
    // An opt-out counts although Twilio does not return its time; an opt-in must be sent again.
    place.provider.answer(|_| Reply::json(503, &json!({"code": 20503})));
    assert_eq!(reply_at(&place, 3, FROM, "STOP", None).await.0, 200);
    assert_eq!(reply_at(&place, 4, FROM, "START", None).await.0, 503);
    // A reply not visible to these credentials proves nothing, however often it comes.
    place.provider.answer(|_| Reply::json(404, &json!({"code": 20404})));
    assert_eq!(reply_at(&place, 4, FROM, "START", None).await.0, 200);
    let reported = place.sink.notices();
    assert_eq!(reported, [notice(3, NoticeMoment::Unknown), notice(4, NoticeMoment::Unknown)]);
    place.close().await;
}

#[tokio::test]
async fn other_words_and_other_channels_change_nothing() {
    let place = Place::open().await;
    for (from, body) in [
        (FROM, "please stop"),
        (FROM, ""),
        (FROM, "STOP STOP"),
        ("whatsapp:+79160000001", "STOP"),
        ("", "STOP"),
        ("12345", "STOP"),
        ("+79160000001\r\n", "STOP"),
    ] {
        assert_eq!(reply(&place, from, body, None).await.0, 200, "{from} {body}");
    }
    assert_eq!(reply(&place, FROM, "STOP", Some("HELP")).await.0, 200);
    assert!(place.sink.list_changes().is_empty());
    place.close().await;
}

#[tokio::test]
async fn a_forged_stop_is_refused_and_one_that_is_not_stored_comes_again() {
    let place = Place::open().await;
    let body = format!("From=%2B79160000001&Body=STOP&AccountSid={ACCOUNT}");
    assert_eq!(place.post(PATH, FORM, "AAAA", body.as_bytes()).await.0, 403);
    place.sink.set(SinkState::Unavailable);
    assert_eq!(reply(&place, FROM, "STOP", None).await.0, 503);
    assert_eq!(reply(&place, FROM, "START", None).await.0, 503);
    assert_eq!(reply(&place, FROM, "hello", None).await.0, 200);
    assert!(place.sink.list_changes().is_empty());
    place.sink.set(SinkState::Storing);
    assert_eq!(reply(&place, FROM, "STOP", None).await.0, 200);
    assert_eq!(place.sink.list_changes().len(), 1);
    place.close().await;
}
