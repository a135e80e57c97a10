//! Composes the bytes of a message. Bodies are always quoted-printable or base64, every header is checked, and the
//! finished bytes are checked again: no message has a bare CR or LF, a NUL, a byte above 127 or a line longer than
//! 998 bytes.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use lettre::Address;
use lettre::message::header::{ContentTransferEncoding, ContentType, HeaderName, HeaderValue};
use lettre::message::{Body, Mailbox, Message, MessageBuilder, MultiPart, SinglePart};
use posthaste_courier::{Envelope, Outcome};
use posthaste_model::{Channel, Content, Reason, email_body};

use crate::dkim::{NotSigned, Signer};
use crate::header_text;
use crate::mailbox::{self, is_plain};
use crate::message_id::MessageIds;
use crate::settings::{BadSetting, EmailSettings};
use crate::signing::{Draft, SigningThreads};
use crate::unsubscribe::Links;

/// RFC 5322 2.1.1, without the line end.
const MOST_LINE: usize = 998;

/// A message ready to be sent.
pub struct OutgoingMessage {
    /// The envelope sender, to which it is returned.
    pub from: Address,
    /// The only envelope recipient.
    pub to: Address,
    /// The text sent after DATA, without its last line end and before dot-stuffing.
    pub text: Vec<u8>,
    /// Its unique id.
    pub identity: MessageIds,
    /// Set if machine-readable reports are requested from the relay.
    pub reports: Option<ReportsTo>,
}

/// The DSN parameters (RFC 3461) for relays that support them.
pub struct ReportsTo {
    /// The envelope id (ENVID) by which reports name the message.
    pub id: String,
}

/// Composes messages according to the settings.
#[derive(Debug)]
pub struct Composer {
    channel: Channel,
    email: EmailSettings,
    from: Mailbox,
    reply_to: Option<Mailbox>,
    return_path: Address,
    message_id_domain: String,
    from_domains: Vec<String>,
    /// `None`: any.
    reply_to_domains: Option<Vec<String>>,
    signer: Option<Signer>,
    signing: SigningThreads,
    links: Option<Arc<Links>>,
}

impl Composer {
    /// A composer for a channel.
    ///
    /// # Errors
    /// Names the setting to change.
    pub(crate) fn new(
        channel: Channel,
        email: EmailSettings,
        signer: Option<Signer>,
        links: Option<Arc<Links>>,
    ) -> Result<Self, BadSetting> {
        let refuse =
            |key: &'static str| move |error: mailbox::BadAddress| BadSetting::new(key, error.to_string());
        let from = mailbox::mailbox(&email.from).map_err(refuse("email.from"))?;
        let reply_to = match email.reply_to.as_str() {
            "" => None,
            text => Some(mailbox::mailbox(text).map_err(refuse("email.reply_to"))?),
        };
        let return_path = match email.return_path.as_str() {
            "" => from.email.clone(),
            text => mailbox::address(text).map_err(refuse("email.return_path"))?,
        };
        let message_id_domain = match email.message_id_domain.as_str() {
            "" => from.email.domain().to_owned(),
            text => mailbox::ascii_domain(text).map_err(refuse("email.message_id_domain"))?,
        };
        let domains = |key, domains: &[String]| -> Result<Vec<String>, BadSetting> {
            domains.iter().map(|domain| mailbox::ascii_domain(domain).map_err(refuse(key))).collect()
        };
        let from_domains = domains("email.from_domains", &email.from_domains)?;
        let reply_to_domains = match email.reply_to_domains.iter().any(|domain| domain == "*") {
            true => None,
            false => Some(domains("email.reply_to_domains", &email.reply_to_domains)?),
        };
        for (key, text) in [
            ("email.subject", &email.subject),
            ("email.auto_submitted", &email.auto_submitted),
            ("email.list_id", &email.list_id),
            ("email.precedence", &email.precedence),
        ] {
            if !is_plain(text) {
                return Err(BadSetting::new(key, "expected one line of plain text"));
            }
        }
        check_unsubscribe(&email)?;
        if from.email.domain() == "localhost.localdomain" {
            tracing::warn!(
                event = "email.sender_missing",
                "email.from is not set; relays will reject these messages"
            );
        }
        Ok(Self {
            channel,
            email,
            from,
            reply_to,
            return_path,
            message_id_domain,
            from_domains,
            reply_to_domains,
            signer,
            signing: SigningThreads::new(),
            links,
        })
    }

    /// The DNS records that verifiers of its signatures need.
    pub(crate) fn records(&self) -> Vec<String> {
        self.signer.as_ref().map(Signer::records).unwrap_or_default()
    }

    /// The message of one delivery: the same bytes in every attempt.
    ///
    /// # Errors
    /// Why it can never be sent.
    pub fn compose(&self, envelope: &Envelope) -> Result<OutgoingMessage, Reason> {
        let draft = self.draft(envelope)?;
        let signed = match &self.signer {
            Some(signer) => draft.signed(signer).map_err(|NotSigned| Reason::Rejected)?,
            None => draft,
        };
        self.finish(signed)
    }

    /// The same for the async workers: a signature that takes long is made on another thread.
    ///
    /// # Errors
    /// The outcome of the message that can't be sent.
    pub(crate) async fn compose_beside(&self, envelope: &Envelope) -> Result<OutgoingMessage, Outcome> {
        let draft = self.draft(envelope).map_err(|reason| Outcome::Failed(reason.into()))?;
        let signed = match &self.signer {
            Some(signer) => self.signing.sign(draft, signer).await?,
            None => draft,
        };
        self.finish(signed).map_err(|reason| Outcome::Failed(reason.into()))
    }

    /// A message without its signature.
    fn draft(&self, envelope: &Envelope) -> Result<Draft, Reason> {
        let content = &envelope.content;
        let to = mailbox::address(envelope.to.address.expose()).map_err(|_| Reason::InvalidAddress)?;
        let name = plain(&envelope.to.name)?;
        let subject = match content.subject.expose() {
            "" => self.email.subject.as_str(),
            subject => plain(subject)?,
        };
        let identity = MessageIds::of(envelope);
        let due = UNIX_EPOCH + Duration::from_millis(envelope.due.0);
        let (from, reply_to) = self.senders(content)?;
        let mut builder = Message::builder()
            .raw_header(header_text::mailbox("From", &from))
            .raw_header(header_text::mailbox("To", &Mailbox::new(named(name), to.clone())))
            .raw_header(header_text::subject(subject))
            .date(due)
            .message_id(Some(format!("<{}@{}>", identity.hex(), self.message_id_domain)));
        if let Some(reply_to) = reply_to {
            builder = builder.raw_header(header_text::mailbox("Reply-To", &reply_to));
        }
        let builder = self.circumstances(builder, envelope, &identity);
        let message = self.with_body(builder, content, &identity)?;
        Ok(Draft { text: message.formatted(), to, identity, signed_at: envelope.due.0 / 1000 })
    }

    /// The last checks of a message.
    fn finish(&self, draft: Draft) -> Result<OutgoingMessage, Reason> {
        let Draft { mut text, to, identity, .. } = draft;
        if text.ends_with(b"\r\n") {
            text.truncate(text.len() - 2);
        }
        if text.len() as u64 > self.email.max_size.bytes() || !is_safe(&text) {
            return Err(Reason::Rejected);
        }
        Ok(OutgoingMessage { from: self.return_path.clone(), to, text, identity, reports: None })
    }

    /// From and Reply-To: each is the order's where the settings allow its domain, otherwise that of the settings. The
    /// order's name goes with its own mailboxes, and with the From of the settings if the order names none: a name
    /// never stands beside a mailbox that replaced another. A Reply-To of the order that is the same mailbox as From
    /// is left out.
    fn senders(&self, content: &Content) -> Result<(Mailbox, Option<Mailbox>), Reason> {
        let name = plain(content.sender_name.expose())?;
        let own = |text: &str| match text {
            "" => Ok(None),
            text => mailbox::address(text)
                .map(|address| Some(Mailbox::new(named(name), address)))
                .map_err(|_| Reason::Rejected),
        };
        let mut installation = self.from.clone();
        if content.from_email.is_empty() && !name.is_empty() {
            installation.name = named(name);
        }
        let may_send = |one: &Mailbox| self.from_domains.iter().any(|domain| domain == one.email.domain());
        let may_reply = |one: &Mailbox| {
            may_send(one)
                || self
                    .reply_to_domains
                    .as_ref()
                    .is_none_or(|list| list.iter().any(|domain| domain == one.email.domain()))
        };
        let from = own(content.from_email.expose())?.filter(may_send).unwrap_or(installation);
        let reply_to = match own(content.reply_to.expose())?.filter(may_reply) {
            Some(own) => (own.email != from.email).then_some(own),
            None => self.reply_to.clone(),
        };
        Ok((from, reply_to))
    }

    /// Headers about the kind of message: order id, list and unsubscribe headers.
    fn circumstances(
        &self,
        builder: MessageBuilder,
        envelope: &Envelope,
        identity: &MessageIds,
    ) -> MessageBuilder {
        let link = self.links.as_ref().map(|links| links.link(&envelope.id()));
        let others = self.email.list_unsubscribe.iter().map(|template| filled(template, envelope, identity));
        let unsubscribe: Vec<String> =
            link.into_iter().chain(others).map(|address| format!("<{address}>")).collect();
        let is_one_click = self.links.is_some() || self.email.one_click;
        let one_click = if is_one_click { "List-Unsubscribe=One-Click" } else { "" };
        let headers = [
            (HeaderName::new_from_ascii_str("X-Posthaste-Order"), envelope.order_id.wire_id()),
            (HeaderName::new_from_ascii_str("Auto-Submitted"), self.email.auto_submitted.clone()),
            (HeaderName::new_from_ascii_str("List-Id"), self.email.list_id.clone()),
            (HeaderName::new_from_ascii_str("List-Unsubscribe"), unsubscribe.join(", ")),
            (HeaderName::new_from_ascii_str("List-Unsubscribe-Post"), one_click.to_owned()),
            (HeaderName::new_from_ascii_str("Precedence"), self.email.precedence.clone()),
        ];
        headers
            .into_iter()
            .filter(|(_, value)| !value.is_empty())
            .fold(builder, |builder, (name, value)| builder.raw_header(HeaderValue::new(name, value)))
    }

    fn with_body(
        &self,
        builder: MessageBuilder,
        content: &Content,
        identity: &MessageIds,
    ) -> Result<Message, Reason> {
        let (text, html) = (content.text_for(&self.channel).expose(), content.html.expose());
        let plain = || part(ContentType::TEXT_PLAIN, text);
        let message = match (text.is_empty(), html.is_empty()) {
            (_, true) => builder.singlepart(plain()?),
            (true, false) => builder.singlepart(part(ContentType::TEXT_HTML, html)?),
            (false, false) => {
                // `=_` never occurs in an encoded body, so no text can end its part.
                let parts = MultiPart::alternative()
                    .boundary(format!("=_{}", identity.hex()))
                    .singlepart(plain()?)
                    .singlepart(part(ContentType::TEXT_HTML, html)?);
                builder.multipart(parts)
            }
        };
        message.map_err(|_| Reason::Rejected)
    }
}

/// A display name, if there is one.
fn named(name: &str) -> Option<String> {
    (!name.trim().is_empty()).then(|| name.to_owned())
}

fn plain(text: &str) -> Result<&str, Reason> {
    if is_plain(text) { Ok(text) } else { Err(Reason::Rejected) }
}

/// A body in the shorter of the two encodings. CRLF, CR and LF all count as one line end.
fn part(kind: ContentType, text: &str) -> Result<SinglePart, Reason> {
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let encoding = match email_body::is_base64(&text) {
        true => ContentTransferEncoding::Base64,
        false => ContentTransferEncoding::QuotedPrintable,
    };
    let body = Body::new_with_encoding(text, encoding).map_err(|_| Reason::Rejected)?;
    Ok(SinglePart::builder().content_type(kind).body(body))
}

/// The last check before bytes are sent, whatever produced them.
fn is_safe(text: &[u8]) -> bool {
    let mut lines = text.split(|byte| *byte == b'\n').peekable();
    while let Some(line) = lines.next() {
        let ended = lines.peek().is_some();
        let inside = line.strip_suffix(b"\r");
        // A line feed without its carriage return, or the reverse.
        let Some(line) = (if ended { inside } else { Some(line) }) else { return false };
        let clean = |byte: &u8| byte.is_ascii() && *byte != b'\r' && *byte != 0;
        if line.len() > MOST_LINE || !line.iter().all(clean) {
            return false;
        }
    }
    true
}

fn check_unsubscribe(email: &EmailSettings) -> Result<(), BadSetting> {
    const KEY: &str = "email.list_unsubscribe";
    for template in &email.list_unsubscribe {
        let clean = template.bytes().all(|byte| byte.is_ascii_graphic() && !b"<>\",".contains(&byte));
        if !clean
            || template.len() > 500
            || !(template.starts_with("https://") || template.starts_with("mailto:"))
        {
            return Err(BadSetting::new(
                KEY,
                "expected https:// or mailto: addresses, at most 500 ASCII characters, without < > \" and ,",
            ));
        }
        let rest = ["{message}", "{order}", "{recipient}"]
            .iter()
            .fold(template.clone(), |text, name| text.replace(name, ""));
        if rest.contains(['{', '}']) {
            return Err(BadSetting::new(
                KEY,
                "only the placeholders {message}, {order} and {recipient} are allowed",
            ));
        }
    }
    if email.one_click && !email.list_unsubscribe.iter().any(|address| address.starts_with("https://")) {
        return Err(BadSetting::new("email.one_click", "email.list_unsubscribe must have an https: address"));
    }
    Ok(())
}

/// An address with its placeholders filled in. Untrusted values are percent-encoded.
fn filled(template: &str, envelope: &Envelope, identity: &MessageIds) -> String {
    let encoded = |text: &str| -> String { url::form_urlencoded::byte_serialize(text.as_bytes()).collect() };
    template
        .replace("{message}", &identity.hex())
        .replace("{order}", &encoded(&envelope.order_id.wire_id()))
        .replace("{recipient}", &encoded(&envelope.to.recipient.chars().take(64).collect::<String>()))
}

#[cfg(test)]
#[path = "compose_tests.rs"]
mod tests;
