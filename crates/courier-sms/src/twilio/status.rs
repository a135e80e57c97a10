//! Translates Twilio's message status. Which of two statuses prevails is not decided here: in the history, only a
//! better one replaces another.

use posthaste_courier::response_rules::ProviderResponse;
use posthaste_courier::{ReceiptStatus as Rank, SuppressAfter};
use posthaste_model::{CodedReason, Reason};

use super::send::WHO;
use crate::response_rules::{SmsRules, by_policy, is_code, late_reason};

/// The meaning of a status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TwilioStatus {
    pub(super) rank: Rank,
    pub(super) reason: CodedReason,
    pub(super) suppress_after: Option<SuppressAfter>,
    /// Whether it is logged for an operator.
    pub(super) alarm: bool,
    /// Provider and code of the rejection, if it may be the sender's fault.
    pub(super) by_policy: Option<String>,
}

/// Reads a status; `None` if it is unknown or not about an outgoing message.
pub(super) fn read(answers: &SmsRules, status: &str, code: Option<&str>) -> Option<TwilioStatus> {
    let of = |rank, reason: Reason| {
        Some(TwilioStatus {
            rank,
            reason: reason.into(),
            suppress_after: None,
            alarm: false,
            by_policy: None,
        })
    };
    match status {
        // Twilio has accepted it, which is all that "sent" means.
        "accepted" | "scheduled" | "queued" | "sending" | "sent" | "partially_delivered" => {
            of(Rank::Sent, Reason::None)
        }
        "delivered" | "read" => of(Rank::Delivered, Reason::None),
        "canceled" => of(Rank::Failed, Reason::Undelivered),
        "undelivered" | "failed" => {
            let Some(code) = code.filter(|code| is_code(code)) else {
                return of(Rank::Failed, uncoded(status));
            };
            let receipt = ProviderResponse::receipt(Some(code));
            let found = answers.classify(&receipt);
            Some(TwilioStatus {
                rank: Rank::Failed,
                reason: late_reason(&found),
                suppress_after: found.suppress_after(),
                alarm: found.alarm,
                by_policy: by_policy(&found, WHO, &receipt),
            })
        }
        _ => None,
    }
}

/// The reason of a failure without a code: "failed" comes from Twilio itself, "undelivered" from the carrier.
pub(super) fn uncoded(status: &str) -> Reason {
    if status == "failed" { Reason::Rejected } else { Reason::Undelivered }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(status: &str, code: Option<&str>) -> Option<(Rank, Reason, Option<SuppressAfter>)> {
        let answers = SmsRules::embedded(&super::super::ANSWERS).unwrap();
        read(&answers, status, code).map(|word| (word.rank, word.reason.reason, word.suppress_after))
    }

    #[test]
    fn every_status_of_twilio_has_its_rank() {
        for status in ["queued", "accepted", "scheduled", "sending", "sent", "partially_delivered"] {
            assert_eq!(word(status, None), Some((Rank::Sent, Reason::None, None)), "{status}");
        }
        for status in ["delivered", "read"] {
            assert_eq!(word(status, Some("0")), Some((Rank::Delivered, Reason::None, None)), "{status}");
        }
        for status in ["receiving", "received", "", "Delivered", "something_new"] {
            assert_eq!(word(status, None), None, "{status}");
        }
        assert_eq!(word("canceled", None), Some((Rank::Failed, Reason::Undelivered, None)));
    }

    #[test]
    fn failures_tell_their_code() {
        for code in [None, Some(""), Some("0")] {
            assert_eq!(word("failed", code), Some((Rank::Failed, Reason::Rejected, None)), "{code:?}");
            let undelivered = Some((Rank::Failed, Reason::Undelivered, None));
            assert_eq!(word("undelivered", code), undelivered, "{code:?}");
        }
        for (code, reason, suppress_after) in [
            (Some("30001"), Reason::Undelivered, None),
            (Some("30002"), Reason::Undelivered, None),
            (Some("30003"), Reason::Undelivered, Some(SuppressAfter::After(5))),
            (Some("30004"), Reason::Provider(30004), None),
            (Some("30005"), Reason::InvalidAddress, Some(SuppressAfter::Now)),
            (Some("30006"), Reason::InvalidAddress, Some(SuppressAfter::Now)),
            (Some("30007"), Reason::Provider(30007), None),
            (Some("30008"), Reason::Undelivered, None),
            (Some("30034"), Reason::Provider(30034), None),
            (Some("30036"), Reason::Undelivered, None),
            (Some("21610"), Reason::OptedOut, Some(SuppressAfter::Now)),
            (Some("99999"), Reason::Undelivered, None),
        ] {
            for status in ["failed", "undelivered"] {
                assert_eq!(
                    word(status, code),
                    Some((Rank::Failed, reason, suppress_after)),
                    "{status} {code:?}"
                );
            }
        }
    }

    #[test]
    fn a_failure_keeps_twilios_number_beside_its_reason() {
        let answers = SmsRules::embedded(&super::super::ANSWERS).unwrap();
        let code = |code| read(&answers, "undelivered", code).map(|word| word.reason.code.number());
        for number in ["30003", "30005", "30007", "21610", "63016", "99999"] {
            assert_eq!(code(Some(number)), Some(number.parse().ok()), "{number}");
        }
        assert_eq!((code(None), code(Some("0")), code(Some("x"))), (Some(None), Some(None), Some(None)));
    }
}
