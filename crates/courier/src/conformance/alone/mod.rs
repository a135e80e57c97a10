//! The first half: the transport alone, called as the runtime calls it.

mod calls;
mod classes;
mod credential;
mod dropped;
mod ledger;
mod order;
mod texts;
mod tokens;

use std::sync::Arc;
use std::time::Duration;

use posthaste_model::{Clock, Content, Row, SenderId, Suffix, SystemClock};
use tokio::time::Instant;

use super::bench::{Behaviour, Bench, Shown, Toward};
use super::report::{Failure, Report};
use crate::transport::{Abilities, Batching, Envelope, Outcome, Transport};
use calls::Ended;
use ledger::Ledger;

/// Envelopes of the batches that misbehaving providers are tried with.
const FEW: usize = 5;

/// Tokens of this half begin here; those of the runtime begin at 1, and a provider may remember both.
const TOKENS: u32 = 1 << 30;

/// The transport on the bench, and what is known of it.
struct Suite<'a> {
    bench: &'a dyn Bench,
    transport: Arc<dyn Transport>,
    abilities: Abilities,
    ledger: Ledger,
    report: Report,
    /// The next sample row.
    next: u32,
    sender: SenderId,
}

/// The transport alone: needs no server.
///
/// # Errors
/// A [`Failure`] that says what was checked and what was wrong.
pub async fn on_transport(bench: &dyn Bench) -> Result<Report, Failure> {
    let sender = "conformance".parse().map_err(|_| Failure::Bench("no sender".to_owned()))?;
    let transport = bench.transport().await;
    let abilities = transport.abilities();
    let (ledger, report) = (Ledger::default(), Report::default());
    let mut suite = Suite { bench, transport, abilities, ledger, report, next: 0, sender };
    suite.abilities_hold()?;
    suite.sends_nothing_unasked().await?;
    suite.keeps_the_order().await?;
    suite.tells_each_behaviour().await?;
    suite.does_not_mix().await?;
    suite.survives_drops().await?;
    suite.carries_texts().await?;
    suite.checks_its_credential().await?;
    suite.repeats_under_one_token().await?;
    suite.inquires_truly().await?;
    // Second copies may come late, so everything is counted once more at the end.
    suite.count("at the end").await?;
    suite.report.passed("nothing was sent twice, and every word agrees with what the provider took");
    Ok(suite.report)
}

impl Suite<'_> {
    fn abilities_hold(&mut self) -> Result<(), Failure> {
        let check = "abilities";
        let settings = crate::settings::Settings::default();
        if let Err(bad) = settings.check(&self.abilities) {
            return Err(Failure::broken(check, bad.to_string()));
        }
        if self.abilities.concurrency == 0 || self.abilities.concurrency > self.abilities.max_concurrency {
            return Err(Failure::broken(check, "concurrency: must be 1 to max_concurrency"));
        }
        self.report.passed(check);
        Ok(())
    }

    /// Before the first send, and by a call that is made and dropped before it is looked at.
    async fn sends_nothing_unasked(&mut self) -> Result<(), Failure> {
        let check = "nothing is sent unasked";
        self.must(Behaviour::Accept).await?;
        let _ = self.transport.check().await;
        let (batch, _) = self.batch(1);
        drop(self.transport.send(&batch, self.soon()));
        let (taken, requests) = (self.bench.taken().await.len(), self.bench.requests().await);
        if taken > 0 || requests > 0 {
            let what = format!("the provider saw {requests} requests and took {taken} messages before send");
            return Err(Failure::broken(check, what));
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

    /// Sets a behaviour toward everyone that the bench has to have.
    async fn must(&self, behaviour: Behaviour) -> Result<(), Failure> {
        match self.bench.behave(behaviour, Toward::Everyone).await {
            Shown::Yes => Ok(()),
            Shown::No(why) => Err(Failure::Bench(format!("it can't show `{behaviour}`: {why}"))),
        }
    }

    /// The first behaviour of these that can be shown toward some rows alone.
    async fn one_of(&mut self, behaviours: &[Behaviour], rows: &[Row]) -> Option<Behaviour> {
        for behaviour in behaviours {
            match self.bench.behave(*behaviour, Toward::Only(rows)).await {
                Shown::Yes => return Some(*behaviour),
                Shown::No(why) => self.report.lacks(*behaviour, why),
            }
        }
        None
    }

    /// So many envelopes that may share a call, each with a row of its own; and their rows.
    fn batch(&mut self, size: usize) -> (Vec<Envelope>, Vec<Row>) {
        let own_orders = matches!(self.abilities.batching, Batching::Any(_));
        let mut order = self.order();
        let (mut envelopes, mut rows) = (Vec::new(), Vec::new());
        for at in 0..size {
            if own_orders && at > 0 {
                order = self.order();
            }
            let number = u16::try_from(at).unwrap_or(u16::MAX);
            let envelope = self.envelope(&order, if own_orders { 0 } else { number });
            rows.push(envelope.to.clone());
            envelopes.push(envelope);
        }
        (envelopes, rows)
    }

    fn order(&self) -> (Suffix, String, Arc<Content>) {
        // Names the order by its first row, which nobody else has.
        let mark = format!("mark{}x", self.next);
        let suffix = Suffix::new(&self.sender, SystemClock.now_ns() + u64::from(self.next));
        let content = Arc::new(self.bench.content(&mark));
        (suffix, mark, content)
    }

    fn envelope(&mut self, (suffix, mark, content): &(Suffix, String, Arc<Content>), row: u16) -> Envelope {
        let to = self.bench.row(self.next);
        self.next += 1;
        self.ledger.knows(&to, mark);
        Envelope {
            suffix: suffix.clone(),
            parcel: 0,
            row,
            attempt: 1,
            to,
            content: Arc::clone(content),
            due: SystemClock.now(),
            token: self.abilities.tokens.then_some(TOKENS + self.next),
            tries: 0,
            repeat: false,
        }
    }

    /// Calls the transport, part by part if it asks for that; writes down what the provider must have taken by what was
    /// said, and looks whether it has.
    async fn post(&mut self, check: &str, batch: &[Envelope], deadline: Instant) -> Result<Ended, Failure> {
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

    async fn count(&self, check: &str) -> Result<(), Failure> {
        self.ledger.agrees(check, &self.bench.taken().await)
    }

    /// The provider is well again: a message is taken, at once or after the waits the transport names.
    async fn is_usable(&mut self, check: &str) -> Result<(), Failure> {
        self.must(Behaviour::Accept).await?;
        let until = self.soon();
        let (mut batch, _) = self.batch(1);
        loop {
            let ended = self.post(check, &batch, until).await?;
            let wait = match ended.outcomes.first() {
                _ if ended.dropped => {
                    let what =
                        "the next call, to a provider that is well again, brought no answer".to_owned();
                    return Err(Failure::broken(check, what));
                }
                Some(Outcome::Accepted | Outcome::Delivered) => return Ok(()),
                Some(Outcome::NotSent { after, .. } | Outcome::Retry { after, .. }) => {
                    after.unwrap_or(Duration::from_millis(50))
                }
                Some(Outcome::Throttled { wait, .. }) => *wait,
                other => {
                    let what =
                        format!("the provider is well again, and the next call said {}", calls::word(other));
                    return Err(Failure::broken(check, what));
                }
            };
            if Instant::now() + wait >= until {
                return Err(Failure::broken(check, "the provider is well again, and nothing can be sent"));
            }
            tokio::time::sleep(wait).await;
            for envelope in &mut batch {
                envelope.attempt += 1;
            }
        }
    }
}
