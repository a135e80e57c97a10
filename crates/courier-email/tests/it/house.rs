//! A transport with short waits to servers of these tests, and messages for it.

#![expect(clippy::unwrap_used, reason = "the helpers of tests fail as the tests do")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use posthaste_courier::{Envelope, Outcome, Transport};
use posthaste_courier_email::{Args, Email, Settings};
use posthaste_model::{Address, Clock, Content, Row, Suffix, SystemClock, Text, UnixMs};
use posthaste_ops::config::{Loaded, Sources};
use serde::Deserialize;
use tokio::time::Instant;

#[derive(Deserialize)]
struct Shared {
    courier: posthaste_courier::process::Section,
}

fn sources(set: &[(&str, &str)]) -> Sources {
    // The environment of whoever runs the tests says nothing about them.
    let sources = Args::default().sources();
    set.iter().fold(sources, |sources, (key, value)| sources.flag("--test", key, Some(*value)))
}

/// Settings as the defaults have them, with these changes.
pub(crate) fn settings(set: &[(&str, &str)]) -> Settings {
    let Loaded { settings, .. } = sources(set).load::<Settings>().unwrap();
    settings
}

/// A transport to these relays with the usual short waits, and more changes.
pub(crate) fn transport(relays: &[String], set: &[(&str, &str)]) -> Email {
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
    let Loaded { settings: shared, .. } = sources(&all).load::<Shared>().unwrap();
    Email::new(settings(&all), &shared.courier, "email".parse().unwrap()).unwrap()
}

/// A message to a mailbox of its own.
pub(crate) fn envelope(to: &str) -> Envelope {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, Ordering::SeqCst);
    Envelope {
        suffix: Suffix::new(&"u1".parse().unwrap(), SystemClock.now_ns() + number),
        parcel: 0,
        row: 0,
        attempt: 1,
        to: Row { index: 0, recipient: "r0".to_owned(), name: String::new(), address: Address::new(to) },
        content: Arc::new(Content { text: Text::new(format!("Message {number}.")), ..Content::default() }),
        due: UnixMs(1_700_000_000_000),
        token: None,
        tries: 0,
        repeat: false,
    }
}

/// Sends one message, for which there is time enough.
pub(crate) async fn send(transport: &Email, envelope: &Envelope) -> Outcome {
    let deadline = Instant::now() + Duration::from_secs(20);
    transport.send(std::slice::from_ref(envelope), deadline).await.remove(0)
}
