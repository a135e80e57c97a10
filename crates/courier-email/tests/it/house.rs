//! A transport with short timeouts to the servers of these tests, and messages for it.

#![expect(clippy::unwrap_used, reason = "the helpers of tests fail as the tests do")]

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use posthaste_courier::conformance::sample;
use posthaste_courier::{Envelope, Outcome, Transport};
use posthaste_courier_email::{Args, EmailTransport};
use posthaste_model::UnixMs;
use tokio::time::Instant;

/// A transport to these relays with short timeouts and these changes.
pub(crate) fn transport(relays: &[String], set: &[(&str, &str)]) -> EmailTransport {
    let relays = relays.join(",");
    let usual = [
        ("smtp.relays", relays.as_str()),
        ("smtp.connect_within", "5s"),
        ("smtp.reply_within", "5s"),
        ("smtp.text_within", "5s"),
        ("smtp.final_reply_within", "5s"),
        ("smtp.send_within", "20s"),
        ("smtp.hello_name", "courier.example.org"),
        ("email.from", "Example <no-reply@example.org>"),
    ];
    let all: Vec<(&str, &str)> = usual.into_iter().chain(set.iter().copied()).collect();
    sample::transport::<Args>(None, &all).unwrap()
}

/// A new message to this address.
pub(crate) fn envelope(to: &str) -> Envelope {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, Ordering::SeqCst);
    let due = UnixMs(1_700_000_000_000);
    Envelope { due, ..sample::envelope(to, &format!("Message {number}.")) }
}

/// Sends one message with ample time. The outcome comes without the code of the relay: `coded` keeps it.
pub(crate) async fn send(transport: &EmailTransport, envelope: &Envelope) -> Outcome {
    coded(transport, envelope).await.uncoded()
}

/// Sends one message with ample time.
pub(crate) async fn coded(transport: &EmailTransport, envelope: &Envelope) -> Outcome {
    let deadline = Instant::now() + Duration::from_secs(20);
    transport.send(std::slice::from_ref(envelope), deadline).await.remove(0)
}
