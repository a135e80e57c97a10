//! Gateways described by settings: the examples, their requests, responses and receipts.

#![expect(clippy::unwrap_used, reason = "a test fails by it")]

use std::sync::Arc;
use std::time::Duration;

use posthaste_courier::recording_sink::SinkState;
use posthaste_courier::{DeliveryReceipt, Outcome, ReceiptStatus, SuppressAfter, ThrottleScope, Transport};
use posthaste_courier_sms::SmsTransport;
use posthaste_model::Reason;
use posthaste_ops::metrics::Metrics;
use serde_json::{Value, json};

use super::bench::{CANARY, envelope, examples, for_smsc, send, try_transport};
use super::callbacks::{FORM, PUBLIC, Place};
use super::provider::{Provider, Reply, half};

const TO: &str = "+79160000001";
const KEY: &str = "0123456789abcdef0123456789abcdef";

fn smsc(provider: &Provider, changes: &[(&str, &str)]) -> SmsTransport {
    let url = provider.url();
    let own = for_smsc(&url);
    let mut all: Vec<_> = own.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    all.extend_from_slice(changes);
    try_transport(Some(&format!("{}/smsc.toml", examples())), &all).unwrap()
}

fn json_gateway(provider: &Provider) -> SmsTransport {
    let url = format!("{}/v2/messages", provider.url());
    let changes = [("gateway.url", url.as_str()), ("gateway.secret", CANARY)];
    try_transport(Some(&format!("{}/json.toml", examples())), &changes).unwrap()
}

#[tokio::test]
async fn a_form_says_what_the_example_tells() {
    let provider = Provider::start().await;
    let gateway = smsc(&provider, &[]);
    provider.answer(|_| Reply::json(200, &json!({"id": 1, "cnt": 1, "error_code": 0})));
    let text = "a&psw=x&phones=1%00+\r\nы";
    assert_eq!(send(&gateway, &envelope(TO, text)).await, Outcome::Sent);
    let request = &provider.messages()[0];
    let wanted = [
        ("login", "office"),
        ("psw", CANARY),
        ("phones", "79160000001"),
        ("mes", text),
        ("charset", "utf-8"),
        ("fmt", "3"),
    ];
    assert_eq!(request.form(), wanted.map(|(name, value)| (name.to_owned(), value.to_owned())));
    assert_eq!((request.verb.as_str(), request.path.as_str()), ("POST", "/sys/send.php"));
    let capabilities = gateway.capabilities();
    assert_eq!((capabilities.receipts, capabilities.looks_up), (false, false));
}

#[tokio::test]
async fn answers_of_an_smsc_become_outcomes() {
    let provider = Provider::start().await;
    let stop = |code: &str| Outcome::Stop(format!("the gateway rejected the request ({code})"));
    let wait =
        |seconds| Outcome::Throttled { scope: ThrottleScope::Channel, wait: Duration::from_secs(seconds) };
    for (code, wanted) in [
        (1, Outcome::Failed(Reason::Rejected.into())),
        (2, stop("2")),
        (3, stop("3")),
        (4, stop("4")),
        (5, Outcome::Failed(Reason::Rejected.into())),
        (6, Outcome::Failed(Reason::Rejected.into())),
        (7, Outcome::HardRefusal(Reason::InvalidAddress.into())),
        (8, Outcome::Strike { reason: Reason::Undelivered.into(), of: 3 }),
        (9, wait(60)),
        (77, Outcome::Failed(Reason::Provider(77).into())),
    ] {
        provider.answer(move |_| Reply::json(200, &json!({"error": "said", "error_code": code})));
        // A transport that no earlier response has paused.
        let gateway = smsc(&provider, &[]);
        assert_eq!(send(&gateway, &envelope(TO, "x")).await, wanted, "{code}");
    }
    let html = |status| Reply::Say(status, String::new(), "<html>".to_owned());
    for (reply, wanted) in [
        (html(200), Outcome::Unknown(Reason::InvalidProviderResponse)),
        (Reply::json(200, &json!({"cnt": 1})), Outcome::Unknown(Reason::InvalidProviderResponse)),
        (Reply::json(500, &json!({"id": 1})), Outcome::Unknown(Reason::ProviderUnavailable)),
        (html(503), Outcome::Unknown(Reason::ProviderUnavailable)),
        (html(401), Outcome::Stop("the gateway rejected the request (HTTP 401)".to_owned())),
        (html(429), wait(1)),
        (html(400), Outcome::Retry { after: None, reason: Reason::InvalidProviderResponse.into() }),
        (half(), Outcome::Unknown(Reason::ConnectionLost)),
    ] {
        provider.answer(move |_| reply.clone());
        let gateway = smsc(&provider, &[]);
        assert_eq!(send(&gateway, &envelope(TO, "x")).await, wanted);
    }
}

#[tokio::test]
async fn a_json_says_what_the_example_tells() {
    let provider = Provider::start().await;
    let gateway = json_gateway(&provider);
    let taken = json!({"message": {"id": "7", "status": "accepted"}});
    provider.answer(move |_| Reply::json(202, &taken));
    let (text, message) = ("\",\"to\":\"+1", envelope(TO, "\",\"to\":\"+1"));
    assert_eq!(send(&gateway, &message).await, Outcome::Sent);
    assert_eq!(send(&gateway, &envelope(TO, &"ы".repeat(71))).await, Outcome::Sent);
    let requests = provider.messages();
    let body: Value = serde_json::from_str(&requests[0].body).unwrap();
    let content = json!({"text": text, "encoding": "gsm7", "parts": 1});
    assert_eq!(body, json!({"to": TO, "from": "Office", "content": content}));
    let second: Value = serde_json::from_str(&requests[1].body).unwrap();
    assert_eq!((&second["content"]["encoding"], &second["content"]["parts"]), (&json!("ucs2"), &json!(2)));
    assert_eq!(requests[0].header("content-type"), Some("application/json"));
    assert_eq!(requests[0].header("authorization"), Some(format!("Bearer {CANARY}").as_str()));
    assert_eq!(requests[0].header("idempotency-key"), Some(message.id().to_string().as_str()));
    for (status, answer, wanted) in [
        (200, json!({"error": {"code": "bad_number"}}), Outcome::Failed(Reason::Rejected.into())),
        (422, json!({"error": {"code": 1204}}), Outcome::Failed(Reason::Provider(1204).into())),
        (400, json!({"message": "no"}), Outcome::Failed(Reason::Provider(400).into())),
        (200, json!({"message": {"status": "no"}}), Outcome::Unknown(Reason::InvalidProviderResponse)),
        (500, json!({"error": {"code": "x"}}), Outcome::Unknown(Reason::ProviderUnavailable)),
        (
            401,
            json!({"error": {"code": "x"}}),
            Outcome::Stop("the gateway rejected the request (HTTP 401)".to_owned()),
        ),
    ] {
        provider.answer(move |_| Reply::json(status, &answer));
        let outcome = send(&gateway, &envelope(TO, "x")).await;
        match (&outcome, &wanted) {
            (Outcome::Stop(_), Outcome::Stop(_)) => {}
            _ => assert_eq!(outcome, wanted),
        }
    }
}

#[tokio::test]
async fn a_get_has_everything_in_its_query() {
    let provider = Provider::start().await;
    let url = format!("{}/send?user=a&to={{to}}&text={{text}}&key={{secret}}", provider.url());
    let gateway = try_transport(
        None,
        &[
            ("sms.provider", "gateway"),
            ("gateway.method", "GET"),
            ("gateway.format", "none"),
            ("gateway.url", &url),
            ("gateway.secret", CANARY),
            ("gateway.accepted_text", "OK"),
            ("gateway.code_after", "ERROR"),
        ],
    )
    .unwrap();
    provider.answer(|_| Reply::Say(200, String::new(), "OK 1".to_owned()));
    assert_eq!(send(&gateway, &envelope(TO, "a&b#c ы?")).await, Outcome::Sent);
    let request = &provider.log()[0];
    assert_eq!(
        (request.requested("to"), request.requested("text"), request.requested("key")),
        (TO.to_owned(), "a&b#c ы?".to_owned(), CANARY.to_owned())
    );
    provider.answer(|_| Reply::Say(200, String::new(), "ERROR 12 no".to_owned()));
    assert_eq!(send(&gateway, &envelope(TO, "x")).await, Outcome::Failed(Reason::Provider(12).into()));
    // No check URL, so no request is made.
    let requested = provider.log().len();
    gateway.check().await.unwrap();
    assert_eq!(provider.log().len(), requested);
    assert!(gateway.unchecked().is_some_and(|why| why.contains("gateway.check_url")));
}

#[tokio::test]
async fn a_credential_is_looked_at_where_the_settings_say() {
    let provider = Provider::start().await;
    let gateway = smsc(&provider, &[]);
    provider.answer(|_| Reply::json(200, &json!({"balance": "1.5"})));
    gateway.check().await.unwrap();
    assert_eq!(gateway.unchecked(), None);
    assert_eq!(provider.log()[0].requested("psw"), CANARY);
    provider.answer(|_| Reply::json(200, &json!({"error": "authorise error", "error_code": 2})));
    assert_eq!(gateway.check().await.unwrap_err(), "127.0.0.1 rejected the request to gateway.check_url (2)");
    provider.answer(|_| Reply::Say(403, String::new(), String::new()));
    assert_eq!(
        gateway.check().await.unwrap_err(),
        "127.0.0.1 rejected the request to gateway.check_url (HTTP 403)"
    );
    provider.close().await;
    assert_eq!(gateway.check().await.unwrap_err(), "127.0.0.1 can't be reached or does not respond");
}

async fn place(more: &[(&str, &str)]) -> Place {
    let provider = Provider::start().await;
    provider.answer(|_| Reply::json(200, &json!({"id": 1, "cnt": 1})));
    let body = "psw={secret}&phones={to}&mes={text}&cb={callback}";
    Place::with(Arc::clone(&provider), |changes| {
        let own = [("gateway.callback_key", KEY), ("gateway.body", body)];
        smsc(&provider, &[changes, &own, more].concat())
    })
    .await
}

#[tokio::test]
async fn receipts_stop_a_sender_as_the_table_says() {
    let folder = tempfile::tempdir().unwrap();
    let table = folder.path().join("response_rules.toml");
    let rule =
        "[[rule]]\ncode = [\"200\"]\nmeans = \"reject\"\npolicy = true\n[[rule]]\nmeans = \"reject\"\n";
    std::fs::write(&table, rule).unwrap();
    let table = table.display().to_string();
    for (body, stops) in [("status=20&err=200", true), ("status=20&err=6", false), ("status=1", false)] {
        let place = place(&[("sms.response_rules_file", &table)]).await;
        let mut why = None;
        for n in 0..60 {
            match send(&place.sms, &envelope(&format!("+7916{n:07}"), "x")).await {
                Outcome::Sent => {}
                Outcome::Stop(said) => why = Some(said),
                other => panic!("{other:?}"),
            }
            let callback = place.provider.messages().last().unwrap().field("cb");
            let path = callback.strip_prefix(PUBLIC).unwrap().to_owned();
            assert_eq!(place.post(&path, FORM, "", body.as_bytes()).await.0, 204);
        }
        let said =
            "of the last 50 responses and receipts are policy rejections, the last by the gateway (200)";
        assert_eq!(why.as_ref().is_some_and(|why| why.ends_with(said)), stops, "{body}: {why:?}");
        place.close().await;
    }
}

#[tokio::test]
async fn receipts_come_to_an_address_that_only_we_can_make() {
    let (recorder, metrics) = Metrics::recorder(&[]).unwrap();
    let _recording = metrics::set_default_local_recorder(&recorder);
    let place = place(&[]).await;
    assert!(place.sms.capabilities().receipts);
    let (message, other) = (envelope(TO, "x"), envelope(TO, "y"));
    assert_eq!(send(&place.sms, &message).await, Outcome::Sent);
    let callback = place.provider.messages()[0].field("cb");
    let path = callback.strip_prefix(PUBLIC).unwrap().to_owned();
    assert!(path.starts_with(&format!("/gateway/status/{}/", message.id())), "{path}");
    let of = |word, reason: Reason, suppress_after| DeliveryReceipt {
        attempt: message.id(),
        word,
        reason: reason.into(),
        suppress_after,
    };
    for (body, wanted) in [
        ("status=0&id=1", Some(of(ReceiptStatus::Sent, Reason::None, None))),
        ("status=1&id=1&err=0", Some(of(ReceiptStatus::Delivered, Reason::None, None))),
        (
            "status=20&err=1",
            Some(of(ReceiptStatus::Failed, Reason::InvalidAddress, Some(SuppressAfter::Now))),
        ),
        (
            "status=20&err=6",
            Some(of(ReceiptStatus::Failed, Reason::Undelivered, Some(SuppressAfter::After(5)))),
        ),
        ("status=20&err=0", Some(of(ReceiptStatus::Failed, Reason::Undelivered, None))),
        ("status=-3", None),
        ("", None),
    ] {
        let before = place.sink.receipts().len();
        assert_eq!(place.post(&path, FORM, "", body.as_bytes()).await.0, 204, "{body}");
        let reported = place.sink.uncoded_receipts();
        assert_eq!(reported.get(before), wanted.as_ref(), "{body}");
    }
    let reported = place.sink.receipts().len();
    assert_eq!(place.post(&path, "application/json", "", br#"{"status":1}"#).await.0, 204);
    let get = format!("GET {path}?status=1 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    assert_eq!(place.raw(get.as_bytes()).await.0, 204);
    assert_eq!(place.sink.receipts().len(), reported + 2);
    // Another attempt, or a signature that is short or wrong.
    let mark = path.rsplit('/').next().unwrap();
    for forged in [
        path.replace(&message.id().to_string(), &other.id().to_string()),
        path.replace(mark, &mark[..8]),
        path.replace(mark, "AAAAAAAAAAAAAAAAAAAAAA"),
        path.replace(mark, "-"),
    ] {
        assert_eq!(place.post(&forged, FORM, "", b"status=1").await.0, 403, "{forged}");
    }
    assert_eq!(place.sink.receipts().len(), reported + 2);
    let refused = "posthaste_callbacks_rejected_total{channel=\"sms\"} 4\n";
    assert!(metrics.render().contains(refused), "{}", metrics.render());
    place.sink.set(SinkState::Unavailable);
    assert_eq!(place.post(&path, FORM, "", b"status=1").await.0, 503);
    place.close().await;
}
