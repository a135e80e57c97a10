//! Turns a request to an HTTP fake provider into an attempt of the record.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use posthaste_model::{Address, Channel, Text, UnixMs};

use super::attempt::{
    Attempt, AttemptOutcome, AttemptRecipient, AttemptStage, Cut, Ending, HttpFacts, Protocol,
};
use crate::fake_provider::{How, Reply, RequestFate, SeenMessage, Whole};

/// Bytes of an answer that are shown.
const MOST_ANSWER: usize = 4 * 1024;
/// Parameters whose values are masked in the record.
const SECRETS: [&str; 5] = ["access_token", "psw", "apikey", "login", "token"];

/// A request to send a message, and its result.
pub(crate) struct Seen<'a> {
    pub(crate) channel: &'a Channel,
    pub(crate) provider: &'static str,
    pub(crate) at: UnixMs,
    pub(crate) took: Duration,
    pub(crate) connection: u64,
    pub(crate) peer: IpAddr,
    pub(crate) account: &'a str,
    pub(crate) method: &'a str,
    pub(crate) message: &'a SeenMessage,
    pub(crate) recipients: Arc<[AttemptRecipient]>,
    pub(crate) fate: RequestFate,
    pub(crate) reply: &'a Reply,
    pub(crate) whole: &'a Whole,
}

impl Seen<'_> {
    /// The attempt, still without its number.
    pub(crate) fn attempt(&self) -> Attempt {
        let raw = body(self.whole);
        let answer = &self.reply.answer;
        let said = match self.reply.how {
            How::Hang | How::Reset => "nothing".to_owned(),
            How::Whole | How::Part => format!("{} {}", answer.status, cut(&answer.body)),
        };
        Attempt {
            id: 0,
            channel: self.channel.clone(),
            at: self.at,
            took: self.took,
            connection: self.connection,
            peer: self.peer,
            sender: self.message.sender.clone(),
            recipients: Arc::clone(&self.recipients),
            order: self.message.order.clone(),
            outcome: self.outcome(),
            size: self.whole.body.len().try_into().unwrap_or(u64::MAX),
            raw,
            dialogue: Text::new(format!("C: {} {}\nS: {said}\n", self.whole.verb, self.method)),
            protocol: Protocol::Http(HttpFacts {
                provider: self.provider,
                method: self.method.to_owned(),
                account: self.account.to_owned(),
                text: self.message.text.clone(),
                statuses: Vec::new(),
            }),
        }
    }

    fn outcome(&self) -> AttemptOutcome {
        let taken = self.recipients.iter().any(AttemptRecipient::is_taken);
        let first = self.recipients.first().map(|to| to.code).filter(|code| *code != 0);
        let (ending, code) = match self.fate {
            RequestFate::Done if taken => (Ending::Accepted, Some(self.reply.answer.status)),
            RequestFate::Taken if taken => (Ending::Taken, None),
            RequestFate::Done => (Ending::Refused, first),
            RequestFate::Refused(code) => (Ending::Refused, first.or(Some(code))),
            RequestFate::InBan => (Ending::Refused, Some(429)),
            RequestFate::Taken | RequestFate::Cut => (Ending::Cut, None),
            RequestFate::Broken => (Ending::Left, None),
        };
        let cut = match self.reply.how {
            How::Whole => None,
            How::Hang => Some(Cut::Hang),
            How::Reset | How::Part => Some(Cut::Reset),
        };
        AttemptOutcome { ending, stage: AttemptStage::Call, code, cut }
    }
}

/// An incomplete or invalid request, and its answer, if any.
pub(crate) struct Broken<'a> {
    pub(crate) channel: &'a Channel,
    pub(crate) provider: &'static str,
    pub(crate) at: UnixMs,
    pub(crate) connection: u64,
    pub(crate) peer: IpAddr,
    pub(crate) status: Option<u16>,
    /// As far as its head goes; `None` when even that is incomplete.
    pub(crate) part: Option<&'a Whole>,
}

impl Broken<'_> {
    /// The attempt, without recipients, still without its number. The head may hold a token and is not shown.
    pub(crate) fn attempt(&self) -> Attempt {
        let (verb, size) = self.part.map_or(("", 0), |part| (part.verb.as_str(), part.body.len()));
        let said = self.status.map_or_else(|| "nothing".to_owned(), |status| status.to_string());
        let ending = if self.status.is_some() { Ending::Refused } else { Ending::Left };
        Attempt {
            id: 0,
            channel: self.channel.clone(),
            at: self.at,
            took: Duration::ZERO,
            connection: self.connection,
            peer: self.peer,
            sender: Address::new(""),
            recipients: Arc::new([]),
            order: None,
            outcome: AttemptOutcome::new(ending, AttemptStage::Call, self.status),
            size: size.try_into().unwrap_or(u64::MAX),
            raw: self.part.map(body).unwrap_or_default(),
            dialogue: Text::new(format!("C: {verb} (broken)\nS: {said}\n")),
            protocol: Protocol::Http(HttpFacts {
                provider: self.provider,
                method: String::new(),
                account: String::new(),
                text: Text::default(),
                statuses: Vec::new(),
            }),
        }
    }
}

/// The body, or the query of a request without one; passwords and tokens masked.
fn body(whole: &Whole) -> Bytes {
    let is_form = whole.content_type.starts_with("application/x-www-form-urlencoded");
    let text: Cow<'_, [u8]> = match (whole.body.is_empty(), whole.path.split_once('?')) {
        (false, _) if !is_form => return whole.body.clone(),
        (false, _) => Cow::Borrowed(&whole.body),
        (true, Some((_, query))) => Cow::Borrowed(query.as_bytes()),
        (true, None) => return Bytes::new(),
    };
    let secret = |name: &str| SECRETS.contains(&name);
    if !url::form_urlencoded::parse(&text).any(|(name, _)| secret(&name)) {
        return if whole.body.is_empty() { Bytes::from(text.into_owned()) } else { whole.body.clone() };
    }
    let mut masked = url::form_urlencoded::Serializer::new(String::new());
    for (name, value) in url::form_urlencoded::parse(&text) {
        masked.append_pair(&name, if secret(&name) { "***" } else { &value });
    }
    Bytes::from(masked.finish())
}

/// The beginning of an answer.
fn cut(answer: &str) -> &str {
    let end = (0..=MOST_ANSWER.min(answer.len())).rev().find(|at| answer.is_char_boundary(*at));
    answer.get(..end.unwrap_or(0)).unwrap_or_default()
}
