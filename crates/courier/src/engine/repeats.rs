//! What the outcome of a repeat says about a delivery whose first attempt may have arrived.

use posthaste_model::{OutcomeKind, Reason};

use super::Engine;
use crate::transport::Envelope;

impl Engine {
    /// What a repeat's outcome means for its delivery, whose first attempt may have arrived: a repeat that did not
    /// leave or was rejected says nothing about the first attempt. With a provider that remembers tokens, the
    /// delivery goes back to the resolver, which knows the age of the first attempt. With a provider that supports
    /// inquiries, it was asked before the repeat and had not received the first attempt.
    pub(super) fn as_a_repeat(
        &self,
        envelope: &Envelope,
        kind: OutcomeKind,
        reason: Reason,
    ) -> (OutcomeKind, Reason) {
        let remembers = self.capabilities.remembers();
        match kind {
            _ if !envelope.repeat => (kind, reason),
            OutcomeKind::NotSent | OutcomeKind::Retry if remembers => (OutcomeKind::Unknown, reason),
            OutcomeKind::Failed | OutcomeKind::Suppressed if !remembers && !self.capabilities.looks_up => {
                (OutcomeKind::Unknown, Reason::NotRetried)
            }
            _ => (kind, reason),
        }
    }
}
