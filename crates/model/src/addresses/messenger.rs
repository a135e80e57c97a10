//! Chats of Telegram and peers of VK.

/// Ids have at most 52 significant bits, so that every program can represent them.
const MOST_ID: u64 = 1 << 52;

/// The target of a Telegram message. Has no `Debug`, because it is an address.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum ChatAddress {
    /// The id of a person (positive), or of a group, supergroup or channel (negative).
    Number(i64),
    /// `@name`, in lower case.
    Name(String),
}

/// A chat: its id, or its public name with the `@`.
#[must_use]
pub fn chat(text: &str) -> Option<ChatAddress> {
    if let Some(name) = text.strip_prefix('@') {
        let fits = (4..=32).contains(&name.len())
            && name.starts_with(|c: char| c.is_ascii_alphabetic())
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        return fits.then(|| ChatAddress::Name(text.to_ascii_lowercase()));
    }
    decimal(text).filter(|id| is_chat(*id)).map(ChatAddress::Number)
}

/// Whether a chat can have this id.
#[must_use]
pub fn is_chat(id: i64) -> bool {
    id != 0 && id.unsigned_abs() < MOST_ID
}

/// A peer of VK: a person, a chat (2,000,000,000 plus its id) or a community (minus its id).
#[must_use]
pub fn peer(text: &str) -> Option<i64> {
    decimal(text).filter(|id| is_peer(*id))
}

/// Whether a peer can have this id.
#[must_use]
pub fn is_peer(id: i64) -> bool {
    id != 0 && id.unsigned_abs() <= MOST_ID
}

/// A number in its plain decimal form: no plus sign, no leading zero.
fn decimal(text: &str) -> Option<i64> {
    let number: i64 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chats_are_ids_and_names() {
        for (text, id) in
            [("123", 123), ("-1001234567890", -1_001_234_567_890), ("4503599627370495", (1 << 52) - 1)]
        {
            assert!(chat(text).is_some_and(|chat| chat == ChatAddress::Number(id)), "{text}");
        }
        assert!(
            chat("@Some_Channel").is_some_and(|chat| chat == ChatAddress::Name("@some_channel".to_owned()))
        );
        for bad in [
            "",
            "0",
            "-0",
            "007",
            "+5",
            " 1",
            "1 ",
            "1e3",
            "1.0",
            "@",
            "@abc",
            "@1abcd",
            "@a-bcde",
            "name",
            "@имя",
            "１２",
            "4503599627370496",
            "-4503599627370496",
            "9223372036854775808",
        ] {
            assert!(chat(bad).is_none(), "{bad:?}");
        }
    }

    #[test]
    fn peers_are_ids() {
        for (text, id) in [("2000000001", 2_000_000_001), ("-45", -45), ("4503599627370496", 1 << 52)] {
            assert_eq!(peer(text), Some(id));
        }
        for bad in ["", "0", "-0", "007", "--1", "id45", "@name", "45 ", "1,2", "4503599627370497"] {
            assert_eq!(peer(bad), None, "{bad:?}");
        }
    }
}
