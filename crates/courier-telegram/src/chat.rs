//! Whom a message goes to: the number of a chat, or the public name of a channel or group.

use posthaste_model::Address;
use teloxide::types::{ChatId, Recipient};

/// Numbers of chats have 52 significant bits at most.
const MOST: i64 = 1 << 52;

/// A chat. Not printable: it is an address.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) enum Chat {
    /// A person (above zero), or a group, supergroup or channel (below zero).
    Number(i64),
    /// `@name`, in small letters.
    Name(String),
}

impl Chat {
    /// Reads an address; `None` if it is none of this channel.
    pub(crate) fn read(address: &Address) -> Option<Self> {
        let text = address.expose();
        if let Some(name) = text.strip_prefix('@') {
            let first = name.bytes().next()?;
            let fits = (4..=32).contains(&name.len())
                && first.is_ascii_alphabetic()
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
            return fits.then(|| Self::Name(text.to_ascii_lowercase()));
        }
        let digits = text.strip_prefix('-').unwrap_or(text);
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        Self::number(text.parse().ok()?)
    }

    /// A chat of this number, if there can be one.
    pub(crate) fn number(number: i64) -> Option<Self> {
        (number != 0 && number.unsigned_abs() < MOST.unsigned_abs()).then_some(Self::Number(number))
    }

    /// Whether it is a person.
    pub(crate) fn is_person(&self) -> bool {
        matches!(self, Self::Number(number) if *number > 0)
    }

    /// As requests name it.
    pub(crate) fn recipient(&self) -> Recipient {
        match self {
            Self::Number(number) => ChatId(*number).into(),
            Self::Name(name) => Recipient::ChannelUsername(name.clone()),
        }
    }

    /// As bytes that are the same everywhere.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Number(number) => number.to_be_bytes().to_vec(),
            Self::Name(name) => name.as_bytes().to_vec(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<Chat> {
        Chat::read(&Address::new(text))
    }

    #[test]
    fn numbers_and_names_are_read() {
        assert!(read("123456789").is_some_and(|chat| chat == Chat::Number(123_456_789) && chat.is_person()));
        assert!(read("-1001234567890").is_some_and(|chat| !chat.is_person()));
        assert!(read("@News_Channel").is_some_and(|chat| chat == Chat::Name("@news_channel".to_owned())));
    }

    #[test]
    fn nothing_else_is() {
        for text in [
            "",
            "0",
            "-",
            "-0",
            "+7",
            " 1",
            "1 ",
            "1e3",
            "9223372036854775808",
            "4503599627370496",
            "@",
            "@1abcd",
        ] {
            assert!(read(text).is_none(), "{text}");
        }
        for text in ["@abc", "@a-bcde", "@имя", "name", "tg://user?id=1", "12:34", "１２"] {
            assert!(read(text).is_none(), "{text}");
        }
    }
}
