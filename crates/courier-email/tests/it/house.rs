//! A transport with short timeouts to the servers of these tests, and messages for it.

#![expect(clippy::unwrap_used, reason = "the helpers of tests fail as the tests do")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use posthaste_courier::{Envelope, Outcome, Transport};
use posthaste_courier_email::{Args, EmailTransport, Settings};
use posthaste_model::{Address, Clock, Content, Delivery, OrderId, SystemClock, Text, UnixMs};
use posthaste_ops::config::{Loaded, Sources};
use serde::Deserialize;
use tokio::time::Instant;

#[derive(Deserialize)]
struct Shared {
    courier: posthaste_courier::process::Section,
}

fn sources(set: &[(&str, &str)]) -> Sources {
    // The environment of the person who runs the tests must not affect them.
    let sources = Args::default().sources();
    set.iter().fold(sources, |sources, (key, value)| sources.flag("--test", key, Some(*value)))
}

/// The default settings with these changes.
pub(crate) fn settings(set: &[(&str, &str)]) -> Settings {
    let Loaded { settings, .. } = sources(set).load::<Settings>().unwrap();
    settings
}

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
    let Loaded { settings: shared, .. } = sources(&all).load::<Shared>().unwrap();
    EmailTransport::new(settings(&all), &shared.courier, "email".parse().unwrap()).unwrap()
}

/// A new message to this address.
pub(crate) fn envelope(to: &str) -> Envelope {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, Ordering::SeqCst);
    Envelope {
        order_id: OrderId::new(&"u1".parse().unwrap(), SystemClock.now_ns() + number),
        parcel: 0,
        delivery: 0,
        attempt: 1,
        to: Delivery { index: 0, recipient: "r0".to_owned(), name: String::new(), address: Address::new(to) },
        content: Arc::new(Content { text: Text::new(format!("Message {number}.")), ..Content::default() }),
        due: UnixMs(1_700_000_000_000),
        token: None,
        tries: 0,
        repeat: false,
    }
}

/// Sends one message with ample time.
pub(crate) async fn send(transport: &EmailTransport, envelope: &Envelope) -> Outcome {
    let deadline = Instant::now() + Duration::from_secs(20);
    transport.send(std::slice::from_ref(envelope), deadline).await.remove(0)
}
