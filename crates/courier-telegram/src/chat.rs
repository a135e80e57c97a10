//! The target of a message: a chat id, or the public name of a channel or group.

use posthaste_model::Address;
use posthaste_model::addresses::messenger;
use teloxide::types::{ChatId, Recipient};

/// A chat. Has no `Debug`, because it is an address.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) enum Chat {
    /// The id of a person (positive), or of a group, supergroup or channel (negative).
    Number(i64),
    /// `@name`, in lower case.
    Name(String),
}

impl Chat {
    /// Parses an address; `None` if it is not an address of this channel.
    pub(crate) fn read(address: &Address) -> Option<Self> {
        Some(match messenger::chat(address.expose())? {
            messenger::ChatAddress::Number(id) => Self::Number(id),
            messenger::ChatAddress::Name(name) => Self::Name(name),
        })
    }

    /// The chat with this id; `None` if no chat can have it.
    pub(crate) fn number(number: i64) -> Option<Self> {
        messenger::is_chat(number).then_some(Self::Number(number))
    }

    /// Whether the chat is a person.
    pub(crate) fn is_person(&self) -> bool {
        matches!(self, Self::Number(number) if *number > 0)
    }

    /// The chat as requests name it.
    pub(crate) fn recipient(&self) -> Recipient {
        match self {
            Self::Number(number) => ChatId(*number).into(),
            Self::Name(name) => Recipient::ChannelUsername(name.clone()),
        }
    }

    /// The chat as bytes that are the same on every machine.
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
    fn ids_and_names_are_parsed() {
        assert!(read("123456789").is_some_and(|chat| chat == Chat::Number(123_456_789) && chat.is_person()));
        assert!(read("-1001234567890").is_some_and(|chat| !chat.is_person()));
        assert!(read("@News_Channel").is_some_and(|chat| chat == Chat::Name("@news_channel".to_owned())));
    }

    #[test]
    fn anything_else_is_refused() {
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
