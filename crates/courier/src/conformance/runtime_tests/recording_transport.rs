//! A transport that forwards every call, after checking the history.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use posthaste_model::{Channel, OrderId, ParcelId, State, UnixMs};
use posthaste_store::{DeliveryRecord, DeliveryRecords, Store};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::transport::{Capabilities, Envelope, LookupResult, Outcome, Transport};

/// One recorded call.
#[derive(Debug, Clone)]
pub(super) struct Call {
    pub(super) started: Instant,
    pub(super) deliveries: Vec<OrderId>,
    /// When it ended and its outcomes; `None` while it is in progress, or if it was dropped.
    pub(super) said: Option<(Instant, Vec<Outcome>)>,
}

/// Which calls need a permit to pass.
pub(super) enum Gate {
    /// None: every call passes.
    Open,
    /// Every call. Calls that wait are recorded before they pass.
    Calls(Arc<Semaphore>),
    /// Calls with a repeat. They are recorded when they pass.
    Repeats(Arc<Semaphore>),
}

/// The transport between the runtime and the one under test.
pub(super) struct RecordingTransport {
    inner: Arc<dyn Transport>,
    store: Store,
    capabilities: Capabilities,
    gate: Gate,
    calls: Mutex<Vec<Call>>,
    faults: Mutex<Vec<String>>,
    checks: AtomicU64,
}

impl RecordingTransport {
    pub(super) fn new(
        inner: Arc<dyn Transport>,
        store: Store,
        capabilities: Capabilities,
        gate: Gate,
    ) -> Self {
        let (calls, faults) = (Mutex::new(Vec::new()), Mutex::new(Vec::new()));
        Self { inner, store, capabilities, gate, calls, faults, checks: AtomicU64::new(0) }
    }

    /// Every call so far, in the order they started.
    pub(super) fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Violations seen.
    pub(super) fn faults(&self) -> Vec<String> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How often the runtime checked the channel.
    pub(super) fn checks(&self) -> u64 {
        self.checks.load(Ordering::SeqCst)
    }

    fn fault(&self, what: String) {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner).push(what);
    }

    /// Checks against the history that this envelope may be on the wire now.
    async fn look(&self, envelope: &Envelope) {
        match self.delivery(envelope).await {
            Ok(delivery) if delivery.state == State::Sending && delivery.attempt == envelope.attempt => {}
            Ok(delivery) => self.fault(format!(
                "attempt {} was about to be sent, but the history says {} under attempt {}",
                envelope.attempt,
                delivery.state.word(),
                delivery.attempt
            )),
            Err(error) => self.fault(error),
        }
        match self.store.server_time().await {
            Ok(now) if now < envelope.due => {
                self.fault("a message was about to be sent before it was due".to_owned())
            }
            Ok(_) => {}
            Err(error) => self.fault(error.to_string()),
        }
    }

    async fn delivery(&self, envelope: &Envelope) -> Result<DeliveryRecord, String> {
        let p = self.store.partition_of(&envelope.order_id);
        let order = self.store.load_order(p, &envelope.order_id).await.map_err(|error| error.to_string())?;
        let order = order.ok_or("a message without an order was about to be sent")?;
        let outcomes: DeliveryRecords = match order.inline {
            Some((_, outcomes)) => outcomes,
            None => {
                let parcel_id = ParcelId { order_id: envelope.order_id.clone(), number: envelope.parcel };
                let channel = self.inner.channel();
                let loaded = self.store.load_outcomes(p, &channel, &parcel_id, &order.head, false).await;
                loaded.map_err(|error| error.to_string())?
            }
        };
        outcomes
            .delivery(usize::from(envelope.delivery))
            .ok_or_else(|| "a message without a delivery was about to be sent".to_owned())
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
impl Transport for RecordingTransport {
    fn channel(&self) -> Channel {
        self.inner.channel()
    }

    fn capabilities(&self) -> Capabilities {
        self.capabilities.clone()
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
        let deliveries = batch.iter().map(|envelope| envelope.order_id.clone()).collect();
        let at = self.with_call(|calls| {
            calls.push(Call { started: Instant::now(), deliveries, said: None });
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

    async fn look_up(&self, envelope: &Envelope, begun: UnixMs, now: UnixMs) -> LookupResult {
        self.inner.look_up(envelope, begun, now).await
    }

    async fn check(&self) -> Result<(), String> {
        let found = self.inner.check().await;
        self.checks.fetch_add(1, Ordering::SeqCst);
        found
    }
}
