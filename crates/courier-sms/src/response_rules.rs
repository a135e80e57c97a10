//! Decides what a response or a receipt means, by its HTTP status, its code and words in it. The rules are data that
//! an operator may replace: `twilio/response_rules.toml` and `gateway/response_rules.toml`, embedded and documented there.

use std::time::Duration;

use posthaste_courier::response_rules::{
    Classification, ProviderResponse, ResponseRules, RulesTable, TableWord,
};
use posthaste_courier::{Outcome, TransportStartError};
use posthaste_model::{CodedReason, Reason};

use crate::sender_health::SenderHealth;
use crate::settings::BadSetting;

/// The wait for a possibly broken sender if neither response nor rule names one.
const DOUBTED: Duration = Duration::from_secs(60);

/// An action of this channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SmsAction {
    /// The fault may be the number's or the sender's: try again later; if another number is rejected this way next,
    /// operator action is required.
    StopAtSecond,
}

impl TableWord for SmsAction {
    const WORDS: &'static [(&'static str, Self)] = &[("stop_at_second", Self::StopAtSecond)];
}

/// The rules for responses and receipts.
pub(crate) type SmsRules = ResponseRules<SmsAction>;

/// What they say about one.
pub(crate) type SmsClassification<'a> = Classification<'a, SmsAction>;

/// The embedded rules of a provider.
pub(crate) const fn table(text: &'static str) -> RulesTable {
    RulesTable {
        name: "the embedded response rules",
        text,
        keys: &["status", "form", "strikes", "policy"],
        reason: |response| response.code_reason(),
    }
}

/// The rules in the operator's file, or the embedded ones if no file is named.
///
/// # Errors
/// Names the setting of the file, or is a bug in the program.
pub(crate) fn load(file: &str, embedded: &RulesTable) -> Result<SmsRules, TransportStartError> {
    SmsRules::load(file, embedded).map_err(|bad| match file {
        "" => bad.into(),
        _ => BadSetting::new("sms.response_rules_file", bad.to_string()).into(),
    })
}

/// The outcome of a message to this number. `who` names the provider if the channel stops.
pub(crate) fn outcome(
    found: &SmsClassification<'_>,
    who: &str,
    response: &ProviderResponse<'_>,
    sender: &SenderHealth,
    number: &str,
) -> Outcome {
    let stop = || format!("{who} rejected the request ({})", response.label());
    if let Some(by) = by_policy(found, who, response) {
        if let Some(why) = sender.refused(&by) {
            return Outcome::Stop(why);
        }
    } else if found.action.is_final() {
        sender.ended();
    }
    match found.outcome(stop) {
        Ok(outcome) => outcome,
        Err(SmsAction::StopAtSecond) if sender.is_second(number) => Outcome::Stop(stop()),
        Err(SmsAction::StopAtSecond) => {
            Outcome::Retry { after: found.after.or(Some(DOUBTED)), reason: found.coded() }
        }
    }
}

/// Provider and code of the rejection, if it may be the sender's fault.
pub(crate) fn by_policy(
    found: &SmsClassification<'_>,
    who: &str,
    response: &ProviderResponse<'_>,
) -> Option<String> {
    found.policy.then(|| format!("{who} ({})", response.label()))
}

/// The reason stored for a receipt: the message has ended, so reasons to wait do not apply.
pub(crate) fn late_reason(found: &SmsClassification<'_>) -> CodedReason {
    let reason = match found.reason {
        Reason::Throttled | Reason::ChannelStopped => Reason::Undelivered,
        reason => reason,
    };
    CodedReason { reason, code: found.code }
}

/// Whether this is a code. Providers write nothing or 0 if there is none.
pub(crate) fn is_code(text: &str) -> bool {
    !matches!(text, "" | "0")
}

#[cfg(test)]
#[path = "response_rules_tests.rs"]
mod tests;
