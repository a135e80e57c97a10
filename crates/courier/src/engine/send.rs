//! Sending: begun deliveries go to the transport in batches; every outcome becomes a report.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use posthaste_model::{CodedReason, OrderId, OutcomeKind, Priority, Reason};
use posthaste_store::AttemptReport;
use tokio::time::Instant;

use super::leased_parcels::Id;
use super::{Engine, Note, suppression_check};
use crate::pace::Pause;
use crate::panic_guard::noticed;
use crate::transport::{Batching, Envelope, Outcome, ThrottleScope};
use crate::{backoff, provider_wait};

/// Deliveries that go out in one call.
pub(super) struct Batch {
    priority: Priority,
    pub(super) deliveries: Vec<(Id, Envelope)>,
    /// When the call must have ended: the deadline that begin stored.
    deadline: Instant,
    /// When the call must have started; otherwise it is not made.
    start_by: Instant,
    /// When its first deliveries were begun.
    made: Instant,
}

/// How long a batch that is not full waits for deliveries that are being begun: the next begin of a big order follows
/// within one round trip, and two half-full calls cost the provider twice.
const FILLS_FOR: Duration = Duration::from_millis(10);

pub(super) struct SendDone {
    priority: Priority,
    deliveries: Vec<(Id, Envelope)>,
    outcomes: Vec<Outcome>,
    /// Duration of the call; `None` if it was not made.
    took: Option<Duration>,
}

impl Engine {
    /// Puts begun deliveries of one parcel into batches.
    pub(super) fn dispatch(&mut self, id: Id, deliveries: &[u16], window: Instant) {
        let now = Instant::now();
        let ahead = self.settings.begin_ahead * 4;
        let remembers = self.capabilities.idempotent_for;
        let Some(parcel) = self.held.get(id) else { return };
        let mut sent = Vec::with_capacity(deliveries.len());
        for &delivery in deliveries {
            let Some((kind, reason)) = parcel.withheld(delivery, now, remembers) else {
                sent.push(delivery);
                continue;
            };
            let attempt = parcel.outcomes.get(usize::from(delivery)).map_or(0, |outcome| outcome.attempt);
            parcel.out = parcel.out.saturating_sub(1);
            parcel.reports.push(AttemptReport { delivery, attempt, outcome: kind, reason, value: 0 });
            self.meter.outcome(kind, reason);
            self.pace.spare(1);
            self.alone = false;
            self.settles.mark(id);
        }
        let deliveries = sent;
        let priority = parcel.head.priority;
        // A call that starts with little time left would end as unknown.
        let late = window.checked_sub(self.capabilities.send_window / 2).unwrap_or(now);
        let start_by = (now + ahead).min(parcel.lease_until).min(late);
        let envelopes = deliveries.iter().filter_map(|delivery| {
            let outcome = parcel.outcomes.get(usize::from(*delivery))?;
            let to = parcel.deliveries.get(usize::from(*delivery))?.clone();
            let envelope = Envelope {
                order_id: parcel.at.parcel_id.order_id.clone(),
                parcel: parcel.at.parcel_id.number,
                delivery: *delivery,
                attempt: outcome.attempt,
                to,
                content: Arc::clone(&parcel.content),
                due: parcel.head.due,
                token: outcome.token,
                tries: outcome.tries,
                repeat: outcome.repeated,
            };
            Some((id, envelope))
        });
        let mut envelopes: Vec<(Id, Envelope)> = envelopes.collect();
        let (size, batching) = (self.capabilities.batching.size(), self.capabilities.batching);
        for batch in &mut self.batches {
            let room = envelopes.first().map_or(0, |(_, first)| batch.room(batching, &first.order_id));
            if room == 0 {
                continue;
            }
            let rest = envelopes.split_off(room.min(envelopes.len()));
            batch.deliveries.append(&mut envelopes);
            batch.priority = batch.priority.min(priority);
            batch.deadline = batch.deadline.min(window);
            batch.start_by = batch.start_by.min(start_by);
            envelopes = rest;
        }
        while !envelopes.is_empty() {
            let rest = envelopes.split_off(size.min(envelopes.len()));
            let batch = Batch { priority, deliveries: envelopes, deadline: window, start_by, made: now };
            envelopes = rest;
            self.batches.push_back(batch);
        }
    }

    /// Starts calls up to the concurrency limit, urgent batches first. Batches begun before a pause are not sent
    /// during it.
    pub(super) fn send_batches(&mut self, now: Instant) {
        if !self.batches.is_empty()
            && let Some(pause) = self.pace.paused(now)
        {
            let outcome = match pause {
                Pause::Until(until) => {
                    Outcome::Throttled { scope: ThrottleScope::Channel, wait: *until - now }
                }
                Pause::Stopped(_) => Outcome::Stop(String::new()),
            };
            for batch in std::mem::take(&mut self.batches) {
                let outcomes = vec![outcome.clone(); batch.deliveries.len()];
                self.report_all(batch.deliveries, outcomes);
            }
        }
        while self.calls < self.pace.concurrency() {
            let bulk = self.bulk_calls < self.bulk_places();
            let ready = |batch: &Batch| !self.fills(batch, now);
            let urgent =
                self.batches.iter().position(|batch| batch.priority == Priority::Urgent && ready(batch));
            let next = urgent.or_else(|| self.batches.iter().position(ready).filter(|_| bulk));
            let Some(first) = next else { break };
            let Some(batch) = self.batches.remove(first) else { break };
            self.start_send(batch, now);
        }
        // What could not start in time was provably not sent.
        while self.batches.front().is_some_and(|batch| batch.start_by <= now) {
            let Some(batch) = self.batches.pop_front() else { break };
            self.report_unsent(batch);
        }
    }

    /// Whether a batch waits a moment for more deliveries of its kind.
    fn fills(&self, batch: &Batch, now: Instant) -> bool {
        let batching = self.capabilities.batching;
        matches!(batching, Batching::Groups { .. } | Batching::SameOrder(_))
            && self.starting.room(now) > 0
            && now < batch.made + FILLS_FOR
            && batch.cost(batching) < batching.size()
    }

    /// When the first batch that waits for more deliveries is sent without them.
    pub(super) fn next_filled(&self, now: Instant) -> Option<Instant> {
        self.batches.iter().filter(|batch| self.fills(batch, now)).map(|batch| batch.made + FILLS_FOR).min()
    }

    /// A begun batch that did not leave.
    pub(super) fn report_unsent(&mut self, batch: Batch) {
        let outcomes = unsent(batch.deliveries.len());
        self.report_all(batch.deliveries, outcomes);
    }

    fn start_send(&mut self, batch: Batch, now: Instant) {
        self.calls += 1;
        self.bulk_calls += usize::from(batch.priority == Priority::Bulk);
        let (transport, notes) = (Arc::clone(&self.transport), self.notes.clone());
        let Batch { priority, deliveries, deadline, start_by, .. } = batch;
        let cut = self.cut.clone();
        let (store, channel, meter) = (self.store.clone(), self.channel.clone(), Arc::clone(&self.meter));
        tokio::spawn(async move {
            let mut envelopes = Vec::with_capacity(deliveries.len());
            let mut ids = Vec::with_capacity(deliveries.len());
            for (id, envelope) in deliveries {
                ids.push(id);
                envelopes.push(envelope);
            }
            // A process that was suspended in between must not send what other couriers may have taken over.
            let started = Instant::now();
            let made = started < start_by && !cut.is_cancelled();
            let outcomes = if !made {
                unsent(envelopes.len())
            } else {
                let call = AssertUnwindSafe(transport.send(&envelopes, deadline)).catch_unwind();
                let call = tokio::time::timeout_at(deadline, call);
                let unknown = |reason| vec![Outcome::Unknown(reason); envelopes.len()];
                tokio::select! {
                    biased;
                    ended = call => match ended {
                        Ok(Ok(outcomes)) => outcomes,
                        Ok(Err(_)) => unknown(Reason::InternalError),
                        Err(_) => unknown(Reason::TimedOut),
                    },
                    () = cut.cancelled() => unknown(Reason::TimedOut),
                }
            };
            let took = made.then(|| started - now.min(started) + started.elapsed());
            let tell = async {
                suppression_check::tell(&store, &channel, &meter, &envelopes, &outcomes).await;
                Ok(())
            };
            // If it panics, the outcomes are still reported.
            let _ = noticed(&meter, "suppress", tell).await;
            let deliveries = ids.into_iter().zip(envelopes).collect();
            let _ = notes.send(Note::Sent(SendDone { priority, deliveries, outcomes, took }));
        });
    }

    pub(super) fn on_sent(&mut self, done: SendDone) {
        self.calls -= 1;
        self.bulk_calls -= usize::from(done.priority == Priority::Bulk);
        if self.alone && self.calls == 0 {
            self.alone = false;
        }
        let mut outcomes = done.outcomes;
        outcomes.resize(done.deliveries.len(), Outcome::Unknown(Reason::InvalidProviderResponse));
        // A call that was not made says nothing about the provider.
        if let Some(took) = done.took {
            self.meter.sent(took, done.priority);
            self.outflow.left(Instant::now(), done.deliveries.len());
            self.adapt(&outcomes);
        }
        self.report_all(done.deliveries, outcomes);
        self.feed_hungry(Instant::now());
    }

    /// Adapts the pace of the channel to the outcomes of a call.
    fn adapt(&mut self, outcomes: &[Outcome]) {
        let now = Instant::now();
        let (mut good, mut bad) = (false, false);
        for outcome in outcomes {
            match outcome {
                Outcome::Throttled { scope: ThrottleScope::Channel, wait } => {
                    let wait = provider_wait::obey(*wait);
                    self.pace.throttled(now, wait);
                    if wait > self.settings.max_hold {
                        self.hand_back_waiting(wait);
                    }
                    return;
                }
                Outcome::Stop(why) => {
                    tracing::error!(event = "channel.stopped", channel = %self.channel, why, "channel stopped");
                    self.meter.stopped(true);
                    self.pace.stop(why.clone());
                    self.hand_back_waiting(Duration::ZERO);
                    return;
                }
                Outcome::NotSent { reason, .. } | Outcome::Unknown(reason) => {
                    self.last_failure = *reason;
                    bad = true;
                }
                Outcome::Retry { reason: CodedReason { reason, .. }, .. }
                    if matches!(reason, Reason::ProviderUnavailable | Reason::InvalidProviderResponse) =>
                {
                    self.last_failure = *reason;
                    bad = true;
                }
                _ => good = true,
            }
        }
        if good {
            self.pace.success();
        } else if bad {
            let chance = self.chance();
            if self.pace.failure(now, chance) {
                tracing::warn!(event = "channel.breaker_opened", channel = %self.channel, "the provider keeps failing");
                self.meter.alert("breaker_open");
            }
        }
    }

    fn report_all(&mut self, deliveries: Vec<(Id, Envelope)>, outcomes: Vec<Outcome>) {
        for ((id, envelope), outcome) in deliveries.into_iter().zip(outcomes) {
            self.report(id, &envelope, outcome);
        }
    }

    /// Turns an outcome into a report and decides whether the delivery stays with this courier.
    fn report(&mut self, id: Id, envelope: &Envelope, outcome: Outcome) {
        let now = Instant::now();
        let chance = self.chance();
        let (base, cap) = (self.settings.backoff_base, self.settings.backoff_cap);
        let max_hold = self.settings.max_hold;
        let max_tries = self.capabilities.max_tries;
        let retry_wait = |after: Option<Duration>| {
            after.map_or_else(|| backoff::wait(base, cap, envelope.tries, chance), provider_wait::obey)
        };
        let mut again = None;
        let (kind, reason, value) = match outcome {
            Outcome::Sent => (OutcomeKind::Sent, Reason::None, 0),
            Outcome::Delivered => (OutcomeKind::Delivered, Reason::None, 0),
            Outcome::Failed(why) | Outcome::HardRefusal(why) | Outcome::Strike { reason: why, .. } => {
                (OutcomeKind::Failed, why.reason, why.code.packed())
            }
            Outcome::Unknown(reason) => (OutcomeKind::Unknown, reason, 0),
            // The outcome of the first attempt is still unknown, so a repeat that gives up is unknown too.
            Outcome::Retry { .. } if envelope.tries + 1 >= max_tries && envelope.repeat => {
                (OutcomeKind::Unknown, Reason::RetriesExhausted, 0)
            }
            Outcome::Retry { reason: last, .. } if envelope.tries + 1 >= max_tries => {
                (OutcomeKind::Failed, Reason::RetriesExhausted, last.code.packed())
            }
            Outcome::Retry { after, reason } => (OutcomeKind::Retry, reason.reason, in_ms(retry_wait(after))),
            Outcome::NotSent { after, reason } => (OutcomeKind::NotSent, reason, in_ms(retry_wait(after))),
            Outcome::Stop(_) => (OutcomeKind::NotSent, Reason::ChannelStopped, 0),
            Outcome::Throttled { scope, wait } => {
                let wait = provider_wait::obey(wait);
                if wait <= max_hold && !self.draining {
                    again = Some(match scope {
                        ThrottleScope::Channel => None,
                        ThrottleScope::Recipient => Some(now + wait),
                    });
                }
                (OutcomeKind::NotSent, Reason::Throttled, in_ms(wait))
            }
            Outcome::Part(done) => {
                again = (!self.draining).then_some(None);
                (OutcomeKind::Part, Reason::None, done)
            }
        };
        let (kind, reason) = self.as_a_repeat(envelope, kind, reason);
        if kind == OutcomeKind::Unknown {
            again = None;
        }
        self.meter.outcome(kind, reason);
        let Some(parcel) = self.held.get(id) else { return };
        parcel.out = parcel.out.saturating_sub(1);
        parcel.reports.push(AttemptReport {
            delivery: envelope.delivery,
            attempt: envelope.attempt,
            outcome: kind,
            reason,
            value,
        });
        match again {
            Some(at) if !parcel.closed => {
                if kind == OutcomeKind::Part
                    && let Some(outcome) = parcel.outcomes.get_mut(usize::from(envelope.delivery))
                {
                    outcome.token = Some(value);
                }
                parcel.again.push((envelope.delivery, at));
            }
            _ => {}
        }
        self.settles.mark(id);
    }
}

impl Batch {
    /// How many more envelopes of this order fit.
    fn room(&self, batching: Batching, order: &OrderId) -> usize {
        let free = batching.size().saturating_sub(self.deliveries.len());
        match batching {
            Batching::Single => 0,
            Batching::Any(_) => free,
            Batching::SameOrder(_) => match self.deliveries.first() {
                Some((_, first)) if first.order_id == *order => free,
                _ => 0,
            },
            Batching::Groups { groups, deliveries } => {
                let of_orders = self.of_orders();
                let used: usize = of_orders.values().map(|envelopes| envelopes.div_ceil(deliveries)).sum();
                let mine = of_orders.get(order).copied().unwrap_or(0);
                groups.saturating_sub(used) * deliveries + mine.next_multiple_of(deliveries) - mine
            }
        }
    }

    /// The room it takes in calls, in envelopes.
    pub(super) fn cost(&self, batching: Batching) -> usize {
        match batching {
            Batching::Groups { .. } => {
                self.of_orders().values().map(|envelopes| batching.cost(*envelopes)).sum()
            }
            _ => batching.cost(self.deliveries.len()),
        }
    }

    fn of_orders(&self) -> BTreeMap<&OrderId, usize> {
        let mut of_orders = BTreeMap::new();
        for (_, envelope) in &self.deliveries {
            *of_orders.entry(&envelope.order_id).or_default() += 1;
        }
        of_orders
    }
}

fn unsent(deliveries: usize) -> Vec<Outcome> {
    vec![
        Outcome::NotSent { after: Some(Duration::from_secs(1)), reason: Reason::ConnectionFailed };
        deliveries
    ]
}

fn in_ms(wait: Duration) -> u32 {
    u32::try_from(wait.as_millis()).unwrap_or(u32::MAX)
}
