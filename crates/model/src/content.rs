//! The content of an order, the same for all its recipients.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::ids::Channel;
use crate::masked::Text;

/// Text and details of an order. Empty strings mean "not given".
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Content {
    /// The text for every channel without its own text.
    pub text: Text,
    /// Texts for single channels.
    pub texts: BTreeMap<Channel, Text>,
    /// Subject, for channels that support one.
    pub subject: Text,
    /// HTML form of the text, for channels that support it.
    pub html: Text,
    /// Display name of the sender: e-mail shows it in From, unless the installation replaced `from_email`, and with `reply_to`.
    pub sender_name: Text,
    /// Mailbox to send e-mail from.
    pub from_email: Text,
    /// Mailbox to which replies go.
    pub reply_to: Text,
    /// Role of the sender, which limits orders per day.
    pub role: String,
    /// Where the order came from, as given by the client.
    pub origin: String,
    /// The client's own data: a JSON object as text.
    pub metadata: Text,
    /// The id of the order whose deliveries this one repeats.
    pub retry_of: String,
}

impl Content {
    /// The text for a channel.
    #[must_use]
    pub fn text_for(&self, channel: &Channel) -> &Text {
        self.texts.get(channel).unwrap_or(&self.text)
    }

    /// The text for a channel without subjects: the subject above the text, unless the text is for this channel only.
    #[must_use]
    pub fn text_below_subject(&self, channel: &Channel) -> Cow<'_, str> {
        let (text, subject) = (self.text_for(channel).expose(), self.subject.expose().trim());
        if subject.is_empty() || self.texts.contains_key(channel) {
            return Cow::Borrowed(text);
        }
        Cow::Owned(format!("{subject}\n\n{text}"))
    }
}
