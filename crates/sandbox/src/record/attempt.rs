//! One attempt to hand over a message: sender, recipients, answers, and the bytes.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use posthaste_model::{Address, Channel, Text, UnixMs};
use serde::{Deserialize, Serialize};

/// The code of a dropped repeat: HTTP's "already reported".
pub(crate) const REPEATED: u16 = 208;

/// One attempt: from the first command of a message to its end, however it ended. A connection that the sandbox
/// refused or cut before any message is an attempt without recipients, and so is an HTTP request that broke off.
#[derive(Clone)]
#[non_exhaustive]
pub struct Attempt {
    /// Its number in this sandbox, from 1, growing by one.
    pub id: u64,
    /// The channel it came on.
    pub channel: Channel,
    /// When it began.
    pub at: UnixMs,
    /// How long it took, up to the answer.
    pub took: Duration,
    /// The number of the connection it came on.
    pub connection: u64,
    /// Who connected.
    pub peer: IpAddr,
    /// The sender of the envelope; empty for the null sender, and if none was named.
    pub sender: Address,
    /// The recipients, in the order they were named, each with its answer.
    pub recipients: Arc<[AttemptRecipient]>,
    /// The order it belongs to, from the header named in the settings.
    pub order: Option<String>,
    /// How it ended.
    pub outcome: AttemptOutcome,
    /// The bytes of the message as received: for e-mail everything from the answer to DATA to the end of the final
    /// dot, dots still doubled; for HTTP the body, or the query of a request without one, tokens masked.
    pub raw: Bytes,
    /// How many bytes were received; more than `raw` holds if the message was too large.
    pub size: u64,
    /// The dialogue, line by line, each prefixed `C: ` or `S: `; passwords masked; cut off after 16 KiB.
    pub dialogue: Text,
    /// What is specific to the provider's protocol.
    pub protocol: Protocol,
}

/// One recipient of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct AttemptRecipient {
    /// The address.
    pub address: Address,
    /// The code answered, 0 if there was no answer. For HTTP 200 or similar when accepted, 208 for a dropped repeat,
    /// else the provider's own error code.
    pub code: u16,
    /// The provider's message id, if it gives one per recipient.
    pub id: Option<Box<str>>,
}

impl AttemptRecipient {
    /// Whether the provider accepted the message for this recipient, or had it already.
    #[must_use]
    pub fn is_taken(&self) -> bool {
        self.code / 100 == 2
    }

    /// Whether the message was accepted now, and was not a repeat.
    #[must_use]
    pub fn is_new(&self) -> bool {
        self.is_taken() && self.code != REPEATED
    }

    /// Approximate memory size in bytes.
    pub(crate) fn weight(all: &[Self]) -> usize {
        let one = |to: &Self| to.address.expose().len() + to.id.as_deref().map_or(0, str::len) + 80;
        all.iter().map(one).sum()
    }
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct AttemptOutcome {
    /// What became of it.
    pub ending: Ending,
    /// The stage in which it ended.
    pub stage: AttemptStage,
    /// The last code answered in this stage, if any.
    pub code: Option<u16>,
    /// How it was cut, for [`Ending::Taken`] and [`Ending::Cut`].
    pub cut: Option<Cut>,
}

/// What became of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Ending {
    /// The message was accepted, and the sender got the answer.
    Accepted,
    /// The message was accepted, but no answer was sent: the sender cannot know.
    Taken,
    /// It was refused.
    Refused,
    /// The sandbox hung, dropped or reset before it had accepted the message.
    Cut,
    /// The client left, or abandoned the message.
    Left,
}

/// How the sandbox cuts a conversation short.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Cut {
    /// It stops answering and leaves the connection open.
    Hang,
    /// It closes the connection normally (FIN).
    Drop,
    /// It resets the connection (RST).
    Reset,
}

/// A stage of a conversation, in order. The names are those of SMTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum AttemptStage {
    /// Connected, before the greeting.
    Greeting,
    /// EHLO or HELO.
    Ehlo,
    /// STARTTLS, and the handshake.
    Starttls,
    /// AUTH.
    Auth,
    /// MAIL FROM.
    Mail,
    /// RCPT TO.
    Rcpt,
    /// The DATA command, before its 354.
    Data,
    /// After 354, while the message arrives, before its final dot.
    Body,
    /// After the final dot.
    Dot,
    /// The only stage of HTTP providers: a request and its answer.
    Call,
}

/// What is specific to the protocol of one kind of provider.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Protocol {
    /// SMTP.
    Smtp(SmtpFacts),
    /// An HTTP provider: Telegram, VK, Twilio, a gateway.
    Http(HttpFacts),
}

/// What is specific to HTTP providers. Its `Debug` omits the text.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct HttpFacts {
    /// `telegram`, `vk`, `twilio` or `gateway`.
    pub provider: &'static str,
    /// The method requested, such as `messages.send`.
    pub method: String,
    /// Who sent the request, as in the fake provider's journal.
    pub account: String,
    /// The text of the message; for a request with several, of the first.
    pub text: Text,
    /// Later statuses, oldest first.
    pub statuses: Vec<LaterStatus>,
}

/// A status of a message after its request was answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct LaterStatus {
    /// As the provider calls it, such as `delivered`.
    pub status: String,
    /// When, in milliseconds since 1970.
    pub at: u64,
    /// The error code that came with it.
    pub code: Option<u16>,
    /// The result of the callback to the sender: `told`, `refused`, `lost`, `not_asked`, and so on.
    pub callback: &'static str,
}

/// What is specific to SMTP.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct SmtpFacts {
    /// The name the client gave with EHLO or HELO.
    pub hello: String,
    /// Whether the connection was encrypted.
    pub tls: bool,
    /// The authenticated user.
    pub user: Option<String>,
    /// The parameters of MAIL, as received.
    pub parameters: String,
    /// Whether a bare CR or LF was accepted as the end of a line.
    pub lenient: bool,
}

impl Attempt {
    /// Whether the sandbox accepted the message, whether or not the sender got an answer.
    #[must_use]
    pub fn is_message(&self) -> bool {
        matches!(self.outcome.ending, Ending::Accepted | Ending::Taken)
    }

    /// The message itself: for e-mail the raw bytes without the final dot and with dots undoubled, for HTTP the body.
    #[must_use]
    pub fn message(&self) -> Cow<'_, [u8]> {
        match &self.protocol {
            Protocol::Smtp(facts) => Cow::Owned(crate::smtp::undotted(&self.raw, facts.lenient)),
            Protocol::Http(_) => Cow::Borrowed(&self.raw),
        }
    }

    /// Whether one of the recipients is `address`, ignoring case.
    #[must_use]
    pub fn is_to(&self, address: &str) -> bool {
        self.recipients.iter().any(|recipient| recipient.address.expose().eq_ignore_ascii_case(address))
    }

    /// Approximate memory size in bytes.
    pub(super) fn weight(&self) -> usize {
        let recipients = AttemptRecipient::weight(&self.recipients);
        let facts = match &self.protocol {
            Protocol::Smtp(facts) => {
                facts.hello.len() + facts.parameters.len() + facts.user.as_ref().map_or(0, String::len)
            }
            Protocol::Http(facts) => {
                facts.text.expose().len()
                    + facts.method.len()
                    + facts.account.len()
                    + 64 * facts.statuses.len()
            }
        };
        512 + recipients + facts + self.raw.len() + self.dialogue.expose().len() + self.sender.expose().len()
    }
}

impl AttemptOutcome {
    /// An outcome that was not cut.
    pub(crate) fn new(ending: Ending, stage: AttemptStage, code: Option<u16>) -> Self {
        Self { ending, stage, code, cut: None }
    }
}

impl AttemptStage {
    /// The name in settings and JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Greeting => "greeting",
            Self::Ehlo => "ehlo",
            Self::Starttls => "starttls",
            Self::Auth => "auth",
            Self::Mail => "mail",
            Self::Rcpt => "rcpt",
            Self::Data => "data",
            Self::Body => "body",
            Self::Dot => "dot",
            Self::Call => "call",
        }
    }
}

impl Ending {
    /// The name in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Taken => "taken",
            Self::Refused => "refused",
            Self::Cut => "cut",
            Self::Left => "left",
        }
    }
}

/// Omits the message and masks addresses.
impl fmt::Debug for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attempt")
            .field("id", &self.id)
            .field("channel", &self.channel)
            .field("connection", &self.connection)
            .field("sender", &self.sender)
            .field("recipients", &self.recipients.len())
            .field("outcome", &self.outcome)
            .field("size", &self.size)
            .finish_non_exhaustive()
    }
}
