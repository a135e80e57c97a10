//! One attempt to hand over a message: who, to whom, what was answered, and the bytes.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use posthaste_model::{Address, Channel, Text, UnixMs};
use serde::{Deserialize, Serialize};

/// The code of a repeat the provider dropped: HTTP's "already reported".
pub(crate) const REPEATED: u16 = 208;

/// One attempt: from the first word about a message to its end, however it ended. A connection that came to nothing
/// because the sandbox refused or cut it is an attempt without recipients, and so is an HTTP request that broke off.
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
    /// The sender of the envelope; empty for the null sender and when none was named.
    pub sender: Address,
    /// The recipients, in the order they were named, each with its answer.
    pub recipients: Arc<[Recipient]>,
    /// The order it belongs to, read from the header the settings name.
    pub order: Option<String>,
    /// How it ended.
    pub outcome: Outcome,
    /// The bytes of the message as they came over the wire: of e-mail all between the answer to DATA and the end of the
    /// final dot, dots still doubled; of HTTP the body, or the query of a request without one, tokens masked.
    pub raw: Bytes,
    /// How many bytes came; more than `raw` holds if the message was larger than allowed.
    pub size: u64,
    /// What was said, line by line, `C: ` and `S: ` before each; passwords masked; cut off after 16 KiB.
    pub dialogue: Text,
    /// What only this provider's protocol knows.
    pub protocol: Protocol,
}

/// One recipient of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Recipient {
    /// The address.
    pub address: Address,
    /// The code answered, 0 if there was no answer. Of HTTP 200 or so when it was taken, 208 when it was a repeat the provider
    /// dropped, else the provider's own code of the error.
    pub code: u16,
    /// The provider's number of the message, where it gives one for each recipient.
    pub id: Option<Box<str>>,
}

impl Recipient {
    /// Whether the provider took the message for this one, or had it already.
    #[must_use]
    pub fn is_taken(&self) -> bool {
        self.code / 100 == 2
    }

    /// Whether the message was taken now, and was no repeat.
    #[must_use]
    pub fn is_new(&self) -> bool {
        self.is_taken() && self.code != REPEATED
    }

    /// About how many bytes of memory these take.
    pub(crate) fn weight(all: &[Self]) -> usize {
        let one = |to: &Self| to.address.expose().len() + to.id.as_deref().map_or(0, str::len) + 80;
        all.iter().map(one).sum()
    }
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Outcome {
    /// What became of it.
    pub ending: Ending,
    /// The stage in which it ended.
    pub stage: Stage,
    /// The last code answered in this stage, if any.
    pub code: Option<u16>,
    /// How it was cut, of [`Ending::Taken`] and [`Ending::Cut`].
    pub cut: Option<Cut>,
}

/// What became of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Ending {
    /// The message was taken, and a yes was answered.
    Accepted,
    /// The message was taken, and no answer was given: the sender cannot know.
    Taken,
    /// A no was answered.
    Refused,
    /// The sandbox hung, dropped or reset before it had taken the message.
    Cut,
    /// The client left, or gave the message up.
    Left,
}

/// How the sandbox cuts a conversation short.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Cut {
    /// It says nothing more and leaves the connection open.
    Hang,
    /// It closes the connection in order (FIN).
    Drop,
    /// It resets the connection (RST).
    Reset,
}

/// A stage of a conversation, in order. The names are those of SMTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Stage {
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
    /// The command DATA, before its 354.
    Data,
    /// After 354, while the message is coming, before its final dot.
    Body,
    /// After the final dot.
    Dot,
    /// The one stage of providers that speak HTTP: a request and its answer.
    Call,
}

/// What only the protocol of one kind of provider knows.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Protocol {
    /// SMTP.
    Smtp(SmtpFacts),
    /// A provider that speaks HTTP: Telegram, VK, Twilio, a gateway.
    Http(HttpFacts),
}

/// What a provider that speaks HTTP knows of an attempt. Formats without the text.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct HttpFacts {
    /// `telegram`, `vk`, `twilio` or `gateway`.
    pub provider: &'static str,
    /// What was asked for, such as `messages.send`.
    pub method: String,
    /// Who asked, as the stand-in's journal tells it.
    pub account: String,
    /// What the message says; of a request with several the first.
    pub text: Text,
    /// Statuses that came later, oldest first.
    pub statuses: Vec<Later>,
}

/// A status of a message after its request was answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Later {
    /// As the provider calls it, such as `delivered`.
    pub status: String,
    /// When, in milliseconds since 1970.
    pub at: u64,
    /// The error code that came with it.
    pub code: Option<u16>,
    /// What became of telling the sender: `told`, `refused`, `lost`, `not_asked`, and so on.
    pub callback: &'static str,
}

/// What SMTP knows of an attempt.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct SmtpFacts {
    /// The name the client gave with EHLO or HELO.
    pub hello: String,
    /// Whether the connection was encrypted.
    pub tls: bool,
    /// Who authenticated.
    pub user: Option<String>,
    /// The parameters of MAIL, as they came.
    pub parameters: String,
    /// Whether a bare CR or LF was taken for the end of a line.
    pub lenient: bool,
}

impl Attempt {
    /// Whether the sandbox has taken the message, be it that the sender was told or not.
    #[must_use]
    pub fn is_message(&self) -> bool {
        matches!(self.outcome.ending, Ending::Accepted | Ending::Taken)
    }

    /// The message itself: of e-mail the raw bytes without the final dot and without doubled dots, of HTTP the body.
    #[must_use]
    pub fn message(&self) -> Cow<'_, [u8]> {
        match &self.protocol {
            Protocol::Smtp(facts) => Cow::Owned(crate::smtp::undotted(&self.raw, facts.lenient)),
            Protocol::Http(_) => Cow::Borrowed(&self.raw),
        }
    }

    /// Whether one of the recipients is `address`, case ignored.
    #[must_use]
    pub fn is_to(&self, address: &str) -> bool {
        self.recipients.iter().any(|recipient| recipient.address.expose().eq_ignore_ascii_case(address))
    }

    /// About how many bytes of memory it takes.
    pub(super) fn weight(&self) -> usize {
        let recipients = Recipient::weight(&self.recipients);
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

impl Outcome {
    /// An outcome without cut.
    pub(crate) fn new(ending: Ending, stage: Stage, code: Option<u16>) -> Self {
        Self { ending, stage, code, cut: None }
    }
}

impl Stage {
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

/// Without the message and with masked addresses.
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
