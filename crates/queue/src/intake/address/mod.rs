//! Addresses of recipients: parsed, checked and normalised to the one form a channel expects, so that equal addresses
//! compare equal.

mod chat;
mod mailbox;
mod phone;
mod web;

use std::borrow::Cow;
use std::fmt;

use posthaste_model::{Address, AddressRule, Channel, channels};
use serde::de::{Deserialize, Deserializer, Error, Visitor};

pub(crate) use mailbox::mailbox;
pub(crate) use phone::PhoneRules;
pub use phone::Strictness;

use super::validation_error::ValidationCode;

/// Maximum bytes of an address of a channel without rules of its own.
const MOST_BYTES: usize = 512;

/// An address as given: a string or a whole number.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Given<'a> {
    /// A whole number, as chats and peers have.
    Number(i64),
    /// Anything else.
    Text(Cow<'a, str>),
}

impl fmt::Debug for Given<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("given(***)")
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Given<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(GivenVisitor)
    }
}

struct GivenVisitor;

impl<'de> Visitor<'de> for GivenVisitor {
    type Value = Given<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string or a whole number")
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Given<'de>, E> {
        Ok(Given::Number(number))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Given<'de>, E> {
        i64::try_from(number).map(Given::Number).map_err(|_| E::custom("number out of range"))
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Given<'de>, E> {
        Ok(Given::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Given<'de>, E> {
        Ok(Given::Text(Cow::Owned(text.to_owned())))
    }
}

/// What is wrong with an address: the code and the rule.
pub(crate) type Wrong = (ValidationCode, &'static str);

/// Parses an address of a channel and normalises it.
pub(crate) fn normalise(channel: &Channel, given: &Given<'_>, phones: &PhoneRules) -> Result<Address, Wrong> {
    let written = match (channels::address_rule(channel.as_str()), given) {
        (AddressRule::Mailbox, Given::Text(text)) => mailbox(text),
        (AddressRule::Mailbox, Given::Number(_)) => {
            Err((ValidationCode::WrongType, "a mailbox must be a string"))
        }
        (AddressRule::Phone, Given::Text(text)) => phone::number(text, phones),
        (AddressRule::Phone, Given::Number(_)) => {
            Err((ValidationCode::WrongType, "a phone number must be a string such as \"+79991234567\""))
        }
        (AddressRule::Chat, given) => chat::telegram(given),
        (AddressRule::Peer, given) => chat::peer(given),
        (AddressRule::Url, Given::Text(text)) => web::url(text),
        (AddressRule::Url, Given::Number(_)) => Err((ValidationCode::WrongType, "a URL must be a string")),
        (AddressRule::Text, Given::Number(number)) => Ok(number.to_string()),
        (AddressRule::Text, Given::Text(text)) => plain(text),
    }?;
    Ok(Address::new(written))
}

/// An address of a channel that is not listed: its courier has the full rules.
fn plain(text: &str) -> Result<String, Wrong> {
    let fits = (1..=MOST_BYTES).contains(&text.len()) && !text.chars().any(char::is_control);
    if fits && text.trim() == text {
        return Ok(text.to_owned());
    }
    Err((
        ValidationCode::InvalidAddress,
        "must be 1 to 512 bytes without control characters or surrounding spaces",
    ))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn phones(region: &str) -> PhoneRules {
        PhoneRules::new(region, Strictness::Possible).unwrap()
    }

    proptest! {
        #[test]
        fn normalised_addresses_do_not_change(text in "\\PC{0,40}|[+0-9() .-]{3,20}|[a-z.+-]{1,9}@[a-zа-я0-9-]{1,9}\\.[a-zа-я]{2,6}|@[a-zA-Z0-9_]{1,40}|-?[0-9]{1,20}|https?://[a-zA-Zа-я0-9.:-]{1,20}(/[!-~]{0,20})?") {
            for channel in ["email", "sms", "telegram", "vk", "webhook", "pager"] {
                let channel: Channel = channel.parse().unwrap();
                let region = phones("RU");
                let given = Given::Text(Cow::Borrowed(&text));
                if let Ok(address) = normalise(&channel, &given, &region) {
                    let again = Given::Text(Cow::Borrowed(address.expose()));
                    prop_assert_eq!(normalise(&channel, &again, &phones("")), Ok(address.clone()));
                    prop_assert!(!address.expose().chars().any(char::is_control));
                }
            }
        }

        #[test]
        fn no_input_makes_an_address_panic(text in any::<String>(), number in any::<i64>()) {
            for channel in ["email", "sms", "telegram", "vk", "webhook", "pager"] {
                let channel: Channel = channel.parse().unwrap();
                let region = phones("");
                let _ = normalise(&channel, &Given::Text(Cow::Borrowed(&text)), &region);
                let _ = normalise(&channel, &Given::Number(number), &region);
            }
        }
    }
}
