//! The content of requests.

#![expect(clippy::unwrap_used, reason = "a test fails by it")]

use posthaste_courier::{Envelope, Outcome, Transport};
use posthaste_model::{Address, Content, Delivery, Reason, Text};
use posthaste_ops::metrics::Metrics;
use posthaste_rig::CapturedLogs;
use serde_json::{Value, json};

use super::bench::{envelope, send, token, transport};
use super::provider::{Provider, Reply, accept, refusal};

/// The parameters of sendMessage in use, and their types: "string", "number", "boolean", "array", "object".
const PARAMETERS: &[(&str, &[&str])] = &[
    ("chat_id", &["number", "string"]),
    ("text", &["string"]),
    ("entities", &["array"]),
    ("link_preview_options", &["object"]),
    ("disable_notification", &["boolean"]),
    ("protect_content", &["boolean"]),
    ("allow_paid_broadcast", &["boolean"]),
];

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn fits_the_table(body: &Value) {
    for (name, value) in body.as_object().unwrap() {
        let (_, types) = PARAMETERS.iter().find(|(known, _)| known == name).expect(name);
        assert!(types.contains(&type_of(value)), "{name}: {value}");
    }
    assert!(body["text"].as_str().is_some_and(|text| !text.is_empty()));
}

#[tokio::test]
async fn a_text_goes_as_it_is() {
    let provider = Provider::start().await;
    let telegram = transport(&provider, &[("chat_messages", "100")]);
    let texts = [
        "_*[]()~`>#+-=|{}.!",
        "<b>&amp;</b> <a href=\"tg://user?id=1\">x</a>",
        "[click](tg://user?id=1)",
        "Здравствуйте, 你好, مرحبا, 👩‍👩‍👧‍👦",
        "nul \0 and escape \u{1b}[31m",
    ];
    for text in texts {
        assert_eq!(send(&telegram, envelope("123456789", text)).await, Outcome::Sent);
    }
    let messages = provider.messages();
    for (message, text) in messages.iter().zip(texts) {
        assert_eq!(message.body, json!({"chat_id": 123_456_789, "text": text}));
        assert!(message.head.starts_with(&format!("POST /bot{}/sendMessage HTTP/1.1\r\n", token(42))));
        assert!(message.head.to_ascii_lowercase().contains("\r\ncontent-type: application/json\r\n"));
    }
    assert_eq!(messages.len(), texts.len());
}

#[tokio::test]
async fn groups_and_public_names_are_reached() {
    let provider = Provider::start().await;
    let telegram = transport(&provider, &[]);
    for chat in ["-1001234567890", "@News_Channel"] {
        assert_eq!(send(&telegram, envelope(chat, "x")).await, Outcome::Sent);
    }
    let chats: Vec<Value> =
        provider.messages().iter().map(|message| message.body["chat_id"].clone()).collect();
    assert_eq!(chats, [json!(-1_001_234_567_890_i64), json!("@news_channel")]);
}

#[tokio::test]
async fn nothing_is_requested_for_an_invalid_chat() {
    let provider = Provider::start().await;
    let telegram = transport(&provider, &[]);
    for chat in ["0", "-0", "", "name", "9223372036854775808", "1 OR 1", "+79990000000"] {
        assert_eq!(
            send(&telegram, envelope(chat, "x")).await,
            Outcome::Failed(Reason::InvalidAddress.into()),
            "{chat}"
        );
    }
    assert_eq!(provider.log().len(), 0);
}

#[tokio::test]
async fn the_subject_is_bold_by_entities() {
    let provider = Provider::start().await;
    let telegram = transport(&provider, &[]);
    let content =
        Content { subject: Text::new("Сбор 😀"), text: Text::new("at nine"), ..Content::default() };
    let message = posthaste_courier::Envelope { content: content.into(), ..envelope("7", "") };
    assert_eq!(send(&telegram, message).await, Outcome::Sent);
    let body = &provider.messages()[0].body;
    assert_eq!(body["text"], "Сбор 😀\n\nat nine");
    assert_eq!(body["entities"], json!([{"type": "bold", "offset": 0, "length": 7}]));
    fits_the_table(body);
}

#[tokio::test]
async fn settings_add_their_parameters() {
    let provider = Provider::start().await;
    let on = "true";
    let telegram = transport(
        &provider,
        &[
            ("silent", on),
            ("protect_content", on),
            ("paid", on),
            ("messages_per_second", "900"),
            ("link_previews", "false"),
        ],
    );
    assert_eq!(send(&telegram, envelope("7", "https://example.org")).await, Outcome::Sent);
    let body = &provider.messages()[0].body;
    fits_the_table(body);
    assert_eq!(body["link_preview_options"], json!({"is_disabled": true}));
    for name in ["disable_notification", "protect_content", "allow_paid_broadcast"] {
        assert_eq!(body[name], true, "{name}");
    }
    assert_eq!(telegram.capabilities().rate, Some(900.0));
    assert_eq!(telegram.channel().as_str(), "telegram");
}

#[tokio::test]
async fn a_success_of_unknown_shape_still_counts_as_sent() {
    let provider = Provider::start().await;
    let telegram = transport(&provider, &[]);
    provider.script(vec![
        Reply::Say(
            200,
            String::new(),
            r#"{"ok":true,"result":{"message_id":{"new":[1]},"rich_message":{}},"x":0}"#.to_owned(),
        ),
        Reply::Say(200, String::new(), r#"{"ok":true,"result":{"mess"#.to_owned()),
        Reply::Say(502, String::new(), "<html>Bad Gateway</html>".to_owned()),
        Reply::Say(302, "location: https://example.org/\r\n".to_owned(), String::new()),
        refusal(500, "Internal Server Error: restart"),
    ]);
    let mut outcomes = Vec::new();
    for chat in 1..=5 {
        outcomes.push(send(&telegram, envelope(&chat.to_string(), "x")).await);
    }
    assert_eq!(outcomes[0], Outcome::Sent);
    assert_eq!(outcomes[1], Outcome::Unknown(Reason::InvalidProviderResponse));
    assert_eq!(outcomes[2], Outcome::Unknown(Reason::ProviderUnavailable));
    assert!(
        matches!(outcomes[3], Outcome::Retry { reason, .. } if reason.reason == Reason::InvalidProviderResponse)
    );
    assert_eq!(outcomes[4], Outcome::Unknown(Reason::ProviderUnavailable));
    assert_eq!(provider.messages().len(), 5);
}

#[tokio::test]
async fn a_huge_answer_is_not_read_to_its_end() {
    let provider = Provider::start().await;
    let telegram = transport(&provider, &[]);
    provider.script(vec![Reply::Say(200, String::new(), "x".repeat(5 << 20))]);
    assert_eq!(send(&telegram, envelope("7", "x")).await, Outcome::Unknown(Reason::InvalidProviderResponse));
    assert_eq!(send(&telegram, envelope("8", "x")).await, Outcome::Sent);
}

#[tokio::test]
async fn alternating_bad_orders_are_logged_once_each() {
    let log = CapturedLogs::by_this_thread();
    let (recorder, metrics) = Metrics::recorder(&[]).unwrap();
    let _recording = metrics::set_default_local_recorder(&recorder);
    let provider = Provider::start().await;
    let telegram = transport(&provider, &[]);
    provider.answer(|_| refusal(400, "Bad Request: message is too long"));
    let orders = [envelope("1", "x"), envelope("2", "y")];
    for chat in 1..=9 {
        for order in &orders {
            let to = Delivery { address: Address::new(chat.to_string()), ..order.to.clone() };
            assert!(matches!(send(&telegram, Envelope { to, ..order.clone() }).await, Outcome::Failed(_)));
        }
    }
    let (log, reported) = (log.text(), metrics.render());
    assert_eq!(log.matches("Telegram refuses the message").count(), 2, "{log}");
    assert!(
        reported.contains("posthaste_alerts_total{channel=\"telegram\",type=\"content_rejected\"} 2"),
        "{reported}"
    );
}

#[tokio::test]
async fn an_order_refused_for_everybody_is_given_up() {
    let provider = Provider::start().await;
    let telegram = transport(&provider, &[]);
    provider.answer(|_| refusal(400, "Bad Request: can't parse entities: unsupported"));
    let order = envelope("1", "x");
    let to = |chat: u64| Delivery { address: Address::new(chat.to_string()), ..order.to.clone() };
    for chat in 1..=30 {
        let sent = Envelope { to: to(chat), ..order.clone() };
        assert_eq!(send(&telegram, sent).await, Outcome::Failed(Reason::Rejected.into()));
    }
    assert_eq!(provider.messages().len(), 20);
    // A message that may have been accepted before is still sent, and another order has another text.
    provider.answer(accept);
    assert_eq!(send(&telegram, envelope("31", "y")).await, Outcome::Sent);
    let repeat = Envelope { to: to(32), repeat: true, ..order.clone() };
    assert_eq!(send(&telegram, repeat).await, Outcome::Sent);
    assert_eq!(send(&telegram, Envelope { to: to(33), ..order }).await, Outcome::Sent);
}
