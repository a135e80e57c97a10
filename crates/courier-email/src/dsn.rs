//! Interprets a message to a return path: a delivery report (RFC 3464, RFC 6533), a complaint (RFC 5965), or nothing
//! to act upon.
//!
//! A report may be about several recipients: the address was a list or an alias, and some members were not reached.
//! The best status counts, and of failures the mildest: a list with one dead member is not dead.
//!
//! A failure is judged by its codes, and by its words: "no such user" counts as a strike whatever the code. Of messages
//! without a report only those of known servers are acted upon ([`crate::text_bounce`]): any other text may quote
//! anything, and automatic replies come to the same address.

use posthaste_courier::{ReceiptStatus, SuppressAfter};
use posthaste_model::{CodedReason, EnhancedStatus, ProviderCode, Reason};

use crate::parts::{Part, raw_headers};
use crate::reply_rules::{ReplyRules, SmtpReply, SmtpStage, enhanced};
use crate::text_bounce::{is_no_such_user, notification_says_so, says_no_such_user};

/// Types of parts with fields about recipients.
const STATUS: [&str; 2] = ["message/delivery-status", "message/global-delivery-status"];
/// Maximum number of field groups of a report that are read.
const MOST_GROUPS: usize = 1_000;

/// What follows from "no such user" in words: some servers say so by mistake.
const STRIKE: SuppressAfter = SuppressAfter::After(2);

/// What a message reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BounceReport {
    /// The status of the delivery.
    Word {
        /// What became of it.
        word: ReceiptStatus,
        /// Why.
        reason: CodedReason,
        /// Whether and when to suppress the address.
        suppress_after: Option<SuppressAfter>,
    },
    /// The recipient reported the message as spam.
    Complaint,
    /// Nothing to act upon.
    Nothing(Kind),
}

/// Why there is nothing to act upon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The relay is still trying.
    Delayed,
    /// A report whose content is missing or unknown.
    Unclear,
    /// An automatic reply, such as an out-of-office note.
    Automatic,
    /// A reply of a person, a bounce in free text, anything else.
    Other,
}

impl BounceReport {
    /// Its label in metrics.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Word { word: ReceiptStatus::Failed, suppress_after: Some(_), .. } => "bounced",
            Self::Word { word: ReceiptStatus::Failed, suppress_after: None, .. } => "failed",
            Self::Word { word: ReceiptStatus::Delivered, .. } => "delivered",
            Self::Word { word: ReceiptStatus::Sent, .. } => "relayed",
            Self::Complaint => "complaint",
            Self::Nothing(Kind::Delayed) => "delayed",
            Self::Nothing(Kind::Unclear) => "unclear",
            Self::Nothing(Kind::Automatic) => "automatic",
            Self::Nothing(Kind::Other) => "other",
        }
    }

    /// The better the status, the higher the rank.
    fn rank(self) -> u8 {
        match self {
            Self::Nothing(Kind::Automatic | Kind::Other | Kind::Unclear) | Self::Complaint => 0,
            Self::Word { word: ReceiptStatus::Failed, suppress_after: Some(SuppressAfter::Now), .. } => 1,
            Self::Word {
                word: ReceiptStatus::Failed, suppress_after: Some(SuppressAfter::After(_)), ..
            } => 2,
            Self::Word { word: ReceiptStatus::Failed, suppress_after: None, .. } => 3,
            Self::Nothing(Kind::Delayed) => 4,
            Self::Word { word: ReceiptStatus::Sent, .. } => 5,
            Self::Word { word: ReceiptStatus::Delivered, .. } => 6,
        }
    }
}

/// Reads a message, complete or cut off at its end.
pub(crate) fn read(message: &[u8], replies: &ReplyRules) -> BounceReport {
    let Some(message) = Part::read(message) else { return BounceReport::Nothing(Kind::Other) };
    match message.report_type() {
        Some("feedback-report") => match message.find(&["message/feedback-report"]) {
            Some(fields) if is_complaint(&fields) => BounceReport::Complaint,
            _ => BounceReport::Nothing(Kind::Unclear),
        },
        // Some servers omit the report type. Read receipts have another type and no such part.
        Some("delivery-status" | "") => match message.find(&STATUS) {
            Some(fields) => delivery(&message, &fields, replies),
            None => BounceReport::Nothing(Kind::Unclear),
        },
        _ if says_no_such_user(&message, replies) => bounced(Reason::Bounced.into(), Some(STRIKE)),
        _ if is_automatic(&message) => BounceReport::Nothing(Kind::Automatic),
        _ => BounceReport::Nothing(Kind::Other),
    }
}

fn is_automatic(message: &Part<'_>) -> bool {
    let raw = |name: &'static str| message.field(name).map(str::to_ascii_lowercase);
    raw("Auto-Submitted").is_some_and(|text| !text.starts_with("no"))
        || ["X-Autoreply", "X-Autorespond"].iter().any(|name| raw(name).is_some())
        || raw("Precedence").is_some_and(|text| text == "auto_reply")
}

/// Lower-case names and values of a group of fields, parsed like the head of a message.
fn fields(group: &str) -> Vec<(String, String)> {
    let Some(read) = raw_headers().parse_headers(group) else { return Vec::new() };
    let unfolded = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    read.headers_raw().map(|(name, value)| (name.trim().to_ascii_lowercase(), unfolded(value))).collect()
}

/// Groups of fields, separated by blank lines.
fn groups(text: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(text).replace("\r\n", "\n");
    let mut groups = vec![String::new()];
    for line in text.lines() {
        if line.trim().is_empty() {
            if groups.len() > MOST_GROUPS {
                break;
            }
            groups.push(String::new());
        } else if let Some(group) = groups.last_mut() {
            group.push_str(line);
            group.push_str("\r\n");
        }
    }
    groups.into_iter().filter(|group| !group.is_empty()).map(|group| group + "\r\n").collect()
}

fn value<'a>(fields: &'a [(String, String)], name: &str) -> Option<&'a str> {
    fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

fn is_complaint(text: &[u8]) -> bool {
    groups(text).iter().any(|group| {
        let fields = fields(group);
        value(&fields, "feedback-type").is_some_and(|kind| kind.eq_ignore_ascii_case("abuse"))
    })
}

fn delivery(message: &Part<'_>, text: &[u8], replies: &ReplyRules) -> BounceReport {
    let groups: Vec<_> = groups(text).iter().map(|group| fields(group)).collect();
    let of_recipients: Vec<_> = groups.iter().filter_map(|group| recipient(group, replies)).collect();
    let received = of_recipients.iter().copied().max_by_key(|received| received.rank());
    match (received, &of_recipients[..]) {
        // Without a diagnostic, the cause may be in the text for people alone.
        (Some(BounceReport::Word { word: ReceiptStatus::Failed, reason, suppress_after: None }), [_])
            if !groups.iter().any(|group| value(group, "diagnostic-code").is_some())
                && notification_says_so(message, replies) =>
        {
            bounced(CodedReason { reason: Reason::Bounced, ..reason }, Some(STRIKE))
        }
        (received, _) => received.unwrap_or(BounceReport::Nothing(Kind::Unclear)),
    }
}

/// The message failed at the recipient's server.
fn bounced(reason: CodedReason, suppress_after: Option<SuppressAfter>) -> BounceReport {
    BounceReport::Word { word: ReceiptStatus::Failed, reason, suppress_after }
}

/// What a group reports about one recipient; `None` if it is about the message.
fn recipient(fields: &[(String, String)], replies: &ReplyRules) -> Option<BounceReport> {
    let action = value(fields, "action")?.split(['(', ' ']).next().unwrap_or_default().to_ascii_lowercase();
    let word = |word| BounceReport::Word { word, reason: Reason::None.into(), suppress_after: None };
    Some(match action.as_str() {
        "failed" => failed(fields, replies),
        "delayed" => BounceReport::Nothing(Kind::Delayed),
        "delivered" => word(ReceiptStatus::Delivered),
        "relayed" | "expanded" => word(ReceiptStatus::Sent),
        _ => BounceReport::Nothing(Kind::Unclear),
    })
}

/// Why it failed, by the table of replies: a bounce reports the reply that another server got.
fn failed(fields: &[(String, String)], replies: &ReplyRules) -> BounceReport {
    let status = value(fields, "status").and_then(enhanced);
    let diagnostic = value(fields, "diagnostic-code").and_then(|text| text.split_once(';'));
    let said = diagnostic.filter(|(kind, _)| kind.trim().eq_ignore_ascii_case("smtp")).map(|(_, said)| said);
    // The output of a program may be anything.
    let is_words = |kind: &str| !kind.trim().eq_ignore_ascii_case("x-unix");
    let text = diagnostic.filter(|(kind, _)| is_words(kind)).map(|(_, text)| text).unwrap_or_default();
    let strike = is_no_such_user(None, text, replies).then_some(STRIKE);
    let (code, said) = said.map(reply).unwrap_or_default();
    // x.0.0 says nothing. Otherwise the status takes precedence: it is the reporting server's own judgement.
    let clear =
        |code: Option<(u16, u16, u16)>| code.filter(|(_, subject, detail)| (*subject, *detail) != (0, 0));
    let judged = clear(status).or(clear(said));
    let shown = judged.or(status).or(said);
    let shown = shown.and_then(|(class, subject, detail)| EnhancedStatus::new(class, subject, detail));
    let coded = |reason| CodedReason { reason, code: ProviderCode::of_smtp(code, shown) };
    let class = status.or(said).map(|(class, ..)| class).or(code.map(|code| code / 100));
    if class != Some(5) {
        // It was deferred until the relay gave up, or the cause is unknown.
        let reason = coded(Reason::Undelivered);
        let late = BounceReport::Word { word: ReceiptStatus::Failed, reason, suppress_after: None };
        return strike.map_or(late, |strike| bounced(coded(Reason::Bounced), Some(strike)));
    }
    let reply = match (judged, code) {
        (Some(judged), code) => {
            SmtpReply::of(code.filter(|code| code / 100 == 5).unwrap_or(550), Some(judged), text)
        }
        (None, Some(code)) => SmtpReply::of(code, None, text),
        (None, None) => return bounced(coded(Reason::Bounced), strike),
    };
    // A bounce is final: a reply that a session would repeat, or stop for, suppresses nothing here.
    let suppress_after = replies.classify(&reply.response(SmtpStage::Rcpt)).suppress_after();
    bounced(coded(Reason::Bounced), suppress_after.or(strike))
}

/// The codes of `550 5.1.1 text` in a diagnostic; also of `550-5.1.1`, `550 #5.1.1` and `550 (5.1.1)`.
fn reply(text: &str) -> (Option<u16>, Option<(u16, u16, u16)>) {
    let mut words = text.split(|c: char| c.is_whitespace() || c == '-').filter(|word| !word.is_empty());
    let three = |word: &str| word.len() == 3 && word.bytes().all(|byte| byte.is_ascii_digit());
    let first = words.next().unwrap_or_default();
    if !three(first) {
        return (None, enhanced(first));
    }
    let second = words.next().unwrap_or_default().trim_matches(['#', '(', ')', '<', '>', ':', '[', ']']);
    (first.parse().ok(), enhanced(second))
}

#[cfg(test)]
#[path = "report_tests.rs"]
mod tests;
