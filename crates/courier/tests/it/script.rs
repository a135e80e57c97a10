//! A transport scripted by a test, envelope by envelope. It records every envelope.

#![expect(clippy::unwrap_used, reason = "the helpers of tests fail as the tests do")]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use super::house::eventually_async;
use async_trait::async_trait;
use posthaste_courier::{Capabilities, Envelope, FeedbackSink, LookupResult, Outcome, Transport};
use posthaste_model::{Channel, OrderId, UnixMs};
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// The answer for an envelope.
pub(crate) enum Answer {
    Say(Outcome),
    /// Returns the outcome once there is a permit.
    After(Arc<Semaphore>, Outcome),
    Hang,
    Panic,
}

/// An envelope as received.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) at: Instant,
    /// The number of the call.
    pub(crate) call: u64,
    pub(crate) order_id: OrderId,
    pub(crate) index: u32,
    pub(crate) attempt: u8,
    pub(crate) token: Option<u32>,
    pub(crate) tries: u8,
    pub(crate) repeat: bool,
    /// How often this delivery was seen before.
    pub(crate) before: usize,
}

type Says = dyn Fn(&Seen) -> Answer + Send + Sync;
type Finds = dyn Fn(&Envelope) -> LookupResult + Send + Sync;

pub(crate) struct Script {
    channel: Channel,
    capabilities: Capabilities,
    says: Box<Says>,
    finds: Mutex<Box<Finds>>,
    seen: Mutex<Vec<Seen>>,
    calls: AtomicU64,
    on_wire: AtomicU64,
    most_on_wire: AtomicU64,
    well: Mutex<Result<(), String>>,
    checks: AtomicU64,
    requested: AtomicU64,
    feedback: Mutex<Option<Arc<dyn FeedbackSink>>>,
    deaf: Mutex<Option<String>>,
}

impl Script {
    pub(crate) fn new(
        capabilities: Capabilities,
        says: impl Fn(&Seen) -> Answer + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self {
            channel: super::house::email(),
            capabilities,
            says: Box::new(says),
            finds: Mutex::new(Box::new(|_| LookupResult::CannotTell)),
            seen: Mutex::default(),
            calls: AtomicU64::new(0),
            on_wire: AtomicU64::new(0),
            most_on_wire: AtomicU64::new(0),
            well: Mutex::new(Ok(())),
            checks: AtomicU64::new(0),
            requested: AtomicU64::new(0),
            feedback: Mutex::new(None),
            deaf: Mutex::new(None),
        })
    }

    /// A transport that accepts everything immediately.
    pub(crate) fn accepting(capabilities: Capabilities) -> Arc<Self> {
        Self::new(capabilities, |_| Answer::Say(Outcome::Sent))
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// Waits until this many envelopes were seen, and returns them.
    pub(crate) async fn eventually(&self, envelopes: usize) -> Vec<Seen> {
        eventually_async(&format!("{envelopes} envelopes seen"), async || {
            let seen = self.seen();
            if seen.len() >= envelopes { Ok(seen) } else { Err(format!("{}", seen.len())) }
        })
        .await
    }

    /// How often each delivery was seen.
    pub(crate) fn times(&self) -> BTreeMap<(OrderId, u32), usize> {
        let mut times = BTreeMap::new();
        for seen in self.seen() {
            *times.entry((seen.order_id, seen.index)).or_default() += 1;
        }
        times
    }

    /// The feedback sink passed by the runtime; waits for it.
    pub(crate) async fn feedback(&self) -> Arc<dyn FeedbackSink> {
        eventually_async("a feedback sink", async || self.feedback.lock().unwrap().clone().ok_or("none"))
            .await
    }

    /// Makes `serve` fail with this reason.
    pub(crate) fn set_deaf(&self, why: &str) {
        *self.deaf.lock().unwrap() = Some(why.to_owned());
    }

    pub(crate) fn calls(&self) -> u64 {
        self.calls.load(Ordering::SeqCst)
    }

    /// Maximum concurrent calls so far.
    pub(crate) fn most_on_wire(&self) -> u64 {
        self.most_on_wire.load(Ordering::SeqCst)
    }

    pub(crate) fn on_wire(&self) -> u64 {
        self.on_wire.load(Ordering::SeqCst)
    }

    pub(crate) fn set_well(&self, well: Result<(), String>) {
        *self.well.lock().unwrap() = well;
    }

    pub(crate) fn checks(&self) -> u64 {
        self.checks.load(Ordering::SeqCst)
    }

    /// Number of inquiries so far.
    pub(crate) fn requested(&self) -> u64 {
        self.requested.load(Ordering::SeqCst)
    }

    pub(crate) fn set_found(&self, finds: impl Fn(&Envelope) -> LookupResult + Send + Sync + 'static) {
        *self.finds.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Box::new(finds);
    }

    fn note(&self, batch: &[Envelope]) -> Vec<Answer> {
        let call = self.calls.fetch_add(1, Ordering::SeqCst);
        let now = self.on_wire.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_on_wire.fetch_max(now, Ordering::SeqCst);
        let mut all = self.seen.lock().unwrap();
        let mut answers = Vec::new();
        for envelope in batch {
            let same = |seen: &&Seen| seen.order_id == envelope.order_id && seen.index == envelope.to.index;
            let seen = Seen {
                at: Instant::now(),
                call,
                order_id: envelope.order_id.clone(),
                index: envelope.to.index,
                attempt: envelope.attempt,
                token: envelope.token,
                tries: envelope.tries,
                repeat: envelope.repeat,
                before: all.iter().filter(same).count(),
            };
            answers.push((self.says)(&seen));
            all.push(seen);
        }
        answers
    }
}

/// Counts a call as over when it ends, in whatever way.
struct OnWire<'a>(&'a AtomicU64);

impl Drop for OnWire<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[async_trait]
impl Transport for Script {
    fn channel(&self) -> Channel {
        self.channel.clone()
    }

    fn capabilities(&self) -> Capabilities {
        self.capabilities.clone()
    }

    async fn serve(&self, feedback: Arc<dyn FeedbackSink>, stop: CancellationToken) -> Result<(), String> {
        if let Some(why) = self.deaf.lock().unwrap().clone() {
            return Err(why);
        }
        *self.feedback.lock().unwrap() = Some(feedback);
        stop.cancelled().await;
        Ok(())
    }

    async fn send(&self, batch: &[Envelope], _deadline: Instant) -> Vec<Outcome> {
        let answers = self.note(batch);
        let _on_wire = OnWire(&self.on_wire);
        let mut outcomes = Vec::new();
        for answer in answers {
            outcomes.push(match answer {
                Answer::Say(outcome) => outcome,
                Answer::After(gate, outcome) => {
                    gate.acquire().await.unwrap().forget();
                    outcome
                }
                Answer::Hang => std::future::pending().await,
                Answer::Panic => panic!("a transport that panics"),
            });
        }
        outcomes
    }

    async fn look_up(&self, envelope: &Envelope, _: UnixMs, _: UnixMs) -> LookupResult {
        self.requested.fetch_add(1, Ordering::SeqCst);
        (self.finds.lock().unwrap_or_else(std::sync::PoisonError::into_inner))(envelope)
    }

    async fn check(&self) -> Result<(), String> {
        self.checks.fetch_add(1, Ordering::SeqCst);
        self.well.lock().unwrap().clone()
    }
}
