//! Transports to the fake provider, and the bench of the conformance suite.

#![expect(clippy::unwrap_used, reason = "the helpers of tests fail as the tests do")]

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use posthaste_courier::conformance::{
    Behaviour, Bench, Shown, TakenMessage, TextCase, TextFate, Toward, sample,
};
use posthaste_courier::{Envelope, Outcome, Transport};
use posthaste_courier_vk::{Args, VkTransport};
use posthaste_model::{Address, Delivery, Text};
use tokio::time::Instant;

use super::provider::{Provider, Reply, accept, half, refusal};

/// The token of these tests; no log may show it.
pub(crate) const TOKEN: &str = "vk1.a.CANARYcanaryCANARYcanary-_0123456789";

/// A transport with these settings in place of the defaults: keys of the section, and values as in the environment.
pub(crate) fn try_transport(changes: &[(&str, &str)]) -> Result<VkTransport, Box<dyn Error + Send + Sync>> {
    sample::transport::<Args>(None, &sample::in_section("vk", changes))
}

/// A transport to the fake provider, so fast that rates play no part unless a test changes them.
pub(crate) fn transport(provider: &Provider, changes: &[(&str, &str)]) -> VkTransport {
    let url = provider.url();
    let usual = [("api_url", url.as_str()), ("token", TOKEN), ("requests_per_second", "1000")];
    try_transport(&[&usual[..], changes].concat()).unwrap()
}

/// A message of a separate order, on its first attempt.
pub(crate) fn envelope(peer: &str, text: &str, token: u32) -> Envelope {
    Envelope { token: Some(token), ..sample::envelope(peer, text) }
}

/// An order to these peers, with one token per hundred peers, counting from `token`.
pub(crate) fn to_many(peers: std::ops::RangeInclusive<i64>, text: &str, token: u32) -> Vec<Envelope> {
    let first = envelope("1", text, token);
    let one = |(at, peer): (usize, i64)| {
        let run = u32::try_from(at / 100).unwrap();
        let to = Delivery { address: Address::new(peer.to_string()), ..first.to.clone() };
        Envelope { to, token: Some(token + run), delivery: u16::try_from(at).unwrap(), ..first.clone() }
    };
    peers.enumerate().map(one).collect()
}

/// Sends a batch with the full time limit. The outcomes come without VK's codes: `coded` keeps them.
pub(crate) async fn send(transport: &VkTransport, batch: &[Envelope]) -> Vec<Outcome> {
    coded(transport, batch).await.into_iter().map(Outcome::uncoded).collect()
}

/// Sends a batch with the full time limit.
pub(crate) async fn coded(transport: &VkTransport, batch: &[Envelope]) -> Vec<Outcome> {
    transport.send(batch, Instant::now() + posthaste_rig::patience()).await
}

/// Sends one message and returns its outcome.
pub(crate) async fn send_one(transport: &VkTransport, envelope: Envelope) -> Outcome {
    send(transport, &[envelope]).await.pop().unwrap()
}

/// The bench of the conformance suite.
pub(crate) struct VkBench {
    provider: Arc<Provider>,
}

impl VkBench {
    pub(crate) async fn start() -> Self {
        Self { provider: Provider::start().await }
    }
}

#[async_trait]
impl Bench for VkBench {
    async fn transport(&self) -> Arc<dyn Transport> {
        // Fewer calls per request than VK allows, so that full batches do not take up most of the suite's time.
        let changes = [("recover_within", "1s"), ("connect_within", "2s"), ("groups_per_request", "5")];
        Arc::new(transport(&self.provider, &changes))
    }

    async fn behave(&self, behaviour: Behaviour, toward: Toward<'_>) -> Shown {
        if let Behaviour::Throttle(wait) = behaviour
            && wait.as_secs() != 1
        {
            return Shown::No("VK names no wait: after \"too fast\" the channel waits one second");
        }
        if behaviour == Behaviour::Unreachable {
            self.provider.close().await;
            return Shown::Yes;
        }
        let only = toward.only();
        self.provider.open().await.unwrap();
        self.provider.answer_with(move |shop, request| {
            let meant = |peer: i64| only.as_ref().is_none_or(|only| only.contains(&peer.to_string()));
            let peers = |code: u32| shop.run(request, &|peer| meant(peer).then_some(code));
            if !request.is_message() {
                return match behaviour {
                    Behaviour::BadCredential => refusal(5, ""),
                    _ => accept(shop, request),
                };
            }
            // Where VK answers a whole request this way, it does so for requests that include a peer in question.
            if !request.peers().into_iter().any(meant) {
                return accept(shop, request);
            }
            match behaviour {
                Behaviour::Accept => accept(shop, request),
                Behaviour::Refuse => peers(917),
                Behaviour::RefuseForNow => peers(944),
                Behaviour::SuppressAddress => peers(901),
                Behaviour::Throttle(_) => refusal(6, ""),
                Behaviour::Hang => Reply::Hang,
                Behaviour::ResetAfterRequest => Reply::Reset,
                Behaviour::AcceptThenLoseAnswer => {
                    accept(shop, request);
                    half()
                }
                Behaviour::BadCredential => refusal(5, ""),
                Behaviour::Garbage | Behaviour::Unreachable => {
                    Reply::Say(200, String::new(), "<html>log in</html>".to_owned())
                }
            }
        });
        Shown::Yes
    }

    async fn taken(&self) -> Vec<TakenMessage> {
        let taken = self.provider.api().taken().into_iter();
        let one = |message: super::provider::Message| TakenMessage {
            identity: Some(message.random_id.to_string()),
            text: Some(Text::new(message.text)),
            ..TakenMessage::new(Address::new(message.peer.to_string()))
        };
        taken.map(one).collect()
    }

    async fn arrivals(&self) -> Vec<Instant> {
        self.provider.messages().iter().map(|request| request.at).collect()
    }

    fn delivery(&self, n: u32) -> Delivery {
        sample::delivery(n, (i64::from(n) + 1).to_string())
    }

    fn texts(&self) -> Vec<TextCase> {
        vec![
            TextCase::new("the longest text", "😀".repeat(4096), TextFate::Taken),
            TextCase::new("one character more", format!("{}x", "😀".repeat(4096)), TextFate::Rejected),
            TextCase::new("text that would end a program", "\"}),API.x()];\u{2028}//", TextFate::Taken),
            TextCase::new("nothing", "", TextFate::Rejected),
            TextCase::new("white space only", " \n\t ".repeat(99), TextFate::Rejected),
        ]
    }

    fn patience(&self) -> Duration {
        posthaste_rig::patience()
    }
}
