//! URLs and texts appear in requests only: not in the most verbose log, not in outcomes.

use posthaste_courier::Transport;
use posthaste_rig::CapturedLogs;
use posthaste_rig::http::HttpReply;
use tokio::time::Instant;

use super::bench::{envelope, text, transport};
use super::receiver::{Receiver, status};

const PATH: &str = "/people/canary-of-a-path?key=canary-of-a-query";
const TEXT: &str = "the canary sings at nine";

#[tokio::test]
async fn nothing_shows_a_path_or_a_text() {
    let log = CapturedLogs::by_all();
    let receiver = Receiver::start().await;
    let webhook = transport(&receiver);
    let mut shown = String::new();
    for reply in [
        status(200),
        status(400),
        status(410),
        status(500),
        HttpReply::Say(302, format!("location: http://127.0.0.1:1{PATH}\r\n"), String::new()),
        HttpReply::Say(200, String::new(), TEXT.to_owned()),
        HttpReply::Half(TEXT.to_owned()),
        HttpReply::Reset,
    ] {
        receiver.answer(move |_| (reply.clone(), false));
        let deadline = Instant::now() + posthaste_rig::patience();
        let outcomes = webhook.send(&[envelope(&receiver.url(PATH), text(TEXT))], deadline).await;
        shown += &format!("{outcomes:?}\n");
    }
    for url in [format!("http://127.0.0.1:1{PATH}"), format!("https://user:canary-word@example.org{PATH}")] {
        let outcomes = webhook.send(&[envelope(&url, text(TEXT))], Instant::now()).await;
        shown += &format!("{outcomes:?}\n");
    }
    assert!(log.text().contains("hyper"), "the log of the libraries was captured: {}", log.text());
    log.assert_hides(&shown, &["canary-of-a-path", "canary-of-a-query", "canary-word", TEXT]);
}
