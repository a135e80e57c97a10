//! How long a message of a channel may be. Acceptance refuses or warns by the same rule that couriers send by.

use std::fmt;

use crate::content::Content;
use crate::email_body;
use crate::ids::Channel;
use crate::text_parts;

/// Maximum UTF-16 units of one message on Telegram; longer texts are sent in parts.
pub const TELEGRAM_UNITS: usize = 4096;
/// Maximum characters of a message on VK.
pub const VK_CHARACTERS: usize = 4096;
/// Maximum characters of an SMS, by default.
pub const SMS_CHARACTERS: usize = 1600;
/// Maximum parts of a message on Telegram, by default.
pub const TELEGRAM_PARTS: usize = 16;
/// Maximum bytes of an e-mail, by default.
pub const EMAIL_BYTES: usize = 10 << 20;

/// How long a message of a channel may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TextLimit {
    /// As long as an order's text may be.
    None,
    /// Characters of the text.
    Text(usize),
    /// Characters of the text with the subject above it.
    TextAndSubject(usize),
    /// Parts of the text with the subject above it, of [`TELEGRAM_UNITS`] each.
    Parts(usize),
    /// Bytes of the whole message with its text and HTML, as an e-mail.
    EmailBytes(usize),
}

impl TextLimit {
    /// The same kind of limit with another number.
    #[must_use]
    pub fn of(self, most: usize) -> Self {
        match self {
            Self::None => Self::None,
            Self::Text(_) => Self::Text(most),
            Self::TextAndSubject(_) => Self::TextAndSubject(most),
            Self::Parts(_) => Self::Parts(most),
            Self::EmailBytes(_) => Self::EmailBytes(most),
        }
    }

    /// Whether a message with this content may be sent on this channel.
    #[must_use]
    pub fn allows(self, content: &Content, channel: &Channel) -> bool {
        let has_room = |text: &str, most: usize| text.len() <= most || text.chars().count() <= most;
        match self {
            Self::None => true,
            Self::Text(most) => has_room(content.text_for(channel).expose(), most),
            Self::TextAndSubject(most) => has_room(&content.text_below_subject(channel), most),
            Self::Parts(most) => {
                let text = content.text_below_subject(channel);
                // A short text has few parts: no need to cut it.
                text.len() <= TELEGRAM_UNITS || text_parts::spans(&text, TELEGRAM_UNITS).len() <= most
            }
            Self::EmailBytes(most) => email_body::most_bytes(content, channel) <= most,
        }
    }
}

/// The limit in words, after "must be".
impl fmt::Display for TextLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("a text"),
            Self::Text(most) => write!(f, "at most {most} characters"),
            Self::TextAndSubject(most) => write!(f, "at most {most} characters together with the subject"),
            Self::Parts(most) => {
                write!(f, "at most {most} parts of {TELEGRAM_UNITS} characters together with the subject")
            }
            Self::EmailBytes(most) => {
                write!(f, "at most {most} bytes, text and HTML together, as encoded for e-mail")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channels;
    use crate::masked::Text;

    fn allowed(channel: &str, content: &Content) -> bool {
        let limit = channels::find(channel).unwrap().text_limit;
        limit.allows(content, &channel.parse().unwrap())
    }

    #[test]
    fn each_channel_takes_as_much_as_its_provider() {
        for (channel, letter, most) in
            [("sms", "я", 1600), ("vk", "я", 4096), ("vk", "😀", 4096), ("telegram", "x", 65_536)]
        {
            let content = |length| Content { text: Text::new(letter.repeat(length)), ..Content::default() };
            assert!(allowed(channel, &content(most)), "{channel}");
            assert!(!allowed(channel, &content(most + 1)), "{channel}");
            assert!(allowed("webhook", &content(100_000)));
        }
        let html = |length: usize| Content { html: Text::new("<p>".repeat(length)), ..Content::default() };
        assert!(allowed("email", &html(100_000)) && !allowed("email", &html(4_000_000)));
    }

    #[test]
    fn a_subject_counts_where_it_goes_above_the_text() {
        let mut content = Content { text: Text::new("я".repeat(4090)), ..Content::default() };
        assert!(allowed("vk", &content));
        content.subject = Text::new("Сбор в 9");
        assert!(!allowed("vk", &content));
        content.texts.insert("vk".parse().unwrap(), content.text.clone());
        assert!(allowed("vk", &content), "a text for this channel only has no subject");
    }
}
