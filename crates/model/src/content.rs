//! What an order says: the same for all its recipients.

use std::collections::BTreeMap;

use crate::ids::Channel;
use crate::masked::Text;

/// Text and circumstances of an order. Empty strings mean "not given".
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Content {
    /// The text for every channel that has none of its own.
    pub text: Text,
    /// Texts of single channels.
    pub texts: BTreeMap<Channel, Text>,
    /// Subject, for channels that have one.
    pub subject: Text,
    /// HTML form of the text, for channels that take it.
    pub html: Text,
    /// Name of the sender as shown.
    pub sender_name: Text,
    /// Mailbox of the sender.
    pub sender_email: Text,
    /// Role of the sender, which limits orders a day.
    pub role: String,
    /// Where the order came from, in the client's words.
    pub origin: String,
    /// The client's own data: a JSON object as text.
    pub metadata: Text,
    /// The order this one repeats rows of, as its suffix.
    pub retry_of: String,
}

impl Content {
    /// The text of one channel.
    #[must_use]
    pub fn text_for(&self, channel: &Channel) -> &Text {
        self.texts.get(channel).unwrap_or(&self.text)
    }
}
