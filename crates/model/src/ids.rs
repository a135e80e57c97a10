//! Names that become part of keys. Each is validated once, when created, so that no name can forge a key.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A name that does not match its grammar. Gives the kind of name, never the text itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid {kind}: expected {grammar}")]
pub struct InvalidId {
    /// The kind of name.
    pub kind: &'static str,
    /// The grammar it must match.
    pub grammar: &'static str,
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $grammar:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Box<str>);

        impl $name {
            /// The name as used in keys.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                let check: fn(&str) -> bool = $check;
                if check(text) { Ok(Self(text.into())) } else { Err(InvalidId { kind: $kind, grammar: $grammar }) }
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;

            fn try_from(text: String) -> Result<Self, InvalidId> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0.into()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

fn word(text: &str, max: usize) -> bool {
    (1..=max).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

id!(
    /// The id of a sender: `[A-Za-z0-9_-]{1,64}`.
    SenderId,
    "sender id",
    "1 to 64 of A-Z a-z 0-9 _ -",
    |text| word(text, 64)
);

id!(
    /// A channel: `[a-z][a-z0-9_]{0,31}`.
    Channel,
    "channel",
    "a lower-case letter and at most 31 of a-z 0-9 _",
    |text| {
        text.len() <= 32
            && text.starts_with(|c: char| c.is_ascii_lowercase())
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    }
);

id!(
    /// The id of one run of a courier process: `[A-Za-z0-9_-]{1,64}`. Every new process gets a new one.
    CourierId,
    "courier id",
    "1 to 64 of A-Z a-z 0-9 _ -",
    |text| word(text, 64)
);

/// The id shared by the keys `delivery:` and `history:` of an order: `<sender id>:<unix time in ns>`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OrderId {
    text: Box<str>,
    sender_len: usize,
}

impl OrderId {
    /// The id of an order that `sender` created at `ns` nanoseconds since 1970.
    #[must_use]
    pub fn new(sender: &SenderId, ns: u64) -> Self {
        Self { text: format!("{sender}:{ns}").into(), sender_len: sender.as_str().len() }
    }

    /// The id as used in keys.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The sender id.
    #[must_use]
    pub fn sender(&self) -> &str {
        &self.text[..self.sender_len]
    }

    /// The id as used in the API: `<sender id>.<ns>`.
    #[must_use]
    pub fn wire_id(&self) -> String {
        format!("{}.{}", self.sender(), &self.text[self.sender_len + 1..])
    }

    /// Parses the id as used in the API.
    ///
    /// # Errors
    /// The text is not `<sender id>.<ns>`.
    pub fn from_wire_id(id: &str) -> Result<Self, InvalidId> {
        let (sender, ns) = id.rsplit_once('.').ok_or(ORDER_ID)?;
        format!("{sender}:{ns}").parse()
    }
}

const ORDER_ID: InvalidId =
    InvalidId { kind: "order id", grammar: "a sender id, a separator, 1 to 20 digits" };

impl FromStr for OrderId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let (sender, ns) = text.rsplit_once(':').ok_or(ORDER_ID)?;
        let digits = (1..=20).contains(&ns.len()) && ns.bytes().all(|b| b.is_ascii_digit());
        if !digits || sender.parse::<SenderId>().is_err() || ns.parse::<u64>().is_err() {
            return Err(ORDER_ID);
        }
        Ok(Self { text: text.into(), sender_len: sender.len() })
    }
}

impl fmt::Display for OrderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The id of a parcel in the indexes of its channel: `<order_id>:<number>`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ParcelId {
    /// The order.
    pub order_id: OrderId,
    /// The number of the parcel within the order and channel, from 0.
    pub number: u32,
}

impl FromStr for ParcelId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let bad = InvalidId { kind: "parcel id", grammar: "an order id, a colon, a number" };
        let (order_id, number) = text.rsplit_once(':').ok_or_else(|| bad.clone())?;
        Ok(Self { order_id: order_id.parse()?, number: number.parse().map_err(|_| bad)? })
    }
}

impl fmt::Display for ParcelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.order_id, self.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_would_forge_a_key_are_refused() {
        for bad in ["", "a b", "a:b", "{0}", "a\n", "ы", &"x".repeat(65)] {
            assert!(bad.parse::<SenderId>().is_err(), "{bad:?}");
        }
        for bad in ["", "Email", "1a", "a-b", "{0}", &"x".repeat(33)] {
            assert!(bad.parse::<Channel>().is_err(), "{bad:?}");
        }
        for bad in ["u1", "u1:", ":1", "u1:x", "u1:99999999999999999999999", "u1:18446744073709551616"] {
            assert!(bad.parse::<OrderId>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn an_order_id_has_two_spellings() {
        let order_id: OrderId = "u-1:1700000000000000001".parse().unwrap();
        assert_eq!(order_id.wire_id(), "u-1.1700000000000000001");
        assert_eq!(OrderId::from_wire_id("u-1.1700000000000000001").unwrap(), order_id);
        let parcel_id: ParcelId = "u-1:1700000000000000001:12".parse().unwrap();
        assert_eq!((parcel_id.number, parcel_id.to_string().as_str()), (12, "u-1:1700000000000000001:12"));
    }
}
