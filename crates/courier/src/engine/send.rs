//! Sending: begun rows go to the transport in batches, and every outcome becomes a report.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use posthaste_model::{Lane, Reason, Suffix, Verdict};
use posthaste_store::Report;
use tokio::time::Instant;

use super::held::Id;
use super::{Engine, Note, barred};
use crate::backoff;
use crate::noticed::noticed;
use crate::pace::Pause;
use crate::transport::{Batching, Envelope, Outcome, Scope};

/// Rows that go out in one call.
pub(super) struct Batch {
    lane: Lane,
    pub(super) rows: Vec<(Id, Envelope)>,
    /// The call must have ended by then: what was stored with begin.
    deadline: Instant,
    /// The call must have started by then, or not at all.
    start_by: Instant,
    /// When its first rows were begun.
    made: Instant,
}

/// How long a call that is not full waits for rows that are being begun: the next begin of a big order follows the one before
/// within a round trip, and two half calls cost the provider twice.
const FILLS_FOR: Duration = Duration::from_millis(10);

pub(super) struct SendDone {
    lane: Lane,
    rows: Vec<(Id, Envelope)>,
    outcomes: Vec<Outcome>,
    /// How long the call took; `None` when it was not made.
    took: Option<Duration>,
}

impl Engine {
    /// Puts begun rows of one parcel into batches.
    pub(super) fn dispatch(&mut self, id: Id, rows: &[u16], window: Instant) {
        let now = Instant::now();
        let ahead = self.settings.begin_ahead * 4;
        let remembers = self.abilities.idempotent_for;
        let Some(parcel) = self.held.get(id) else { return };
        let mut sent = Vec::with_capacity(rows.len());
        for &row in rows {
            let Some((verdict, reason)) = parcel.withheld(row, now, remembers) else {
                sent.push(row);
                continue;
            };
            let attempt = parcel.outcomes.get(usize::from(row)).map_or(0, |outcome| outcome.attempt);
            parcel.out = parcel.out.saturating_sub(1);
            parcel.reports.push(Report { row, attempt, verdict, reason, value: 0 });
            self.meter.outcome(verdict, reason);
            self.pace.spare(1);
            self.alone = false;
            self.settles.mark(id);
        }
        let rows = sent;
        let lane = parcel.head.lane;
        // A call that began with little of its time left would end as unknown.
        let late = window.checked_sub(self.abilities.send_window / 2).unwrap_or(now);
        let start_by = (now + ahead).min(parcel.lease_until).min(late);
        let envelopes = rows.iter().filter_map(|row| {
            let outcome = parcel.outcomes.get(usize::from(*row))?;
            let to = parcel.rows.get(usize::from(*row))?.clone();
            let envelope = Envelope {
                suffix: parcel.at.member.suffix.clone(),
                parcel: parcel.at.member.number,
                row: *row,
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
        let (size, batching) = (self.abilities.batching.size(), self.abilities.batching);
        for batch in &mut self.batches {
            let room = envelopes.first().map_or(0, |(_, first)| batch.room(batching, &first.suffix));
            if room == 0 {
                continue;
            }
            let rest = envelopes.split_off(room.min(envelopes.len()));
            batch.rows.append(&mut envelopes);
            batch.lane = batch.lane.min(lane);
            batch.deadline = batch.deadline.min(window);
            batch.start_by = batch.start_by.min(start_by);
            envelopes = rest;
        }
        while !envelopes.is_empty() {
            let rest = envelopes.split_off(size.min(envelopes.len()));
            let batch = Batch { lane, rows: envelopes, deadline: window, start_by, made: now };
            envelopes = rest;
            self.batches.push_back(batch);
        }
    }

    /// Starts calls while there are free ones; urgent batches first. What was begun before a pause does not go out in it.
    pub(super) fn send_batches(&mut self, now: Instant) {
        if !self.batches.is_empty()
            && let Some(pause) = self.pace.paused(now)
        {
            let outcome = match pause {
                Pause::Until(until) => Outcome::Throttled { scope: Scope::Channel, wait: *until - now },
                Pause::Stopped(_) => Outcome::Stop(String::new()),
            };
            for batch in std::mem::take(&mut self.batches) {
                let outcomes = vec![outcome.clone(); batch.rows.len()];
                self.report_all(batch.rows, outcomes);
            }
        }
        while self.calls < self.pace.concurrency() {
            let ready = |batch: &Batch| !self.fills(batch, now);
            let urgent = self.batches.iter().position(|batch| batch.lane == Lane::Urgent && ready(batch));
            let Some(first) = urgent.or_else(|| self.batches.iter().position(ready)) else { break };
            let Some(batch) = self.batches.remove(first) else { break };
            self.start_send(batch, now);
        }
        // What could not start in time was provably not sent.
        while self.batches.front().is_some_and(|batch| batch.start_by <= now) {
            let Some(batch) = self.batches.pop_front() else { break };
            self.report_unsent(batch);
        }
    }

    /// Whether a batch waits a moment for more rows of its kind.
    fn fills(&self, batch: &Batch, now: Instant) -> bool {
        let batching = self.abilities.batching;
        matches!(batching, Batching::Groups { .. } | Batching::SameOrder(_))
            && self.starting.room(now) > 0
            && now < batch.made + FILLS_FOR
            && batch.cost(batching) < batching.size()
    }

    /// When the first batch that waits for more rows goes without them.
    pub(super) fn next_filled(&self, now: Instant) -> Option<Instant> {
        self.batches.iter().filter(|batch| self.fills(batch, now)).map(|batch| batch.made + FILLS_FOR).min()
    }

    /// A begun batch that did not leave.
    pub(super) fn report_unsent(&mut self, batch: Batch) {
        let outcomes = unsent(batch.rows.len());
        self.report_all(batch.rows, outcomes);
    }

    fn start_send(&mut self, batch: Batch, now: Instant) {
        self.calls += 1;
        let (transport, notes) = (Arc::clone(&self.transport), self.notes.clone());
        let Batch { lane, rows, deadline, start_by, .. } = batch;
        let cut = self.cut.clone();
        let (store, channel, meter) = (self.store.clone(), self.channel.clone(), Arc::clone(&self.meter));
        tokio::spawn(async move {
            let mut envelopes = Vec::with_capacity(rows.len());
            let mut ids = Vec::with_capacity(rows.len());
            for (id, envelope) in rows {
                ids.push(id);
                envelopes.push(envelope);
            }
            // A process that was stopped in between must not send what others may have taken over.
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
                        Ok(Err(_)) => unknown(Reason::Panicked),
                        Err(_) => unknown(Reason::TimedOut),
                    },
                    () = cut.cancelled() => unknown(Reason::TimedOut),
                }
            };
            let took = made.then(|| started - now.min(started) + started.elapsed());
            let tell = async {
                barred::tell(&store, &channel, &meter, &envelopes, &outcomes).await;
                Ok(())
            };
            // Should it panic, the outcomes are told all the same.
            let _ = noticed(&meter, "suppress", tell).await;
            let rows = ids.into_iter().zip(envelopes).collect();
            let _ = notes.send(Note::Sent(SendDone { lane, rows, outcomes, took }));
        });
    }

    pub(super) fn on_sent(&mut self, done: SendDone) {
        self.calls -= 1;
        if self.alone && self.calls == 0 {
            self.alone = false;
        }
        let mut outcomes = done.outcomes;
        outcomes.resize(done.rows.len(), Outcome::Unknown(Reason::BadAnswer));
        // What was not asked says nothing of the provider.
        if let Some(took) = done.took {
            self.meter.sent(took, done.lane);
            self.adapt(&outcomes);
        }
        self.report_all(done.rows, outcomes);
        self.feed_hungry(Instant::now());
    }

    /// What the outcomes of a call say about the pace of the channel.
    fn adapt(&mut self, outcomes: &[Outcome]) {
        let now = Instant::now();
        let (mut good, mut bad) = (false, false);
        for outcome in outcomes {
            match outcome {
                Outcome::Throttled { scope: Scope::Channel, wait } => {
                    let wait = backoff::obey(*wait);
                    self.pace.throttled(now, wait);
                    if wait > self.settings.hold_through {
                        self.hand_back_waiting(wait);
                    }
                    return;
                }
                Outcome::Stop(why) => {
                    tracing::error!(channel = %self.channel, why, "the channel is stopped: somebody has to mend it");
                    self.meter.stopped(true);
                    self.pace.stop(why.clone());
                    self.hand_back_waiting(Duration::ZERO);
                    return;
                }
                Outcome::NotSent { .. } | Outcome::Unknown(_) => bad = true,
                Outcome::Retry { reason: Reason::ProviderFailed | Reason::BadAnswer, .. } => bad = true,
                _ => good = true,
            }
        }
        if good {
            self.pace.success();
        } else if bad {
            let chance = self.chance();
            if self.pace.failure(now, chance) {
                tracing::warn!(channel = %self.channel, "the provider fails: the breaker is open");
                self.meter.alarm("breaker");
            }
        }
    }

    fn report_all(&mut self, rows: Vec<(Id, Envelope)>, outcomes: Vec<Outcome>) {
        for ((id, envelope), outcome) in rows.into_iter().zip(outcomes) {
            self.report(id, &envelope, outcome);
        }
    }

    /// One outcome as a report, and whether the row stays with us.
    fn report(&mut self, id: Id, envelope: &Envelope, outcome: Outcome) {
        let now = Instant::now();
        let chance = self.chance();
        let (base, cap) = (self.settings.backoff_base, self.settings.backoff_cap);
        let hold_through = self.settings.hold_through;
        let max_tries = self.abilities.max_tries;
        let retry_wait = |after: Option<Duration>| {
            after.map_or_else(|| backoff::wait(base, cap, envelope.tries, chance), backoff::obey)
        };
        let mut again = None;
        let (verdict, reason, value) = match outcome {
            Outcome::Accepted => (Verdict::Sent, Reason::None, 0),
            Outcome::Delivered => (Verdict::Delivered, Reason::None, 0),
            Outcome::Rejected(reason) | Outcome::Strike { reason, .. } => (Verdict::Failed, reason, 0),
            Outcome::Suppress(reason) => (Verdict::Suppressed, reason, 0),
            Outcome::Unknown(reason) => (Verdict::Unknown, reason, 0),
            // The first attempt's fate is open still, so a repeat that gives up is unknown too.
            Outcome::Retry { .. } if envelope.tries + 1 >= max_tries && envelope.repeat => {
                (Verdict::Unknown, Reason::TriesSpent, 0)
            }
            Outcome::Retry { .. } if envelope.tries + 1 >= max_tries => {
                (Verdict::Failed, Reason::TriesSpent, 0)
            }
            Outcome::Retry { after, reason } => (Verdict::Retry, reason, in_ms(retry_wait(after))),
            Outcome::NotSent { after, reason } => (Verdict::NotSent, reason, in_ms(retry_wait(after))),
            Outcome::Stop(_) => (Verdict::NotSent, Reason::Stopped, 0),
            Outcome::Throttled { scope, wait } => {
                let wait = backoff::obey(wait);
                if wait <= hold_through && !self.draining {
                    again = Some(match scope {
                        Scope::Channel => None,
                        Scope::Recipient => Some(now + wait),
                    });
                }
                (Verdict::NotSent, Reason::Throttled, in_ms(wait))
            }
            Outcome::Part(done) => {
                again = (!self.draining).then_some(None);
                (Verdict::Part, Reason::None, done)
            }
        };
        let (verdict, reason) = self.as_a_repeat(envelope, verdict, reason);
        if verdict == Verdict::Unknown {
            again = None;
        }
        self.meter.outcome(verdict, reason);
        let Some(parcel) = self.held.get(id) else { return };
        parcel.out = parcel.out.saturating_sub(1);
        parcel.reports.push(Report { row: envelope.row, attempt: envelope.attempt, verdict, reason, value });
        match again {
            Some(at) if !parcel.closed => {
                if verdict == Verdict::Part
                    && let Some(outcome) = parcel.outcomes.get_mut(usize::from(envelope.row))
                {
                    outcome.token = Some(value);
                }
                parcel.again.push((envelope.row, at));
            }
            _ => {}
        }
        self.settles.mark(id);
    }
}

impl Engine {
    /// What a repeat's outcome says of its row, whose first attempt may have arrived: that it did not leave, or was refused, is
    /// no news of the first one. What the provider remembers goes back to the resolver, which knows how old the first attempt
    /// is; what it can be asked about was, before the repeat, and had not arrived.
    fn as_a_repeat(&self, envelope: &Envelope, verdict: Verdict, reason: Reason) -> (Verdict, Reason) {
        let remembers = self.abilities.remembers();
        match verdict {
            _ if !envelope.repeat => (verdict, reason),
            Verdict::NotSent | Verdict::Retry if remembers => (Verdict::Unknown, reason),
            Verdict::Failed | Verdict::Suppressed if !remembers && !self.abilities.inquires => {
                (Verdict::Unknown, Reason::Held)
            }
            _ => (verdict, reason),
        }
    }
}

impl Batch {
    /// How many more envelopes of this order it takes.
    fn room(&self, batching: Batching, order: &Suffix) -> usize {
        let free = batching.size().saturating_sub(self.rows.len());
        match batching {
            Batching::Single => 0,
            Batching::Any(_) => free,
            Batching::SameOrder(_) => match self.rows.first() {
                Some((_, first)) if first.suffix == *order => free,
                _ => 0,
            },
            Batching::Groups { groups, rows } => {
                let of_orders = self.of_orders();
                let used: usize = of_orders.values().map(|envelopes| envelopes.div_ceil(rows)).sum();
                let mine = of_orders.get(order).copied().unwrap_or(0);
                groups.saturating_sub(used) * rows + mine.next_multiple_of(rows) - mine
            }
        }
    }

    /// What it takes of the room of the calls, in envelopes.
    pub(super) fn cost(&self, batching: Batching) -> usize {
        match batching {
            Batching::Groups { .. } => {
                self.of_orders().values().map(|envelopes| batching.cost(*envelopes)).sum()
            }
            _ => batching.cost(self.rows.len()),
        }
    }

    fn of_orders(&self) -> BTreeMap<&Suffix, usize> {
        let mut of_orders = BTreeMap::new();
        for (_, envelope) in &self.rows {
            *of_orders.entry(&envelope.suffix).or_default() += 1;
        }
        of_orders
    }
}

fn unsent(rows: usize) -> Vec<Outcome> {
    vec![Outcome::NotSent { after: Some(Duration::from_secs(1)), reason: Reason::NotConnected }; rows]
}

fn in_ms(wait: Duration) -> u32 {
    u32::try_from(wait.as_millis()).unwrap_or(u32::MAX)
}
