//! Settings that are rejected before anything is opened, and the results of the account check.

use posthaste_courier::{Outcome, Transport};
use posthaste_rig::ProviderApi;
use serde_json::json;

use super::bench::{CANARY, basic, envelope, for_twilio, send, transport, try_transport};
use super::provider::{ACCOUNT, Provider, Reply, rate_limited, refusal};

const KEY: &str = "SK0123456789abcdef0123456789abcdef";

fn refused(changes: &[(&str, &str)]) -> String {
    let Err(refused) = try_transport(None, changes) else { panic!("taken: {changes:?}") };
    refused.to_string()
}

#[tokio::test]
async fn settings_of_twilio_that_make_no_sense_are_reported_by_name() {
    let good = for_twilio("https://api.twilio.com");
    try_transport(None, &good).unwrap();
    let hook = ("sms.listen", "127.0.0.1:0");
    for (changes, words) in [
        (&[("twilio.account_sid", "")][..], "twilio.account_sid: must be AC"),
        (&[("twilio.account_sid", "AC0123/../x")], "twilio.account_sid: must be AC"),
        (&[("twilio.auth_token", "")], "twilio.auth_token: is missing"),
        (&[("twilio.auth_token", "short")], "twilio.auth_token: must be 16"),
        (&[("twilio.api_key_sid", KEY)], "twilio.api_key_secret: is missing"),
        (&[("twilio.api_key_sid", "x")], "twilio.api_key_sid: must be SK"),
        (&[("twilio.api_key_secret", CANARY)], "twilio.api_key_sid: is missing"),
        (&[("twilio.from", "")], "twilio.from: is missing"),
        (&[("twilio.from", "+1")], "twilio.from: must be a number"),
        (&[("twilio.messaging_service_sid", "MG01")], "twilio.from: set it or"),
        (
            &[("twilio.from", ""), ("twilio.messaging_service_sid", "MG01")],
            "twilio.messaging_service_sid: must be MG",
        ),
        (&[("twilio.api_url", "http://api.twilio.com")], "twilio.api_url: must be https://"),
        (&[("twilio.valid_for", "11h")], "twilio.valid_for: must be"),
        (&[("twilio.valid_for", "500ms")], "twilio.valid_for: must be"),
        (&[("twilio.lookup_after", "2h")], "twilio.lookup_after: must be"),
        (&[("twilio.callback_options", "rc=1 x")], "twilio.callback_options: must be"),
        (
            &[hook, ("sms.public_url", "https://x.org"), ("twilio.callback_options", "rc=3")],
            "twilio.callback_options: must let Twilio repeat",
        ),
        (
            &[hook, ("sms.public_url", "https://x.org"), ("twilio.callback_options", "rc=0&rp=all")],
            "twilio.callback_options: must let Twilio repeat",
        ),
        (
            &[hook, ("sms.public_url", "https://x.org"), ("twilio.callback_options", "rc=5&rp=4xx,ct")],
            "twilio.callback_options: must let Twilio repeat",
        ),
        (&[("twilio.stop_words", "STOP,OPT OUT")], "twilio.stop_words: must be single"),
        (&[("twilio.start_words", "stop")], "twilio.start_words: must not contain"),
        (&[("sms.max_characters", "1601")], "sms.max_characters: must be at most 1600 for Twilio"),
        (&[("sms.max_characters", "0")], "sms.max_characters: must be"),
        (&[("sms.segments_per_second", "-1")], "sms.segments_per_second: must be"),
        (&[("sms.segments_per_second", "0.01")], "sms.segments_per_second: must be"),
        (&[("sms.concurrency", "201")], "sms.concurrency: must be"),
        (&[("sms.max_concurrency", "0")], "sms.max_concurrency: must be"),
        (&[("sms.connect_within", "31s")], "sms.connect_within: must be"),
        (&[("sms.policy_share", "1.5")], "sms.policy_share: must be 0 to 1"),
        (&[("sms.policy_share", "-0.1")], "sms.policy_share: must be 0 to 1"),
        (&[("sms.proxy", "not a proxy")], "sms.proxy: is not"),
        (
            &[("sms.response_rules_file", "/nowhere/x.toml")],
            "sms.response_rules_file: /nowhere/x.toml can't be read",
        ),
        (&[hook], "sms.public_url: is missing"),
        (&[("sms.public_url", "https://x.org")], "sms.listen: is missing"),
        (&[hook, ("sms.public_url", "http://x.org")], "sms.public_url: must be https://"),
        (&[hook, ("sms.public_url", "https://x.org/{a}")], "sms.public_url: the path"),
        (&[hook, ("sms.public_url", "https://x.org/:a")], "sms.public_url: the path"),
        (&[("sms.listen", "x"), ("sms.public_url", "https://x.org")], "sms.listen: \"x\" is not an address"),
        (
            &[
                hook,
                ("sms.public_url", "https://x.org"),
                ("twilio.auth_token", ""),
                ("twilio.api_key_sid", KEY),
                ("twilio.api_key_secret", CANARY),
            ],
            "twilio.auth_token: is missing or malformed: it is required",
        ),
    ] {
        let reported = refused(&[&good, changes].concat());
        assert!(reported.starts_with(words), "{changes:?}: {reported}");
        assert!(!reported.contains(CANARY), "{reported}");
    }
}

#[tokio::test]
async fn settings_of_a_gateway_that_make_no_sense_are_reported_by_name() {
    let good = [
        ("sms.provider", "gateway"),
        ("gateway.url", "https://x.org/send"),
        ("gateway.body", "to={to}&text={text}&key={secret}"),
        ("gateway.secret", CANARY),
    ];
    try_transport(None, &good).unwrap();
    for (changes, words) in [
        (&[("gateway.url", "")][..], "gateway.url: is missing"),
        (&[("gateway.url", "http://x.org/send")], "gateway.url: must be https://"),
        (&[("gateway.url", "https://x.org/{text}")], "gateway.url: placeholders are allowed"),
        (&[("gateway.url", "https://{to}/")], "gateway.url: placeholders are allowed"),
        (&[("gateway.url", "https://x.org/?a={b}")], "gateway.url: has an unknown placeholder"),
        (&[("gateway.method", "DELETE")], "gateway.method: must be"),
        (&[("gateway.method", "GET")], "gateway.body: must be empty for GET"),
        (&[("gateway.body", "to={to}")], "gateway.body: must contain {text}"),
        (&[("gateway.body", "text={text}")], "gateway.body: must contain {text}"),
        (&[("gateway.body", "text={text}&to={to")], "gateway.body: has an unmatched brace"),
        (&[("gateway.format", "json")], "gateway.body: is not valid JSON"),
        (&[("gateway.format", "none")], "gateway.body: must be empty"),
        (&[("gateway.secret", "")], "gateway.secret: is missing"),
        (&[("gateway.body", "to={to}&text={text}&from={from}")], "gateway.from: is missing"),
        (&[("gateway.body", "to={to}&text={text}&cb={callback}")], "gateway.callback_key: is missing"),
        (&[("gateway.headers", "Authorization")], "gateway.headers: must have the form"),
        (&[("gateway.headers", "X Y: 1")], "gateway.headers: has an invalid"),
        (&[("gateway.headers", "Content-Length: 1")], "gateway.headers: must not set"),
        (&[("gateway.headers", "X: a\r\nY: b")], "gateway.headers: must not contain a line end"),
        (&[("gateway.headers", "X: a\nY: b")], "gateway.headers: must not contain a line end"),
        (&[("gateway.headers", "X-Text: {text}")], "gateway.headers: must not contain {text}"),
        (&[("gateway.check_url", "ftp://x.org")], "gateway.check_url: must be https://"),
        (&[("gateway.accepted_pointer", "id")], "gateway.accepted_pointer: must begin"),
        (&[("gateway.callback_key", CANARY)], "sms.public_url: is missing"),
        (
            &[
                ("gateway.callback_key", "short"),
                ("sms.listen", "127.0.0.1:0"),
                ("sms.public_url", "https://x.org"),
            ],
            "gateway.callback_key: must have at least 32",
        ),
    ] {
        let reported = refused(&[&good, changes].concat());
        assert!(reported.starts_with(words), "{changes:?}: {reported}");
        assert!(!reported.contains(CANARY), "{reported}");
    }
}

#[tokio::test]
async fn a_wrong_credential_is_reported_by_check() {
    let provider = Provider::start().await;
    let twilio = transport(&provider, &[]);
    twilio.check().await.unwrap();
    assert_eq!(provider.log()[0].path, format!("/2010-04-01/Accounts/{ACCOUNT}.json"));
    let account = |sid: &str, status: &str| Reply::json(200, &json!({"sid": sid, "status": status}));
    for (reply, words) in [
        (refusal(401, 20003), format!("127.0.0.1 rejected the credentials of {ACCOUNT}")),
        (refusal(403, 20005), format!("127.0.0.1 rejected the credentials of {ACCOUNT}")),
        (refusal(404, 20404), format!("127.0.0.1 has no account {ACCOUNT}")),
        (account(ACCOUNT, "suspended"), format!("127.0.0.1 reports that the account {ACCOUNT} is suspended")),
        (account("AC1", "active"), format!("127.0.0.1 responded for another account than {ACCOUNT}")),
        (
            Reply::Say(200, String::new(), "<html>".to_owned()),
            "127.0.0.1 did not respond like Twilio; check twilio.api_url".to_owned(),
        ),
        (refusal(500, 20500), "127.0.0.1 responded with HTTP 500".to_owned()),
        (Reply::Reset, "127.0.0.1 can't be reached or does not respond".to_owned()),
    ] {
        provider.answer(move |_| reply.clone());
        assert_eq!(twilio.check().await.unwrap_err(), words);
    }
    provider.answer(|_| rate_limited(5));
    twilio.check().await.unwrap();
    provider.close().await;
    assert_eq!(twilio.check().await.unwrap_err(), "127.0.0.1 can't be reached or does not respond");
    assert_eq!(provider.messages().len(), 0);
}

#[tokio::test]
async fn a_key_is_checked_where_it_may_look() {
    let provider = Provider::start().await;
    let keys = [("twilio.api_key_sid", KEY), ("twilio.api_key_secret", CANARY), ("twilio.auth_token", "")];
    let twilio = transport(&provider, &keys);
    twilio.check().await.unwrap();
    let look = &provider.log()[0];
    assert_eq!(
        (look.path.clone(), look.requested("PageSize")),
        (format!("/2010-04-01/Accounts/{ACCOUNT}/Messages.json"), "1".to_owned())
    );
    provider.answer(|_| refusal(401, 20003));
    assert_eq!(twilio.check().await.unwrap_err(), format!("127.0.0.1 rejected the credentials of {KEY}"));
    // Without callbacks the token is not used, so it is not checked.
    assert_eq!(provider.log().len(), 2);
}

#[tokio::test]
async fn a_token_beside_a_key_is_tried_when_it_signs_what_comes_in() {
    let provider = Provider::start().await;
    let secret = "0123456789abcdefSecret";
    let twilio = transport(
        &provider,
        &[
            ("twilio.api_key_sid", KEY),
            ("twilio.api_key_secret", secret),
            ("sms.listen", "127.0.0.1:0"),
            ("sms.public_url", "https://sms.example.org"),
        ],
    );
    twilio.check().await.unwrap();
    let looks = provider.log();
    let by = |user: &str, password: &str| Some(basic(user, password));
    assert_eq!(looks[0].header("authorization").map(str::to_owned), by(KEY, secret));
    assert_eq!(looks[1].header("authorization").map(str::to_owned), by(ACCOUNT, CANARY));
    assert_eq!(looks[1].path, format!("/2010-04-01/Accounts/{ACCOUNT}.json"));
    let messages = provider.api();
    provider.answer(move |request| match request.path.ends_with("/Messages.json") {
        true => messages.accept(request),
        false => refusal(401, 20003),
    });
    let words = "127.0.0.1 rejected twilio.auth_token, which signs receipts and replies";
    assert_eq!(twilio.check().await.unwrap_err(), words);
    // Sending still works.
    assert_eq!(send(&twilio, &envelope("+79160000001", "x")).await, Outcome::Sent);
}
