//! Words of Twilio's about a message, as words of ours. Which of two counts more is not decided here: the history only lets a
//! better one take the place of another.

use posthaste_courier::{Ban, Word as Rank};
use posthaste_model::Reason;

use super::create::WHO;
use crate::answers::{Answers, Said, is_code};

/// What a status says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Word {
    pub(super) rank: Rank,
    pub(super) reason: Reason,
    pub(super) ban: Option<Ban>,
    /// Whether somebody should look at it.
    pub(super) alarm: bool,
    /// Who refused it and how, if it may be the sender's fault.
    pub(super) by_policy: Option<String>,
}

/// Reads a status; `None` when it says nothing of a message of ours, or is new to us.
pub(super) fn read(answers: &Answers, status: &str, code: Option<&str>) -> Option<Word> {
    let of = |rank, reason| Some(Word { rank, reason, ban: None, alarm: false, by_policy: None });
    match status {
        // Twilio has it, which is all that "sent" says.
        "accepted" | "scheduled" | "queued" | "sending" | "sent" | "partially_delivered" => {
            of(Rank::Sent, Reason::None)
        }
        "delivered" | "read" => of(Rank::Delivered, Reason::None),
        "canceled" => of(Rank::Failed, Reason::Undelivered),
        "undelivered" | "failed" => {
            let Some(code) = code.filter(|code| is_code(code)) else {
                return of(Rank::Failed, uncoded(status));
            };
            let said = Said { code: Some(code), ..Said::default() };
            let verdict = answers.judge(said);
            Some(Word {
                rank: Rank::Failed,
                reason: verdict.late_reason(),
                ban: verdict.ban(),
                alarm: verdict.alarm,
                by_policy: verdict.by_policy(WHO, said),
            })
        }
        _ => None,
    }
}

/// Why a message failed that has no code: "failed" is Twilio's own word, "undelivered" its carrier's.
pub(super) fn uncoded(status: &str) -> Reason {
    if status == "failed" { Reason::Rejected } else { Reason::Undelivered }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(status: &str, code: Option<&str>) -> Option<(Rank, Reason, Option<Ban>)> {
        let answers = Answers::load("", super::super::ANSWERS).unwrap();
        read(&answers, status, code).map(|word| (word.rank, word.reason, word.ban))
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
        for (code, reason, ban) in [
            (Some("30001"), Reason::Undelivered, None),
            (Some("30002"), Reason::Undelivered, None),
            (Some("30003"), Reason::Undelivered, Some(Ban::After(5))),
            (Some("30004"), Reason::Provider(30004), None),
            (Some("30005"), Reason::BadAddress, Some(Ban::Now)),
            (Some("30006"), Reason::BadAddress, Some(Ban::Now)),
            (Some("30007"), Reason::Provider(30007), None),
            (Some("30008"), Reason::Undelivered, None),
            (Some("30034"), Reason::Provider(30034), None),
            (Some("30036"), Reason::Undelivered, None),
            (Some("21610"), Reason::OptedOut, Some(Ban::Now)),
            (Some("99999"), Reason::Undelivered, None),
        ] {
            for status in ["failed", "undelivered"] {
                assert_eq!(word(status, code), Some((Rank::Failed, reason, ban)), "{status} {code:?}");
            }
        }
    }
}
