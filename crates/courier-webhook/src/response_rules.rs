//! What a receiver's answer means, by its HTTP status. The rules are data, embedded from `response_rules.toml` and documented there.

use std::time::Duration;

use posthaste_courier::response_rules::{
    ProviderResponse, ResponseAction, ResponseRules, ResponseRulesError, RulesTable,
};
use posthaste_courier::{Outcome, ThrottleScope};

/// The embedded table.
pub const TABLE: RulesTable = RulesTable {
    name: "the embedded table of webhook answers",
    text: include_str!("response_rules.toml"),
    keys: &["status"],
    reason: |answer| answer.code_reason(),
};

/// The rules.
#[derive(Debug)]
pub struct WebhookRules(ResponseRules);

impl WebhookRules {
    /// Parses the embedded table.
    ///
    /// # Errors
    /// [`ResponseRulesError`]: a bug in the program.
    pub fn embedded() -> Result<Self, ResponseRulesError> {
        ResponseRules::embedded(&TABLE).map(Self)
    }

    /// The outcome for an answer with this status and this header Retry-After.
    #[must_use]
    pub fn outcome(&self, status: u16, retry_after: Option<Duration>) -> Outcome {
        if (200..300).contains(&status) {
            return Outcome::Sent;
        }
        let answer: ProviderResponse<'_> =
            ProviderResponse { status: Some(status), wait: retry_after, ..ProviderResponse::default() };
        let found = self.0.classify(&answer);
        match found.action {
            // Every recipient has a server of their own: the others need not wait.
            ResponseAction::Wait if found.after.is_some() => {
                Outcome::Throttled { scope: ThrottleScope::Recipient, wait: found.wait() }
            }
            ResponseAction::Wait | ResponseAction::Retry => {
                Outcome::Retry { after: None, reason: found.coded() }
            }
            _ => found.outcome(|| answer.label()).unwrap_or_else(|never| match never {}),
        }
    }
}

#[cfg(test)]
mod tests {
    use posthaste_courier::provider_wait;
    use posthaste_model::Reason;

    use super::*;

    #[test]
    fn every_class_of_answers_has_its_outcome() {
        let rules = WebhookRules::embedded().unwrap();
        let (second, minute) = (Some(Duration::from_secs(1)), Some(Duration::from_secs(60)));
        let wait = |wait: Option<Duration>| Outcome::Throttled {
            scope: ThrottleScope::Recipient,
            wait: wait.unwrap(),
        };
        let retry = |reason: Reason| Outcome::Retry { after: None, reason: reason.into() };
        for (status, retry_after, outcome) in [
            (200, None, Outcome::Sent),
            (204, minute, Outcome::Sent),
            (301, None, Outcome::Failed(Reason::Provider(301).into())),
            (307, minute, Outcome::Failed(Reason::Provider(307).into())),
            (400, None, Outcome::Failed(Reason::Provider(400).into())),
            (401, None, Outcome::Failed(Reason::Provider(401).into())),
            (404, None, Outcome::Failed(Reason::Provider(404).into())),
            (408, None, retry(Reason::ProviderUnavailable)),
            (410, minute, Outcome::HardRefusal(Reason::Blocked.into())),
            (429, minute, wait(minute)),
            (429, Some(Duration::ZERO), wait(second)),
            (429, None, retry(Reason::Throttled)),
            (503, minute, wait(minute)),
            (503, None, retry(Reason::Throttled)),
            (500, minute, retry(Reason::ProviderUnavailable)),
            (599, None, retry(Reason::ProviderUnavailable)),
        ] {
            let found = rules.outcome(status, retry_after);
            let refused = !matches!(found, Outcome::Sent | Outcome::Throttled { .. });
            let code = refused.then_some(u32::from(status));
            assert_eq!(found.code().number(), code, "{status} {retry_after:?}");
            assert_eq!(found.uncoded(), outcome, "{status} {retry_after:?}");
        }
    }

    #[test]
    fn no_receiver_makes_an_address_wait_longer_than_a_day() {
        let rules = WebhookRules::embedded().unwrap();
        let long = rules.outcome(429, Some(Duration::MAX));
        assert_eq!(
            long,
            Outcome::Throttled { scope: ThrottleScope::Recipient, wait: provider_wait::LONGEST }
        );
    }
}
