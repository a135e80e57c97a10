//! The first half: the transport alone, called in the same way as by the runtime.

mod calls;
mod classes;
mod credential;
mod dropped;
mod expectations;
mod order;
mod texts;
mod tokens;

use std::sync::Arc;
use std::time::Duration;

use posthaste_model::{Clock, Content, Delivery, OrderId, SenderId, SystemClock};
use tokio::time::Instant;

use super::bench::{Behaviour, Bench, Shown, Toward};
use super::report::{ConformanceFailure, ConformanceReport};
use crate::transport::{Batching, Capabilities, Envelope, Outcome, Transport};
use calls::Ended;
use expectations::Ledger;

/// Size of the batches used with misbehaving providers.
const FEW: usize = 5;

/// Tokens of this half start here; those of the runtime start at 1, and a provider may remember both.
const TOKENS: u32 = 1 << 30;

/// The transport under test and the state of the suite.
struct Suite<'a> {
    bench: &'a dyn Bench,
    transport: Arc<dyn Transport>,
    capabilities: Capabilities,
    ledger: Ledger,
    report: ConformanceReport,
    /// The next sample delivery.
    next: u32,
    sender: SenderId,
}

/// Checks the transport alone; needs no server.
///
/// # Errors
/// A [`ConformanceFailure`] with the check and what was wrong.
pub async fn on_transport(bench: &dyn Bench) -> Result<ConformanceReport, ConformanceFailure> {
    let sender = "conformance".parse().map_err(|_| ConformanceFailure::Bench("no sender".to_owned()))?;
    let transport = bench.transport().await;
    let capabilities = transport.capabilities();
    let (ledger, report) = (Ledger::default(), ConformanceReport::default());
    let mut suite = Suite { bench, transport, capabilities, ledger, report, next: 0, sender };
    suite.capabilities_hold()?;
    suite.sends_nothing_unasked().await?;
    suite.keeps_the_order().await?;
    suite.tells_each_behaviour().await?;
    suite.does_not_mix().await?;
    suite.survives_drops().await?;
    suite.carries_texts().await?;
    suite.checks_its_credential().await?;
    suite.repeats_under_one_token().await?;
    suite.looks_up_truly().await?;
    // Duplicates may arrive late, so everything is counted once more at the end.
    suite.count("at the end").await?;
    suite.report.passed("nothing was sent twice, and every outcome agrees with what the provider accepted");
    Ok(suite.report)
}

impl Suite<'_> {
    fn capabilities_hold(&mut self) -> Result<(), ConformanceFailure> {
        let check = "capabilities";
        let settings = crate::settings::Settings::default();
        if let Err(bad) = settings.check(&self.capabilities) {
            return Err(ConformanceFailure::broken(check, bad.to_string()));
        }
        if self.capabilities.concurrency == 0
            || self.capabilities.concurrency > self.capabilities.max_concurrency
        {
            return Err(ConformanceFailure::broken(check, "concurrency: must be 1 to max_concurrency"));
        }
        self.report.passed(check);
        Ok(())
    }

    /// Nothing is sent before the first send, nor by a call whose future is dropped before it is polled.
    async fn sends_nothing_unasked(&mut self) -> Result<(), ConformanceFailure> {
        let check = "nothing is sent before it is requested";
        self.must(Behaviour::Accept).await?;
        let _ = self.transport.check().await;
        let (batch, _) = self.batch(1);
        drop(self.transport.send(&batch, self.soon()));
        let (taken, requests) = (self.bench.taken().await.len(), self.bench.requests().await);
        if taken > 0 || requests > 0 {
            let what =
                format!("the provider saw {requests} requests and accepted {taken} messages before send");
            return Err(ConformanceFailure::broken(check, what));
        }
        self.report.passed(check);
        Ok(())
    }

    fn soon(&self) -> Instant {
        Instant::now() + self.bench.patience()
    }

    fn briefly(&self) -> Instant {
        Instant::now() + self.bench.hang_for()
    }

    /// Sets a behaviour toward everyone that the bench must support.
    async fn must(&self, behaviour: Behaviour) -> Result<(), ConformanceFailure> {
        match self.bench.behave(behaviour, Toward::Everyone).await {
            Shown::Yes => Ok(()),
            Shown::No(why) => Err(ConformanceFailure::Bench(format!("it cannot show `{behaviour}`: {why}"))),
        }
    }

    /// Sets the first of these behaviours that the bench can show toward these deliveries only.
    async fn one_of(&mut self, behaviours: &[Behaviour], deliveries: &[Delivery]) -> Option<Behaviour> {
        for behaviour in behaviours {
            match self.bench.behave(*behaviour, Toward::Only(deliveries)).await {
                Shown::Yes => return Some(*behaviour),
                Shown::No(why) => self.report.lacks(*behaviour, why),
            }
        }
        None
    }

    /// This many envelopes that may share a call, each with its own delivery; and the deliveries.
    fn batch(&mut self, size: usize) -> (Vec<Envelope>, Vec<Delivery>) {
        let own_orders = matches!(self.capabilities.batching, Batching::Any(_));
        let mut order = self.order();
        let (mut envelopes, mut deliveries) = (Vec::new(), Vec::new());
        for at in 0..size {
            if own_orders && at > 0 {
                order = self.order();
            }
            let number = u16::try_from(at).unwrap_or(u16::MAX);
            let envelope = self.envelope(&order, if own_orders { 0 } else { number });
            deliveries.push(envelope.to.clone());
            envelopes.push(envelope);
        }
        (envelopes, deliveries)
    }

    fn order(&self) -> (OrderId, String, Arc<Content>) {
        // The mark names the order by its first delivery, which is unique.
        let mark = format!("mark{}x", self.next);
        let order_id = OrderId::new(&self.sender, SystemClock.now_ns() + u64::from(self.next));
        let content = Arc::new(self.bench.content(&mark));
        (order_id, mark, content)
    }

    fn envelope(
        &mut self,
        (order_id, mark, content): &(OrderId, String, Arc<Content>),
        delivery: u16,
    ) -> Envelope {
        let to = self.bench.delivery(self.next);
        self.next += 1;
        self.ledger.knows(&to, mark);
        Envelope {
            order_id: order_id.clone(),
            parcel: 0,
            delivery,
            attempt: 1,
            to,
            content: Arc::clone(content),
            due: SystemClock.now(),
            token: self.capabilities.tokens.then_some(TOKENS + self.next),
            tries: 0,
            repeat: false,
        }
    }

    /// Calls the transport, part by part if it requires that; records what the provider must have accepted according
    /// to the outcomes, and compares.
    async fn post(
        &mut self,
        check: &str,
        batch: &[Envelope],
        deadline: Instant,
    ) -> Result<Ended, ConformanceFailure> {
        let ended = calls::drive(check, &self.transport, batch, deadline).await?;
        self.book(batch, &ended);
        self.count(check).await?;
        Ok(ended)
    }

    fn book(&mut self, batch: &[Envelope], ended: &Ended) {
        for (envelope, outcome) in batch.iter().zip(&ended.outcomes) {
            self.ledger.said(&envelope.to, outcome);
        }
    }

    async fn count(&self, check: &str) -> Result<(), ConformanceFailure> {
        self.ledger.agrees(check, &self.bench.taken().await)
    }

    /// The provider works again: a message must be accepted, at once or after the waits the transport returns.
    async fn is_usable(&mut self, check: &str) -> Result<(), ConformanceFailure> {
        self.must(Behaviour::Accept).await?;
        let until = self.soon();
        let (mut batch, _) = self.batch(1);
        loop {
            let ended = self.post(check, &batch, until).await?;
            let wait = match ended.outcomes.first() {
                _ if ended.dropped => {
                    let what = "the provider works again, but the next call returned no answer".to_owned();
                    return Err(ConformanceFailure::broken(check, what));
                }
                Some(Outcome::Sent | Outcome::Delivered) => return Ok(()),
                Some(Outcome::NotSent { after, .. } | Outcome::Retry { after, .. }) => {
                    after.unwrap_or(Duration::from_millis(50))
                }
                Some(Outcome::Throttled { wait, .. }) => *wait,
                other => {
                    let what = format!(
                        "the provider works again, but the next call returned {}",
                        calls::word(other)
                    );
                    return Err(ConformanceFailure::broken(check, what));
                }
            };
            if Instant::now() + wait >= until {
                return Err(ConformanceFailure::broken(
                    check,
                    "the provider works again, but nothing can be sent",
                ));
            }
            tokio::time::sleep(wait).await;
            for envelope in &mut batch {
                envelope.attempt += 1;
            }
        }
    }
}
