//! A transport that passes everything on, and looks at the history before it does.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use posthaste_model::{Channel, Member, State, Suffix, UnixMs};
use posthaste_store::{Outcomes, RowOutcome, Store};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::transport::{Abilities, Envelope, Found, Outcome, Transport};

/// One call as the witness saw it.
#[derive(Debug, Clone)]
pub(super) struct Call {
    pub(super) started: Instant,
    pub(super) rows: Vec<Suffix>,
    /// When it ended and what it said; `None` while it is under way, or when it was dropped.
    pub(super) said: Option<(Instant, Vec<Outcome>)>,
}

/// Which calls pass only when there is a permit.
pub(super) enum Gate {
    /// None: every call passes.
    Open,
    /// Every call. Those that wait are among the calls seen.
    Calls(Arc<Semaphore>),
    /// Those with a repeat. They are seen when they pass.
    Repeats(Arc<Semaphore>),
}

/// The transport between the runtime and the one under test.
pub(super) struct Witness {
    inner: Arc<dyn Transport>,
    store: Store,
    abilities: Abilities,
    gate: Gate,
    calls: Mutex<Vec<Call>>,
    faults: Mutex<Vec<String>>,
    checks: AtomicU64,
}

impl Witness {
    pub(super) fn new(inner: Arc<dyn Transport>, store: Store, abilities: Abilities, gate: Gate) -> Self {
        let (calls, faults) = (Mutex::new(Vec::new()), Mutex::new(Vec::new()));
        Self { inner, store, abilities, gate, calls, faults, checks: AtomicU64::new(0) }
    }

    /// Every call so far, in the order they started.
    pub(super) fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What must not have been seen.
    pub(super) fn faults(&self) -> Vec<String> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How often the runtime asked whether the channel works.
    pub(super) fn checks(&self) -> u64 {
        self.checks.load(Ordering::SeqCst)
    }

    fn fault(&self, what: String) {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner).push(what);
    }

    /// Whether history says that this envelope may be on the wire now.
    async fn look(&self, envelope: &Envelope) {
        match self.row(envelope).await {
            Ok(row) if row.state == State::Sending && row.attempt == envelope.attempt => {}
            Ok(row) => self.fault(format!(
                "attempt {} was to be sent, but the history says {} under attempt {}",
                envelope.attempt,
                row.state.word(),
                row.attempt
            )),
            Err(error) => self.fault(error),
        }
        match self.store.server_time().await {
            Ok(now) if now < envelope.due => {
                self.fault("a message was to be sent before it was due".to_owned())
            }
            Ok(_) => {}
            Err(error) => self.fault(error.to_string()),
        }
    }

    async fn row(&self, envelope: &Envelope) -> Result<RowOutcome, String> {
        let p = self.store.partition_of(&envelope.suffix);
        let order = self.store.load_order(p, &envelope.suffix).await.map_err(|error| error.to_string())?;
        let order = order.ok_or("a message of no order was to be sent")?;
        let outcomes: Outcomes = match order.inline {
            Some((_, outcomes)) => outcomes,
            None => {
                let member = Member { suffix: envelope.suffix.clone(), number: envelope.parcel };
                let channel = self.inner.channel();
                let loaded = self.store.load_outcomes(p, &channel, &member, &order.head, false).await;
                loaded.map_err(|error| error.to_string())?
            }
        };
        outcomes.row(usize::from(envelope.row)).ok_or_else(|| "a message of no row was to be sent".to_owned())
    }

    fn with_call<T>(&self, f: impl FnOnce(&mut Vec<Call>) -> T) -> T {
        f(&mut self.calls.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

async fn pass(gate: &Semaphore) {
    if let Ok(permit) = gate.acquire().await {
        permit.forget();
    }
}

#[async_trait]
impl Transport for Witness {
    fn channel(&self) -> Channel {
        self.inner.channel()
    }

    fn abilities(&self) -> Abilities {
        self.abilities.clone()
    }

    async fn send(&self, batch: &[Envelope], deadline: Instant) -> Vec<Outcome> {
        for envelope in batch {
            self.look(envelope).await;
        }
        if let Gate::Repeats(gate) = &self.gate
            && batch.iter().any(|envelope| envelope.repeat)
        {
            pass(gate).await;
        }
        let rows = batch.iter().map(|envelope| envelope.suffix.clone()).collect();
        let at = self.with_call(|calls| {
            calls.push(Call { started: Instant::now(), rows, said: None });
            calls.len() - 1
        });
        if let Gate::Calls(gate) = &self.gate {
            pass(gate).await;
        }
        let outcomes = self.inner.send(batch, deadline).await;
        self.with_call(|calls| {
            if let Some(call) = calls.get_mut(at) {
                call.said = Some((Instant::now(), outcomes.clone()));
            }
        });
        outcomes
    }

    async fn inquire(&self, envelope: &Envelope, begun: UnixMs, now: UnixMs) -> Found {
        self.inner.inquire(envelope, begun, now).await
    }

    async fn check(&self) -> Result<(), String> {
        let found = self.inner.check().await;
        self.checks.fetch_add(1, Ordering::SeqCst);
        found
    }
}
