//! Several bots on one channel, and chats that move.

#![expect(clippy::unwrap_used, reason = "a test fails by it")]

use std::collections::HashMap;
use std::time::Duration;

use posthaste_courier::{Outcome, ThrottleScope};
use posthaste_model::Reason;
use serde_json::json;

use super::bench::{coded, envelope, send, token, transport};
use super::provider::{Provider, Reply, accept, by_bot, refusal};

fn tokens(bots: u64) -> String {
    (1..=bots).map(token).collect::<Vec<_>>().join("\n")
}

fn bot_of(request: &super::provider::Request) -> String {
    request.token.split(':').next().unwrap().to_owned()
}

#[tokio::test]
async fn every_courier_assigns_chats_to_bots_the_same_way() {
    let provider = Provider::start().await;
    let fast = [
        ("tokens", &*tokens(3)),
        ("messages_per_second", "1000"),
        ("paid", "true"),
        ("chat_messages", "100"),
    ];
    let (one, other) = (transport(&provider, &fast), transport(&provider, &fast));
    for chat in 1..=60 {
        for telegram in [&one, &other, &one] {
            assert_eq!(send(telegram, envelope(&chat.to_string(), "x")).await, Outcome::Sent);
        }
    }
    let mut bots: HashMap<String, Vec<String>> = HashMap::new();
    for request in provider.messages() {
        bots.entry(request.chat()).or_default().push(bot_of(&request));
    }
    assert!(bots.values().all(|bots| bots.len() == 3 && bots.iter().all(|bot| *bot == bots[0])));
    let counts = by_bot(&provider);
    assert!(counts.len() == 3 && counts.values().all(|count| *count >= 60 / 3), "{counts:?}");
}

#[tokio::test]
async fn a_chat_one_bot_does_not_reach_is_tried_with_the_others() {
    let provider = Provider::start().await;
    let telegram = transport(&provider, &[("tokens", &tokens(3)), ("chat_messages", "100")]);
    for (chat, text) in [
        "Forbidden: bot can't initiate conversation with a user",
        "Bad Request: chat not found",
        "Forbidden: bot is not a member of the channel chat",
        "Forbidden: bot was blocked by the user",
        "Forbidden: bot was kicked from the supergroup chat",
    ]
    .into_iter()
    .enumerate()
    {
        let chat = (chat + 11).to_string();
        let code = if text.starts_with("Bad") { 400 } else { 403 };
        provider.answer(
            move |request| {
                if request.token == token(2) { accept(request) } else { refusal(code, text) }
            },
        );
        for _ in 0..2 {
            assert_eq!(send(&telegram, envelope(&chat, "x")).await, Outcome::Sent);
        }
        let requested: Vec<String> =
            provider.messages().iter().filter(|request| request.chat() == chat).map(bot_of).collect();
        // The second message goes straight to the bot that reached the chat.
        assert!(
            requested.len() <= 4 && requested.ends_with(&["2".to_owned(), "2".to_owned()]),
            "{requested:?}"
        );
        let taken = requested.iter().filter(|bot| *bot == "2").count();
        assert_eq!(taken, 2);
    }
}

#[tokio::test]
async fn a_chat_no_bot_reaches_gets_the_strongest_outcome() {
    let provider = Provider::start().await;
    let telegram = transport(&provider, &[("tokens", &tokens(3)), ("chat_messages", "100")]);
    provider.answer(|request| match request.token == token(2) {
        true => refusal(403, "Forbidden: bot can't initiate conversation with a user"),
        false => refusal(400, "Bad Request: chat not found"),
    });
    assert_eq!(send(&telegram, envelope("7", "x")).await, Outcome::HardRefusal(Reason::Blocked.into()));
    assert_eq!(provider.messages().len(), 3);
    // A deactivated account is gone for all bots.
    provider.answer(|_| refusal(403, "Forbidden: user is deactivated"));
    assert_eq!(
        send(&telegram, envelope("8", "x")).await,
        Outcome::HardRefusal(Reason::InvalidAddress.into())
    );
    assert_eq!(provider.messages().len(), 4);
}

#[tokio::test]
async fn a_chat_no_bot_finds_is_only_a_strike() {
    let provider = Provider::start().await;
    let telegram = transport(&provider, &[("tokens", &tokens(3))]);
    provider.answer(|_| refusal(400, "Bad Request: chat not found"));
    let strike = Outcome::Strike { reason: Reason::InvalidAddress.into(), of: 3 };
    assert_eq!(send(&telegram, envelope("7", "x")).await, strike);
    assert_eq!(provider.messages().len(), 3);
}

#[tokio::test]
async fn a_group_that_moved_is_followed_and_remembered() {
    let provider = Provider::start().await;
    let telegram = transport(&provider, &[]);
    provider.answer(|request| match request.chat().as_str() {
        "-7" => Reply::json(
            400,
            &json!({"ok": false, "error_code": 400,
                "description": "Bad Request: group chat was upgraded to a supergroup chat",
                "parameters": {"migrate_to_chat_id": -1_001_234_567_890_i64}}),
        ),
        _ => accept(request),
    });
    for _ in 0..2 {
        assert_eq!(send(&telegram, envelope("-7", "x")).await, Outcome::Sent);
    }
    let chats: Vec<String> = provider.messages().iter().map(super::provider::Request::chat).collect();
    assert_eq!(chats, ["-7", "-1001234567890", "-1001234567890"]);
}

#[tokio::test]
async fn a_group_that_keeps_moving_is_given_up() {
    let provider = Provider::start().await;
    let telegram = transport(&provider, &[]);
    provider.answer(|request| {
        let next = request.body["chat_id"].as_i64().unwrap() - 1;
        Reply::json(
            400,
            &json!({"ok": false, "error_code": 400, "description": "moved", "parameters": {"migrate_to_chat_id": next}}),
        )
    });
    assert_eq!(send(&telegram, envelope("-7", "x")).await, Outcome::Failed(Reason::InvalidAddress.into()));
    assert_eq!(provider.messages().len(), 3);
}

#[tokio::test]
async fn a_revoked_token_stops_its_bot_and_not_the_others() {
    let provider = Provider::start().await;
    let telegram = transport(&provider, &[("tokens", &tokens(2)), ("chat_messages", "100")]);
    provider.answer(|request| match request.token == token(2) {
        true => refusal(401, "Unauthorized"),
        false => accept(request),
    });
    for chat in 1..=20 {
        assert_eq!(send(&telegram, envelope(&chat.to_string(), "x")).await, Outcome::Sent);
    }
    let counts = by_bot(&provider);
    assert_eq!((counts[&token(1)], counts[&token(2)]), (20, 1), "bot 2 is used once: {counts:?}");
    assert_eq!(posthaste_courier::Transport::check(&telegram).await, Ok(()));
}

#[tokio::test]
async fn a_chat_only_a_revoked_bot_may_reach_waits_for_it() {
    let provider = Provider::start().await;
    let telegram = transport(&provider, &[("tokens", &tokens(2)), ("chat_messages", "100")]);
    provider.answer(|request| match request.token == token(2) {
        true => refusal(401, "Unauthorized"),
        false => refusal(400, "Bad Request: chat not found"),
    });
    for _ in 0..2 {
        match send(&telegram, envelope("7", "x")).await {
            Outcome::Throttled { scope: ThrottleScope::Recipient, wait } => {
                assert!(wait <= Duration::from_secs(30), "{wait:?}");
            }
            outcome => panic!("expected no strike, as the other bot may reach the chat: {outcome:?}"),
        }
    }
    // The token works again, and a check notices.
    provider.answer(|request| match request.token == token(2) {
        true => accept(request),
        false => refusal(400, "Bad Request: chat not found"),
    });
    assert_eq!(posthaste_courier::Transport::check(&telegram).await, Ok(()));
    assert_eq!(send(&telegram, envelope("7", "x")).await, Outcome::Sent);
}

#[tokio::test]
async fn when_all_tokens_are_revoked_the_channel_stops() {
    let provider = Provider::start().await;
    let telegram = transport(&provider, &[("tokens", &tokens(2)), ("chat_messages", "100")]);
    provider.answer(|_| refusal(401, "Unauthorized"));
    match send(&telegram, envelope("7", "x")).await {
        Outcome::Stop(why) => assert!(why.starts_with("Telegram refuses the token of bot "), "{why}"),
        outcome => panic!("{outcome:?}"),
    }
    let why = posthaste_courier::Transport::check(&telegram).await.unwrap_err();
    assert_eq!(why, "127.0.0.1 refuses the token of bot 1");
}

#[tokio::test]
async fn the_error_code_of_a_refusal_is_kept() {
    let provider = Provider::start().await;
    let telegram = transport(&provider, &[]);
    for (chat, code, description, reason) in [
        ("7", 403, "Forbidden: bot was blocked by the user", Reason::Blocked),
        ("8", 403, "Forbidden: user is deactivated", Reason::InvalidAddress),
        ("9", 400, "Bad Request: chat not found", Reason::InvalidAddress),
    ] {
        provider.answer(move |_| refusal(code, description));
        let outcome = coded(&telegram, envelope(chat, "x")).await;
        assert_eq!(outcome.code().to_string(), code.to_string(), "{description}");
        let (Outcome::HardRefusal(why) | Outcome::Strike { reason: why, .. }) = outcome else {
            panic!("{description}: {outcome:?}");
        };
        assert_eq!(why.reason, reason, "{description}");
    }
}
