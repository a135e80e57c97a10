//! Messages that are accepted, and what is kept of them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use posthaste_sandbox::{AttemptStage, Ending, Extension, Protocol, Sandbox, Settings};

use crate::client::{Client, attempts, start};

#[tokio::test]
async fn a_message_is_kept_with_its_envelope_and_every_byte() {
    let sandbox = start().await;
    let mut client = Client::ready(&sandbox).await;
    client.envelope("ann@example.org").await;
    client.expect("RCPT TO:<Ben@Example.org>", 250).await;
    client.expect("DATA", 354).await;
    client.send("Subject: Hello\r\nx-posthaste-order: gym.17\r\n\r\n..dots\r\n.\r\n").await;
    let (code, text) = client.reply().await;
    assert_eq!((code, text.as_str()), (250, " 2.0.0 Ok: queued as 1\n"));

    let messages = sandbox.messages();
    let message = &messages[0];
    assert_eq!((messages.len(), message.id, message.channel.as_str()), (1, 1, "email"));
    assert_eq!(message.sender.expose(), "from@client.test");
    let recipients = message.recipients.iter().map(|to| (to.address.expose(), to.code));
    assert_eq!(recipients.collect::<Vec<_>>(), [("ann@example.org", 250), ("Ben@Example.org", 250)]);
    assert!(message.is_to("ben@example.org") && !message.is_to("carl@example.org"));
    assert_eq!(message.order.as_deref(), Some("gym.17"));
    assert_eq!(message.outcome.ending, Ending::Accepted);
    assert_eq!(&message.raw[..], b"Subject: Hello\r\nx-posthaste-order: gym.17\r\n\r\n..dots\r\n.\r\n");
    assert_eq!(&*message.message(), b"Subject: Hello\r\nx-posthaste-order: gym.17\r\n\r\n.dots\r\n");
    let Protocol::Smtp(facts) = &message.protocol else { panic!("another protocol") };
    assert_eq!((facts.hello.as_str(), facts.tls), ("client.test", false));
    let dialogue = message.dialogue.expose();
    assert!(dialogue.starts_with("S: 220 ") && dialogue.contains("C: DATA\nS: 354 "), "{dialogue}");
}

#[tokio::test]
async fn kept_requests_print_masked() {
    let sandbox = start().await;
    let mut client = Client::ready(&sandbox).await;
    client.message("canary@example.org").await;
    client.reply().await;
    let shown = format!("{:?}", sandbox.attempts());
    assert!(!shown.contains("canary@") && !shown.contains("Hello"), "{shown}");
}

#[tokio::test]
async fn a_group_of_commands_gets_a_group_of_replies_and_the_next_group_may_begin_with_the_message() {
    let sandbox = start().await;
    let mut client = Client::ready(&sandbox).await;
    let group = "MAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\nDATA\r\n";
    client.send(group).await;
    for round in 0..3 {
        for code in [250, 250, 354] {
            assert_eq!(client.reply().await.0, code, "round {round}");
        }
        client.send(format!("round {round}\r\n.\r\n{group}")).await;
        assert_eq!(client.reply().await.0, 250);
    }
    assert_eq!(sandbox.counts().totals.messages, 3);
}

#[tokio::test]
async fn an_abandoned_message_is_an_attempt_and_a_bare_connection_is_not() {
    let sandbox = start().await;
    let mut client = Client::ready(&sandbox).await;
    client.expect("NOOP", 250).await;
    client.expect("QUIT", 221).await;
    let mut client = Client::ready(&sandbox).await;
    client.envelope("ann@example.org").await;
    client.expect("RSET", 250).await;
    client.envelope("ann@example.org").await;
    drop(client);
    let attempts = attempts(&sandbox, 2).await;
    for attempt in &attempts {
        assert_eq!((attempt.outcome.ending, attempt.outcome.stage), (Ending::Left, AttemptStage::Rcpt));
        assert!(attempt.is_to("ann@example.org"));
    }
    assert_eq!(sandbox.messages().len(), 0);
}

#[tokio::test]
async fn a_message_cut_short_by_the_client_is_recorded() {
    let sandbox = start().await;
    let mut client = Client::ready(&sandbox).await;
    client.envelope("ann@example.org").await;
    client.expect("DATA", 354).await;
    client.send("half a mess").await;
    drop(client);
    let attempt = attempts(&sandbox, 1).await.remove(0);
    assert_eq!((attempt.outcome.ending, attempt.outcome.stage), (Ending::Left, AttemptStage::Body));
    assert_eq!(&attempt.raw[..], b"half a mess");
}

#[tokio::test]
async fn the_record_file_holds_every_attempt_before_the_answer() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("attempts.ndjson");
    let mut settings = Settings::default();
    settings.record.file = Some(path.clone());
    let sandbox = Sandbox::start(settings).await.unwrap();
    let mut client = Client::ready(&sandbox).await;
    for id in 1..=2_u64 {
        client.message("ann@example.org").await;
        client.reply().await;
        let text = std::fs::read_to_string(&path).unwrap();
        let line: serde_json::Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
        assert_eq!((line["id"].as_u64(), line["ending"].as_str()), (Some(id), Some("accepted")));
        assert_eq!(line["recipients"][0]["address"], "ann@example.org");
        let raw = STANDARD.decode(line["raw_base64"].as_str().unwrap()).unwrap();
        assert_eq!(raw, b"Subject: Hello\r\n\r\nHello.\r\n.\r\n");
    }
}

#[tokio::test]
async fn extensions_can_be_left_out() {
    let all = Client::greeted(&start().await).await.expect("EHLO client.test", 250).await;
    for word in
        ["SIZE 26214400", "PIPELINING", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES", "STARTTLS", "AUTH"]
    {
        assert!(all.contains(word), "{word} in {all}");
    }
    let mut settings = Settings::default();
    settings.smtp.without = vec![Extension::Pipelining, Extension::EnhancedStatusCodes, Extension::Size];
    let sandbox = Sandbox::start(settings).await.unwrap();
    let mut client = Client::greeted(&sandbox).await;
    let some = client.expect("EHLO client.test", 250).await;
    assert!(!some.contains("PIPELINING") && some.contains("8BITMIME"), "{some}");
    assert_eq!(client.expect("NOOP", 250).await, " Ok\n");
    client.expect("MAIL FROM:<a@b.test> SIZE=1", 555).await;
}

#[tokio::test]
async fn clearing_forgets_and_goes_on_counting_ids() {
    let sandbox = start().await;
    let mut client = Client::ready(&sandbox).await;
    client.message("ann@example.org").await;
    client.reply().await;
    assert_eq!(sandbox.clear(), 1);
    assert_eq!((sandbox.attempts().len(), sandbox.counts().totals.attempts), (0, 0));
    client.message("ann@example.org").await;
    client.reply().await;
    assert_eq!(sandbox.attempt(2).unwrap().id, 2);
}
