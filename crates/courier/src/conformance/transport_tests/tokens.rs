//! Repeats under one token, and inquiries about the outcome of an attempt.

use std::time::Duration;

use posthaste_model::OutcomeKind;

use super::{Suite, order};
use crate::conformance::bench::{Behaviour, Shown, Toward};
use crate::conformance::report::ConformanceFailure;
use crate::transport::{Envelope, LookupResult};

/// Age of an attempt in an inquiry: old enough that the provider's answer is final.
const LATER: Duration = Duration::from_secs(300);

impl Suite<'_> {
    /// A repeat has the same identity for the provider, which drops it if it promises to.
    pub(super) async fn repeats_under_one_token(&mut self) -> Result<(), ConformanceFailure> {
        if !self.capabilities.tokens {
            return Ok(());
        }
        let check = "a repeat is sent under the token of the attempt it repeats";
        self.must(Behaviour::Accept).await?;
        let (mut batch, deliveries) = self.batch(1);
        let drops = self.capabilities.idempotent_for > Duration::ZERO;
        for delivery in &deliveries {
            self.ledger.may_be_taken(delivery, if drops { 1 } else { 2 });
        }
        for _ in 0..2 {
            let ended = self.post(check, &batch, self.soon()).await?;
            order::answered(check, &ended)?;
            for envelope in &mut batch {
                envelope.attempt += 1;
                envelope.repeat = true;
            }
        }
        let identities = self.identities_of(&batch[0]).await;
        if identities.windows(2).any(|pair| pair[0] != pair[1]) {
            return Err(ConformanceFailure::broken(check, "the provider saw two identities"));
        }
        let (other, _) = self.batch(1);
        self.post(check, &other, self.soon()).await?;
        let others = self.identities_of(&other[0]).await;
        if others.iter().any(|identity| identities.contains(identity)) {
            return Err(ConformanceFailure::broken(check, "two messages were sent under one identity"));
        }
        self.report.passed(check);
        Ok(())
    }

    async fn identities_of(&self, envelope: &Envelope) -> Vec<String> {
        let taken = self.bench.taken().await;
        let of_delivery =
            taken.into_iter().filter(|message| message.to == envelope.to.address && message.part == 0);
        of_delivery.filter_map(|message| message.identity).collect()
    }

    /// The result of an inquiry agrees with what the provider accepted.
    pub(super) async fn looks_up_truly(&mut self) -> Result<(), ConformanceFailure> {
        if !self.capabilities.looks_up {
            return Ok(());
        }
        let check = "an inquiry finds what the provider accepted";
        if let Shown::Yes = self.bench.behave(Behaviour::AcceptThenLoseAnswer, Toward::Everyone).await {
            let (batch, _) = self.batch(1);
            self.post(check, &batch, self.briefly()).await?;
            self.must(Behaviour::Accept).await?;
            let took = self.bench.taken().await.iter().any(|message| message.to == batch[0].to.address);
            match self.ask(check, &batch[0]).await? {
                LookupResult::Never if took => {
                    let what = "it returned never, but the provider had accepted the message: it would be sent again";
                    return Err(ConformanceFailure::broken(check, what));
                }
                LookupResult::Known(OutcomeKind::Failed | OutcomeKind::Suppressed, _) if took => {
                    return Err(ConformanceFailure::broken(
                        check,
                        "it returned failed, but the provider had accepted the message",
                    ));
                }
                _ => {}
            }
        }
        self.must(Behaviour::Accept).await?;
        let (never_sent, _) = self.batch(1);
        if let LookupResult::Known(OutcomeKind::Sent | OutcomeKind::Delivered, _) =
            self.ask(check, &never_sent[0]).await?
        {
            return Err(ConformanceFailure::broken(check, "it returned sent for a message that never left"));
        }
        self.report.passed(check);
        Ok(())
    }

    async fn ask(&self, check: &str, envelope: &Envelope) -> Result<LookupResult, ConformanceFailure> {
        // Sample envelopes are begun when they are created.
        let (begun, now) = (envelope.due, envelope.due.after(LATER));
        let inquiry = self.transport.look_up(envelope, begun, now);
        let requested = tokio::time::timeout(self.bench.patience(), inquiry).await;
        requested.map_err(|_| ConformanceFailure::broken(check, "it returned no answer"))
    }
}
