//! Test transports that misbehave in one way each, and record what they were asked to send before they answer.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use posthaste_model::{Channel, Reason};
use tokio::time::Instant;

use crate::transport::{Abilities, Envelope, Outcome, Scope, Transport};

const BAD_CREDENTIAL: &str = "the test credential is bad";

/// How a transport misbehaves.
#[derive(Debug, Clone, PartialEq)]
pub enum Manner {
    /// Takes everything at once.
    AtOnce,
    /// Takes everything after a while.
    Slow(Duration),
    /// Never answers.
    Hanging,
    /// Takes so many, then asks the channel to wait; and again.
    Throttling {
        /// Envelopes between two refusals.
        every: u64,
        /// How long to wait.
        wait: Duration,
    },
    /// Takes everything and tells so for all but this share, in percent.
    UnknownShare(u8),
    /// Panics on recipients whose id contains this word.
    PanicsOn(String),
    /// Ends the whole process on recipients whose id contains this word.
    AbortsOn(String),
    /// Refuses every first try for now.
    RetryFirst,
    /// Says the credential is bad.
    Stopped,
    /// Says the credential is bad for as long as this file exists.
    StoppedWhile(PathBuf),
}

impl Manner {
    fn is_stopped(&self) -> bool {
        match self {
            Self::Stopped => true,
            Self::StoppedWhile(file) => file.exists(),
            _ => false,
        }
    }
}

/// Told of every envelope before anything else happens to it.
pub trait Recorder: Send + Sync + 'static {
    /// The envelope is about to leave.
    fn leaving(&self, envelope: &Envelope);
    /// The provider has taken it.
    fn taken(&self, envelope: &Envelope);
}

impl Recorder for () {
    fn leaving(&self, _: &Envelope) {}
    fn taken(&self, _: &Envelope) {}
}

/// A transport without a provider.
pub struct Adversary {
    channel: Channel,
    abilities: Abilities,
    manner: Manner,
    recorder: Arc<dyn Recorder>,
    count: std::sync::atomic::AtomicU64,
}

impl Adversary {
    /// A transport of this channel and manner.
    #[must_use]
    pub fn new(channel: Channel, manner: Manner, abilities: Abilities, recorder: Arc<dyn Recorder>) -> Self {
        Self { channel, abilities, manner, recorder, count: std::sync::atomic::AtomicU64::new(0) }
    }

    async fn one(&self, envelope: &Envelope, deadline: Instant) -> Outcome {
        let n = self.count.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1;
        match &self.manner {
            manner if manner.is_stopped() => return Outcome::Stop(BAD_CREDENTIAL.to_owned()),
            Manner::Throttling { every, wait } if n.is_multiple_of(every + 1) => {
                return Outcome::Throttled { scope: Scope::Channel, wait: *wait };
            }
            Manner::RetryFirst if envelope.tries == 0 => {
                return Outcome::Retry { after: None, reason: Reason::ProviderFailed };
            }
            _ => {}
        }
        self.recorder.leaving(envelope);
        match &self.manner {
            Manner::Slow(wait) => tokio::time::sleep(*wait).await,
            Manner::Hanging => tokio::time::sleep_until(deadline + Duration::from_secs(3600)).await,
            #[expect(clippy::panic, reason = "to panic is what this transport is for")]
            Manner::PanicsOn(word) if envelope.to.recipient.contains(word) => panic!("poison"),
            Manner::AbortsOn(word) if envelope.to.recipient.contains(word) => std::process::abort(),
            _ => {}
        }
        self.recorder.taken(envelope);
        match &self.manner {
            Manner::UnknownShare(percent) if n % 100 < u64::from(*percent) => {
                Outcome::Unknown(Reason::TimedOut)
            }
            _ => Outcome::Accepted,
        }
    }
}

#[async_trait]
impl Transport for Adversary {
    fn channel(&self) -> Channel {
        self.channel.clone()
    }

    fn abilities(&self) -> Abilities {
        self.abilities.clone()
    }

    async fn send(&self, batch: &[Envelope], deadline: Instant) -> Vec<Outcome> {
        let mut outcomes = Vec::with_capacity(batch.len());
        for envelope in batch {
            outcomes.push(self.one(envelope, deadline).await);
        }
        outcomes
    }

    async fn check(&self) -> Result<(), String> {
        if self.manner.is_stopped() { Err(BAD_CREDENTIAL.to_owned()) } else { Ok(()) }
    }
}
