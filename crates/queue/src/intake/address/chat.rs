//! Chats of Telegram and peers of VK.

use super::{Given, Wrong};
use crate::intake::validation_error::ValidationCode;

/// Ids have at most 52 significant bits, so that every program can represent them.
const MOST_ID: u64 = 1 << 52;

/// A chat: its id (negative for groups), or its public name with the `@`, written in lower case.
pub(crate) fn telegram(given: &Given<'_>) -> Result<String, Wrong> {
    const WRONG: Wrong =
        (ValidationCode::InvalidAddress, "must be a chat id other than 0, or a name such as @example");
    if let Given::Text(text) = given
        && let Some(name) = text.strip_prefix('@')
    {
        let fits = (4..=32).contains(&name.len())
            && name.starts_with(|c: char| c.is_ascii_alphabetic())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        return if fits { Ok(text.to_ascii_lowercase()) } else { Err(WRONG) };
    }
    id(given).ok_or(WRONG)
}

/// A peer: its id (negative for communities).
pub(crate) fn peer(given: &Given<'_>) -> Result<String, Wrong> {
    id(given).ok_or((ValidationCode::InvalidAddress, "must be a peer id other than 0"))
}

/// A number, or its plain decimal form.
fn id(given: &Given<'_>) -> Option<String> {
    let id: i64 = match given {
        Given::Number(id) => *id,
        Given::Text(text) => text.parse().ok()?,
    };
    let written = id.to_string();
    let same = match given {
        Given::Number(_) => true,
        // No plus sign, no leading zero.
        Given::Text(text) => **text == *written,
    };
    (same && id != 0 && id.unsigned_abs() <= MOST_ID).then_some(written)
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

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
        for bad in
            ["", "0", "@", "@1abc", "@a b", "@abc", "name", "+5", "007", "1.0", "9223372036854775808", "@имя"]
        {
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
