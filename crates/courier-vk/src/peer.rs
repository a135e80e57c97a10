//! The target of a message: a person, a chat (2,000,000,000 plus its id) or a community (minus its id), as one number.

use posthaste_model::Address;
use posthaste_model::addresses::messenger;

/// A peer. Has no `Debug`, because it is an address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Peer(i64);

impl Peer {
    /// Parses an address; `None` if it is not an address of this channel.
    pub(crate) fn read(address: &Address) -> Option<Self> {
        messenger::peer(address.expose()).map(Self)
    }

    /// The peer with this id; `None` if no peer can have it.
    pub(crate) fn number(number: i64) -> Option<Self> {
        messenger::is_peer(number).then_some(Self(number))
    }

    /// The id, for requests.
    pub(crate) fn get(self) -> i64 {
        self.0
    }

    /// The address in the form deliveries use.
    pub(crate) fn address(self) -> Address {
        Address::new(self.0.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_people_chats_and_communities_are_parsed() {
        for text in ["1", "123456789", "2000000001", "-12345", "4503599627370496"] {
            let peer = Peer::read(&Address::new(text)).unwrap();
            assert_eq!(peer.address().expose(), text);
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            "0",
            "-",
            "-0",
            "007",
            "+7",
            " 1",
            "1 ",
            "1e3",
            "1,2",
            "4503599627370497",
            "9223372036854775808",
            "--1",
            "id1",
            "@name",
            "１２",
            "1)};",
            "\"1\"",
        ] {
            assert!(Peer::read(&Address::new(text)).is_none(), "{text}");
        }
    }
}
