//! Rate limits: what waits, for how long, and that no request is made during a ban.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use posthaste_courier::{Outcome, ThrottleScope, Transport};
use posthaste_courier_telegram::TelegramTransport;
use posthaste_rig::eventually_async;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::bench::{envelope, send, token, transport};
use super::provider::{Provider, Reply, accept, by_bot, rate_limited, refusal};

const SECOND: Duration = Duration::from_secs(1);

fn throttled(outcome: &Outcome) -> (ThrottleScope, Duration) {
    match outcome {
        Outcome::Throttled { scope, wait } => (*scope, *wait),
        other => panic!("{other:?}"),
    }
}

/// One message to each of these chats, all at once.
async fn at_once(telegram: &Arc<TelegramTransport>, chats: impl IntoIterator<Item = i64>) -> Vec<Outcome> {
    let mut calls = JoinSet::new();
    for chat in chats {
        let telegram = Arc::clone(telegram);
        calls.spawn(async move { send(&telegram, envelope(&chat.to_string(), "x")).await });
    }
    calls.join_all().await
}

/// A message to this chat, and a moment when it was already waiting for its turn.
async fn asking(telegram: Arc<TelegramTransport>, chat: i64) -> (Outcome, Instant) {
    let mut call = pin!(send(&telegram, envelope(&chat.to_string(), "x")));
    let mut requested = None;
    poll_fn(|context| {
        let polled = call.as_mut().poll(context);
        let requested = *requested.get_or_insert_with(Instant::now);
        polled.map(|outcome| (outcome, requested))
    })
    .await
}

/// A bot that sent so much to chats 1 to 16 that each of them counts as busy at its next message.
async fn with_busy_chats(provider: &Provider) -> Arc<TelegramTransport> {
    let fast =
        [("messages_per_second", "1000"), ("paid", "true"), ("chat_messages", "4"), ("chat_span", "1h")];
    let telegram = Arc::new(transport(provider, &fast));
    for _ in 0..2 {
        assert_eq!(at_once(&telegram, 1..=16).await, vec![Outcome::Sent; 16]);
    }
    telegram
}

#[tokio::test]
async fn a_refusal_pauses_the_bot_and_nothing_is_requested_meanwhile() {
    let provider = Provider::start().await;
    let telegram = transport(&provider, &[]);
    provider.answer(|_| rate_limited(30));
    let (scope, wait) = throttled(&send(&telegram, envelope("1", "x")).await);
    assert_eq!(scope, ThrottleScope::Channel);
    assert!((SECOND * 30..=SECOND * 31).contains(&wait), "{wait:?}");
    for chat in 2..50 {
        let (scope, left) = throttled(&send(&telegram, envelope(&chat.to_string(), "x")).await);
        assert_eq!(scope, ThrottleScope::Channel);
        assert!(left <= wait && left > SECOND * 20);
    }
    assert_eq!(provider.messages().len(), 1);
}

#[tokio::test]
async fn after_a_ban_the_bot_goes_on() {
    let provider = Provider::start().await;
    let telegram = transport(&provider, &[]);
    provider.script(vec![rate_limited(1)]);
    throttled(&send(&telegram, envelope("1", "x")).await);
    eventually_async("the message is taken", async || match send(&telegram, envelope("1", "x")).await {
        Outcome::Sent => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    let messages = provider.messages();
    assert_eq!(messages.len(), 2);
    assert!(messages[1].at - messages[0].at >= SECOND);
}

#[tokio::test]
async fn during_repeated_bans_one_request_is_made_per_ban() {
    let provider = Provider::start().await;
    let telegram = transport(&provider, &[("messages_per_second", "1000"), ("paid", "true")]);
    provider.answer(|_| rate_limited(1));
    eventually_async("three bans", async || {
        for chat in 1..=20 {
            throttled(&send(&telegram, envelope(&chat.to_string(), "x")).await);
        }
        tokio::task::yield_now().await;
        if provider.messages().len() >= 3 { Ok(()) } else { Err("fewer") }
    })
    .await;
    for pair in provider.messages().windows(2) {
        assert!(pair[1].at - pair[0].at >= SECOND);
    }
}

#[tokio::test]
async fn a_busy_chat_waits_and_the_others_do_not() {
    let provider = Provider::start().await;
    let telegram = transport(&provider, &[("chat_span", "1h")]);
    for _ in 0..3 {
        assert_eq!(send(&telegram, envelope("7", "x")).await, Outcome::Sent);
    }
    let (scope, wait) = throttled(&send(&telegram, envelope("7", "x")).await);
    assert_eq!(scope, ThrottleScope::Recipient);
    assert!(wait > SECOND * 3000);
    assert_eq!(send(&telegram, envelope("8", "x")).await, Outcome::Sent);
    assert_eq!(provider.messages().len(), 4);
}

#[tokio::test]
async fn a_message_that_is_not_accepted_does_not_count_for_the_chat() {
    let provider = Provider::start().await;
    let telegram = transport(&provider, &[("chat_span", "1h")]);
    provider.answer(|_| refusal(400, "Bad Request: TOPIC_CLOSED"));
    for _ in 0..9 {
        assert!(matches!(send(&telegram, envelope("7", "x")).await, Outcome::Failed(_)));
    }
    provider.close().await;
    for _ in 0..9 {
        assert!(matches!(send(&telegram, envelope("7", "x")).await, Outcome::NotSent { .. }));
    }
}

#[tokio::test]
async fn a_refusal_of_a_busy_group_concerns_only_that_group() {
    let provider = Provider::start().await;
    let telegram = transport(&provider, &[]);
    for _ in 0..11 {
        assert_eq!(send(&telegram, envelope("-7", "x")).await, Outcome::Sent);
    }
    provider.answer(|request| if request.chat() == "-7" { rate_limited(40) } else { accept(request) });
    assert_eq!(throttled(&send(&telegram, envelope("-7", "x")).await).0, ThrottleScope::Recipient);
    // No further request for the group, and everyone else is served.
    assert_eq!(throttled(&send(&telegram, envelope("-7", "x")).await).0, ThrottleScope::Recipient);
    assert_eq!(send(&telegram, envelope("8", "x")).await, Outcome::Sent);
    assert_eq!(provider.messages().len(), 13);
}

#[tokio::test]
async fn busy_chats_in_a_ban_of_the_bot_make_one_request() {
    // A wait that no chat's own limit explains, and one that the first chat's might: then the second chat makes a request too.
    for (wait, requested) in [(30, 1), (3, 2)] {
        let provider = Provider::start().await;
        let telegram = with_busy_chats(&provider).await;
        provider.answer(move |_| rate_limited(wait));
        let before = provider.messages().len();
        for chat in 1..=requested {
            throttled(&send(&telegram, envelope(&chat.to_string(), "x")).await);
        }
        // All the busy chats, and quiet ones, in the middle of the ban.
        for outcome in at_once(&telegram, 1..=32).await {
            throttled(&outcome);
        }
        assert_eq!(provider.messages().len() - before, requested as usize, "retry after {wait}");
    }
}

#[tokio::test]
async fn only_messages_already_on_the_wire_to_busy_chats_meet_a_ban() {
    for wait in [30, 3] {
        let provider = Provider::start().await;
        let telegram = with_busy_chats(&provider).await;
        provider.answer(move |_| match rate_limited(wait) {
            Reply::Say(status, headers, body) => Reply::Late(SECOND / 5, status, headers, body),
            other => other,
        });
        let before = provider.messages().len();
        for outcome in at_once(&telegram, 1..=8).await {
            throttled(&outcome);
        }
        for outcome in at_once(&telegram, 1..=32).await {
            throttled(&outcome);
        }
        assert_eq!(provider.messages().len() - before, 8, "retry after {wait}");
    }
}

#[tokio::test]
async fn a_message_that_waits_for_its_turn_sees_that_its_chat_waits() {
    eventually_async("an answer before the next turn", async || {
        let provider = Provider::start().await;
        let telegram = Arc::new(transport(
            &provider,
            &[("messages_per_second", "10"), ("chat_messages", "4"), ("chat_span", "1h")],
        ));
        // Turns come every 0.1 s.
        let fourth_turn = Instant::now() + Duration::from_millis(300);
        for _ in 0..2 {
            assert_eq!(send(&telegram, envelope("7", "x")).await, Outcome::Sent);
        }
        provider.answer(|_| rate_limited(3));
        let mut calls: JoinSet<_> = (0..2).map(|_| asking(Arc::clone(&telegram), 7)).collect();
        let third = calls.join_next().await.unwrap().unwrap();
        let answered = Instant::now();
        for (outcome, _) in calls.join_all().await.into_iter().chain([third]) {
            assert_eq!(throttled(&outcome).0, ThrottleScope::Recipient);
        }
        // On a slow machine the turn may come before the answer: such a run proves nothing.
        if answered >= fourth_turn {
            return Err("the turn came first");
        }
        assert_eq!(provider.messages().len(), 3);
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn a_bot_that_pauses_does_not_hold_up_the_others() {
    let provider = Provider::start().await;
    let tokens = format!("{} {}", token(1), token(2));
    let telegram = transport(&provider, &[("tokens", &tokens)]);
    provider.answer(|request| if request.token == token(1) { rate_limited(30) } else { accept(request) });
    let (mut waiting, mut taken) = (0, 0);
    for chat in 1..=20 {
        match send(&telegram, envelope(&chat.to_string(), "x")).await {
            Outcome::Sent => taken += 1,
            outcome => {
                assert_eq!(throttled(&outcome).0, ThrottleScope::Recipient);
                waiting += 1;
            }
        }
    }
    assert!(waiting > 0 && taken > 0);
    assert_eq!(by_bot(&provider)[&token(1)], 1);
    // With both bots in a ban the channel waits,
    provider.answer(|_| rate_limited(60));
    let mut last = None;
    for chat in 21..=40 {
        last = Some(throttled(&send(&telegram, envelope(&chat.to_string(), "x")).await));
    }
    let (scope, wait) = last.unwrap();
    assert_eq!(scope, ThrottleScope::Channel);
    // until the first of them is back.
    assert!(wait <= SECOND * 31);
}

#[tokio::test]
async fn the_rate_is_kept() {
    let provider = Provider::start().await;
    let telegram = Arc::new(transport(&provider, &[("messages_per_second", "20")]));
    assert_eq!(telegram.capabilities().rate, Some(20.0));
    let begun = Instant::now();
    let calls = (1..=40).map(|chat| asking(Arc::clone(&telegram), chat));
    let (outcomes, requested): (Vec<Outcome>, Vec<Instant>) =
        calls.collect::<JoinSet<_>>().join_all().await.into_iter().unzip();
    let taken = outcomes.iter().filter(|outcome| **outcome == Outcome::Sent).count();
    // One at once, and those whose turn comes within a quarter of a second; the runtime sends the others again later.
    let ahead = requested.into_iter().max().unwrap() - begun + SECOND / 4;
    let turns = 1 + (ahead.as_millis() / 50) as usize;
    assert!((6..=turns).contains(&taken), "{taken} of {turns}");
    for outcome in outcomes.iter().filter(|outcome| **outcome != Outcome::Sent) {
        assert_eq!(throttled(outcome).0, ThrottleScope::Recipient);
    }
    let messages = provider.messages();
    assert_eq!(messages.len(), taken);
    for (n, message) in (0..).zip(&messages) {
        let after = message.at - begun;
        assert!(after >= SECOND / 20 * n, "message {n} after {after:?}");
    }
}
