//! Transports to the receiver, and the bench of the conformance suite.

#![expect(clippy::unwrap_used, reason = "the helpers of tests fail as the tests do")]

use std::sync::Arc;

use async_trait::async_trait;
pub(crate) use posthaste_courier::conformance::sample::content as text;
use posthaste_courier::conformance::{Behaviour, Bench, Shown, TakenMessage, Toward, sample};
use posthaste_courier::{Envelope, Outcome, Transport, TransportStartError};
use posthaste_courier_webhook::{Args, Lookup, WebhookTransport, system_lookup};
use posthaste_model::{Address, Content, Delivery, Text};
use posthaste_rig::http::HttpReply;
use tokio::time::Instant;

use super::receiver::{Receiver, status};

/// A transport with these settings in place of the defaults, which looks names up like this.
pub(crate) fn try_transport(
    changes: &[(&str, &str)],
    lookup: &Lookup,
) -> Result<WebhookTransport, TransportStartError> {
    let (settings, courier) =
        sample::settings::<Args>(None, &sample::in_section("webhook", changes)).unwrap();
    WebhookTransport::with_lookup(settings, &courier, "webhook".parse().unwrap(), lookup)
}

/// A transport to the receiver.
pub(crate) fn transport(receiver: &Receiver) -> WebhookTransport {
    try_transport(&[("private_hosts", receiver.place().as_str())], &system_lookup()).unwrap()
}

/// A message of a separate order to this URL, on its first attempt.
pub(crate) fn envelope(url: &str, content: Content) -> Envelope {
    Envelope { delivery: 3, content: Arc::new(content), ..sample::envelope(url, "") }
}

/// Sends one message and returns its outcome without the receiver's status.
pub(crate) async fn send(transport: &WebhookTransport, url: &str) -> Outcome {
    let deadline = Instant::now() + posthaste_rig::patience();
    transport.send(&[envelope(url, text("x"))], deadline).await.pop().unwrap().uncoded()
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
        let only = toward.only();
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
        sample::delivery(n, self.0.url(&format!("/people/{n}?key=canary")))
    }
}
