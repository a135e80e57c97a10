//! The guard over real sockets: what a URL or a name resolves to is checked where the connection is made.

#![expect(clippy::unwrap_used, reason = "a test fails by it")]

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use posthaste_courier::Outcome;
use posthaste_courier_webhook::{LookingUp, Lookup};
use posthaste_model::Reason;
use posthaste_rig::http::HttpReply;

use super::bench::{send, try_transport};
use super::receiver::{Receiver, status};

/// A name service that knows these addresses for every name, and counts its questions.
fn names(addresses: &[&str]) -> (Lookup, Arc<AtomicUsize>) {
    let addresses: Vec<IpAddr> = addresses.iter().map(|address| address.parse().unwrap()).collect();
    let requested = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&requested);
    let lookup: Lookup = Arc::new(move |_: String| -> LookingUp {
        count.fetch_add(1, Ordering::Relaxed);
        let addresses = addresses.clone();
        Box::pin(async move { Ok::<_, io::Error>(addresses) })
    });
    (lookup, requested)
}

#[tokio::test]
async fn a_name_that_resolves_to_a_forbidden_address_is_never_called() {
    let receiver = Receiver::start().await;
    let port = receiver.port().to_string();
    let settings = [("hosts", "*"), ("http", "true"), ("ports", port.as_str())];
    for address in [
        "127.0.0.1",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.0.1",
        "100.64.0.1",
        "169.254.169.254",
        "0.0.0.0",
        "224.0.0.1",
        "::1",
        "::",
        "fd00::1",
        "fe80::1",
        "::ffff:127.0.0.1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
    ] {
        let (lookup, requested) = names(&[address]);
        let webhook = try_transport(&settings, &lookup).unwrap();
        let outcome = send(&webhook, &format!("http://hooks.example.org:{port}/x")).await;
        assert_eq!(outcome, Outcome::Failed(Reason::InvalidAddress.into()), "{address}");
        assert_eq!(requested.load(Ordering::Relaxed), 1, "{address}");
    }
    assert!(receiver.requests().is_empty());
}

#[tokio::test]
async fn a_connection_goes_to_the_address_that_was_checked() {
    let receiver = Receiver::start().await;
    let port = receiver.port();
    // Link-local addresses are dropped even for a private host; what is left is called, and asked for once.
    let (lookup, requested) = names(&["169.254.169.254", "127.0.0.1", "::ffff:127.0.0.1"]);
    let own = format!("hooks.internal:{port}");
    let webhook = try_transport(&[("private_hosts", own.as_str())], &lookup).unwrap();
    for _ in 0..3 {
        assert_eq!(send(&webhook, &format!("http://hooks.internal:{port}/x")).await, Outcome::Sent);
    }
    assert_eq!(requested.load(Ordering::Relaxed), 1, "one connection, one question");
    assert_eq!(receiver.requests().len(), 3);
    // The same name on another port is not private.
    let other = format!("http://hooks.internal:{}/x", port.wrapping_add(1).max(1024));
    assert_eq!(send(&webhook, &other).await, Outcome::Failed(Reason::InvalidAddress.into()));
    let (lookup, _) = names(&["169.254.169.254"]);
    let webhook = try_transport(&[("private_hosts", own.as_str())], &lookup).unwrap();
    let outcome = send(&webhook, &format!("http://hooks.internal:{port}/x")).await;
    assert_eq!(outcome, Outcome::Failed(Reason::InvalidAddress.into()));
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let (receiver, other) = (Receiver::start().await, Receiver::start().await);
    let place = format!("{},{}", receiver.place(), other.place());
    let webhook = try_transport(&[("private_hosts", place.as_str())], &names(&[]).0).unwrap();
    let to = other.url("/x");
    for code in [301, 302, 303, 307, 308] {
        let to = to.clone();
        receiver.answer(move |_| (HttpReply::Say(code, format!("location: {to}\r\n"), String::new()), false));
        let outcome = send(&webhook, &receiver.url("/x")).await;
        assert_eq!(outcome, Outcome::Failed(Reason::Provider(code).into()));
    }
    assert!(other.requests().is_empty());
    receiver.answer(|_| (status(200), true));
    assert_eq!(send(&webhook, &receiver.url("/x")).await, Outcome::Sent);
}

#[tokio::test]
async fn a_name_that_cannot_be_resolved_is_tried_again() {
    let lookup: Lookup =
        Arc::new(|_: String| -> LookingUp { Box::pin(async { Err(io::Error::other("no such name")) }) });
    let webhook = try_transport(&[("hosts", "*")], &lookup).unwrap();
    let outcome = send(&webhook, "https://hooks.example.org/x").await;
    assert_eq!(outcome, Outcome::NotSent { after: None, reason: Reason::ConnectionFailed });
}
