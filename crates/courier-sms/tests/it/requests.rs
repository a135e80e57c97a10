//! Requests to Twilio, and the outcomes of its responses.

use std::time::Duration;

use posthaste_courier::{Outcome, ThrottleScope, Transport};
use posthaste_model::Reason;
use posthaste_rig::{CapturedLogs, ProviderApi};
use serde_json::json;

use super::bench::{CANARY, FROM, basic, coded, envelope, send, transport};
use super::provider::{ACCOUNT, Provider, Reply, half, rate_limited, refusal};

const TO: &str = "+79160000001";
const SERVICE: &str = "MG0123456789abcdef0123456789abcdef";
const KEY: &str = "SK0123456789abcdef0123456789abcdef";

#[tokio::test]
async fn a_text_goes_as_it_is() {
    let provider = Provider::start().await;
    let twilio = transport(&provider, &[]);
    let texts = ["a&To=+1&Body=b%00+ =", "Здравствуйте, 你好, 👩‍👩‍👧‍👦", "  two\r\nlines \0\u{1b} "];
    for text in texts {
        assert_eq!(send(&twilio, &envelope(TO, text)).await, Outcome::Sent);
    }
    for (request, text) in provider.messages().iter().zip(texts) {
        assert_eq!(
            request.form(),
            [("To", TO), ("Body", text), ("From", FROM)].map(|(n, v)| (n.to_owned(), v.to_owned()))
        );
        assert_eq!(
            (request.verb.as_str(), request.path.clone()),
            ("POST", format!("/2010-04-01/Accounts/{ACCOUNT}/Messages.json"))
        );
        assert_eq!(request.header("content-type"), Some("application/x-www-form-urlencoded"));
        assert_eq!(request.header("authorization"), Some(basic(ACCOUNT, CANARY).as_str()));
    }
    assert_eq!(provider.messages().len(), texts.len());
    let capabilities = twilio.capabilities();
    assert_eq!((capabilities.receipts, capabilities.looks_up, capabilities.concurrency), (false, true, 20));
}

#[tokio::test]
async fn settings_add_their_parameters() {
    let provider = Provider::start().await;
    let twilio = transport(
        &provider,
        &[
            ("twilio.from", ""),
            ("twilio.messaging_service_sid", SERVICE),
            ("twilio.api_key_sid", KEY),
            ("twilio.api_key_secret", "0123456789abcdefSecret"),
            ("twilio.valid_for", "2h"),
            ("twilio.smart_encoding", "true"),
            ("sms.listen", "127.0.0.1:0"),
            ("sms.public_url", "https://sms.example.org/in"),
        ],
    );
    let message = envelope(TO, "x");
    assert_eq!(send(&twilio, &message).await, Outcome::Sent);
    let request = &provider.messages()[0];
    assert_eq!(
        (request.field("MessagingServiceSid"), request.field("From")),
        (SERVICE.to_owned(), String::new())
    );
    assert_eq!(
        (request.field("ValidityPeriod"), request.field("SmartEncoded")),
        ("7200".to_owned(), "true".to_owned())
    );
    let callback = format!("https://sms.example.org/in/twilio/status/{}#rc=3&rp=5xx,ct,rt", message.id());
    assert_eq!(request.field("StatusCallback"), callback);
    assert_eq!(request.header("authorization"), Some(basic(KEY, "0123456789abcdefSecret").as_str()));
    assert!(twilio.capabilities().receipts);
}

#[tokio::test]
async fn what_can_never_go_is_not_asked_for() {
    let provider = Provider::start().await;
    let twilio = transport(&provider, &[]);
    for number in
        ["", "79160000001", "+7916", "+7916000000112345", "whatsapp:+79160000001", "+79160000001&x=1"]
    {
        let outcome = send(&twilio, &envelope(number, "x")).await;
        assert_eq!(outcome, Outcome::Failed(Reason::InvalidAddress.into()), "{number}");
    }
    for text in ["", " \n", &"ы".repeat(1601)] {
        assert_eq!(send(&twilio, &envelope(TO, text)).await, Outcome::Failed(Reason::Rejected.into()));
    }
    assert_eq!(provider.log().len(), 0);
    assert_eq!(send(&twilio, &envelope(TO, &"ы".repeat(1600))).await, Outcome::Sent);
}

#[tokio::test]
async fn answers_become_outcomes() {
    let provider = Provider::start().await;
    let message = |status: &str, code: serde_json::Value| {
        let sid = "SM0123456789abcdef0123456789abcdef";
        Reply::json(201, &json!({"sid": sid, "status": status, "error_code": code, "new": [{}]}))
    };
    let html = |status| Reply::Say(status, String::new(), "<html>".to_owned());
    let later = Some(Duration::from_secs(1800));
    for (reply, wanted) in [
        (message("queued", json!(null)), Outcome::Sent),
        (message("accepted", json!(null)), Outcome::Sent),
        (message("something_new", json!("x")), Outcome::Sent),
        (message("something_new", json!(7)), Outcome::Sent),
        (message("failed", json!(21610)), Outcome::HardRefusal(Reason::OptedOut.into())),
        (message("failed", json!(null)), Outcome::Failed(Reason::Rejected.into())),
        (message("failed", json!(0)), Outcome::Failed(Reason::Rejected.into())),
        (message("undelivered", json!(null)), Outcome::Failed(Reason::Undelivered.into())),
        (
            message("undelivered", json!(30003)),
            Outcome::Retry { after: later, reason: Reason::Undelivered.into() },
        ),
        (Reply::json(201, &json!({"sid": "XX01"})), Outcome::Unknown(Reason::InvalidProviderResponse)),
        (html(200), Outcome::Unknown(Reason::InvalidProviderResponse)),
        (half(), Outcome::Unknown(Reason::ConnectionLost)),
        (Reply::Reset, Outcome::Unknown(Reason::ConnectionLost)),
        (html(502), Outcome::Unknown(Reason::ProviderUnavailable)),
        (refusal(500, 21211), Outcome::Unknown(Reason::ProviderUnavailable)),
        (html(302), Outcome::Retry { after: None, reason: Reason::InvalidProviderResponse.into() }),
        (refusal(400, 21211), Outcome::HardRefusal(Reason::InvalidAddress.into())),
        (refusal(400, 21408), Outcome::Failed(Reason::Provider(21408).into())),
        (refusal(403, 20003), Outcome::Stop("Twilio rejected the request (20003)".to_owned())),
        (refusal(400, 21606), Outcome::Stop("Twilio rejected the request (21606)".to_owned())),
        (html(401), Outcome::Stop("Twilio rejected the request (HTTP 401)".to_owned())),
        (
            refusal(400, 21611),
            Outcome::Throttled { scope: ThrottleScope::Channel, wait: Duration::from_secs(600) },
        ),
        (rate_limited(7), Outcome::Throttled { scope: ThrottleScope::Channel, wait: Duration::from_secs(7) }),
    ] {
        provider.script(vec![reply.clone()]);
        // A transport that no earlier response has paused.
        let twilio = transport(&provider, &[]);
        assert_eq!(send(&twilio, &envelope(TO, "x")).await, wanted, "{reply:?}");
    }
    let twilio = transport(&provider, &[]);
    provider.close().await;
    let outcome = send(&twilio, &envelope(TO, "x")).await;
    assert_eq!(outcome, Outcome::NotSent { after: None, reason: Reason::ConnectionFailed });
}

#[tokio::test]
async fn an_answer_without_end_is_one_nobody_can_read() {
    let provider = Provider::start().await;
    let twilio = transport(&provider, &[]);
    let sid = "SM0123456789abcdef0123456789abcdef";
    let of = |size: usize| {
        let bare = json!({"sid": sid, "status": "queued", "pad": ""}).to_string().len();
        Reply::json(201, &json!({"sid": sid, "status": "queued", "pad": "x".repeat(size - bare)}))
    };
    for (size, wanted) in [
        (64 << 10, Outcome::Sent),
        ((64 << 10) + 1, Outcome::Unknown(Reason::InvalidProviderResponse)),
        (8 << 20, Outcome::Unknown(Reason::InvalidProviderResponse)),
    ] {
        provider.script(vec![of(size)]);
        assert_eq!(send(&twilio, &envelope(TO, "x")).await, wanted, "{size}");
    }
    provider.answer(|_| Reply::json(200, &json!({"sid": ACCOUNT, "pad": "x".repeat(64 << 10)})));
    assert_eq!(twilio.check().await.unwrap_err(), "127.0.0.1 can't be reached or does not respond");
    provider.accept();
    assert_eq!(send(&twilio, &envelope(TO, "x")).await, Outcome::Sent);
}

/// Numbers in this list can't be reached from our sender.
fn unreachable(provider: &Provider, numbers: &'static [&'static str]) {
    let twilio = provider.api();
    provider.answer(move |request| match numbers.contains(&request.field("To").as_str()) {
        true => refusal(400, 21612),
        false => twilio.accept(request),
    });
}

fn put_off() -> Outcome {
    Outcome::Retry { after: Some(Duration::from_secs(60)), reason: Reason::Provider(21612).into() }
}

#[tokio::test]
async fn one_number_the_sender_does_not_reach_stops_nobody() {
    let provider = Provider::start().await;
    let twilio = transport(&provider, &[]);
    unreachable(&provider, &[TO]);
    // All of its tries are spent, so that it ends as failed; also in separate orders, and with no other number in
    // between.
    let tries = usize::from(twilio.capabilities().max_tries);
    for _ in 0..tries {
        for n in 2..6 {
            assert_eq!(send(&twilio, &envelope(&format!("+7916000000{n}"), "x")).await, Outcome::Sent);
        }
        assert_eq!(send(&twilio, &envelope(TO, "x")).await, put_off());
        assert_eq!(send(&twilio, &envelope(TO, "y")).await, put_off());
    }
    assert_eq!(provider.messages().len(), tries * 6);
}

#[tokio::test]
async fn a_second_number_in_a_row_the_sender_does_not_reach_stops_the_channel() {
    let provider = Provider::start().await;
    let twilio = transport(&provider, &[]);
    const BOTH: &[&str] = &[TO, "+79160000002"];
    unreachable(&provider, BOTH);
    let stop = Outcome::Stop("Twilio rejected the request (21612)".to_owned());
    for _ in 0..2 {
        assert_eq!(send(&twilio, &envelope(TO, "x")).await, put_off());
        // A response that says nothing about the sender does not reset it.
        provider.script(vec![refusal(400, 21211)]);
        assert_eq!(
            send(&twilio, &envelope("+79160000003", "x")).await,
            Outcome::HardRefusal(Reason::InvalidAddress.into())
        );
        unreachable(&provider, BOTH);
        assert_eq!(send(&twilio, &envelope(BOTH[1], "x")).await, stop);
    }
    // With an accepted message in between, two numbers do not stop the channel.
    assert_eq!(send(&twilio, &envelope(TO, "x")).await, put_off());
    assert_eq!(send(&twilio, &envelope("+79160000003", "x")).await, Outcome::Sent);
    assert_eq!(send(&twilio, &envelope(BOTH[1], "x")).await, put_off());
}

#[tokio::test]
async fn an_operator_may_change_the_table() {
    let provider = Provider::start().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("response_rules.toml");
    std::fs::write(
        &file,
        "[[rule]]\ncode = [\"21211\"]\nmeans = \"strike\"\nstrikes = 3\nreason = \"invalid_address\"\n",
    )
    .unwrap();
    let twilio = transport(&provider, &[("sms.response_rules_file", file.to_str().unwrap())]);
    provider.script(vec![refusal(400, 21211)]);
    let strike = Outcome::Strike { reason: Reason::InvalidAddress.into(), of: 3 };
    assert_eq!(send(&twilio, &envelope(TO, "x")).await, strike);
}

#[tokio::test]
async fn bad_orders_in_turn_are_reported_once_each() {
    let log = CapturedLogs::by_this_thread();
    let provider = Provider::start().await;
    let twilio = transport(&provider, &[]);
    provider.answer(|_| refusal(400, 21_408));
    let orders = [envelope(TO, "x"), envelope(TO, "y")];
    for _ in 0..4 {
        for order in &orders {
            assert!(matches!(send(&twilio, order).await, Outcome::Failed(_)));
        }
    }
    let log = log.text();
    assert_eq!(log.matches("Twilio rejected a message").count(), 2, "{log}");
}

#[tokio::test]
async fn the_number_of_a_refusal_is_kept() {
    let provider = Provider::start().await;
    let sid = "SM0123456789abcdef0123456789abcdef";
    let failed =
        |status, code: u32| Reply::json(201, &json!({"sid": sid, "status": status, "error_code": code}));
    for (reply, code) in [
        (refusal(400, 21211), "21211"),
        (refusal(400, 21408), "21408"),
        (failed("failed", 21610), "21610"),
        (failed("undelivered", 30003), "30003"),
        (failed("failed", 0), ""),
    ] {
        provider.script(vec![reply.clone()]);
        let outcome = coded(&transport(&provider, &[]), &envelope(TO, "x")).await;
        assert_eq!(outcome.code().to_string(), code, "{reply:?}: {outcome:?}");
    }
}
