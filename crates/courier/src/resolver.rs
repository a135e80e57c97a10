//! The resolver: decides what becomes of sends whose outcome is unknown, after their send_by. Repeats under the same token,
//! asks the provider, repeats once, or holds, as channel and order say.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use posthaste_model::{Channel, Member, OnUnknown, Reason, State, UnixMs, Verdict};
use posthaste_ops::stop::Stop;
use posthaste_store::{
    CallError, Decided, Decision, Fault, Head, Loaded, Resolved, RowOutcome, Store, ToPark,
};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::engine::flaw_word;
use crate::metrics::Meter;
use crate::transport::{Abilities, Envelope, Found, Policy, Transport};

/// Parcels of one inquiry.
const PARCELS: u32 = 20;
/// How long no other courier asks about the same parcel: as long as an answer may take, but no longer than this.
const PUT_OFF: Duration = Duration::from_secs(30);
/// The first repeat under a token goes at once, the second when this part of the provider's memory has passed since the first
/// attempt, and each after twice that of the one before: a few minutes apart at first, and never just before the end.
const FIRST_REST: u32 = 64;

/// What to do with one unresolved row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Plan {
    /// Ask the provider first.
    Ask,
    /// Decide at once.
    Decide(Decision),
    /// Look again later.
    Wait,
}

/// The rule: pure.
pub(crate) fn plan(abilities: &Abilities, order: OnUnknown, row: &RowOutcome, now: UnixMs) -> Plan {
    // Decided already when it was told. Poison ended every courier that sent it alone.
    if matches!(row.reason, Reason::TriesSpent | Reason::Held | Reason::Poison) {
        return Plan::Decide(Decision::Hold(row.reason));
    }
    if abilities.idempotent_for > Duration::ZERO && row.token.is_some() {
        // The repeat is free while the provider remembers the token, and a duplicate afterwards. Each repeat spends a try.
        let age = now.since(row.changed);
        return if age >= abilities.idempotent_for {
            Plan::Decide(Decision::Hold(Reason::Held))
        } else if row.tries >= abilities.max_tries {
            Plan::Decide(Decision::Hold(Reason::TriesSpent))
        } else if row.repeated && age < rest(abilities.idempotent_for, row.tries) {
            Plan::Wait
        } else {
            Plan::Decide(Decision::Repeat)
        };
    }
    if abilities.inquires {
        return Plan::Ask;
    }
    Plan::Decide(without_asking(abilities, order, row))
}

/// How old the first attempt must be for one more repeat, after so many tries.
fn rest(idempotent_for: Duration, tries: u8) -> Duration {
    (idempotent_for / FIRST_REST).saturating_mul(1 << (tries.clamp(1, 16) - 1))
}

/// What policy says when nothing can be found out.
pub(crate) fn without_asking(abilities: &Abilities, order: OnUnknown, row: &RowOutcome) -> Decision {
    let retry = match order {
        OnUnknown::Retry => true,
        OnUnknown::Hold => false,
        OnUnknown::Default => abilities.on_unknown == Policy::RetryOnce,
    };
    match (retry, row.repeated) {
        (true, false) => Decision::Retry,
        (true, true) => Decision::Hold(Reason::RepeatSpent),
        (false, _) => Decision::Hold(Reason::Held),
    }
}

#[derive(Clone)]
pub(crate) struct Resolver {
    pub(crate) store: Store,
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) channel: Channel,
    pub(crate) meter: Arc<Meter>,
    pub(crate) kick: Arc<Notify>,
    pub(crate) every: Duration,
}

impl Resolver {
    /// Resolves until stopped: when called, and every so often.
    pub(crate) async fn run(self, stop: Stop) {
        let mut wake = Instant::now() + self.every;
        loop {
            tokio::select! {
                () = stop.soft.cancelled() => return,
                () = self.kick.notified() => {}
                () = tokio::time::sleep_until(wake) => {}
            }
            wake = Instant::now() + self.every;
            // Those that can't be asked keep the others from nothing.
            for p in (0..self.store.partitions()).filter(|p| self.store.can_ask(*p)) {
                match self.resolve_partition(p).await {
                    Ok(Some(next)) => wake = wake.min(next),
                    Ok(None) => {}
                    Err(CallError::Stop(_)) => return,
                    Err(error) => tracing::debug!(%error, "an inquiry got no answer; it comes again"),
                }
            }
            tokio::select! {
                () = stop.soft.cancelled() => return,
                () = tokio::time::sleep(Duration::from_millis(100)) => {}
            }
        }
    }

    /// Answers when the next parcel may be asked about.
    async fn resolve_partition(&self, p: u16) -> Result<Option<Instant>, CallError> {
        loop {
            let put_off = PUT_OFF.min(self.transport.abilities().send_window);
            let answer = self.store.inquire(p, &self.channel, PARCELS, put_off).await?;
            let now = answer.now;
            if answer.reply.members.is_empty() {
                return Ok(answer
                    .reply
                    .next
                    .map(|next| Instant::now() + next.since(now) + Duration::from_millis(1)));
            }
            for member in answer.reply.members {
                match self.resolve_parcel(p, &member, now).await {
                    // A damaged one is parked; one of a later version is asked about again, by a program that can read it.
                    Err(CallError::Fault(Fault::Record(flaw))) => {
                        let order = member.suffix.order_id();
                        if flaw.newer {
                            self.meter.newer(&self.channel, 1, &order);
                            continue;
                        }
                        tracing::error!(channel = %self.channel, order, %flaw, "an unknown outcome can't be resolved, its record can't be read: see `posthaste parked list`");
                        self.meter.alarm("parked");
                        let parked = [ToPark { member, fence: None, why: flaw_word(&flaw) }];
                        self.store.park(p, &self.channel, &parked).await?;
                    }
                    // It must not stand in the way of the others; it is asked about again later.
                    Err(CallError::Fault(fault)) => {
                        tracing::error!(channel = %self.channel, error = %fault, "an unknown outcome can't be resolved");
                        self.meter.alarm("fault");
                    }
                    other => other?,
                }
            }
        }
    }

    async fn resolve_parcel(&self, p: u16, member: &Member, now: UnixMs) -> Result<(), CallError> {
        let Some((head, loaded)) = self.load(p, member).await? else { return Ok(()) };
        let abilities = self.transport.abilities();
        let mut decisions = Vec::new();
        for (at, row) in loaded.outcomes.rows().enumerate().filter(|(_, row)| row.state == State::Unresolved)
        {
            let Ok(index) = u16::try_from(at) else { break };
            let decision = match plan(&abilities, head.on_unknown, &row, now) {
                Plan::Decide(decision) => Some(decision),
                Plan::Wait => None,
                Plan::Ask => self.ask(&abilities, &head, member, &loaded, (index, &row), now).await,
            };
            if let Some(decision) = decision {
                decisions.push((index, row.attempt, decision));
            }
        }
        if decisions.is_empty() {
            return Ok(());
        }
        let answer = self.store.resolve(p, &self.channel, member, &decisions).await?;
        if let Resolved::Ok { rows, .. } = answer.reply {
            for ((_, _, decision), decided) in decisions.iter().zip(rows) {
                if decided == Decided::Applied {
                    self.meter.resolved(word(decision), 1);
                }
            }
        }
        Ok(())
    }

    async fn load(&self, p: u16, member: &Member) -> Result<Option<(Head, Loaded)>, CallError> {
        let Some(order) = self.store.load_order(p, &member.suffix).await? else { return Ok(None) };
        let loaded = match order.inline {
            Some((inline, outcomes)) => {
                Loaded { content: Arc::new(inline.content), rows: inline.rows, outcomes }
            }
            None => self.store.load(p, &self.channel, member, &order.head).await?,
        };
        Ok(Some((order.head, loaded)))
    }

    /// Asks the provider. `None`: not now, it is asked again later.
    async fn ask(
        &self,
        abilities: &Abilities,
        head: &Head,
        member: &Member,
        loaded: &Loaded,
        (index, row): (u16, &RowOutcome),
        now: UnixMs,
    ) -> Option<Decision> {
        let envelope = Envelope {
            suffix: member.suffix.clone(),
            parcel: member.number,
            row: index,
            attempt: row.attempt,
            to: loaded.rows.get(usize::from(index))?.clone(),
            content: Arc::clone(&loaded.content),
            due: head.due,
            token: row.token,
            tries: row.tries,
            repeat: row.repeated,
        };
        let inquiry = AssertUnwindSafe(self.transport.inquire(&envelope, row.changed, now)).catch_unwind();
        let found = tokio::time::timeout(abilities.send_window, inquiry).await.unwrap_or(Ok(Found::NotNow));
        let found = found.unwrap_or_else(|_| {
            tracing::error!(channel = %self.channel, "an inquiry panicked");
            self.meter.alarm("panic");
            Found::NotNow
        });
        match found {
            Found::Known(verdict, reason) => Some(Decision::Found(verdict, reason)),
            // It never arrived, so sending it again is no repeat; what never arrives has an end all the same.
            Found::Never if row.tries >= abilities.max_tries => {
                Some(Decision::Found(Verdict::Failed, Reason::TriesSpent))
            }
            Found::Never => Some(Decision::Repeat),
            Found::CannotTell => Some(without_asking(abilities, head.on_unknown, row)),
            Found::NotNow => None,
        }
    }
}

fn word(decision: &Decision) -> &'static str {
    match decision {
        Decision::Retry => "retry",
        Decision::Repeat => "repeat",
        Decision::Hold(_) => "hold",
        Decision::Found(Verdict::Delivered | Verdict::Sent, _) => "found_sent",
        Decision::Found(..) => "found_failed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(repeated: bool, token: Option<u32>) -> RowOutcome {
        RowOutcome {
            state: State::Unresolved,
            attempt: 1,
            tries: 0,
            repeated,
            reason: Reason::TimedOut,
            changed: UnixMs(1_000_000),
            token,
            not_before: None,
        }
    }

    fn decide(abilities: &Abilities, order: OnUnknown, row: &RowOutcome) -> Plan {
        plan(abilities, order, row, UnixMs(1_010_000))
    }

    #[test]
    fn the_order_decides_before_the_channel() {
        let holds = Abilities { on_unknown: Policy::Hold, ..Abilities::default() };
        let retries = Abilities { on_unknown: Policy::RetryOnce, ..Abilities::default() };
        let fresh = row(false, None);
        assert_eq!(decide(&holds, OnUnknown::Default, &fresh), Plan::Decide(Decision::Hold(Reason::Held)));
        assert_eq!(decide(&holds, OnUnknown::Retry, &fresh), Plan::Decide(Decision::Retry));
        assert_eq!(decide(&retries, OnUnknown::Default, &fresh), Plan::Decide(Decision::Retry));
        assert_eq!(decide(&retries, OnUnknown::Hold, &fresh), Plan::Decide(Decision::Hold(Reason::Held)));
    }

    #[test]
    fn a_row_is_repeated_once() {
        let retries = Abilities { on_unknown: Policy::RetryOnce, ..Abilities::default() };
        let decision = decide(&retries, OnUnknown::Default, &row(true, None));
        assert_eq!(decision, Plan::Decide(Decision::Hold(Reason::RepeatSpent)));
    }

    #[test]
    fn a_token_is_repeated_while_the_provider_remembers_it() {
        let abilities =
            Abilities { idempotent_for: Duration::from_secs(3000), tokens: true, ..Abilities::default() };
        let young = plan(&abilities, OnUnknown::Hold, &row(true, Some(7)), UnixMs(1_000_000 + 2_999_000));
        let old = plan(&abilities, OnUnknown::Retry, &row(false, Some(7)), UnixMs(1_000_000 + 3_000_000));
        assert_eq!(young, Plan::Decide(Decision::Repeat));
        assert_eq!(old, Plan::Decide(Decision::Hold(Reason::Held)));
    }

    #[test]
    fn repeats_under_a_token_come_ever_more_seldom_and_have_an_end() {
        let minutes = |minutes: u64| minutes * 60;
        let abilities = Abilities {
            idempotent_for: Duration::from_secs(minutes(64)),
            tokens: true,
            max_tries: 8,
            ..Abilities::default()
        };
        let at = |tries, age: u64| {
            let row = RowOutcome { tries, ..row(true, Some(7)) };
            plan(&abilities, OnUnknown::Default, &row, UnixMs(1_000_000 + age * 1_000))
        };
        for (tries, minute) in [(1, 1), (2, 2), (3, 4), (4, 8), (5, 16), (6, 32)] {
            assert_eq!(at(tries, minutes(minute) - 1), Plan::Wait, "after {tries} tries");
            assert_eq!(at(tries, minutes(minute)), Plan::Decide(Decision::Repeat), "after {tries} tries");
        }
        assert_eq!(at(7, minutes(64) - 1), Plan::Wait);
        assert_eq!(at(7, minutes(64)), Plan::Decide(Decision::Hold(Reason::Held)));
        assert_eq!(at(8, minutes(1)), Plan::Decide(Decision::Hold(Reason::TriesSpent)));
    }

    #[test]
    fn a_provider_that_can_tell_is_asked() {
        let abilities = Abilities { inquires: true, ..Abilities::default() };
        assert_eq!(decide(&abilities, OnUnknown::Retry, &row(false, None)), Plan::Ask);
    }
}
