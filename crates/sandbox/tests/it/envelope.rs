//! Answers to commands that are invalid, out of order or above a limit.

use posthaste_sandbox::{AttemptStage, Ending, Sandbox, Settings};

use crate::client::{Client, start};

#[tokio::test]
async fn commands_come_in_order() {
    let sandbox = start().await;
    let mut client = Client::greeted(&sandbox).await;
    client.expect("MAIL FROM:<a@b.test>", 503).await;
    client.expect("EHLO client.test", 250).await;
    client.expect("RCPT TO:<c@d.test>", 503).await;
    client.expect("DATA", 503).await;
    client.expect("MAIL FROM:<>", 250).await;
    client.expect("MAIL FROM:<a@b.test>", 503).await;
    client.expect("DATA", 554).await;
    client.expect("RCPT TO:<>", 501).await;
    client.expect("RCPT TO:<c@d.test> NOTIFY=NEVER", 555).await;
    client.expect("RCPT TO:<c@d.test>", 250).await;
    client.expect("STARTTLS", 503).await;
    client.expect("EXPN list", 500).await;
    client.expect("VRFY c", 252).await;
}

#[tokio::test]
async fn non_ascii_addresses_need_smtputf8() {
    let sandbox = start().await;
    let mut client = Client::ready(&sandbox).await;
    client.expect("MAIL FROM:<\u{44e}@b.test>", 553).await;
    client.expect("MAIL FROM:<a@b.test>", 250).await;
    client.expect("RCPT TO:<\u{44e}@b.test>", 553).await;
    client.expect("RSET", 250).await;
    client.expect("MAIL FROM:<\u{44e}@b.test> SMTPUTF8 BODY=8BITMIME", 250).await;
    client.expect("RCPT TO:<\u{44e}@\u{43f}.test>", 250).await;
}

#[tokio::test]
async fn limits_are_answered_with_their_codes() {
    let mut settings = Settings::default();
    settings.smtp.max_message_bytes = 1_000;
    settings.smtp.max_recipients = 2;
    settings.smtp.messages_per_connection = 2;
    let sandbox = Sandbox::start(settings).await.unwrap();
    let mut client = Client::ready(&sandbox).await;
    client.expect("MAIL FROM:<a@b.test> SIZE=1001", 552).await;
    client.expect("MAIL FROM:<a@b.test> SIZE=x", 501).await;
    client.envelope("one@d.test").await;
    client.expect("RCPT TO:<two@d.test>", 250).await;
    client.expect("RCPT TO:<three@d.test>", 452).await;
    client.expect("DATA", 354).await;
    client.send([&[b'x'; 1_000][..], b"\r\n.\r\n"].concat()).await;
    assert_eq!(client.reply().await.0, 552);
    client.message("one@d.test").await;
    assert_eq!(client.reply().await.0, 250);
    client.expect("MAIL FROM:<a@b.test>", 421).await;
    client.ending().await.unwrap();
    let endings: Vec<_> =
        sandbox.attempts().iter().map(|attempt| (attempt.outcome.ending, attempt.outcome.stage)).collect();
    let refused = |stage| (Ending::Refused, stage);
    let taken = (Ending::Accepted, AttemptStage::Dot);
    assert_eq!(
        endings,
        [
            refused(AttemptStage::Mail),
            refused(AttemptStage::Mail),
            refused(AttemptStage::Dot),
            taken,
            refused(AttemptStage::Mail)
        ]
    );
}

#[tokio::test]
async fn connections_above_the_limit_are_turned_away_and_places_come_back() {
    let mut settings = Settings::default();
    settings.smtp.max_connections = 1;
    let sandbox = Sandbox::start(settings).await.unwrap();
    let first = Client::greeted(&sandbox).await;
    let mut second = Client::connected(&sandbox).await;
    assert_eq!(second.reply().await.0, 421);
    second.ending().await.unwrap();
    drop(first);
    posthaste_rig::eventually_async("a place", async || {
        match Client::connected(&sandbox).await.reply().await {
            (220, _) => Ok(()),
            (_, text) => Err(text),
        }
    })
    .await;
}
