//! Test transports that misbehave in one way each and record every envelope before they answer.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use posthaste_model::{Channel, Reason};
use tokio::time::Instant;

use crate::transport::{Capabilities, Envelope, Outcome, ThrottleScope, Transport};

const BAD_CREDENTIAL: &str = "the test credential is bad";

/// How a transport misbehaves.
#[derive(Debug, Clone, PartialEq)]
pub enum Misbehaviour {
    /// Accepts everything immediately.
    AtOnce,
    /// Accepts everything after a delay.
    Slow(Duration),
    /// Never answers.
    Hanging,
    /// Accepts `every` envelopes, then throttles the channel; and again.
    Throttling {
        /// Envelopes between two rate limits.
        every: u64,
        /// How long to wait.
        wait: Duration,
    },
    /// Accepts everything, but reports this share, in percent, as unknown.
    UnknownShare(u8),
    /// Panics on recipients whose id contains this word.
    PanicsOn(String),
    /// Ends the whole process on recipients whose id contains this word.
    AbortsOn(String),
    /// Answers every first try with a retry.
    RetryFirst,
    /// Stops the channel with a bad credential.
    Stopped,
    /// Stops the channel with a bad credential while this file exists.
    StoppedWhile(PathBuf),
}

impl Misbehaviour {
    fn is_stopped(&self) -> bool {
        match self {
            Self::Stopped => true,
            Self::StoppedWhile(file) => file.exists(),
            _ => false,
        }
    }
}

/// Records every envelope before anything else happens to it.
pub trait SendRecorder: Send + Sync + 'static {
    /// The envelope is about to leave.
    fn leaving(&self, envelope: &Envelope);
    /// The provider has accepted it.
    fn taken(&self, envelope: &Envelope);
}

impl SendRecorder for () {
    fn leaving(&self, _: &Envelope) {}
    fn taken(&self, _: &Envelope) {}
}

/// A transport without a provider.
pub struct FaultyTransport {
    channel: Channel,
    capabilities: Capabilities,
    misbehaviour: Misbehaviour,
    recorder: Arc<dyn SendRecorder>,
    count: std::sync::atomic::AtomicU64,
}

impl FaultyTransport {
    /// A transport of this channel with this misbehaviour.
    #[must_use]
    pub fn new(
        channel: Channel,
        misbehaviour: Misbehaviour,
        capabilities: Capabilities,
        recorder: Arc<dyn SendRecorder>,
    ) -> Self {
        Self { channel, capabilities, misbehaviour, recorder, count: std::sync::atomic::AtomicU64::new(0) }
    }

    async fn one(&self, envelope: &Envelope, deadline: Instant) -> Outcome {
        let n = self.count.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1;
        match &self.misbehaviour {
            misbehaviour if misbehaviour.is_stopped() => return Outcome::Stop(BAD_CREDENTIAL.to_owned()),
            Misbehaviour::Throttling { every, wait } if n.is_multiple_of(every + 1) => {
                return Outcome::Throttled { scope: ThrottleScope::Channel, wait: *wait };
            }
            Misbehaviour::RetryFirst if envelope.tries == 0 => {
                return Outcome::Retry { after: None, reason: Reason::ProviderUnavailable.into() };
            }
            _ => {}
        }
        self.recorder.leaving(envelope);
        match &self.misbehaviour {
            Misbehaviour::Slow(wait) => tokio::time::sleep(*wait).await,
            Misbehaviour::Hanging => tokio::time::sleep_until(deadline + Duration::from_secs(3600)).await,
            #[expect(clippy::panic, reason = "to panic is what this transport is for")]
            Misbehaviour::PanicsOn(word) if envelope.to.recipient.contains(word) => panic!("poison"),
            Misbehaviour::AbortsOn(word) if envelope.to.recipient.contains(word) => std::process::abort(),
            _ => {}
        }
        self.recorder.taken(envelope);
        match &self.misbehaviour {
            Misbehaviour::UnknownShare(percent) if n % 100 < u64::from(*percent) => {
                Outcome::Unknown(Reason::TimedOut)
            }
            _ => Outcome::Sent,
        }
    }
}

#[async_trait]
impl Transport for FaultyTransport {
    fn channel(&self) -> Channel {
        self.channel.clone()
    }

    fn capabilities(&self) -> Capabilities {
        self.capabilities.clone()
    }

    async fn send(&self, batch: &[Envelope], deadline: Instant) -> Vec<Outcome> {
        let mut outcomes = Vec::with_capacity(batch.len());
        for envelope in batch {
            outcomes.push(self.one(envelope, deadline).await);
        }
        outcomes
    }

    async fn check(&self) -> Result<(), String> {
        if self.misbehaviour.is_stopped() { Err(BAD_CREDENTIAL.to_owned()) } else { Ok(()) }
    }
}
