//! What is refused before anything is opened, and what a check of the provider finds.

use posthaste_courier::Transport;

use super::bench::{CANARY, token, transport, try_transport};
use super::provider::{Provider, Reply, bot_of, refusal};

fn refused(changes: &[(&str, &str)]) -> String {
    let Err(refused) = try_transport(changes) else { panic!("taken: {changes:?}") };
    refused.to_string()
}

#[tokio::test]
async fn invalid_settings_are_reported_by_name() {
    let good = token(42);
    for (key, value, words) in [
        ("tokens", "", "telegram.tokens: missing"),
        ("tokens", "nonsense", "telegram.tokens: token 1 is not a bot token"),
        ("api_url", "http://api.telegram.org", "telegram.api_url: must be https://"),
        ("api_url", "api.telegram.org", "telegram.api_url: is not a URL"),
        ("api_url", "https://user@api.telegram.org", "telegram.api_url: must not contain"),
        ("api_url", "https://api.telegram.org/?x", "telegram.api_url: must not contain"),
        ("messages_per_second", "0.01", "telegram.messages_per_second: must be"),
        ("messages_per_second", "31", "telegram.messages_per_second: above 30"),
        ("chat_messages", "0", "telegram.chat_messages: must be"),
        ("group_span", "2h", "telegram.group_messages: the span"),
        ("connect_within", "31s", "telegram.connect_within: must be"),
        ("max_parts", "0", "telegram.max_parts: must be"),
        ("updates_retry_after", "2h", "telegram.updates_retry_after: must be"),
        ("updates_pause", "9s", "telegram.updates_pause: must be"),
        ("updates_pause", "25h", "telegram.updates_pause: must be"),
        ("proxy", "not a proxy", "telegram.proxy: is not"),
    ] {
        let changes =
            if key == "tokens" { vec![(key, value)] } else { vec![("tokens", good.as_str()), (key, value)] };
        let reported = refused(&changes);
        assert!(reported.starts_with(words), "{key}={value}: {reported}");
        assert!(!reported.contains(CANARY));
    }
    // A line break inside a token would become part of the URL.
    let broken = format!("42:{}\n{}", &CANARY[..10], &CANARY[10..]);
    assert!(!refused(&[("tokens", &broken)]).contains(&CANARY[..10]));
    try_transport(&[("tokens", &good)]).unwrap();
}

#[tokio::test]
async fn a_wrong_token_is_reported_by_check() {
    let provider = Provider::start().await;
    let telegram = transport(&provider, &[]);
    telegram.check().await.unwrap();
    for (reply, words) in [
        (refusal(401, "Unauthorized"), "127.0.0.1 refuses the token of bot 42"),
        (refusal(404, "Not Found"), "127.0.0.1 refuses the token of bot 42"),
        (bot_of(&token(43)), "127.0.0.1 reports that the token of bot 42 belongs to another bot"),
        (
            Reply::Say(200, String::new(), "<html>".to_owned()),
            "127.0.0.1 does not answer as the Bot API (bot 42); check telegram.api_url",
        ),
        (Reply::Reset, "127.0.0.1 can't be reached or does not answer (bot 42)"),
    ] {
        provider.answer(move |_| reply.clone());
        assert_eq!(telegram.check().await.unwrap_err(), words);
    }
    provider.close().await;
    assert_eq!(telegram.check().await.unwrap_err(), "127.0.0.1 can't be reached or does not answer (bot 42)");
    assert_eq!(provider.messages().len(), 0);
}
