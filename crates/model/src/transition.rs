//! The single table of state × event → state. `ARCHITECTURE.md` shows it, the scripts follow it (a test runs every cell on a
//! real server), and the simulator checks every step against it. Combinations not in the table change nothing.

use crate::state::State;

/// The outcome of one attempt as scripts read it. A transport's `Outcome` has three more, for the engine alone: a strike
/// is settled as [`Failed`](Self::Failed), a throttled or stopped one as [`NotSent`](Self::NotSent).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum OutcomeKind {
    /// The provider accepted the message.
    Sent,
    /// The provider reported that the message arrived.
    Delivered,
    /// Refused for good.
    Failed,
    /// The address is on a suppression list: nothing was sent.
    Suppressed,
    /// Bytes may have been sent, and no complete answer arrived.
    Unknown,
    /// Refused for now: a try is spent.
    Retry,
    /// Certainly nothing was sent: no try is spent.
    NotSent,
    /// One part of several was sent.
    Part,
}

impl OutcomeKind {
    /// All outcomes.
    pub const ALL: [Self; 8] = [
        Self::Sent,
        Self::Delivered,
        Self::Failed,
        Self::Suppressed,
        Self::Unknown,
        Self::Retry,
        Self::NotSent,
        Self::Part,
    ];

    /// The letter used by scripts.
    #[must_use]
    pub fn letter(self) -> u8 {
        match self {
            Self::Sent => b's',
            Self::Delivered => b'd',
            Self::Failed => b'f',
            Self::Suppressed => b'x',
            Self::Unknown => b'u',
            Self::Retry => b'r',
            Self::NotSent => b'n',
            Self::Part => b'p',
        }
    }
}

/// What can happen to a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DeliveryEvent {
    /// A courier begins the next attempt under its lease.
    Begin,
    /// The courier of the recorded attempt reports its outcome.
    Settle(OutcomeKind),
    /// A report on an attempt other than the recorded one says that the message was accepted; other such reports
    /// change nothing.
    Evidence(OutcomeKind),
    /// A delivery receipt for the recorded attempt.
    Receipt(OutcomeKind),
    /// The resolver repeats the delivery once.
    ResolveRetry,
    /// The resolver repeats under the same token.
    ResolveRepeat,
    /// The resolver holds.
    ResolveHold,
    /// The resolver asked the provider and got an answer.
    Resolve(OutcomeKind),
    /// The lease of the parcel ended.
    LeaseOver,
    /// The delivery is found to belong to a cancelled order.
    Cancel,
    /// The delivery is found after `not_after`.
    Expire,
    /// Three couriers died of the parcel.
    GiveUp,
    /// Cancel, Expire or GiveUp for a delivery that waits for its repeat after an unknown outcome.
    EndRepeated,
    /// The database lost its last changes, and an operator chose to treat deliveries that may have been begun in them as sent.
    InDoubt,
}

/// The table.
pub const TABLE: &[(State, DeliveryEvent, State)] = {
    use DeliveryEvent as E;
    use OutcomeKind as V;
    use State as S;
    &[
        (S::Pending, E::Begin, S::Sending),
        (S::Pending, E::Evidence(V::Sent), S::Sent),
        (S::Pending, E::Evidence(V::Delivered), S::Delivered),
        (S::Pending, E::Receipt(V::Sent), S::Sent),
        (S::Pending, E::Receipt(V::Delivered), S::Delivered),
        (S::Pending, E::Cancel, S::Cancelled),
        (S::Pending, E::Expire, S::Expired),
        (S::Pending, E::GiveUp, S::Failed),
        (S::Pending, E::EndRepeated, S::Unknown),
        (S::Pending, E::InDoubt, S::Unknown),
        (S::Sending, E::Settle(V::Sent), S::Sent),
        (S::Sending, E::Settle(V::Delivered), S::Delivered),
        (S::Sending, E::Settle(V::Failed), S::Failed),
        (S::Sending, E::Settle(V::Suppressed), S::Suppressed),
        (S::Sending, E::Settle(V::Unknown), S::Unresolved),
        (S::Sending, E::Settle(V::Retry), S::Pending),
        (S::Sending, E::Settle(V::NotSent), S::Pending),
        (S::Sending, E::Settle(V::Part), S::Pending),
        (S::Sending, E::Evidence(V::Sent), S::Sent),
        (S::Sending, E::Evidence(V::Delivered), S::Delivered),
        (S::Sending, E::Receipt(V::Sent), S::Sent),
        (S::Sending, E::Receipt(V::Delivered), S::Delivered),
        (S::Sending, E::Receipt(V::Failed), S::Failed),
        (S::Sending, E::LeaseOver, S::Unresolved),
        (S::Sending, E::InDoubt, S::Unknown),
        (S::Unresolved, E::Settle(V::Sent), S::Sent),
        (S::Unresolved, E::Settle(V::Delivered), S::Delivered),
        (S::Unresolved, E::Settle(V::Failed), S::Failed),
        (S::Unresolved, E::Settle(V::Suppressed), S::Suppressed),
        (S::Unresolved, E::Settle(V::Retry), S::Pending),
        (S::Unresolved, E::Settle(V::NotSent), S::Pending),
        (S::Unresolved, E::Settle(V::Part), S::Pending),
        (S::Unresolved, E::Evidence(V::Sent), S::Sent),
        (S::Unresolved, E::Evidence(V::Delivered), S::Delivered),
        (S::Unresolved, E::Receipt(V::Sent), S::Sent),
        (S::Unresolved, E::Receipt(V::Delivered), S::Delivered),
        (S::Unresolved, E::Receipt(V::Failed), S::Failed),
        (S::Unresolved, E::ResolveRetry, S::Pending),
        (S::Unresolved, E::ResolveRepeat, S::Pending),
        (S::Unresolved, E::ResolveHold, S::Unknown),
        (S::Unresolved, E::Resolve(V::Sent), S::Sent),
        (S::Unresolved, E::Resolve(V::Delivered), S::Delivered),
        (S::Unresolved, E::Resolve(V::Failed), S::Failed),
        (S::Unresolved, E::InDoubt, S::Unknown),
        (S::Unknown, E::Settle(V::Sent), S::Sent),
        (S::Unknown, E::Settle(V::Delivered), S::Delivered),
        (S::Unknown, E::Settle(V::Failed), S::Failed),
        (S::Unknown, E::Settle(V::Suppressed), S::Suppressed),
        (S::Unknown, E::Evidence(V::Sent), S::Sent),
        (S::Unknown, E::Evidence(V::Delivered), S::Delivered),
        (S::Unknown, E::Receipt(V::Sent), S::Sent),
        (S::Unknown, E::Receipt(V::Delivered), S::Delivered),
        (S::Unknown, E::Receipt(V::Failed), S::Failed),
        (S::Sent, E::Evidence(V::Delivered), S::Delivered),
        (S::Sent, E::Receipt(V::Delivered), S::Delivered),
        (S::Sent, E::Receipt(V::Failed), S::Failed),
        (S::Failed, E::Evidence(V::Delivered), S::Delivered),
        (S::Failed, E::Receipt(V::Delivered), S::Delivered),
        (S::Suppressed, E::Evidence(V::Delivered), S::Delivered),
        (S::Suppressed, E::Receipt(V::Delivered), S::Delivered),
        (S::Expired, E::Evidence(V::Sent), S::Sent),
        (S::Expired, E::Evidence(V::Delivered), S::Delivered),
        (S::Expired, E::Receipt(V::Sent), S::Sent),
        (S::Expired, E::Receipt(V::Delivered), S::Delivered),
        (S::Cancelled, E::Evidence(V::Sent), S::Sent),
        (S::Cancelled, E::Evidence(V::Delivered), S::Delivered),
        (S::Cancelled, E::Receipt(V::Sent), S::Sent),
        (S::Cancelled, E::Receipt(V::Delivered), S::Delivered),
    ]
};

/// The state after `event`; `None` if nothing changes.
#[must_use]
pub fn next(state: State, event: DeliveryEvent) -> Option<State> {
    TABLE.iter().find(|(from, on, _)| *from == state && *on == event).map(|(_, _, to)| *to)
}

/// The table in Markdown, one line per state, as shown in `ARCHITECTURE.md`.
#[must_use]
pub fn markdown() -> String {
    let mut out = String::from("| state | event → state |\n| --- | --- |\n");
    for state in State::ALL {
        let cells: Vec<String> = TABLE
            .iter()
            .filter(|(from, _, _)| *from == state)
            .map(|(_, event, to)| format!("{event:?} → {to:?}"))
            .collect();
        let cells = if cells.is_empty() { "final".to_owned() } else { cells.join(" · ") };
        out.push_str(&format!("| {state:?} | {cells} |\n"));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cell_is_defined_twice() {
        for (at, (state, event, _)) in TABLE.iter().enumerate() {
            assert!(!TABLE[..at].iter().any(|(s, e, _)| s == state && e == event), "{state:?} {event:?}");
        }
    }

    #[test]
    fn delivered_is_final() {
        assert!(TABLE.iter().all(|(from, _, _)| *from != State::Delivered));
    }

    #[test]
    fn only_begin_leads_to_sending() {
        assert!(TABLE.iter().all(|(_, event, to)| *to != State::Sending || *event == DeliveryEvent::Begin));
    }

    #[test]
    fn a_final_delivery_never_opens_again() {
        assert!(TABLE.iter().all(|(from, _, to)| from.is_open() || !to.is_open()));
    }

    #[test]
    fn architecture_shows_this_table() {
        let page = include_str!("../../../ARCHITECTURE.md");
        let shown = page
            .split("<!-- transitions -->\n")
            .nth(1)
            .and_then(|rest| rest.split("<!-- /transitions -->").next());
        assert_eq!(shown.unwrap_or_default(), markdown(), "write this into ARCHITECTURE.md:\n{}", markdown());
    }
}
