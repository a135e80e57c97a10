//! What a message says that came to a return path: a report of delivery (RFC 3464, RFC 6533), a complaint (RFC 5965), or
//! nothing to act upon.
//!
//! A report may speak of several recipients: the address was a list or an alias, and one of its people was not reached. The
//! best word of them counts, and of failures the mildest: a list with one dead member is not dead.
//!
//! What is no report is never acted upon, not even when it looks like a bounce of an old server: its text may quote anything.
//! Answers of people on holiday come to the same address.

use posthaste_courier::{Ban, Word};
use posthaste_model::Reason;

use crate::parts::{Part, raw_headers};
use crate::replies::{Meaning, Replies, Reply, Stage, enhanced};

/// Parts that hold fields about recipients.
const STATUS: [&str; 2] = ["message/delivery-status", "message/global-delivery-status"];
/// Groups of fields of a report that are looked at.
const MOST_GROUPS: usize = 1_000;

/// What a message says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Heard {
    /// Something about the delivery.
    Word {
        /// What became of it.
        word: Word,
        /// Why.
        reason: Reason,
        /// Whether the address must not be used again.
        ban: Option<Ban>,
    },
    /// The person told their provider that this is unwanted.
    Complaint,
    /// Nothing to act upon.
    Nothing(Kind),
}

/// A message there is nothing to do about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The relay still tries.
    Delayed,
    /// A report that says nothing we know.
    Unclear,
    /// A machine's answer, a note from somebody on holiday.
    Automatic,
    /// A person's answer, a bounce in free words, anything else.
    Other,
}

impl Heard {
    /// The word for metrics.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Word { word: Word::Failed, ban: Some(_), .. } => "bounced",
            Self::Word { word: Word::Failed, ban: None, .. } => "failed",
            Self::Word { word: Word::Delivered, .. } => "delivered",
            Self::Word { word: Word::Sent, .. } => "relayed",
            Self::Complaint => "complaint",
            Self::Nothing(Kind::Delayed) => "delayed",
            Self::Nothing(Kind::Unclear) => "unclear",
            Self::Nothing(Kind::Automatic) => "automatic",
            Self::Nothing(Kind::Other) => "other",
        }
    }

    /// The better a word is, the higher.
    fn rank(self) -> u8 {
        match self {
            Self::Nothing(Kind::Automatic | Kind::Other | Kind::Unclear) | Self::Complaint => 0,
            Self::Word { word: Word::Failed, ban: Some(Ban::Now), .. } => 1,
            Self::Word { word: Word::Failed, ban: Some(Ban::After(_)), .. } => 2,
            Self::Word { word: Word::Failed, ban: None, .. } => 3,
            Self::Nothing(Kind::Delayed) => 4,
            Self::Word { word: Word::Sent, .. } => 5,
            Self::Word { word: Word::Delivered, .. } => 6,
        }
    }
}

/// Reads a message, whole or cut off at its end.
pub(crate) fn read(message: &[u8], replies: &Replies) -> Heard {
    let Some(message) = Part::read(message) else { return Heard::Nothing(Kind::Other) };
    match message.report_type() {
        Some("feedback-report") => match message.find(&["message/feedback-report"]) {
            Some(fields) if is_complaint(&fields) => Heard::Complaint,
            _ => Heard::Nothing(Kind::Unclear),
        },
        // Some leave the type of the report out; receipts of reading have one, and no such part.
        Some("delivery-status" | "") => match message.find(&STATUS) {
            Some(fields) => delivery(&fields, replies),
            None => Heard::Nothing(Kind::Unclear),
        },
        _ if is_automatic(&message) => Heard::Nothing(Kind::Automatic),
        _ => Heard::Nothing(Kind::Other),
    }
}

fn is_automatic(message: &Part<'_>) -> bool {
    let raw = |name: &'static str| message.field(name).map(str::to_ascii_lowercase);
    raw("Auto-Submitted").is_some_and(|text| !text.starts_with("no"))
        || ["X-Autoreply", "X-Autorespond"].iter().any(|name| raw(name).is_some())
        || raw("Precedence").is_some_and(|text| text == "auto_reply")
}

/// Names in small letters and values of a group of fields, read as the head of a message is.
fn fields(group: &str) -> Vec<(String, String)> {
    let Some(read) = raw_headers().parse_headers(group) else { return Vec::new() };
    let unfolded = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    read.headers_raw().map(|(name, value)| (name.trim().to_ascii_lowercase(), unfolded(value))).collect()
}

/// Groups of fields, blank lines between.
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

fn delivery(text: &[u8], replies: &Replies) -> Heard {
    let of_recipients = groups(text).into_iter().filter_map(|group| recipient(&fields(&group), replies));
    of_recipients.max_by_key(|heard| heard.rank()).unwrap_or(Heard::Nothing(Kind::Unclear))
}

/// What a group says of one recipient; nothing when it speaks of the message.
fn recipient(fields: &[(String, String)], replies: &Replies) -> Option<Heard> {
    let action = value(fields, "action")?.split(['(', ' ']).next().unwrap_or_default().to_ascii_lowercase();
    let word = |word| Heard::Word { word, reason: Reason::None, ban: None };
    Some(match action.as_str() {
        "failed" => failed(fields, replies),
        "delayed" => Heard::Nothing(Kind::Delayed),
        "delivered" => word(Word::Delivered),
        "relayed" | "expanded" => word(Word::Sent),
        _ => Heard::Nothing(Kind::Unclear),
    })
}

/// Why it failed, by the table of replies: a bounce is the refusal another server got.
fn failed(fields: &[(String, String)], replies: &Replies) -> Heard {
    let status = value(fields, "status").and_then(enhanced);
    let diagnostic = value(fields, "diagnostic-code").and_then(|text| text.split_once(';'));
    let said = diagnostic.filter(|(kind, _)| kind.trim().eq_ignore_ascii_case("smtp")).map(|(_, said)| said);
    let text = said.unwrap_or_default();
    let (code, said) = said.map(reply).unwrap_or_default();
    // x.0.0 says nothing. Of two that say something the status is the reporting server's own judgement.
    let clear =
        |code: Option<(u16, u16, u16)>| code.filter(|(_, subject, detail)| (*subject, *detail) != (0, 0));
    let judged = clear(status).or(clear(said));
    let class = status.or(said).map(|(class, ..)| class).or(code.map(|code| code / 100));
    if class != Some(5) {
        // It was refused for now until the relay lost its patience, or nobody knows.
        return Heard::Word { word: Word::Failed, reason: Reason::Undelivered, ban: None };
    }
    let reply = match (judged, code) {
        (Some(judged), code) => {
            Reply::of(code.filter(|code| code / 100 == 5).unwrap_or(550), Some(judged), text)
        }
        (None, Some(code)) => Reply::of(code, None, text),
        (None, None) => return Heard::Word { word: Word::Failed, reason: Reason::Bounced, ban: None },
    };
    let verdict = replies.judge(Stage::Rcpt, &reply);
    let ban = match verdict.meaning {
        Meaning::Suppress => Some(Ban::Now),
        Meaning::Strike => Some(Ban::After(verdict.of)),
        // What would be tried again, or mended, at the door came back all the same.
        Meaning::Reject | Meaning::Retry | Meaning::Relay | Meaning::Stop => None,
    };
    Heard::Word { word: Word::Failed, reason: Reason::Bounced, ban }
}

/// The codes of `550 5.1.1 text`, as it stands in a diagnostic: also `550-5.1.1`, `550 #5.1.1` and `550 (5.1.1)`.
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
