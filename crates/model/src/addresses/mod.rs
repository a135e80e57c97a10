//! Which addresses a channel takes, and in which form: acceptance and couriers ask these parsers and no others, so that
//! a courier never refuses what was accepted.

pub mod mailbox;
pub mod messenger;
pub mod phone;

use std::borrow::Cow;

use crate::channels::{self, AddressRule};
use crate::ids::Channel;
use crate::masked::Address;

/// The form in which two addresses of a channel are compared within an order: mailboxes in lower case, because nearly all
/// servers deliver `Anna@` and `anna@` to one mailbox (suppression lists compare them so too), and all others as they are.
#[must_use]
pub fn compared<'a>(channel: &Channel, address: &'a Address) -> Cow<'a, str> {
    let address = address.expose();
    let is_mailbox = channels::address_rule(channel.as_str()) == AddressRule::Mailbox;
    if is_mailbox && address.chars().any(char::is_uppercase) {
        return Cow::Owned(address.to_lowercase());
    }
    Cow::Borrowed(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_mailboxes_are_compared_in_lower_case() {
        for (channel, left, right, same) in [
            ("email", "Anna@example.org", "anna@example.org", true),
            ("email", "anna@example.org", "anna.b@example.org", false),
            ("sms", "+79991234567", "+79991234567", true),
            ("webhook", "https://example.org/A", "https://example.org/a", false),
            ("pager", "A", "a", false),
        ] {
            let channel: Channel = channel.parse().unwrap();
            let [left, right] = [left, right].map(Address::new);
            assert_eq!(compared(&channel, &left) == compared(&channel, &right), same, "{channel}");
        }
    }
}
