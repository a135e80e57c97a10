//! The one table of state × event → state. `ARCHITECTURE.md` shows it, the scripts obey it (a test runs every cell of it on
//! a real server), and the simulator checks every step against it. What the table does not name changes nothing.

use crate::state::State;

/// What a report says of one attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Verdict {
    /// The provider took it.
    Sent,
    /// The provider says it arrived.
    Delivered,
    /// Refused for good.
    Failed,
    /// The address must not be used again.
    Suppressed,
    /// Bytes may have left and no full answer came.
    Unknown,
    /// Refused for now: a try is spent.
    Retry,
    /// Provably nothing left: no try is spent.
    NotSent,
    /// One part of several is through.
    Part,
}

impl Verdict {
    /// All verdicts.
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

    /// The letter scripts read.
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

/// What can happen to a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Event {
    /// A courier begins the next attempt under its lease.
    Begin,
    /// The courier of the recorded attempt reports on it.
    Settle(Verdict),
    /// A report on an attempt that is not the recorded one says the message was taken; all other such reports change nothing.
    Evidence(Verdict),
    /// A late word from outside about the recorded attempt.
    Receipt(Verdict),
    /// The resolver repeats: the first time only.
    ResolveRetry,
    /// The resolver repeats under the same token.
    ResolveRepeat,
    /// The resolver holds.
    ResolveHold,
    /// The resolver asked and knows.
    Resolve(Verdict),
    /// The lease of the parcel is over.
    LeaseOver,
    /// A cancelled order's row is met.
    Cancel,
    /// A row is met after `not_after`.
    Expire,
    /// The parcel ended three couriers.
    GiveUp,
    /// Cancel, Expire or GiveUp met a row that waited for its repeat after an unknown.
    EndRepeated,
    /// The database lost its last changes, and an operator said to take for sent what may have been begun in them.
    InDoubt,
}

/// The table.
pub const TABLE: &[(State, Event, State)] = {
    use Event as E;
    use State as S;
    use Verdict as V;
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
        (S::Unresolved, E::Resolve(V::Suppressed), S::Suppressed),
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

/// The state after `event`, or `None` when nothing changes.
#[must_use]
pub fn next(state: State, event: Event) -> Option<State> {
    TABLE.iter().find(|(from, on, _)| *from == state && *on == event).map(|(_, _, to)| *to)
}

/// The table in Markdown, a line a state: as `ARCHITECTURE.md` shows it.
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
    fn no_cell_is_written_twice() {
        for (at, (state, event, _)) in TABLE.iter().enumerate() {
            assert!(!TABLE[..at].iter().any(|(s, e, _)| s == state && e == event), "{state:?} {event:?}");
        }
    }

    #[test]
    fn delivered_is_the_end() {
        assert!(TABLE.iter().all(|(from, _, _)| *from != State::Delivered));
    }

    #[test]
    fn only_begin_leads_to_sending() {
        assert!(TABLE.iter().all(|(_, event, to)| *to != State::Sending || *event == Event::Begin));
    }

    #[test]
    fn a_final_row_never_opens_again() {
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
