//! An in-memory channel for the conformance suite: a fake provider with connections that break, and a transport to it
//! that is correct or has one flaw.

#![expect(clippy::unwrap_used, reason = "the helpers of tests fail as the tests do")]

use std::collections::{BTreeSet, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use posthaste_courier::conformance::{Behaviour, Bench, Shown, TakenMessage, TextCase, TextFate, Toward};
use posthaste_courier::{Capabilities, Transport};
use posthaste_model::{Address, Content, Delivery, Text};
use tokio::time::Instant;

use super::defects::{Defect, MemoryTransport};

/// Maximum letters of a message.
pub(crate) const MOST_LETTERS: usize = 30_000;

/// A message on its way.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    pub(crate) to: Address,
    pub(crate) text: String,
    pub(crate) part: u32,
    pub(crate) key: Option<u32>,
}

/// The provider's reply to a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reply {
    Ok,
    No,
    NotNow,
    Wait(Duration),
    Gone,
    BadKey,
    Nonsense,
}

/// Why there is no reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Broken {
    /// No byte was sent.
    Unreachable,
    /// The request had been sent.
    Reset,
}

/// The fake provider.
#[derive(Default)]
pub(crate) struct Provider {
    treats: Mutex<(Option<Behaviour>, Option<BTreeSet<Address>>)>,
    taken: Mutex<Vec<TakenMessage>>,
    arrivals: Mutex<Vec<Instant>>,
    keys: Mutex<HashSet<(u32, u32)>>,
    /// Whether a message under a known key is dropped.
    drops_repeats: bool,
}

impl Provider {
    fn treatment(&self, to: &Address) -> Behaviour {
        let treats = self.treats.lock().unwrap();
        let behaviour = treats.0.unwrap_or(Behaviour::Accept);
        match &treats.1 {
            Some(only) if !only.contains(to) => Behaviour::Accept,
            _ => behaviour,
        }
    }

    fn take(&self, message: &Message) {
        let dropped = self.drops_repeats
            && message.key.is_some_and(|key| !self.keys.lock().unwrap().insert((key, message.part)));
        if !dropped {
            self.taken.lock().unwrap().push(TakenMessage {
                identity: message.key.map(|key| key.to_string()),
                part: message.part,
                text: Some(Text::new(message.text.clone())),
                ..TakenMessage::new(message.to.clone())
            });
        }
    }

    /// One request over one connection.
    pub(crate) async fn request(&self, messages: &[Message]) -> Result<Vec<Reply>, Broken> {
        tokio::task::yield_now().await;
        let treatments: Vec<Behaviour> = messages.iter().map(|message| self.treatment(&message.to)).collect();
        if treatments.contains(&Behaviour::Unreachable) {
            return Err(Broken::Unreachable);
        }
        self.arrivals.lock().unwrap().push(Instant::now());
        let mut replies = Vec::new();
        let mut lost = None;
        for (message, behaviour) in messages.iter().zip(treatments) {
            replies.push(match behaviour {
                Behaviour::Accept => {
                    self.take(message);
                    Reply::Ok
                }
                Behaviour::AcceptThenLoseAnswer => {
                    self.take(message);
                    lost = Some(behaviour);
                    Reply::Ok
                }
                Behaviour::Hang | Behaviour::ResetAfterRequest | Behaviour::Unreachable => {
                    lost = Some(behaviour);
                    Reply::No
                }
                Behaviour::Refuse => Reply::No,
                Behaviour::RefuseForNow => Reply::NotNow,
                Behaviour::Throttle(wait) => Reply::Wait(wait),
                Behaviour::SuppressAddress => Reply::Gone,
                Behaviour::BadCredential => Reply::BadKey,
                Behaviour::Garbage => Reply::Nonsense,
            });
        }
        tokio::task::yield_now().await;
        match lost {
            Some(Behaviour::Hang) => std::future::pending().await,
            Some(_) => Err(Broken::Reset),
            None => Ok(replies),
        }
    }

    /// Whether the credential is good.
    pub(crate) fn greets(&self) -> Result<bool, Broken> {
        match self.treats.lock().unwrap().0 {
            Some(Behaviour::Unreachable) => Err(Broken::Unreachable),
            Some(Behaviour::BadCredential) => Ok(false),
            _ => Ok(true),
        }
    }

    /// Whether a message to this address was accepted.
    pub(crate) fn knows(&self, to: &Address) -> bool {
        self.taken.lock().unwrap().iter().any(|taken| taken.to == *to)
    }
}

/// The bench of these tests.
pub(crate) struct MemoryBench {
    pub(crate) provider: Arc<Provider>,
    pub(crate) capabilities: Capabilities,
    pub(crate) defect: Defect,
    /// Letters per part; longer texts are sent in several parts.
    pub(crate) part: Option<usize>,
    /// Behaviours the provider cannot show.
    pub(crate) cannot: Vec<Behaviour>,
    pub(crate) patience: Duration,
    pub(crate) hang_for: Duration,
}

impl MemoryBench {
    pub(crate) fn new(capabilities: Capabilities) -> Self {
        let drops_repeats = capabilities.idempotent_for > Duration::ZERO;
        Self {
            provider: Arc::new(Provider { drops_repeats, ..Provider::default() }),
            capabilities,
            defect: Defect::None,
            part: None,
            cannot: Vec::new(),
            patience: posthaste_rig::patience(),
            hang_for: Duration::from_secs(1),
        }
    }

    pub(crate) fn flawed(capabilities: Capabilities, defect: Defect) -> Self {
        let (patience, hang_for) = (Duration::from_secs(4), Duration::from_millis(200));
        Self { defect, patience, hang_for, ..Self::new(capabilities) }
    }

    async fn memory(&self) -> MemoryTransport {
        let provider = Arc::clone(&self.provider);
        MemoryTransport::new(provider, self.capabilities.clone(), self.defect, self.part).await
    }
}

#[async_trait]
impl Bench for MemoryBench {
    async fn transport(&self) -> Arc<dyn Transport> {
        Arc::new(self.memory().await)
    }

    async fn paced_transport(&self) -> Arc<dyn Transport> {
        Arc::new(self.memory().await.paced())
    }

    async fn behave(&self, behaviour: Behaviour, toward: Toward<'_>) -> Shown {
        if self.cannot.contains(&behaviour) {
            return Shown::No("it has no such answer");
        }
        let only = match toward {
            Toward::Everyone => None,
            Toward::Only(deliveries) => {
                Some(deliveries.iter().map(|delivery| delivery.address.clone()).collect())
            }
        };
        *self.provider.treats.lock().unwrap() = (Some(behaviour), only);
        Shown::Yes
    }

    async fn taken(&self) -> Vec<TakenMessage> {
        self.provider.taken.lock().unwrap().clone()
    }

    async fn arrivals(&self) -> Vec<Instant> {
        self.provider.arrivals.lock().unwrap().clone()
    }

    fn delivery(&self, n: u32) -> Delivery {
        let address = Address::new(format!("{n}@memory.example"));
        Delivery { index: n, recipient: format!("r{n}"), name: String::new(), address }
    }

    fn texts(&self) -> Vec<TextCase> {
        let of = |letters| Content { text: Text::new("x".repeat(letters)), ..Content::default() };
        vec![
            TextCase { what: "as long as may be", content: of(MOST_LETTERS), fate: TextFate::Taken },
            TextCase { what: "a letter too long", content: of(MOST_LETTERS + 1), fate: TextFate::Rejected },
        ]
    }

    fn hang_for(&self) -> Duration {
        self.hang_for
    }

    fn patience(&self) -> Duration {
        self.patience
    }
}
