//! Tokens, chats and texts appear in requests only: not in the most verbose log, not in outcomes and errors.

#![expect(clippy::unwrap_used, reason = "a test fails by it")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use posthaste_courier::Transport;
use posthaste_courier::recording_sink::SinkState;
use posthaste_rig::{CapturedLogs, eventually_async};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::bench::{CANARY, envelope, send, transport};
use super::provider::{Provider, Reply, half, rate_limited, refusal};
use super::updates::{place, tell, unavailable, written};

const CHAT: &str = "7700770077007";
const TEXT: &str = "the canary sings at nine";

#[tokio::test]
async fn nothing_shows_a_token_a_chat_or_a_text() {
    let log = CapturedLogs::by_all();
    let provider = Provider::start().await;
    let telegram = transport(
        &provider,
        &[("chat_messages", "100"), ("updates", "true"), ("updates_retry_after", "20ms")],
    );
    let mut shown = String::new();
    let echo = format!("Bad Request: can't parse entities of {TEXT} for {CHAT}");
    for reply in [
        refusal(400, &echo),
        refusal(400, "Bad Request: something new"),
        refusal(403, "Forbidden: bot was blocked by the user"),
        refusal(401, "Unauthorized"),
        refusal(500, "Internal Server Error"),
        Reply::Say(302, format!("location: http://127.0.0.1:1/bot42:{CANARY}\r\n"), String::new()),
        Reply::Say(200, String::new(), format!("<html>{CANARY}</html>")),
        Reply::Late(Duration::from_millis(5), 200, String::new(), String::new()),
        half(),
        Reply::Reset,
    ] {
        provider.answer(move |_| reply.clone());
        shown += &format!("{:?}\n", send(&telegram, envelope(CHAT, TEXT)).await);
    }
    provider.answer(|_| Reply::Hang);
    let soon = Instant::now() + Duration::from_millis(50);
    shown += &format!("{:?}\n", telegram.send(&[envelope(CHAT, TEXT)], soon).await);
    for reply in [refusal(401, "Unauthorized"), Reply::Reset, Reply::Say(200, String::new(), "x".to_owned())]
    {
        provider.answer(move |_| reply.clone());
        shown += &format!("{:?}\n", telegram.check().await);
    }
    shown += &listen(&provider, &telegram).await;
    provider.close().await;
    shown += &format!("{:?} {:?}\n", send(&telegram, envelope(CHAT, TEXT)).await, telegram.check().await);
    provider.open().await.unwrap();
    provider.answer(|_| rate_limited(1));
    shown += &format!("{:?}\n", send(&telegram, envelope(CHAT, TEXT)).await);
    let said = log.text();
    // The log was captured, that of the libraries too.
    assert!(said.contains("Telegram refuses the message") && said.contains("hyper"), "{said}");
    assert!(said.contains("can't receive updates") && said.contains("receiving updates again"), "{said}");
    log.assert_hides(&shown, &[CANARY, CHAT, TEXT]);
}

/// Receives updates, despite refusals and a feedback sink that is closed for a while.
async fn listen(provider: &Provider, telegram: &posthaste_courier_telegram::TelegramTransport) -> String {
    let chat = CHAT.parse().unwrap();
    let refusals = Mutex::new([Reply::Reset, half(), refusal(401, CANARY)].into_iter());
    provider.answer(move |request| match refusals.lock().unwrap().next() {
        Some(reply) => reply,
        None => tell(request, &[place(1, chat, "kicked"), written(2, chat, TEXT)]),
    });
    let (sink, stop) = (unavailable(), CancellationToken::new());
    let serving = telegram.serve(Arc::clone(&sink) as _, stop.clone());
    let listening = async {
        eventually_async("the sink refuses", async || match sink.record().failed {
            0 => Err("not yet"),
            _ => Ok(()),
        })
        .await;
        sink.set(SinkState::Storing);
        eventually_async("all is confirmed", async || match provider.log().last() {
            Some(last) if last.body["offset"] == 3 => Ok(()),
            _ => Err("not yet"),
        })
        .await;
        stop.cancel();
    };
    format!("{:?}", tokio::join!(serving, listening).0)
}
