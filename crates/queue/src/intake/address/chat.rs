//! Chats of Telegram and peers of VK, by the parsers that their couriers use too.

use std::borrow::Cow;

use posthaste_model::addresses::messenger::{self, ChatAddress};

use super::{Given, Wrong};
use crate::intake::validation_error::ValidationCode;

/// A chat: its id (negative for groups), or its public name with the `@`, written in lower case.
pub(crate) fn telegram(given: &Given<'_>) -> Result<String, Wrong> {
    match messenger::chat(&text(given)) {
        Some(ChatAddress::Number(id)) => Ok(id.to_string()),
        Some(ChatAddress::Name(name)) => Ok(name),
        None => Err((
            ValidationCode::InvalidAddress,
            "must be a chat id other than 0, or a name such as @example",
        )),
    }
}

/// A peer: its id (negative for communities).
pub(crate) fn peer(given: &Given<'_>) -> Result<String, Wrong> {
    let peer = messenger::peer(&text(given)).map(|id| id.to_string());
    peer.ok_or((ValidationCode::InvalidAddress, "must be a peer id other than 0"))
}

fn text<'g>(given: &'g Given<'_>) -> Cow<'g, str> {
    match given {
        Given::Number(id) => Cow::Owned(id.to_string()),
        Given::Text(text) => Cow::Borrowed(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Given<'_> {
        Given::Text(Cow::Borrowed(text))
    }

    #[test]
    fn chats_are_ids_and_names() {
        assert_eq!(telegram(&Given::Number(123)).unwrap(), "123");
        assert_eq!(telegram(&Given::Number(-1_001_234_567_890)).unwrap(), "-1001234567890");
        assert_eq!(telegram(&text("-100123")).unwrap(), "-100123");
        assert_eq!(telegram(&text("@Some_Channel")).unwrap(), "@some_channel");
        for bad in [
            "",
            "0",
            "@",
            "@1abc",
            "@a b",
            "@abc",
            "name",
            "+5",
            "007",
            "1.0",
            "4503599627370496",
            "9223372036854775808",
            "@имя",
        ] {
            assert!(telegram(&text(bad)).is_err(), "{bad:?}");
        }
        for bad in [0, i64::MIN, i64::MAX, (1 << 53) + 1] {
            assert!(telegram(&Given::Number(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn peers_are_ids() {
        assert_eq!(peer(&Given::Number(2_000_000_001)).unwrap(), "2000000001");
        assert_eq!(peer(&text("-45")).unwrap(), "-45");
        for bad in ["", "0", "id45", "@name", "-0", "45 "] {
            assert!(peer(&text(bad)).is_err(), "{bad:?}");
        }
    }
}
