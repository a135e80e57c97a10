//! Every message has its own return path, and a bounce is stored before it is acknowledged.

#![expect(clippy::unwrap_used, reason = "a test fails by it")]

use std::time::Duration;

use posthaste_courier::recording_sink::{ListChange, SinkState};
use posthaste_courier::{
    AttemptId, DeliveryReceipt, Envelope, Outcome, ReceiptStatus, SuppressAfter, SuppressionList, Transport,
};
use posthaste_model::Reason;
use posthaste_rig::eventually;

use crate::client::{BOUNCES, Client, report};
use crate::house::{envelope, send, transport};
use crate::served::{KEY, Served, named};
use crate::server::{Kind, Server};

const FAILED: ReceiptStatus = ReceiptStatus::Failed;

fn bounced(attempt: AttemptId, suppress_after: Option<SuppressAfter>) -> DeliveryReceipt {
    DeliveryReceipt { attempt, word: FAILED, reason: Reason::Bounced.into(), suppress_after }
}

/// A message of a sender.
fn of(sender: &str) -> Envelope {
    let message = envelope("anna@mail.example");
    let ns = message.order_id.as_str().rsplit(':').next().unwrap().to_owned();
    Envelope { order_id: format!("{sender}:{ns}").parse().unwrap(), ..message }
}

/// The return path of a sent message.
async fn sent(server: &Server, served: &Served, message: &Envelope) -> String {
    assert_eq!(send(&served.email, message).await, Outcome::Sent);
    server.taken().last().unwrap().from.clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_attempt_has_a_return_path_of_its_own_and_what_comes_back_is_reported_of_it() {
    let server = Server::plain().await;
    let served = Served::start(transport(&[server.url()], &BOUNCES)).await;
    assert!(served.email.capabilities().receipts);
    let first = envelope("anna@mail.example");
    let again = Envelope { attempt: 2, ..first.clone() };
    let (from, later) = (sent(&server, &served, &first).await, sent(&server, &served, &again).await);
    assert!(from.starts_with("bounces+") && from.ends_with("@example.org") && from != later, "{from}");
    let texts: Vec<String> = server.taken().into_iter().map(|mail| mail.text).collect();
    assert_eq!(texts[0], texts[1], "the message is the same");
    // A relay may change the case.
    let shouted = from.to_ascii_uppercase();
    for (to, status, of, suppress_after) in [
        (&from, "5.1.1", &first, Some(SuppressAfter::Now)),
        (&later, "5.2.1", &again, Some(SuppressAfter::After(2))),
        (&shouted, "5.2.2", &first, None),
    ] {
        assert_eq!(served.bring(to, &report("failed", status)).await, "250 2.0.0 accepted\r\n");
        assert_eq!(served.sink.uncoded_receipts().last(), Some(&bounced(of.id(), suppress_after)));
    }
    assert!(served.sink.record().names.is_empty(), "short senders need no short name");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sender_too_long_for_a_return_path_is_remembered_before_the_message_leaves() {
    let server = Server::plain().await;
    let served = Served::start(transport(&[server.url()], &BOUNCES)).await;
    let long = "Office_of-the-Secretary_".repeat(3)[..64].to_owned();
    let message = of(&long);
    let from = sent(&server, &served, &message).await;
    assert!(from.split('@').next().unwrap().len() <= 64, "{from}");
    let names = served.sink.record().names.clone();
    let (order, keep) = names.values().next().unwrap();
    assert_eq!((order, *keep), (&message.order_id, Duration::from_secs(30 * 24 * 3600)));
    for delivery in 1..200 {
        sent(&server, &served, &Envelope { delivery, ..message.clone() }).await;
    }
    assert_eq!(served.sink.record().remembered, 1, "once per order");
    assert!(served.bring(&from, &report("failed", "5.1.1")).await.starts_with("250"));
    assert_eq!(served.sink.uncoded_receipts(), [bounced(message.id(), Some(SuppressAfter::Now))]);
    // The name is forgotten, or belongs to another order: accepted, but nothing is reported.
    for forgotten in [false, true] {
        {
            let names = &mut served.sink.record().names;
            names.values_mut().for_each(|(order, _)| *order = "u1:7".parse().unwrap());
            names.retain(|_, _| !forgotten);
        }
        assert!(served.bring(&from, &report("failed", "5.1.1")).await.starts_with("250"));
        assert_eq!(served.sink.receipts().len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_orders_with_long_names_are_distinguished() {
    let server = Server::plain().await;
    let served = Served::start(transport(&[server.url()], &BOUNCES)).await;
    let mut sent_from = Vec::new();
    for _ in 0..200 {
        let message = of("0b5cbbd0-1f0c-4d27-a9d6-5d0f43bcbd1c");
        sent_from.push((sent(&server, &served, &message).await, message.id()));
    }
    let mut client = Client::open(served.bounces()).await;
    client.greet("LHLO").await;
    for (from, _) in &sent_from {
        assert_eq!(client.bring("", &[from], &report("failed", "5.1.1")).await, ["250 2.0.0 accepted\r\n"]);
    }
    let reported: Vec<AttemptId> =
        served.sink.receipts().into_iter().map(|receipt| receipt.attempt).collect();
    assert_eq!(reported, sent_from.into_iter().map(|(_, id)| id).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn where_no_name_can_be_remembered_the_message_leaves_with_the_usual_return_path() {
    let server = Server::plain().await;
    let usual = [BOUNCES[0], BOUNCES[1], ("email.return_path", "returned@example.org")];
    let transport = transport(&[server.url()], &usual);
    assert!(transport.capabilities().receipts, "another courier listens");
    assert!(
        !crate::house::transport(&[server.url()], &usual[2..]).capabilities().receipts,
        "nothing comes back"
    );
    let long = of("0b5cbbd0-1f0c-4d27-a9d6-5d0f43bcbd1c");
    assert_eq!(send(&transport, &long).await, Outcome::Sent, "no feedback sink yet");
    assert_eq!(send(&transport, &of("u1")).await, Outcome::Sent);
    let served = Served::start(transport).await;
    served.sink.set(SinkState::Unavailable);
    assert_eq!(send(&served.email, &long).await, Outcome::Sent, "the store is away");
    served.sink.set(SinkState::Storing);
    assert_eq!(send(&served.email, &long).await, Outcome::Sent);
    let own: Vec<bool> = server.taken().iter().map(|mail| mail.from != "returned@example.org").collect();
    assert_eq!(own, [false, true, false, true]);
}

#[tokio::test(flavor = "multi_thread")]
async fn words_of_all_kinds_are_reported_or_passed_over() {
    let server = Server::plain().await;
    let served = Served::start(transport(&[server.url()], &BOUNCES)).await;
    let message = envelope("anna@mail.example");
    let from = sent(&server, &served, &message).await;
    let reported = |word, reason: Reason| DeliveryReceipt {
        attempt: message.id(),
        word,
        reason: reason.into(),
        suppress_after: None,
    };
    let holiday = "From: anna@mail.example\nAuto-Submitted: auto-replied\n\nI am away.\n";
    let in_words = "From: MAILER-DAEMON@mx.example.net\n\n<anna@mail.example>: 550 5.1.1 no such user\n";
    let of_qmail = "From: MAILER-DAEMON@mx.example.net\n\nHi. This is the qmail-send program at mx.example.net.\n\
        This is a permanent error; I've given up.\n\n<anna@mail.example>:\nSorry, no mailbox here by that name.\n\n\
        --- Below this line is a copy of the message.\n\nSubject: News\n\nMailbox full\n";
    let [no_user, policy] = ["No such user!", "Your IP is on our block list"]
        .map(|said| format!("Status: 5.7.1\nDiagnostic-Code: smtp; 550 5.7.1 {said}"));
    let strike = bounced(message.id(), Some(SuppressAfter::After(2)));
    for (message, wanted) in [
        (report("delayed", "4.4.1"), vec![]),
        (holiday.to_owned(), vec![]),
        (in_words.to_owned(), vec![]),
        (String::new(), vec![]),
        (holiday.replace("I am away.", "No such user here until Monday: user unknown."), vec![]),
        (
            report("failed", "5.7.1").replace("Status: 5.7.1", &policy),
            vec![DeliveryReceipt { suppress_after: None, ..strike.clone() }],
        ),
        (report("failed", "5.7.1").replace("Status: 5.7.1", &no_user), vec![strike.clone()]),
        (of_qmail.to_owned(), vec![strike]),
        (report("failed", "4.4.7"), vec![reported(FAILED, Reason::Undelivered)]),
        (report("failed", "4.4.7"), vec![reported(FAILED, Reason::Undelivered)]),
        (report("relayed", "2.0.0"), vec![reported(ReceiptStatus::Sent, Reason::None)]),
        (report("delivered", "2.0.0"), vec![reported(ReceiptStatus::Delivered, Reason::None)]),
    ] {
        let before = served.sink.receipts().len();
        assert!(served.bring(&from, &message).await.starts_with("250"), "{message}");
        assert_eq!(served.sink.uncoded_receipts()[before..], wanted, "{message}");
    }
    let complaint = report("x", "x").replace("delivery-status", "feedback-report");
    let complaint =
        complaint.replace("Reporting-MTA: dns; mx.example.net", "Feedback-Type: abuse\nVersion: 1");
    assert!(served.bring(&from, &complaint).await.starts_with("250"));
    let list = SuppressionList::Sender("u1".parse().unwrap());
    assert_eq!(
        served.sink.list_changes(),
        [ListChange::SuppressedRecipient(message.id(), list, Reason::Unsubscribed)]
    );
    // A copy of it, which the server may deliver, is recognized by the attempt.
    assert_eq!(named(&served), [Some(format!("{} complaint", message.id()))]);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_thanked_for_before_it_is_stored() {
    let server = Server::plain().await;
    let served = Served::start(transport(&[server.url()], &BOUNCES)).await;
    let (short, long) = (of("u1"), of("0b5cbbd0-1f0c-4d27-a9d6-5d0f43bcbd1c"));
    let (short, long) = (sent(&server, &served, &short).await, sent(&server, &served, &long).await);
    served.sink.set(SinkState::Unavailable);
    let message = report("failed", "5.1.1");
    for to in [&short, &long] {
        assert!(served.bring(to, &message).await.starts_with("451 4.3.0"));
    }
    let mut smtp = Client::open(served.bounces()).await;
    smtp.greet("EHLO").await;
    assert!(smtp.bring("", &[&short], &message).await[0].starts_with("451 4.3.0"));
    assert!(served.bring(&short, "what says nothing needs no store").await.starts_with("250"));
    served.sink.set(SinkState::Storing);
    assert!(smtp.bring("", &[&short], &message).await[0].starts_with("250"), "the retry is accepted");
    assert_eq!(served.sink.receipts().len(), 1);
}

#[tokio::test]
async fn relays_that_know_of_reports_are_asked_for_them() {
    for pipelining in [false, true] {
        let server = Server::start(Kind { dsn: true, pipelining, ..Kind::default() }).await;
        let asks = transport(&[server.url()], &BOUNCES);
        assert_eq!(send(&asks, &envelope("anna+x=y@mail.example")).await, Outcome::Sent);
        let paths = server.state.paths.lock().unwrap().clone();
        assert!(paths[0].contains("> RET=HDRS ENVID="), "{paths:?}");
        assert!(
            paths[1].ends_with("> NOTIFY=FAILURE,DELAY ORCPT=rfc822;anna+2Bx+3Dy@mail.example"),
            "{paths:?}"
        );
        let quiet = [BOUNCES[0], BOUNCES[1], ("bounces.request_dsn", "false")];
        for settings in [&quiet[..], &[]] {
            let transport = transport(&[server.url()], settings);
            assert_eq!(send(&transport, &envelope("a@mail.example")).await, Outcome::Sent);
            let paths = server.state.paths.lock().unwrap().clone();
            assert!(paths[paths.len() - 2..].iter().all(|path| path.ends_with('>')), "{paths:?}");
        }
    }
    let server = Server::plain().await;
    let transport = transport(&[server.url()], &BOUNCES);
    assert_eq!(send(&transport, &envelope("a@mail.example")).await, Outcome::Sent);
    assert!(server.state.paths.lock().unwrap().iter().all(|path| path.ends_with('>')));
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_changed_without_losing_what_is_under_way() {
    let server = Server::plain().await;
    let before = Served::start(transport(&[server.url()], &BOUNCES)).await;
    let message = envelope("anna@mail.example");
    let from = sent(&server, &before, &message).await;
    let next = [("bounces.key", "another-key-of-thirty-two-letters"), ("bounces.old_keys", KEY)];
    let settings = [BOUNCES[0], BOUNCES[2], next[0], next[1]];
    let after = Served::start(transport(&[server.url()], &settings)).await;
    assert!(after.bring(&from, &report("failed", "5.1.1")).await.starts_with("250"));
    assert_eq!(after.sink.uncoded_receipts(), [bounced(message.id(), Some(SuppressAfter::Now))]);
    assert_eq!(after.sink.receipts()[0].reason.code.to_string(), "5.1.1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_taken_port_is_named_and_a_stop_ends_it_soon() {
    let server = Server::plain().await;
    let served = Served::start(transport(&[server.url()], &BOUNCES)).await;
    let taken = served.bounces().to_string();
    let clicks = [
        ("unsubscribe.public_url", "http://localhost"),
        ("unsubscribe.key", KEY),
        ("unsubscribe.listen", taken.as_str()),
    ];
    let bounces = [BOUNCES[0], BOUNCES[1], ("bounces.listen", taken.as_str())];
    for (settings, key) in [(bounces, "bounces.listen"), (clicks, "unsubscribe.listen")] {
        let second = transport(&[server.url()], &settings);
        let why = second.serve(served.sink.clone(), served.served.stop.clone()).await.unwrap_err();
        assert!(why.starts_with(key) && why.contains(&taken) && why.contains("in use"), "{why}");
    }
    let mut idle = Client::open(served.bounces()).await;
    served.served.stop.cancel();
    assert_eq!(idle.reply().await, "421 4.3.2 shutting down\r\n");
    eventually("the end", || if served.served.is_finished() { Ok(()) } else { Err("it serves") });
}
