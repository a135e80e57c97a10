//! The content of requests.

use posthaste_courier::{Batching, Envelope, Outcome, Transport};
use posthaste_model::{Content, Reason, Text};
use posthaste_rig::CapturedLogs;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::bench::{TOKEN, envelope, send, send_one, to_many, transport};
use super::provider::{Provider, peers};

/// The parameters of messages.send in use.
const PARAMETERS: &[&str] =
    &["peer_ids", "random_id", "message", "intent", "dont_parse_links", "disable_mentions"];

/// Texts that would break a program built by pasting.
const HOSTILE: &[&str] = &[
    "\"",
    "\\",
    "\\\"",
    "\"});return API.messages.send({\"peer_id\":1,\"message\":\"x\"});//",
    "'+API.account.ban({owner_id:1})+'",
    "*/ } ) ] ; return 1; /*",
    "${API.users.get({})}",
    "</script><script>alert(1)</script>",
    "line\u{2028}paragraph\u{2029}end",
    "line\r\nfeed\ttab\u{b}\u{c}\u{8}",
    "nul\0 escape \u{1b}[31m del \u{7f} bom \u{feff}",
    "\\u0022}]);",
    "%22%7D&code=return 1;&access_token=x",
    "+ & = % # ;",
    "Здравствуйте, 你好, مرحبا, \u{202e}👩‍👩‍👧‍👦",
];

#[tokio::test]
async fn one_request_carries_2500_people() {
    let provider = Provider::start().await;
    let vk = transport(&provider, &[]);
    let batch = to_many(1..=2500, "at nine", 1);
    let Batching::Groups { groups, deliveries } = vk.capabilities().batching else { panic!("no groups") };
    assert_eq!((groups, deliveries, vk.capabilities().deliveries_a_token), (25, 100, 100));
    assert!(send(&vk, &batch).await.iter().all(|outcome| *outcome == Outcome::Sent));
    let requests = provider.messages();
    assert_eq!(requests.len(), 1);
    let calls = requests[0].calls();
    assert_eq!(calls.len(), 25);
    for (at, call) in (1..).zip(calls) {
        assert_eq!((call["random_id"].as_i64(), peers(call).len()), (Some(at), 100));
    }
    let mut all = requests[0].peers();
    all.sort_unstable();
    assert_eq!(all, (1..=2500).collect::<Vec<_>>());
}

#[tokio::test]
async fn individual_texts_go_25_per_request() {
    let provider = Provider::start().await;
    let vk = transport(&provider, &[]);
    let batch: Vec<Envelope> =
        (1..=60).map(|n| envelope("7", &format!("text {n}"), u32::try_from(n).unwrap())).collect();
    assert!(send(&vk, &batch).await.iter().all(|outcome| *outcome == Outcome::Sent));
    let sizes: Vec<usize> = provider.messages().iter().map(|request| request.calls().len()).collect();
    assert_eq!(sizes, [25, 25, 10]);
    let said: Vec<String> = provider.api().taken().into_iter().map(|message| message.text).collect();
    assert_eq!(said, (1..=60).map(|n| format!("text {n}")).collect::<Vec<_>>());
}

#[tokio::test]
async fn outcomes_are_in_the_order_of_their_envelopes() {
    let provider = Provider::start().await;
    let vk = transport(&provider, &[]);
    provider.answer_with(|shop, request| shop.run(request, &|peer| (peer % 3 == 0).then_some(901)));
    // Two orders, shuffled together.
    let (one, other) = (to_many(1..=150, "one", 1), to_many(151..=300, "other", 9));
    let batch: Vec<Envelope> = one.into_iter().zip(other).flat_map(|(a, b)| [b, a]).collect();
    let outcomes = send(&vk, &batch).await;
    for (envelope, outcome) in batch.iter().zip(outcomes) {
        let refused = envelope.to.address.expose().parse::<i64>().unwrap() % 3 == 0;
        let wanted = if refused { Outcome::HardRefusal(Reason::Blocked.into()) } else { Outcome::Sent };
        assert_eq!(outcome, wanted);
    }
    assert_eq!(provider.messages().len(), 1);
}

#[tokio::test]
async fn a_request_is_a_form_with_the_token_in_a_header() {
    let provider = Provider::start().await;
    let vk = transport(&provider, &[]);
    assert_eq!(send_one(&vk, envelope("2000000001", "x", 5)).await, Outcome::Sent);
    let request = &provider.messages()[0];
    let head = request.head.to_ascii_lowercase();
    assert!(head.starts_with("post /method/execute http/1.1\r\n"));
    assert!(head.contains("\r\ncontent-type: application/x-www-form-urlencoded\r\n"));
    assert!(request.head.contains(&format!("Bearer {TOKEN}\r\n")));
    assert_eq!(request.form["v"], "5.199");
    assert_eq!(request.form.len(), 2);
    assert_eq!(
        request.form["code"],
        r#"return [API.messages.send({"peer_ids":"2000000001","random_id":5,"message":"x"})];"#
    );
}

#[tokio::test]
async fn hostile_texts_stay_texts() {
    let provider = Provider::start().await;
    let vk = transport(&provider, &[]);
    let batch: Vec<Envelope> =
        HOSTILE.iter().zip(1..).map(|(text, token)| envelope("-7", text, token)).collect();
    assert!(send(&vk, &batch).await.iter().all(|outcome| *outcome == Outcome::Sent));
    let calls = provider.messages()[0].calls.clone().expect("a flat program");
    let said: Vec<&str> = calls.iter().map(|call| call["message"].as_str().unwrap()).collect();
    assert_eq!(said, HOSTILE);
    for call in &calls {
        let names: Vec<&String> = call.as_object().unwrap().keys().collect();
        assert!(names.iter().all(|name| PARAMETERS.contains(&name.as_str())), "{names:?}");
        assert_eq!(call["peer_ids"], "-7");
    }
}

#[test]
fn no_text_breaks_out_of_its_literal() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let (provider, vk) = runtime.block_on(async {
        let provider = Provider::start().await;
        let vk = transport(&provider, &[]);
        (provider, vk)
    });
    proptest!(ProptestConfig::with_cases(64), |(text in "x\\PC{0,40}", signs in "[\"'\\\\(){};/*\u{2028}\u{2029}\r\n\u{0}-\u{1f}]{0,40}")| {
        let text = format!("{text}{signs}{text}");
        let outcome = runtime.block_on(send_one(&vk, envelope("5", &text, 0)));
        prop_assert_eq!(outcome, Outcome::Sent);
        let last = provider.messages().pop().unwrap();
        prop_assert_eq!(last.calls()[0]["message"].as_str(), Some(text.as_str()));
    });
}

#[tokio::test]
async fn nothing_is_requested_for_an_invalid_peer() {
    let provider = Provider::start().await;
    let vk = transport(&provider, &[]);
    for peer in ["0", "-0", "", "name", "9223372036854775808", "1,2", "+79990000000", "1\"", "07"] {
        let outcome = send_one(&vk, envelope(peer, "x", 1)).await;
        assert_eq!(outcome, Outcome::Failed(Reason::InvalidAddress.into()), "{peer}");
    }
    let long = envelope("5", &"я".repeat(4097), 1);
    assert_eq!(send_one(&vk, long).await, Outcome::Failed(Reason::Rejected.into()));
    assert_eq!(provider.log().len(), 0);
}

#[tokio::test]
async fn settings_add_their_parameters() {
    let provider = Provider::start().await;
    let on = "true";
    let vk = transport(
        &provider,
        &[
            ("intent", "promo_newsletter"),
            ("dont_parse_links", on),
            ("disable_mentions", on),
            ("version", "5.131"),
        ],
    );
    let content =
        Content { subject: Text::new("Сбор 😀"), text: Text::new("at nine"), ..Content::default() };
    let message = Envelope { content: content.into(), ..envelope("7", "", 3) };
    assert_eq!(send_one(&vk, message).await, Outcome::Sent);
    let request = &provider.messages()[0];
    assert_eq!(request.form["v"], "5.131");
    let wanted: Value = json!({
        "peer_ids": "7", "random_id": 3, "message": "Сбор 😀\n\nat nine", "intent": "promo_newsletter",
        "dont_parse_links": true, "disable_mentions": true,
    });
    assert_eq!(request.calls(), [wanted]);
    assert_eq!(vk.channel().as_str(), "vk");
}

#[tokio::test]
async fn alternating_bad_orders_are_logged_once_each() {
    let log = CapturedLogs::by_this_thread();
    let provider = Provider::start().await;
    let vk = transport(&provider, &[]);
    provider.answer_with(|shop, request| shop.run(request, &|_| Some(914)));
    let orders = [envelope("1", "x", 1), envelope("2", "y", 2)];
    for _ in 0..4 {
        for order in &orders {
            assert!(matches!(send_one(&vk, order.clone()).await, Outcome::Failed(_)));
        }
    }
    let log = log.text();
    assert_eq!(log.matches("VK refuses the message").count(), 2, "{log}");
}
