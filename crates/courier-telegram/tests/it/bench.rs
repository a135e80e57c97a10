//! Transports to the fake provider, and the bench of the conformance suite.

#![expect(clippy::unwrap_used, reason = "the helpers of tests fail as the tests do")]

use std::collections::HashMap;
use std::error::Error;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
pub(crate) use posthaste_courier::conformance::sample::envelope;
use posthaste_courier::conformance::{
    Behaviour, Bench, Shown, TakenMessage, TextCase, TextFate, Toward, sample,
};
use posthaste_courier::{Capabilities, Envelope, Outcome, Transport};
use posthaste_courier_telegram::{Args, TelegramTransport};
use posthaste_model::{Address, Channel, Delivery, Text};
use tokio::time::Instant;

use super::provider::{Provider, Reply, accept, half, rate_limited, refusal};

/// All tokens of these tests contain this; no log may show it.
pub(crate) const CANARY: &str = "CANARYcanaryCANARYcanaryCANARYcanar";

/// The token of bot `number`.
pub(crate) fn token(number: u64) -> String {
    format!("{number}:{CANARY}")
}

/// A transport with these settings in place of the defaults: keys of the section, and values as in the environment.
pub(crate) fn try_transport(
    changes: &[(&str, &str)],
) -> Result<TelegramTransport, Box<dyn Error + Send + Sync>> {
    sample::transport::<Args>(None, &sample::in_section("telegram", changes))
}

/// A transport to the fake provider, with one bot unless `tokens` is among the changes.
pub(crate) fn transport(provider: &Provider, changes: &[(&str, &str)]) -> TelegramTransport {
    let (url, tokens) = (provider.url(), token(42));
    let usual = [("api_url", url.as_str()), ("tokens", tokens.as_str())];
    try_transport(&[&usual[..], changes].concat()).unwrap()
}

/// Sends one message and returns its outcome without Telegram's code: `coded` keeps it.
pub(crate) async fn send(transport: &TelegramTransport, envelope: Envelope) -> Outcome {
    coded(transport, envelope).await.uncoded()
}

/// Sends one message and returns its outcome.
pub(crate) async fn coded(transport: &TelegramTransport, envelope: Envelope) -> Outcome {
    let deadline = Instant::now() + posthaste_rig::patience();
    transport.send(&[envelope], deadline).await.pop().unwrap()
}

/// The bench of the conformance suite.
pub(crate) struct TelegramBench {
    provider: Arc<Provider>,
    taken: Arc<Mutex<Vec<TakenMessage>>>,
    /// Which part of a message is on its way to a chat: requests to the Bot API do not say.
    under_way: Arc<Mutex<HashMap<String, u32>>>,
    bots: u64,
}

impl TelegramBench {
    pub(crate) async fn start(bots: u64) -> Self {
        let (taken, under_way) = (Arc::default(), Arc::default());
        Self { provider: Provider::start().await, taken, under_way, bots }
    }

    /// A transport whose bots send this many messages per second.
    fn at_rate(&self, rate: &str) -> Arc<dyn Transport> {
        let tokens: Vec<String> = (1..=self.bots).map(token).collect();
        let changes = [
            ("tokens", &*tokens.join(" ")),
            ("messages_per_second", rate),
            ("paid", "true"),
            ("recover_within", "1s"),
            ("chat_messages", "100"),
            ("connect_within", "2s"),
        ];
        let inner = transport(&self.provider, &changes);
        Arc::new(Watched { inner, under_way: Arc::clone(&self.under_way) })
    }
}

/// Passes everything on and records for the bench which part is on its way.
struct Watched {
    inner: TelegramTransport,
    under_way: Arc<Mutex<HashMap<String, u32>>>,
}

#[async_trait]
impl Transport for Watched {
    fn channel(&self) -> Channel {
        self.inner.channel()
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    async fn send(&self, batch: &[Envelope], deadline: Instant) -> Vec<Outcome> {
        for envelope in batch {
            let chat = envelope.to.address.expose().to_owned();
            self.under_way.lock().unwrap().insert(chat, envelope.token.unwrap_or(0));
        }
        self.inner.send(batch, deadline).await
    }

    async fn check(&self) -> Result<(), String> {
        self.inner.check().await
    }
}

#[async_trait]
impl Bench for TelegramBench {
    async fn transport(&self) -> Arc<dyn Transport> {
        // So fast that the suite is not about rates.
        self.at_rate("1000")
    }

    async fn paced_transport(&self) -> Arc<dyn Transport> {
        self.at_rate("40")
    }

    async fn behave(&self, behaviour: Behaviour, toward: Toward<'_>) -> Shown {
        if behaviour == Behaviour::RefuseForNow {
            return Shown::No("every temporary refusal of the Bot API names a wait");
        }
        if behaviour == Behaviour::Unreachable {
            self.provider.close().await;
            return Shown::Yes;
        }
        self.provider.open().await.unwrap();
        let only = toward.only();
        let (taken, under_way) = (Arc::clone(&self.taken), Arc::clone(&self.under_way));
        // A refusal that holds for every bot, without requests by each of them.
        let gone = match self.bots {
            1 => "Forbidden: bot was blocked by the user",
            _ => "Forbidden: user is deactivated",
        };
        self.provider.answer(move |request| {
            if !request.is_message() {
                return match behaviour {
                    Behaviour::BadCredential => refusal(401, "Unauthorized"),
                    _ => accept(request),
                };
            }
            let chat = request.chat();
            let behaviour = match &only {
                Some(only) if !only.contains(&chat) => Behaviour::Accept,
                _ => behaviour,
            };
            if matches!(behaviour, Behaviour::Accept | Behaviour::AcceptThenLoseAnswer) {
                let part = under_way.lock().unwrap().get(&chat).copied().unwrap_or(0);
                let text = Some(Text::new(request.text()));
                taken.lock().unwrap().push(TakenMessage {
                    part,
                    text,
                    ..TakenMessage::new(Address::new(chat))
                });
            }
            match behaviour {
                Behaviour::Accept => accept(request),
                Behaviour::Refuse => refusal(400, "Bad Request: TOPIC_CLOSED"),
                Behaviour::Throttle(wait) => rate_limited(wait.as_secs()),
                Behaviour::SuppressAddress => refusal(403, gone),
                Behaviour::Hang => Reply::Hang,
                Behaviour::ResetAfterRequest => Reply::Reset,
                Behaviour::AcceptThenLoseAnswer => half(),
                Behaviour::BadCredential => refusal(401, "Unauthorized"),
                Behaviour::Garbage | Behaviour::RefuseForNow | Behaviour::Unreachable => {
                    Reply::Say(200, String::new(), "<html>log in</html>".to_owned())
                }
            }
        });
        Shown::Yes
    }

    async fn taken(&self) -> Vec<TakenMessage> {
        self.taken.lock().unwrap().clone()
    }

    async fn arrivals(&self) -> Vec<Instant> {
        self.provider.messages().iter().map(|request| request.at).collect()
    }

    fn delivery(&self, n: u32) -> Delivery {
        sample::delivery(n, (i64::from(n) + 1).to_string())
    }

    fn texts(&self) -> Vec<TextCase> {
        vec![
            TextCase::new("the longest single part", "😀".repeat(2048), TextFate::Taken),
            TextCase::new("one character more", format!("{}x", "😀".repeat(2048)), TextFate::Taken),
            TextCase::new("the most parts allowed", "x".repeat(4096 * 16), TextFate::Taken),
            TextCase::new("one character too long", "x".repeat(4096 * 16 + 1), TextFate::Rejected),
            TextCase::new("nothing", "", TextFate::Rejected),
            TextCase::new("white space only", " \n\t ".repeat(99), TextFate::Rejected),
        ]
    }

    fn patience(&self) -> Duration {
        posthaste_rig::patience()
    }
}
