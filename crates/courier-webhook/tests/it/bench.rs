//! Transports to the receiver, and the bench of the conformance suite.

#![expect(clippy::unwrap_used, reason = "the helpers of tests fail as the tests do")]

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use posthaste_courier::conformance::{Behaviour, Bench, Shown, TakenMessage, Toward, sample};
use posthaste_courier::{Envelope, Outcome, Transport, TransportStartError};
use posthaste_courier_webhook::settings::Settings;
use posthaste_courier_webhook::{Lookup, PROCESS, WebhookTransport, system_lookup};
use posthaste_model::{Address, Channel, Clock, Content, Delivery, OrderId, SystemClock, Text};
use posthaste_rig::http::HttpReply;
use tokio::time::Instant;

use super::receiver::{Receiver, status};

/// A transport with these settings in place of the defaults, which looks names up like this.
pub(crate) fn try_transport(
    changes: &[(&str, &str)],
    lookup: &Lookup,
) -> Result<WebhookTransport, TransportStartError> {
    let keys: Vec<String> = changes.iter().map(|(key, _)| format!("webhook.{key}")).collect();
    let changes: Vec<_> = keys.iter().zip(changes).map(|(key, (_, value))| (key.as_str(), *value)).collect();
    let (settings, courier): (Settings, _) = sample::settings(&PROCESS, None, &changes).unwrap();
    WebhookTransport::with_lookup(settings, &courier, channel(), lookup)
}

/// A transport to the receiver.
pub(crate) fn transport(receiver: &Receiver) -> WebhookTransport {
    try_transport(&[("private_hosts", receiver.place().as_str())], &system_lookup()).unwrap()
}

fn channel() -> Channel {
    "webhook".parse().unwrap()
}

/// A message of a separate order to this URL, on its first attempt.
pub(crate) fn envelope(url: &str, content: Content) -> Envelope {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let next = u64::from(NEXT.fetch_add(1, Ordering::Relaxed));
    Envelope {
        order_id: OrderId::new(&"u1".parse().unwrap(), SystemClock.now_ns() + next),
        parcel: 0,
        delivery: 3,
        attempt: 1,
        to: Delivery {
            index: 0,
            recipient: "r0".to_owned(),
            name: String::new(),
            address: Address::new(url),
        },
        content: Arc::new(content),
        due: SystemClock.now(),
        token: None,
        tries: 0,
        repeat: false,
    }
}

/// A content with this text alone.
pub(crate) fn text(text: &str) -> Content {
    Content { text: Text::new(text), ..Content::default() }
}

/// Sends one message and returns its outcome.
pub(crate) async fn send(transport: &WebhookTransport, url: &str) -> Outcome {
    let deadline = Instant::now() + posthaste_rig::patience();
    transport.send(&[envelope(url, text("x"))], deadline).await.pop().unwrap()
}

/// The bench of the conformance suite.
pub(crate) struct WebhookBench(pub(crate) Receiver);

#[async_trait]
impl Bench for WebhookBench {
    async fn transport(&self) -> Arc<dyn Transport> {
        Arc::new(transport(&self.0))
    }

    async fn behave(&self, behaviour: Behaviour, toward: Toward<'_>) -> Shown {
        let wait = match behaviour {
            Behaviour::Unreachable => {
                return Shown::No("there is no provider that `check` could ask: `outcomes.rs` has this case");
            }
            Behaviour::BadCredential => return Shown::No("there is no credential"),
            Behaviour::Garbage => return Shown::No("the status is all that counts"),
            Behaviour::Throttle(wait) => wait.as_secs(),
            _ => 0,
        };
        let only: Option<HashSet<String>> = match toward {
            Toward::Everyone => None,
            Toward::Only(deliveries) => {
                Some(deliveries.iter().map(|delivery| delivery.address.expose().to_owned()).collect())
            }
        };
        let base = self.0.url("");
        self.0.answer(move |request| {
            let url = format!("{base}{}", request.target);
            if only.as_ref().is_some_and(|only| !only.contains(&url)) {
                return (status(200), true);
            }
            match behaviour {
                Behaviour::Refuse => (status(400), false),
                Behaviour::RefuseForNow => (status(500), false),
                Behaviour::Throttle(_) => {
                    (HttpReply::Say(429, format!("retry-after: {wait}\r\n"), String::new()), false)
                }
                Behaviour::SuppressAddress => (status(410), false),
                Behaviour::Hang => (HttpReply::Hang, false),
                Behaviour::ResetAfterRequest => (HttpReply::Reset, false),
                Behaviour::AcceptThenLoseAnswer => (HttpReply::Half("{".to_owned()), true),
                _ => (status(200), true),
            }
        });
        Shown::Yes
    }

    async fn taken(&self) -> Vec<TakenMessage> {
        let taken = self.0.taken().into_iter().map(|taken| TakenMessage {
            identity: Some(taken.id),
            text: Some(Text::new(taken.text)),
            ..TakenMessage::new(Address::new(self.0.url(&taken.path)))
        });
        taken.collect()
    }

    async fn arrivals(&self) -> Vec<Instant> {
        self.0.arrivals()
    }

    fn delivery(&self, n: u32) -> Delivery {
        let address = Address::new(self.0.url(&format!("/people/{n}?key=canary")));
        Delivery { index: n, recipient: format!("r{n}"), name: String::new(), address }
    }
}
