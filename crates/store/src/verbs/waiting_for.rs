//! What a delivery that is not final is waiting for.

use posthaste_model::{Reason, State, UnixMs};
use posthaste_protocol::record::DeliveryRecord;

use super::order_summary::OrderSummary;

/// What a delivery is waiting for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WaitingFor {
    /// Its order is due at this moment.
    Due(UnixMs),
    /// It failed temporarily and is tried again at this moment.
    Retry(UnixMs),
    /// The provider asked to wait until this moment.
    Throttle(UnixMs),
    /// The channel is stopped: its credential was refused.
    Stopped,
    /// No courier of its channel was seen recently.
    NoCourier,
    /// Its turn at a courier.
    Courier,
    /// The provider's answer.
    Answer,
    /// Its outcome is unknown; the channel's resolver decides.
    Resolver,
}

impl WaitingFor {
    /// The stable word for API answers.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Due(_) => "schedule",
            Self::Retry(_) => "retry",
            Self::Throttle(_) => "rate_limit",
            Self::Stopped => "channel_stopped",
            Self::NoCourier => "no_courier",
            Self::Courier => "courier",
            Self::Answer => "provider",
            Self::Resolver => "outcome_check",
        }
    }

    /// Until when, if that is known.
    #[must_use]
    pub fn at(self) -> Option<UnixMs> {
        match self {
            Self::Due(at) | Self::Retry(at) | Self::Throttle(at) => Some(at),
            Self::Stopped | Self::NoCourier | Self::Courier | Self::Answer | Self::Resolver => None,
        }
    }
}

/// The couriers of a channel, as far as a waiting delivery is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AtCouriers {
    /// None was seen recently.
    None,
    /// One is there.
    Some,
    /// All that are there are stopped until an operator fixes something.
    Stopped,
}

/// What a delivery is waiting for at a moment, given the couriers of its channel; `None` when it is final or
/// about to end.
pub(super) fn waits_for(
    outcome: &DeliveryRecord,
    order: &OrderSummary,
    couriers: AtCouriers,
    now: UnixMs,
) -> Option<WaitingFor> {
    match outcome.state {
        State::Sending => Some(WaitingFor::Answer),
        State::Unresolved => Some(WaitingFor::Resolver),
        State::Pending if order.cancelled.is_none() => Some(pending(outcome, order, couriers, now)),
        _ => None,
    }
}

fn pending(outcome: &DeliveryRecord, order: &OrderSummary, couriers: AtCouriers, now: UnixMs) -> WaitingFor {
    if let Some(due) = order.waits_until.filter(|due| *due > now) {
        return WaitingFor::Due(due);
    }
    if couriers == AtCouriers::Stopped {
        return WaitingFor::Stopped;
    }
    let courier = couriers == AtCouriers::Some;
    let not_before = outcome.not_before.filter(|at| *at > now);
    match (outcome.reason, not_before) {
        (Reason::ChannelStopped, not_before) if not_before.is_some() || !courier => WaitingFor::Stopped,
        (Reason::Throttled, Some(at)) => WaitingFor::Throttle(at),
        (_, Some(at)) => WaitingFor::Retry(at),
        (_, None) if courier => WaitingFor::Courier,
        (_, None) => WaitingFor::NoCourier,
    }
}

#[cfg(test)]
mod tests {
    use posthaste_model::{OnUnknown, Priority, ProviderCode};
    use posthaste_protocol::record::Head;

    use super::*;

    fn order(waits_until: Option<u64>) -> OrderSummary {
        OrderSummary {
            head: Head {
                inline: true,
                priority: Priority::Bulk,
                on_unknown: OnUnknown::Default,
                accepted: UnixMs(0),
                due: UnixMs(0),
                not_after: UnixMs(1_000),
                digest: [0; 12],
                channels: vec![],
            },
            counters: vec![],
            revision: 0,
            cancelled: None,
            finished: None,
            waits_until: waits_until.map(UnixMs),
            promoted: None,
        }
    }

    fn delivery(state: State, reason: Reason, not_before: Option<u64>) -> DeliveryRecord {
        DeliveryRecord {
            state,
            attempt: 1,
            tries: 1,
            repeated: false,
            reason,
            code: ProviderCode::NONE,
            changed: UnixMs(0),
            token: None,
            not_before: not_before.map(UnixMs),
        }
    }

    #[test]
    fn every_open_delivery_waits_for_something() {
        let now = UnixMs(100);
        let reported = |outcome: DeliveryRecord, order: &OrderSummary, courier| {
            let couriers = if courier { AtCouriers::Some } else { AtCouriers::None };
            waits_for(&outcome, order, couriers, now).map(|w| (w.word(), w.at().map(|at| at.0)))
        };
        let (promoted, waiting, late) = (order(None), order(Some(200)), order(Some(99)));
        let pending = |reason, not_before| delivery(State::Pending, reason, not_before);
        let cases = [
            (pending(Reason::None, None), &waiting, true, ("schedule", Some(200))),
            (pending(Reason::None, None), &late, true, ("courier", None)),
            (pending(Reason::None, None), &late, false, ("no_courier", None)),
            (pending(Reason::None, None), &promoted, true, ("courier", None)),
            (pending(Reason::ProviderUnavailable, Some(150)), &promoted, true, ("retry", Some(150))),
            (pending(Reason::ProviderUnavailable, Some(99)), &promoted, true, ("courier", None)),
            (pending(Reason::Throttled, Some(150)), &promoted, false, ("rate_limit", Some(150))),
            (pending(Reason::Throttled, Some(99)), &promoted, false, ("no_courier", None)),
            (pending(Reason::ChannelStopped, Some(150)), &promoted, true, ("channel_stopped", None)),
            (pending(Reason::ChannelStopped, None), &promoted, false, ("channel_stopped", None)),
            (pending(Reason::ChannelStopped, None), &promoted, true, ("courier", None)),
            (delivery(State::Sending, Reason::None, None), &promoted, true, ("provider", None)),
            (delivery(State::Unresolved, Reason::TimedOut, None), &promoted, true, ("outcome_check", None)),
        ];
        for (outcome, order, courier, expected) in cases {
            assert_eq!(reported(outcome, order, courier), Some(expected), "{outcome:?}");
        }
        for (outcome, order, expected) in [
            (pending(Reason::None, None), &promoted, "channel_stopped"),
            (pending(Reason::ProviderUnavailable, Some(150)), &promoted, "channel_stopped"),
            (pending(Reason::None, None), &waiting, "schedule"),
            (delivery(State::Sending, Reason::None, None), &promoted, "provider"),
        ] {
            let found = waits_for(&outcome, order, AtCouriers::Stopped, now).map(WaitingFor::word);
            assert_eq!(found, Some(expected), "{outcome:?} while the channel is stopped");
        }
        let cancelled = OrderSummary { cancelled: Some(UnixMs(50)), ..order(None) };
        assert_eq!(reported(pending(Reason::None, None), &cancelled, true), None);
        for state in State::ALL.into_iter().filter(|state| !state.is_open()) {
            assert_eq!(reported(delivery(state, Reason::None, None), &promoted, true), None);
        }
    }
}
