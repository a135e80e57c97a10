//! The resolver: decides about deliveries of unknown outcome once their send_by has passed. Depending on channel and
//! order, it repeats under the same token, asks the provider, repeats once, or holds.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use posthaste_model::{Channel, OnUnknown, OutcomeKind, ParcelId, Reason, State, UnixMs};
use posthaste_ops::shutdown::Shutdown;
use posthaste_store::{
    CallError, Decided, Decision, DeliveryRecord, Head, InvalidReply, LoadedParcel, Resolved, Store, ToPark,
};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::engine::malformed_word;
use crate::metrics::Meter;
use crate::transport::{Capabilities, Envelope, LookupResult, Transport, UnknownHandling};

/// Parcels per call.
const PARCELS: u32 = 20;
/// How long no other courier handles the same parcel: the send window, but at most this.
const PUT_OFF: Duration = Duration::from_secs(30);
/// The first repeat under a token goes at once; the second when 1/`FIRST_REST` of the time for which the provider
/// remembers the token has passed since the first attempt; each further one after twice the time of the one before.
/// So repeats are a few minutes apart at first, and none comes just before the provider forgets the token.
const FIRST_REST: u32 = 64;

/// What to do with one unresolved delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Plan {
    /// Ask the provider first.
    Ask,
    /// Decide now.
    Decide(Decision),
    /// Decide later.
    Wait,
}

/// The decision rule. Pure.
pub(crate) fn plan(
    capabilities: &Capabilities,
    order: OnUnknown,
    delivery: &DeliveryRecord,
    now: UnixMs,
) -> Plan {
    // Already decided when it was reported. Poison has ended every courier that sent it alone.
    if matches!(delivery.reason, Reason::RetriesExhausted | Reason::NotRetried | Reason::Poison) {
        return Plan::Decide(Decision::Hold(delivery.reason));
    }
    if capabilities.idempotent_for > Duration::ZERO && delivery.token.is_some() {
        // A repeat is safe while the provider remembers the token, and a duplicate afterwards. Each repeat spends a
        // try.
        let age = now.since(delivery.changed);
        return if age >= capabilities.idempotent_for {
            Plan::Decide(Decision::Hold(Reason::NotRetried))
        } else if delivery.tries >= capabilities.max_tries {
            Plan::Decide(Decision::Hold(Reason::RetriesExhausted))
        } else if delivery.repeated && age < rest(capabilities.idempotent_for, delivery.tries) {
            Plan::Wait
        } else {
            Plan::Decide(Decision::Repeat)
        };
    }
    if capabilities.looks_up {
        return Plan::Ask;
    }
    Plan::Decide(without_asking(capabilities, order, delivery))
}

/// The minimum age of the first attempt for one more repeat, after this many tries.
fn rest(idempotent_for: Duration, tries: u8) -> Duration {
    (idempotent_for / FIRST_REST).saturating_mul(1 << (tries.clamp(1, 16) - 1))
}

/// The decision by policy, when the provider can't be asked.
pub(crate) fn without_asking(
    capabilities: &Capabilities,
    order: OnUnknown,
    delivery: &DeliveryRecord,
) -> Decision {
    let retry = match order {
        OnUnknown::Retry => true,
        OnUnknown::Hold => false,
        OnUnknown::Default => capabilities.on_unknown == UnknownHandling::RetryOnce,
    };
    match (retry, delivery.repeated) {
        (true, false) => Decision::Retry,
        (true, true) => Decision::Hold(Reason::RetryUnconfirmed),
        (false, _) => Decision::Hold(Reason::NotRetried),
    }
}

#[derive(Clone)]
pub(crate) struct Resolver {
    pub(crate) store: Store,
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) channel: Channel,
    pub(crate) meter: Arc<Meter>,
    pub(crate) waker: Arc<Notify>,
    pub(crate) every: Duration,
}

impl Resolver {
    /// Runs until stopped: when woken, and every `every`.
    pub(crate) async fn run(self, stop: Shutdown) {
        let mut wake = Instant::now() + self.every;
        loop {
            tokio::select! {
                () = stop.soft.cancelled() => return,
                () = self.waker.notified() => {}
                () = tokio::time::sleep_until(wake) => {}
            }
            wake = Instant::now() + self.every;
            // Unreachable partitions do not delay the others.
            for p in (0..self.store.partitions()).filter(|p| self.store.can_ask(*p)) {
                match self.resolve_partition(p).await {
                    Ok(Some(next)) => wake = wake.min(next),
                    Ok(None) => {}
                    Err(CallError::Fatal(_)) => return,
                    Err(error) => tracing::debug!(%error, "resolving unknown outcomes failed; will retry"),
                }
            }
            tokio::select! {
                () = stop.soft.cancelled() => return,
                () = tokio::time::sleep(Duration::from_millis(100)) => {}
            }
        }
    }

    /// Returns when the next parcel may be resolved.
    async fn resolve_partition(&self, p: u16) -> Result<Option<Instant>, CallError> {
        loop {
            let put_off = PUT_OFF.min(self.transport.capabilities().send_window);
            let answer = self.store.claim_unresolved(p, &self.channel, PARCELS, put_off).await?;
            let now = answer.now;
            if answer.reply.parcel_ids.is_empty() {
                return Ok(answer
                    .reply
                    .next
                    .map(|next| Instant::now() + next.since(now) + Duration::from_millis(1)));
            }
            for parcel_id in answer.reply.parcel_ids {
                match self.resolve_parcel(p, &parcel_id, now).await {
                    // A damaged parcel is parked; one of a later version is left to a program that can read it.
                    Err(CallError::InvalidReply(InvalidReply::Record(malformed))) => {
                        let order = parcel_id.order_id.wire_id();
                        if malformed.newer {
                            self.meter.newer(&self.channel, 1, &order);
                            continue;
                        }
                        tracing::error!(
                            event = "record.parked",
                            channel = %self.channel,
                            order,
                            why = %malformed,
                            "cannot resolve an unknown outcome: unreadable record parked"
                        );
                        self.meter.alert("record_parked");
                        let parked = [ToPark { parcel_id, fence: None, why: malformed_word(&malformed) }];
                        self.store.park(p, &self.channel, &parked).await?;
                    }
                    // It must not block the others; it is tried again later.
                    Err(CallError::InvalidReply(fault)) => {
                        tracing::error!(
                            event = "database.invalid_reply",
                            channel = %self.channel,
                            error = %fault,
                            "cannot resolve an unknown outcome; will retry"
                        );
                        self.meter.alert("invalid_reply");
                    }
                    other => other?,
                }
            }
        }
    }

    async fn resolve_parcel(&self, p: u16, parcel_id: &ParcelId, now: UnixMs) -> Result<(), CallError> {
        let Some((head, loaded)) = self.load(p, parcel_id).await? else { return Ok(()) };
        let capabilities = self.transport.capabilities();
        let mut decisions = Vec::new();
        for (at, delivery) in loaded
            .outcomes
            .deliveries()
            .enumerate()
            .filter(|(_, delivery)| delivery.state == State::Unresolved)
        {
            let Ok(index) = u16::try_from(at) else { break };
            let decision = match plan(&capabilities, head.on_unknown, &delivery, now) {
                Plan::Decide(decision) => Some(decision),
                Plan::Wait => None,
                Plan::Ask => {
                    self.ask(&capabilities, &head, parcel_id, &loaded, (index, &delivery), now).await
                }
            };
            if let Some(decision) = decision {
                decisions.push((index, delivery.attempt, decision));
            }
        }
        if decisions.is_empty() {
            return Ok(());
        }
        let answer = self.store.resolve(p, &self.channel, parcel_id, &decisions).await?;
        if let Resolved::Ok { deliveries, .. } = answer.reply {
            for ((_, _, decision), decided) in decisions.iter().zip(deliveries) {
                if decided == Decided::Applied {
                    self.meter.resolved(word(decision), 1);
                }
            }
        }
        Ok(())
    }

    async fn load(&self, p: u16, parcel_id: &ParcelId) -> Result<Option<(Head, LoadedParcel)>, CallError> {
        let Some(order) = self.store.load_order(p, &parcel_id.order_id).await? else { return Ok(None) };
        let loaded = match order.inline {
            Some((inline, outcomes)) => {
                LoadedParcel { content: Arc::new(inline.content), deliveries: inline.deliveries, outcomes }
            }
            None => self.store.load(p, &self.channel, parcel_id, &order.head).await?,
        };
        Ok(Some((order.head, loaded)))
    }

    /// Asks the provider. `None`: no answer now, ask again later.
    async fn ask(
        &self,
        capabilities: &Capabilities,
        head: &Head,
        parcel_id: &ParcelId,
        loaded: &LoadedParcel,
        (index, delivery): (u16, &DeliveryRecord),
        now: UnixMs,
    ) -> Option<Decision> {
        let envelope = Envelope {
            order_id: parcel_id.order_id.clone(),
            parcel: parcel_id.number,
            delivery: index,
            attempt: delivery.attempt,
            to: loaded.deliveries.get(usize::from(index))?.clone(),
            content: Arc::clone(&loaded.content),
            due: head.due,
            token: delivery.token,
            tries: delivery.tries,
            repeat: delivery.repeated,
        };
        let inquiry =
            AssertUnwindSafe(self.transport.look_up(&envelope, delivery.changed, now)).catch_unwind();
        let found =
            tokio::time::timeout(capabilities.send_window, inquiry).await.unwrap_or(Ok(LookupResult::NotNow));
        let found = found.unwrap_or_else(|_| {
            tracing::error!(
                event = "courier.call_panicked",
                channel = %self.channel,
                call = "look_up",
                "an inquiry at the provider panicked; will retry"
            );
            self.meter.alert("panic");
            LookupResult::NotNow
        });
        match found {
            LookupResult::Known(kind, reason) => Some(Decision::Found(kind, reason)),
            // It never arrived, so sending it again causes no duplicate; but the number of tries is limited.
            LookupResult::Never if delivery.tries >= capabilities.max_tries => {
                Some(Decision::Found(OutcomeKind::Failed, Reason::RetriesExhausted.into()))
            }
            LookupResult::Never => Some(Decision::Repeat),
            LookupResult::CannotTell => Some(without_asking(capabilities, head.on_unknown, delivery)),
            LookupResult::NotNow => None,
        }
    }
}

fn word(decision: &Decision) -> &'static str {
    match decision {
        Decision::Retry => "retry",
        Decision::Repeat => "repeat",
        Decision::Hold(_) => "hold",
        Decision::Found(OutcomeKind::Delivered | OutcomeKind::Sent, _) => "found_sent",
        Decision::Found(..) => "found_failed",
    }
}

#[cfg(test)]
mod tests {
    use posthaste_model::ProviderCode;

    use super::*;

    fn delivery(repeated: bool, token: Option<u32>) -> DeliveryRecord {
        DeliveryRecord {
            state: State::Unresolved,
            attempt: 1,
            tries: 0,
            repeated,
            reason: Reason::TimedOut,
            code: ProviderCode::NONE,
            changed: UnixMs(1_000_000),
            token,
            not_before: None,
        }
    }

    fn decide(capabilities: &Capabilities, order: OnUnknown, delivery: &DeliveryRecord) -> Plan {
        plan(capabilities, order, delivery, UnixMs(1_010_000))
    }

    #[test]
    fn the_order_decides_before_the_channel() {
        let holds = Capabilities { on_unknown: UnknownHandling::Hold, ..Capabilities::default() };
        let retries = Capabilities { on_unknown: UnknownHandling::RetryOnce, ..Capabilities::default() };
        let fresh = delivery(false, None);
        assert_eq!(
            decide(&holds, OnUnknown::Default, &fresh),
            Plan::Decide(Decision::Hold(Reason::NotRetried))
        );
        assert_eq!(decide(&holds, OnUnknown::Retry, &fresh), Plan::Decide(Decision::Retry));
        assert_eq!(decide(&retries, OnUnknown::Default, &fresh), Plan::Decide(Decision::Retry));
        assert_eq!(
            decide(&retries, OnUnknown::Hold, &fresh),
            Plan::Decide(Decision::Hold(Reason::NotRetried))
        );
    }

    #[test]
    fn without_a_token_a_delivery_is_repeated_once() {
        let retries = Capabilities { on_unknown: UnknownHandling::RetryOnce, ..Capabilities::default() };
        let decision = decide(&retries, OnUnknown::Default, &delivery(true, None));
        assert_eq!(decision, Plan::Decide(Decision::Hold(Reason::RetryUnconfirmed)));
    }

    #[test]
    fn a_delivery_is_repeated_while_the_provider_remembers_its_token() {
        let capabilities = Capabilities {
            idempotent_for: Duration::from_secs(3000),
            tokens: true,
            ..Capabilities::default()
        };
        let young =
            plan(&capabilities, OnUnknown::Hold, &delivery(true, Some(7)), UnixMs(1_000_000 + 2_999_000));
        let old =
            plan(&capabilities, OnUnknown::Retry, &delivery(false, Some(7)), UnixMs(1_000_000 + 3_000_000));
        assert_eq!(young, Plan::Decide(Decision::Repeat));
        assert_eq!(old, Plan::Decide(Decision::Hold(Reason::NotRetried)));
    }

    #[test]
    fn repeats_under_a_token_become_rarer_and_end() {
        let minutes = |minutes: u64| minutes * 60;
        let capabilities = Capabilities {
            idempotent_for: Duration::from_secs(minutes(64)),
            tokens: true,
            max_tries: 8,
            ..Capabilities::default()
        };
        let at = |tries, age: u64| {
            let delivery = DeliveryRecord { tries, ..delivery(true, Some(7)) };
            plan(&capabilities, OnUnknown::Default, &delivery, UnixMs(1_000_000 + age * 1_000))
        };
        for (tries, minute) in [(1, 1), (2, 2), (3, 4), (4, 8), (5, 16), (6, 32)] {
            assert_eq!(at(tries, minutes(minute) - 1), Plan::Wait, "after {tries} tries");
            assert_eq!(at(tries, minutes(minute)), Plan::Decide(Decision::Repeat), "after {tries} tries");
        }
        assert_eq!(at(7, minutes(64) - 1), Plan::Wait);
        assert_eq!(at(7, minutes(64)), Plan::Decide(Decision::Hold(Reason::NotRetried)));
        assert_eq!(at(8, minutes(1)), Plan::Decide(Decision::Hold(Reason::RetriesExhausted)));
    }

    #[test]
    fn a_provider_that_can_tell_is_asked() {
        let capabilities = Capabilities { looks_up: true, ..Capabilities::default() };
        assert_eq!(decide(&capabilities, OnUnknown::Retry, &delivery(false, None)), Plan::Ask);
    }
}
