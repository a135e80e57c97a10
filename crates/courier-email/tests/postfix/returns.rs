//! A Postfix between us and a server that rejects: mail that it accepted and could not deliver is returned to the
//! return path of the attempt, and reported to the feedback sink.

use std::net::SocketAddr;

use posthaste_courier::{DeliveryReceipt, Outcome, ReceiptStatus, SuppressAfter, Transport};
use posthaste_model::Reason;
use posthaste_rig::eventually;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;

use crate::house::{envelope, send, transport};
use crate::postfix::Postfix;
use crate::served::{KEY, Served};

/// A server that rejects every recipient, each for a different reason.
async fn refusing() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (read, mut write) = stream.into_split();
                let mut lines = BufReader::new(read).lines();
                write.write_all(b"220 refusing.example\r\n").await?;
                while let Some(line) = lines.next_line().await? {
                    let reply: &[u8] = match line.get(..4) {
                        Some("RCPT") if line.contains("<anna@") => b"550 5.1.1 no such user here\r\n",
                        Some("RCPT") if line.contains("<boris@") => b"550 5.2.1 the mailbox is disabled\r\n",
                        Some("RCPT") if line.contains("<vera@") => b"550 no such user here\r\n",
                        Some("RCPT") => b"554 5.7.1 we don't like you\r\n",
                        Some("DATA") => b"503 5.5.1 no recipients\r\n",
                        Some("QUIT") => b"221 2.0.0 bye\r\n",
                        _ => b"250 refusing.example\r\n",
                    };
                    write.write_all(reply).await?;
                }
                std::io::Result::Ok(())
            });
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn what_it_could_not_deliver_is_reported_of_the_attempt() {
    // The port for bounces must be known before Postfix starts, and the relay is known only after.
    let settings = [
        ("bounces.address", "b+{}@bounces.example.org"),
        ("bounces.key", KEY),
        ("bounces.listen", "127.0.0.1:0"),
    ];
    let listening = Served::start(transport(&["smtp+plain://127.0.0.1:1".to_owned()], &settings)).await;
    assert!(listening.email.capabilities().receipts);
    let (next, bounces) = (refusing().await.port(), listening.bounces().port());
    let postfix = Postfix::between(next, bounces);
    let sending = transport(&[postfix.plain()], &settings[..2]);
    let mut wanted = Vec::new();
    let second = Some(SuppressAfter::After(2));
    for (name, suppress_after) in
        [("anna", Some(SuppressAfter::Now)), ("boris", second), ("vera", second), ("gleb", None)]
    {
        let message = envelope(&format!("{name}@relayed.example"));
        assert_eq!(send(&sending, &message).await, Outcome::Sent, "it accepts it and fails later");
        let (attempt, reason) = (message.id(), Reason::Bounced.into());
        wanted.push(DeliveryReceipt { attempt, word: ReceiptStatus::Failed, reason, suppress_after });
    }
    assert_eq!(send(&sending, &envelope("a@mail.example")).await, Outcome::Sent, "this one does not bounce");
    eventually("all bounces", || {
        let received = listening.sink.uncoded_receipts();
        let all = wanted.iter().all(|one| received.contains(one)) && received.len() == wanted.len();
        if all { Ok(()) } else { Err(format!("{received:?}")) }
    });
    assert!(listening.sink.list_changes().is_empty());
    listening.served.stop.cancel();
}
