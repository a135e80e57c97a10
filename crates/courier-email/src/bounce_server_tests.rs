//! Texts in pieces, and slow clients.

use std::sync::Arc;

use posthaste_courier::AttemptId;
use posthaste_courier::recording_sink::{RecordingSink, SinkState};
use proptest::prelude::*;
use secrecy::SecretString;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use super::*;
use crate::hmac_tag::{HmacTags, Purpose};
use crate::reply_rules::{ReplyRules, TABLE};
use crate::verp::ReturnPaths;

/// The text read from pieces of this size, and the bytes left after it.
fn taken(bytes: &[u8], piece: usize, most: usize) -> Option<(Vec<u8>, usize, Vec<u8>)> {
    let mut text = Text { kept: Vec::new(), most, size: 0, begins: true };
    let (mut buffer, mut pieces) = (Vec::new(), bytes.chunks(piece.max(1)));
    loop {
        buffer.extend(pieces.next()?);
        let (used, ended) = text.take(&buffer);
        buffer.drain(..used);
        if ended {
            buffer.extend(pieces.flatten());
            return Some((text.kept, text.size, buffer));
        }
    }
}

#[test]
fn a_text_ends_at_its_dot_and_nowhere_else() {
    for (bytes, text, left) in [
        (".\r\n", "", ""),
        ("a\r\n.\r\nNOOP", "a\r\n", "NOOP"),
        ("..\r\n...x\r\n.\r\n", ".\r\n..x\r\n", ""),
        ("a\n.\n.\r\r\n\r.\r\n.\r\n", "a\n.\n.\r\r\n\r.\r\n", ""),
        ("a.\r\n.\r\n", "a.\r\n", ""),
    ] {
        for piece in 1..8 {
            let found = taken(bytes.as_bytes(), piece, 1_000).expect("an end");
            assert_eq!((&found.0[..], &found.2[..]), (text.as_bytes(), left.as_bytes()), "{bytes:?}");
        }
    }
    for endless in ["", "a", ".", ".\r", ".\n", "\n.\n", ".\r\r\n", "a.\r\n", "\r.\r\n"] {
        assert_eq!(taken(endless.as_bytes(), 1, 10), None, "{endless:?}");
    }
}

proptest! {
    #[test]
    fn every_text_arrives_as_it_was_in_pieces_of_any_size(
        lines in prop::collection::vec(prop_oneof!["[.\r\n a]{0,8}", ".{0,50}", "x{40000}"], 0..8),
        piece in 1..40_000_usize,
        most in 0..100_000_usize,
    ) {
        let text: String = lines.iter().map(|line| line.replace("\r\n", "\n") + "\r\n").collect();
        let text = text.replace("\r\r\n", "\r\n");
        let stuffed: String = text.split_inclusive("\r\n").map(|line| match line.starts_with('.') {
            true => format!(".{line}"),
            false => line.to_owned(),
        }).collect();
        let sent = format!("{stuffed}.\r\nrest");
        let (kept, size, left) = taken(sent.as_bytes(), piece, most).expect("an end");
        prop_assert_eq!(&kept[..], &text.as_bytes()[..most.min(text.len())]);
        prop_assert_eq!((size, &left[..]), (stuffed.len(), &b"rest"[..]));
    }
}

/// A bounce server with these timeouts, and a return path it accepts.
fn bounce_server(byte: Duration, message: Duration) -> (BounceServer, String) {
    let (key, none) = (SecretString::from("k".repeat(32)), SecretString::from(String::new()));
    let seals = HmacTags::new(Purpose::Bounce, ("key", &key), ("old", &none)).expect("a key");
    let paths = Arc::new(ReturnPaths::new("b+{}@example.org", seals).expect("a form"));
    let order_id = "u1:7".parse().expect("an order");
    let path = paths.of(&AttemptId { order_id, parcel: 0, delivery: 0, attempt: 1 }).expect("a return path");
    let replies = Arc::new(ReplyRules::embedded(&TABLE).expect("the table"));
    let sink = Arc::<RecordingSink>::default();
    sink.set(SinkState::Silent);
    let handler = BounceHandler { paths, replies, feedback: sink };
    let waits = BounceTimeouts { command: byte, byte, message, ..BounceTimeouts::default() };
    let places = Arc::new(ConnectionLimits::new(1, 1, waits.silent));
    let (waiting, max_parsed_size, max_size) = (1, 10_000, 10_000);
    (BounceServer { handler, places, waiting, max_parsed_size, max_size, waits }, path.address.to_string())
}

/// All replies to a client that sends this and then keeps sending single bytes at the interval `drips`.
async fn said(post: BounceServer, says: String, drips: Option<Duration>) -> String {
    let (ours, theirs): (DuplexStream, DuplexStream) = duplex(100_000);
    let talk = tokio::spawn(async move {
        // The replies show how it ended.
        let place = post.places.take([127, 0, 0, 1].into()).await.expect("a place");
        let _ = Talk::new(ours, &post, place).run(&CancellationToken::new()).await;
    });
    let (mut read, mut write) = tokio::io::split(theirs);
    let dripping = tokio::spawn(async move {
        write.write_all(says.as_bytes()).await?;
        while let Some(every) = drips {
            tokio::time::sleep(every).await;
            write.write_all(b"x").await?;
        }
        std::future::pending::<io::Result<()>>().await
    });
    let mut said = String::new();
    read.read_to_string(&mut said).await.expect("an end");
    talk.await.expect("no panic");
    dripping.abort();
    said
}

#[tokio::test(start_paused = true)]
async fn silent_and_dripping_clients_are_let_go() {
    let (short, long) = (Duration::from_secs(5), Duration::from_secs(60));
    let begun = Instant::now();
    let (post, to) = bounce_server(short, long);
    let idle = "220 posthaste bounce server\r\n421 4.4.2 idle for too long\r\n";
    assert_eq!(said(post, String::new(), None).await, idle);
    assert!(begun.elapsed() < Duration::from_secs(6), "{:?}", begun.elapsed());
    // A command sent byte by byte does not count as activity.
    let begun = Instant::now();
    let (post, _) = bounce_server(short, long);
    assert_eq!(said(post, "NO".to_owned(), Some(Duration::from_secs(1))).await, idle);
    assert!(begun.elapsed() < Duration::from_secs(6), "{:?}", begun.elapsed());
    let message = format!("LHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<{to}>\r\nDATA\r\n");
    let begun = Instant::now();
    let (post, _) = bounce_server(short, long);
    let said = said(post, message, Some(Duration::from_secs(1))).await;
    assert!(said.ends_with("354 send the message\r\n"), "{said}");
    assert!(begun.elapsed() < Duration::from_secs(62), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn feedback_that_says_nothing_is_not_waited_for_without_end() {
    let (post, to) = bounce_server(Duration::from_secs(300), Duration::from_secs(600));
    let report = "Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n--b\r\n\
        Content-Type: message/delivery-status\r\n\r\nAction: failed\r\nStatus: 5.1.1\r\n--b--\r\n.\r\nQUIT\r\n";
    let message = format!("LHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<{to}>\r\nDATA\r\n{report}");
    let begun = Instant::now();
    let said = said(post, message, None).await;
    assert!(said.ends_with("451 4.3.0 not stored, try again later\r\n221 2.0.0 bye\r\n"), "{said}");
    assert!(begun.elapsed() < Duration::from_secs(40), "{:?}", begun.elapsed());
}
