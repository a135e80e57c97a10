//! What a strict, a normal and a lenient server see in the same bytes.

use posthaste_sandbox::{Ending, Sandbox, Settings, Tolerance};

use crate::client::{Client, attempts};

const HIDDEN: &str = "MAIL FROM:<evil@b.test>\r\nRCPT TO:<victim@b.test>\r\nDATA\r\nhidden\r\n.\r\n";

/// The endings of all attempts after a message that holds `inner` and another message after it.
async fn endings(tolerance: Tolerance, inner: &str) -> Vec<Ending> {
    let mut settings = Settings::default();
    settings.smtp.tolerance = tolerance;
    let sandbox = Sandbox::start(settings).await.unwrap();
    let mut client = Client::ready(&sandbox).await;
    client.envelope("ann@b.test").await;
    client.expect("DATA", 354).await;
    client.send(format!("Hello{inner}{HIDDEN}")).await;
    client.reply().await;
    client.send("QUIT\r\n").await;
    client.ending().await.unwrap();
    attempts(&sandbox, 1).await.iter().map(|attempt| attempt.outcome.ending).collect()
}

#[tokio::test]
async fn a_lenient_server_sees_two_messages_where_others_see_one() {
    for inner in ["\n.\n", "\r.\r", "\n.\r\n", "\r\n.\n", "\r\n.\r"] {
        assert_eq!(endings(Tolerance::Lenient, inner).await, [Ending::Accepted; 2], "{inner:?}");
        assert_eq!(endings(Tolerance::Normal, inner).await, [Ending::Accepted], "{inner:?}");
        assert_eq!(endings(Tolerance::Strict, inner).await, [Ending::Refused], "{inner:?}");
    }
}

#[tokio::test]
async fn encoded_text_is_one_message_for_all() {
    for tolerance in [Tolerance::Lenient, Tolerance::Normal, Tolerance::Strict] {
        assert_eq!(endings(tolerance, "\r\n..\r\n..dots\r\n").await, [Ending::Accepted], "{tolerance:?}");
    }
}

#[tokio::test]
async fn a_strict_server_takes_nothing_behind_data_and_no_bare_line_ends() {
    let mut settings = Settings::default();
    settings.smtp.tolerance = Tolerance::Strict;
    let sandbox = Sandbox::start(settings).await.unwrap();
    let mut client = Client::ready(&sandbox).await;
    client.envelope("ann@b.test").await;
    client.send("DATA\r\nSubject: too early\r\n.\r\n").await;
    assert_eq!(client.reply().await.0, 503);
    let mut client = Client::ready(&sandbox).await;
    client.send("NOOP\n").await;
    assert_eq!(client.reply().await.0, 500);
}
