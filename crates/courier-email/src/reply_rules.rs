//! Replies of an SMTP server, and the rules that say what they mean, by code, enhanced code and stage. The rules are
//! embedded from `replies.toml` and documented there.

use std::time::Duration;

use posthaste_courier::provider_wait;
use posthaste_courier::response_rules::{
    EnhancedCode, ProviderResponse, ResponseRules, RulesTable, TableWord,
};

/// The stage of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SmtpStage {
    /// Connecting, TLS, greeting, EHLO, STARTTLS.
    Connect,
    /// AUTH.
    Auth,
    /// MAIL, or another command that begins a transaction.
    Mail,
    /// RCPT.
    Rcpt,
    /// DATA and the text up to its last byte: without the final dot nothing has been sent.
    Data,
    /// From the first byte of the final dot to its reply.
    Text,
}

impl TableWord for SmtpStage {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("connect", Self::Connect),
        ("auth", Self::Auth),
        ("mail", Self::Mail),
        ("rcpt", Self::Rcpt),
        ("data", Self::Data),
        ("text", Self::Text),
    ];
}

/// A reply: three digits, an optional enhanced code, and a text that is never logged (it may contain addresses).
#[derive(Clone, PartialEq, Eq)]
pub struct SmtpReply {
    /// The three digits.
    pub code: u16,
    /// Class, subject, detail.
    pub enhanced: Option<EnhancedCode>,
    text: String,
}

impl std::fmt::Debug for SmtpReply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Reply({self})")
    }
}

impl std::fmt::Display for SmtpReply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.enhanced {
            Some((class, subject, detail)) => write!(f, "{} {class}.{subject}.{detail}", self.code),
            None => write!(f, "{}", self.code),
        }
    }
}

/// Parses class, subject and detail, as in `5.1.1` (RFC 3463).
pub(crate) fn enhanced(text: &str) -> Option<EnhancedCode> {
    let text = text.split(|c: char| c.is_whitespace() || c == '(').next()?;
    let number = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit()).then(|| part.parse().ok())?;
    let numbers: Vec<Option<u16>> = text.split('.').map(number).collect();
    match numbers[..] {
        [Some(class @ (2 | 4 | 5)), Some(subject), Some(detail)] => Some((class, subject, detail)),
        _ => None,
    }
}

impl SmtpReply {
    /// A reply with this code and text; the enhanced code is the first word of the text, if present.
    #[must_use]
    pub fn new(code: u16, text: &str) -> Self {
        let first = text.split_ascii_whitespace().next().unwrap_or_default();
        Self { code, enhanced: enhanced(first), text: text.to_ascii_lowercase() }
    }

    /// A reply whose codes are not taken from its text.
    pub(crate) fn of(code: u16, enhanced: Option<EnhancedCode>, text: &str) -> Self {
        Self { code, enhanced, text: text.to_ascii_lowercase() }
    }

    /// What the rules look at, for a reply at this stage.
    #[must_use]
    pub fn response(&self, stage: SmtpStage) -> ProviderResponse<'_, SmtpStage> {
        let code = Some(self.code.to_string().into());
        let (enhanced, text, wait) = (self.enhanced, &self.text, self.wait());
        ProviderResponse { at: Some(stage), code, enhanced, text, wait, ..ProviderResponse::default() }
    }

    /// The wait named in the text, if any: `try again in 300 seconds`, `in 5 minutes`.
    #[must_use]
    pub fn wait(&self) -> Option<Duration> {
        let words: Vec<&str> = self.text.split(|c: char| !c.is_ascii_alphanumeric()).collect();
        words.windows(3).find_map(|three| match three {
            ["in" | "for" | "after", number, unit] => {
                let digits = number.trim_end_matches(|c: char| c.is_ascii_alphabetic());
                let unit = if digits.len() < number.len() { &number[digits.len()..] } else { unit };
                let seconds = match unit {
                    "s" | "sec" | "secs" | "second" | "seconds" => 1,
                    "m" | "min" | "mins" | "minute" | "minutes" => 60,
                    "h" | "hour" | "hours" => 3600,
                    _ => return None,
                };
                let wait = digits.parse::<u64>().ok()?.checked_mul(seconds)?;
                Some(provider_wait::obey(Duration::from_secs(wait)))
            }
            _ => None,
        })
    }
}

/// An action of this channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplyAction {
    /// Skip this relay for a while and use another one.
    Relay,
}

impl TableWord for ReplyAction {
    const WORDS: &'static [(&'static str, Self)] = &[("relay", Self::Relay)];
}

/// The rules for replies.
pub type ReplyRules = ResponseRules<ReplyAction, SmtpStage>;

/// The embedded table.
pub const TABLE: RulesTable<SmtpStage> = RulesTable {
    name: "the embedded replies.toml",
    text: include_str!("replies.toml"),
    keys: &["at", "enhanced", "spread", "strikes", "policy", "source"],
    reason: |reply| reply.code_reason(),
};

#[cfg(test)]
#[path = "replies_tests.rs"]
mod tests;
