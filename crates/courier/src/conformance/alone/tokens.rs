//! Repeats under one token, and inquiries about what became of an attempt.

use std::time::Duration;

use posthaste_model::Verdict;

use super::{Suite, order};
use crate::conformance::bench::{Behaviour, Shown, Toward};
use crate::conformance::report::Failure;
use crate::transport::{Envelope, Found};

/// How old an attempt is told to be: old enough that nobody waits for more evidence.
const LATER: Duration = Duration::from_secs(300);

impl Suite<'_> {
    /// The repeat of an attempt looks the same to the provider, which drops it if it promises to.
    pub(super) async fn repeats_under_one_token(&mut self) -> Result<(), Failure> {
        if !self.abilities.tokens {
            return Ok(());
        }
        let check = "a repeat goes under the token of the attempt it repeats";
        self.must(Behaviour::Accept).await?;
        let (mut batch, rows) = self.batch(1);
        let drops = self.abilities.idempotent_for > Duration::ZERO;
        for row in &rows {
            self.ledger.may_be_taken(row, if drops { 1 } else { 2 });
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
            return Err(Failure::broken(check, "the provider saw two identities"));
        }
        let (other, _) = self.batch(1);
        self.post(check, &other, self.soon()).await?;
        let others = self.identities_of(&other[0]).await;
        if others.iter().any(|identity| identities.contains(identity)) {
            return Err(Failure::broken(check, "two messages went under one identity"));
        }
        self.report.passed(check);
        Ok(())
    }

    async fn identities_of(&self, envelope: &Envelope) -> Vec<String> {
        let taken = self.bench.taken().await;
        let of_row =
            taken.into_iter().filter(|message| message.to == envelope.to.address && message.part == 0);
        of_row.filter_map(|message| message.identity).collect()
    }

    /// What the transport finds out agrees with what the provider took.
    pub(super) async fn inquires_truly(&mut self) -> Result<(), Failure> {
        if !self.abilities.inquires {
            return Ok(());
        }
        let check = "an inquiry finds what the provider took";
        if let Shown::Yes = self.bench.behave(Behaviour::AcceptThenLoseAnswer, Toward::Everyone).await {
            let (batch, _) = self.batch(1);
            self.post(check, &batch, self.briefly()).await?;
            self.must(Behaviour::Accept).await?;
            let took = self.bench.taken().await.iter().any(|message| message.to == batch[0].to.address);
            match self.ask(check, &batch[0]).await? {
                Found::Never if took => {
                    let what =
                        "it said never, but the provider had taken the message: it would be sent again";
                    return Err(Failure::broken(check, what));
                }
                Found::Known(Verdict::Failed | Verdict::Suppressed, _) if took => {
                    return Err(Failure::broken(
                        check,
                        "it said failed, but the provider had taken the message",
                    ));
                }
                _ => {}
            }
        }
        self.must(Behaviour::Accept).await?;
        let (never_sent, _) = self.batch(1);
        if let Found::Known(Verdict::Sent | Verdict::Delivered, _) = self.ask(check, &never_sent[0]).await? {
            return Err(Failure::broken(check, "it said sent of a message that never left"));
        }
        self.report.passed(check);
        Ok(())
    }

    async fn ask(&self, check: &str, envelope: &Envelope) -> Result<Found, Failure> {
        // Sample envelopes are begun when they are made.
        let (begun, now) = (envelope.due, envelope.due.after(LATER));
        let inquiry = self.transport.inquire(envelope, begun, now);
        let asked = tokio::time::timeout(self.bench.patience(), inquiry).await;
        asked.map_err(|_| Failure::broken(check, "it brought no answer"))
    }
}
