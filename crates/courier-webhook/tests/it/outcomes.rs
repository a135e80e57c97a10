//! What is posted, and what becomes of it.

use std::time::Duration;

use posthaste_courier::{Outcome, ThrottleScope, Transport};
use posthaste_courier_webhook::ID_HEADER;
use posthaste_model::{Content, Reason, Text};
use posthaste_rig::http::HttpReply;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::bench::{envelope, send, text, transport};
use super::receiver::{Receiver, status};

#[tokio::test]
async fn a_message_is_json_with_an_id_that_every_attempt_repeats() {
    let receiver = Receiver::start().await;
    let webhook = transport(&receiver);
    let content = Content { subject: Text::new("News"), ..text("Привет, \"all\"") };
    let mut one = envelope(&receiver.url("/anna?key=1"), content);
    let id = format!("{}.0.3", one.order_id.wire_id());
    for attempt in 1..=2 {
        one.attempt = attempt;
        let deadline = Instant::now() + posthaste_rig::patience();
        assert_eq!(webhook.send(&[one.clone()], deadline).await, [Outcome::Sent]);
    }
    for request in receiver.requests() {
        assert_eq!((request.verb.as_str(), request.target.as_str()), ("POST", "/anna?key=1"));
        let head = request.head.to_ascii_lowercase();
        assert!(head.contains("content-type: application/json"), "{head}");
        assert!(head.contains(&format!("{ID_HEADER}: {id}")), "{head}");
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        assert_eq!(body, json!({"id": id, "text": "Привет, \"all\"", "subject": "News"}));
    }
    assert_eq!(send(&webhook, &receiver.url("/boris")).await, Outcome::Sent);
    let last = receiver.requests().pop().unwrap();
    let body: Value = serde_json::from_slice(&last.body).unwrap();
    assert_eq!(body.get("subject"), None, "no subject, no field");
}

#[tokio::test]
async fn an_answer_decides_the_outcome_by_its_status() {
    let receiver = Receiver::start().await;
    let webhook = transport(&receiver);
    let wait = |wait| Outcome::Throttled { scope: ThrottleScope::Recipient, wait };
    for (code, header, outcome) in [
        (200, "", Outcome::Sent),
        (204, "", Outcome::Sent),
        (404, "", Outcome::Failed(Reason::Provider(404).into())),
        (410, "", Outcome::HardRefusal(Reason::Blocked.into())),
        (429, "retry-after: 7\r\n", wait(Duration::from_secs(7))),
        (503, "retry-after: 9999999999999\r\n", wait(Duration::from_secs(24 * 3600))),
        (500, "", Outcome::Retry { after: None, reason: Reason::ProviderUnavailable.into() }),
    ] {
        receiver.answer(move |_| (HttpReply::Say(code, header.to_owned(), String::new()), false));
        assert_eq!(send(&webhook, &receiver.url("/x")).await, outcome, "{code}");
    }
}

#[tokio::test]
async fn a_long_answer_is_not_read_to_its_end() {
    let receiver = Receiver::start().await;
    let webhook = transport(&receiver);
    receiver.answer(|_| (HttpReply::Say(200, String::new(), "x".repeat(4 << 20)), true));
    assert_eq!(send(&webhook, &receiver.url("/x")).await, Outcome::Sent);
}

#[tokio::test]
async fn a_lost_answer_is_unknown_and_a_closed_port_is_not() {
    let receiver = Receiver::start().await;
    let webhook = transport(&receiver);
    let url = receiver.url("/x");
    for reply in [HttpReply::Reset, HttpReply::Half("{".to_owned())] {
        receiver.answer(move |_| (reply.clone(), true));
        assert_eq!(send(&webhook, &url).await, Outcome::Unknown(Reason::ConnectionLost));
    }
    receiver.answer(|_| (HttpReply::Hang, true));
    let soon = Instant::now() + Duration::from_millis(300);
    let outcome = webhook.send(&[envelope(&url, text("x"))], soon).await;
    assert_eq!(outcome, [Outcome::Unknown(Reason::TimedOut)]);
    receiver.close().await;
    let outcome = send(&webhook, &url).await;
    assert_eq!(outcome, Outcome::NotSent { after: None, reason: Reason::ConnectionFailed });
    receiver.open().await;
    receiver.answer(|_| (status(200), true));
    assert_eq!(send(&webhook, &url).await, Outcome::Sent);
}
