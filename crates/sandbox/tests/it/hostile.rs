//! Input meant to break it: it answers or cuts, keeps its bounds, and continues to serve others.

use posthaste_rig::eventually_async;
use posthaste_sandbox::{AttemptStage, Ending, Sandbox, Settings};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::client::{Client, attempts, start};

/// A message still goes through.
async fn still_works(sandbox: &Sandbox) {
    let mut client = Client::ready(sandbox).await;
    client.message("ann@example.org").await;
    assert_eq!(client.reply().await.0, 250);
}

#[tokio::test]
async fn a_line_too_long_is_answered_once_and_forgotten() {
    let sandbox = start().await;
    let mut client = Client::ready(&sandbox).await;
    client.send([vec![b'a'; 1_000_000], b"\r\nNOOP\r\n".to_vec()].concat()).await;
    assert_eq!(client.reply().await.0, 500);
    assert_eq!(client.reply().await.0, 250);
}

#[tokio::test]
async fn pipelined_garbage_ends_with_421() {
    let sandbox = start().await;
    let mut client = Client::greeted(&sandbox).await;
    client.send(b"\0\xff\r\n".repeat(51)).await;
    for _ in 0..50 {
        assert_eq!(client.reply().await.0, 500);
    }
    assert_eq!(client.reply().await.0, 421);
    let _ = client.ending().await;
    still_works(&sandbox).await;
}

#[tokio::test]
async fn all_bytes_in_all_places() {
    let sandbox = start().await;
    for byte in 0..=255_u8 {
        let mut client = Client::ready(&sandbox).await;
        for line in [&b"MAIL FROM:<"[..], b"RCPT TO:<a@b.test> ", b"AUTH PLAIN ", b"EHLO ", b"DATA"] {
            client.send([line, &[byte], b"\r\n"].concat()).await;
        }
        client.send("QUIT\r\n").await;
        while let Ok((code, _)) = client.try_reply().await {
            assert!((200..600).contains(&code));
        }
    }
    still_works(&sandbox).await;
}

#[tokio::test]
async fn a_giant_message_is_read_to_its_end_and_not_kept() {
    let mut settings = Settings::default();
    settings.smtp.max_message_bytes = 100_000;
    let sandbox = Sandbox::start(settings).await.unwrap();
    let mut client = Client::ready(&sandbox).await;
    client.envelope("ann@example.org").await;
    client.expect("DATA", 354).await;
    let line = [&[b'x'; 998][..], b"\r\n"].concat().repeat(100);
    for _ in 0..100 {
        client.send(&line).await;
    }
    client.send(".\r\n").await;
    assert_eq!(client.reply().await.0, 552);
    let attempt = attempts(&sandbox, 1).await.remove(0);
    assert_eq!((attempt.outcome.ending, attempt.outcome.stage), (Ending::Refused, AttemptStage::Dot));
    assert_eq!(attempt.size, 10_000_003);
    assert!(attempt.raw.len() <= 64 * 1024);
    assert_eq!(client.expect("NOOP", 250).await, " 2.0.0 Ok\n");
}

#[tokio::test]
async fn all_connections_together_have_one_memory_limit() {
    let mut settings = Settings::default();
    settings.smtp.receiving_bytes = 200_000;
    let sandbox = Sandbox::start(settings).await.unwrap();
    let mut first = Client::ready(&sandbox).await;
    first.envelope("ann@example.org").await;
    first.expect("DATA", 354).await;
    first.send(vec![b'x'; 150_000]).await;
    let begun = eventually_async("room to be used up", async || {
        let mut second = Client::ready(&sandbox).await;
        second.envelope("ben@example.org").await;
        second.expect("DATA", 354).await;
        second.send([&[b'y'; 100_000][..], b"\r\n.\r\n"].concat()).await;
        match second.reply().await {
            (452, _) => Ok(second),
            (code, _) => Err(code),
        }
    })
    .await;
    drop(begun);
    first.send("\r\n.\r\n").await;
    assert_eq!(first.reply().await.0, 250);
    still_works(&sandbox).await;
}

#[tokio::test]
async fn thousands_of_connections_are_turned_away_and_others_are_served() {
    let mut settings = Settings::default();
    settings.smtp.max_connections = 200;
    let sandbox = Sandbox::start(settings).await.unwrap();
    let mut idle = Vec::new();
    for round in 0..2_000 {
        let Ok(mut stream) = TcpStream::connect(sandbox.smtp()).await else { continue };
        // Half-open: it sends half a line, or nothing, and half of them leave at once.
        if round % 3 == 0 {
            let _ = stream.write_all(b"EHL").await;
        }
        if round % 2 == 0 && idle.len() < 400 {
            idle.push(stream);
        }
    }
    drop(idle);
    eventually_async("a place", async || match Client::connected(&sandbox).await.try_reply().await {
        Ok((220, _)) => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    eventually_async("places to come back", async || {
        match Client::connected(&sandbox).await.try_reply().await {
            Ok((220, _)) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    assert_eq!(sandbox.attempts().len(), 0);
}

#[tokio::test]
async fn an_idle_client_is_disconnected() {
    let mut settings = Settings::default();
    settings.smtp.idle_for = std::time::Duration::from_millis(50);
    let sandbox = Sandbox::start(settings).await.unwrap();
    let mut client = Client::connected(&sandbox).await;
    assert_eq!(client.reply().await.0, 220);
    assert_eq!(client.reply().await.0, 421);
    client.ending().await.unwrap();
}

#[tokio::test]
async fn memory_is_a_ring() {
    let mut settings = Settings::default();
    settings.outbox.keep_bytes = 50_000;
    let sandbox = Sandbox::start(settings).await.unwrap();
    let mut client = Client::ready(&sandbox).await;
    for _ in 0..100 {
        client.envelope("ann@example.org").await;
        client.expect("DATA", 354).await;
        client.send([&[b'x'; 900][..], b"\r\n.\r\n"].concat()).await;
        assert_eq!(client.reply().await.0, 250);
    }
    let counts = sandbox.counts();
    assert_eq!((counts.totals.messages, counts.kept + counts.pruned), (100, 100));
    assert!(counts.kept_bytes <= 50_000 && counts.kept > 10, "{counts:?}");
    assert_eq!(sandbox.attempts().last().unwrap().id, 100);
}

#[tokio::test]
async fn lines_that_are_no_commands_are_shown_and_passwords_in_them_are_not() {
    let sandbox = start().await;
    let mut client = Client::ready(&sandbox).await;
    client.expect("MAIL FROM:<a@b.test>", 250).await;
    client.expect("RCPT TO:<a@b\rRCPT TO:<c@d.test>", 500).await;
    client.expect("auth plain Y2FuYXJ5\0", 500).await;
    client.expect("RSET", 250).await;
    let attempt = attempts(&sandbox, 1).await.remove(0);
    let dialogue = attempt.dialogue.expose();
    assert!(dialogue.contains(r"C: RCPT TO:<a@b\rRCPT TO:<c@d.test>"), "{dialogue}");
    assert!(dialogue.contains("C: AUTH ***") && !dialogue.contains("Y2FuYXJ5"), "{dialogue}");
}
