//! Tokens, peers and texts appear in requests only: not in the most verbose log, not in outcomes and errors.

use std::time::Duration;

use posthaste_courier::Transport;
use posthaste_courier::recording_sink::SinkState;
use posthaste_rig::CapturedLogs;
use serde_json::json;
use tokio::time::Instant;

use super::bench::{TOKEN, envelope, send_one, transport};
use super::inbound::{PATH, Place, SECRET, event};
use super::provider::{Provider, Reply, half, refusal};

const PEER: &str = "7700770077007";
const TEXT: &str = "the canary sings at nine";

#[tokio::test]
async fn nothing_shows_a_token_a_peer_or_a_text() {
    let log = CapturedLogs::by_all();
    let provider = Provider::start().await;
    let (vk, paced) = (transport(&provider, &[]), transport(&provider, &[]));
    let mut shown = String::new();
    let echo = format!("{TEXT} for {PEER} by {TOKEN}");
    let item = json!({"response": [[{"peer_id": 7_700_770_077_007_i64, "error": {"code": 914, "description": echo}}]]});
    for reply in [
        Reply::json(200, &item),
        refusal(5, &echo),
        refusal(10, &echo),
        refusal(12, &echo),
        refusal(13, &echo),
        refusal(15, &echo),
        refusal(7777, &echo),
        Reply::Say(302, format!("location: http://127.0.0.1:1/{TOKEN}\r\n"), String::new()),
        Reply::Say(200, String::new(), format!("<html>{echo}</html>")),
        Reply::Late(Duration::from_millis(5), 200, String::new(), String::new()),
        half(),
        Reply::Reset,
    ] {
        provider.answer(move |_| reply.clone());
        shown += &format!("{:?} {:?}\n", send_one(&vk, envelope(PEER, TEXT, 5)).await, vk.check().await);
    }
    provider.answer(|_| Reply::Hang);
    let soon = Instant::now() + Duration::from_millis(50);
    shown += &format!("{:?}\n", vk.send(&[envelope(PEER, TEXT, 5)], soon).await);
    provider.close().await;
    shown += &format!("{:?} {:?}\n", send_one(&vk, envelope(PEER, TEXT, 5)).await, vk.check().await);
    provider.open().await.unwrap();
    provider.answer(|_| refusal(9, TEXT));
    shown += &format!("{:?}\n", send_one(&paced, envelope(PEER, TEXT, 5)).await);

    let place = Place::open().await;
    let denied = event("message_deny", "e1", json!({"user_id": 7_700_770_077_007_i64, "text": TEXT}));
    place.sink.set(SinkState::Unavailable);
    shown += &format!("{:?}\n", place.tell(&denied).await);
    place.sink.set(SinkState::Storing);
    shown += &format!("{:?}\n", place.tell(&denied).await);
    shown += &format!("{:?}\n", place.post_to(PATH, TEXT.as_bytes()).await);
    place.close().await;

    let said = log.text();
    // The log was captured, that of the libraries too.
    assert!(said.contains("VK refuses the message") && said.contains("the channel pauses"), "{said}");
    assert!(said.contains("can't be stored") && said.contains("hyper"), "{said}");
    log.assert_hides(&shown, &[TOKEN, PEER, TEXT, SECRET, PATH]);
}
