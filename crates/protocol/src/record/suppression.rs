//! The record of a suppressed address, the hash it is found by, and the key of that hash.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use hmac::{Hmac, Mac};
use posthaste_model::{Address, InvalidId, Reason, SenderId, UnixMs};
use sha2::Sha256;

use crate::reply_value::Malformed;

/// Version of the record, and its length.
const VERSION: u8 = 1;
const LENGTH: usize = 19;
/// Bytes of a hash that are stored: enough to make collisions among the addresses of an installation practically
/// impossible.
const FIELD: usize = 16;
/// The input of the check value. No scope begins this way.
const CHECK: &[u8] = b"\0address key";

/// The key used to hash addresses: a secret of the installation. Formats masked.
#[derive(Clone)]
pub struct AddressKey {
    key: Box<[u8]>,
    /// The key already processed: every delivery of every message is hashed, and this is half of the work.
    ready: Option<Hmac<Sha256>>,
}

impl PartialEq for AddressKey {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl Eq for AddressKey {}

impl AddressKey {
    /// A key from bytes: 32 random bytes, or the text of a setting.
    #[must_use]
    pub fn new(key: &[u8]) -> Self {
        // HMAC accepts a key of any length.
        Self { key: key.into(), ready: Hmac::new_from_slice(key).ok() }
    }

    /// The key itself, for the only call that may store it.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.key
    }

    pub(super) fn hash(&self, parts: &[&[u8]]) -> [u8; FIELD] {
        let mut out = [0; FIELD];
        if let Some(mut mac) = self.ready.clone() {
            parts.iter().for_each(|part| mac.update(part));
            out.copy_from_slice(&mac.finalize().into_bytes()[..FIELD]);
        }
        out
    }

    /// A value that distinguishes this key from others and does not help to find it.
    #[must_use]
    pub fn check(&self) -> [u8; FIELD] {
        self.hash(&[CHECK])
    }

    /// The field of an address on the list of a channel, or on a sender's list there.
    #[must_use]
    pub fn id(&self, sender: Option<&SenderId>, address: &Address) -> SuppressionId {
        let scope = sender.map_or("", |sender| sender.as_str());
        self.of(scope, &canonical(address))
    }

    /// The fields of an address on the list of the channel and on this sender's list there.
    #[must_use]
    pub fn both_ids(&self, sender: &SenderId, address: &Address) -> [SuppressionId; 2] {
        let address = canonical(address);
        [self.of("", &address), self.of(sender.as_str(), &address)]
    }

    fn of(&self, scope: &str, address: &str) -> SuppressionId {
        SuppressionId(self.hash(&[scope.as_bytes(), b"\0", address.as_bytes()]))
    }
}

impl fmt::Debug for AddressKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("key(***)")
    }
}

/// An address as it is hashed: trimmed, and lower-cased in all alphabets. Providers treat `Ann@Example.ORG` and
/// `ann@example.org` as one mailbox (nearly all do, even those that could tell them apart), and a person who opted
/// out must not get more messages because somebody typed a capital letter. Phone numbers and chat ids stay unchanged.
fn canonical(address: &Address) -> Cow<'_, str> {
    let address = address.expose().trim();
    let small = |byte: u8| byte.is_ascii() && !byte.is_ascii_uppercase();
    if address.bytes().all(small) { Cow::Borrowed(address) } else { Cow::Owned(address.to_lowercase()) }
}

/// The key of an entry: the hash of its address. Formats as hex.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SuppressionId([u8; FIELD]);

impl SuppressionId {
    /// As stored in the list.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; FIELD] {
        &self.0
    }

    /// Reads a field of a list.
    ///
    /// # Errors
    /// When it has another length.
    pub fn from_field(field: &[u8]) -> Result<Self, Malformed> {
        field.try_into().map(Self).map_err(|_| Malformed::new("suppression field"))
    }
}

impl fmt::Display for SuppressionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for SuppressionId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let invalid = InvalidId { kind: "suppression id", grammar: "32 characters from 0-9 a-f" };
        let mut id = [0; FIELD];
        if text.len() != 2 * FIELD || !text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(invalid);
        }
        for (at, byte) in id.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).map_err(|_| invalid.clone())?;
        }
        Ok(Self(id))
    }
}

/// The source of a suppression.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SuppressionSource {
    /// The provider refused it.
    Provider,
    /// A message bounced, or a receipt said that it did not arrive.
    Bounce,
    /// The person told the provider to stop.
    Stop,
    /// The person unsubscribed from a sender.
    Unsubscribe,
    /// An operator.
    Operator,
}

impl SuppressionSource {
    /// All sources.
    pub const ALL: [Self; 5] = [Self::Provider, Self::Bounce, Self::Stop, Self::Unsubscribe, Self::Operator];

    /// The letter in the record.
    #[must_use]
    pub fn letter(self) -> u8 {
        match self {
            Self::Provider => b'p',
            Self::Bounce => b'b',
            Self::Stop => b's',
            Self::Unsubscribe => b'u',
            Self::Operator => b'o',
        }
    }

    /// The stable word for the API.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Provider => "provider",
            Self::Bounce => "bounce",
            Self::Stop => "stop",
            Self::Unsubscribe => "unsubscribe",
            Self::Operator => "operator",
        }
    }
}

/// The status of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SuppressionStatus {
    /// The address gets no messages.
    Active,
    /// Strikes are counted; the address still gets messages.
    Striking,
    /// It was taken off the list.
    Deleted,
}

/// An entry of a suppression list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SuppressionRecord {
    /// Its status.
    pub status: SuppressionStatus,
    /// The reason.
    pub reason: Reason,
    /// When the address was put on the list, or got its first strike.
    pub first: UnixMs,
    /// When it became active, got its last strike, or was deleted.
    pub last: UnixMs,
    /// Number of strikes, at most 255.
    pub strikes: u8,
    /// Its source.
    pub source: SuppressionSource,
    /// Whether it is on a sender's list; otherwise on the channel's.
    pub of_sender: bool,
}

impl SuppressionRecord {
    /// Reads a record.
    ///
    /// # Errors
    /// When it is not a record, or is of a later version.
    pub fn decode(record: &[u8]) -> Result<Self, Malformed> {
        let malformed = || Malformed::new("suppression");
        let record: &[u8; LENGTH] = record.try_into().map_err(|_| malformed())?;
        let moment = |at: usize| UnixMs(record[at..at + 6].iter().fold(0, |n, b| n << 8 | u64::from(*b)));
        let source = SuppressionSource::ALL.into_iter().find(|source| source.letter() == record[17]);
        match record[0] {
            VERSION => Ok(Self {
                status: match record[1] {
                    b'a' => SuppressionStatus::Active,
                    b's' => SuppressionStatus::Striking,
                    b'l' => SuppressionStatus::Deleted,
                    _ => return Err(malformed()),
                },
                reason: Reason::from_code(u16::from_be_bytes([record[2], record[3]])),
                first: moment(4),
                last: moment(10),
                strikes: record[16],
                source: source.ok_or_else(malformed)?,
                of_sender: match record[18] {
                    b's' => true,
                    b'c' => false,
                    _ => return Err(malformed()),
                },
            }),
            _ => Err(malformed()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(sender: &str, address: &str) -> SuppressionId {
        let sender: Option<SenderId> = (!sender.is_empty()).then(|| sender.parse().unwrap());
        AddressKey::new(&[7; 32]).id(sender.as_ref(), &Address::new(address))
    }

    #[test]
    fn a_hash_is_the_one_of_rfc_4231() {
        // Test case 2: key "Jefe".
        let key = AddressKey::new(b"Jefe");
        let hash = SuppressionId(key.hash(&[b"what do ya want ", b"for nothing?"]));
        assert_eq!(hash.to_string(), "5bdcc146bf60754e6a042426089575c7");
    }

    #[test]
    fn an_address_is_one_however_it_is_typed_and_each_list_has_its_own() {
        assert_eq!(id("", "Ann@Example.ORG "), id("", "ann@example.org"));
        assert_eq!(id("", "ПОЧТА@пример.рф"), id("", "почта@Пример.РФ"));
        assert_ne!(id("", "ann@example.org"), id("", "ann@example.com"));
        assert_ne!(id("", "ann@example.org"), id("u1", "ann@example.org"));
        assert_ne!(id("u1", "ann@example.org"), id("u2", "ann@example.org"));
        assert_ne!(id("u1", "ann@example.org"), id("", "u1\0ann@example.org"));
        assert_ne!(AddressKey::new(b"a").check(), AddressKey::new(b"b").check());
        let both =
            |address| AddressKey::new(&[7; 32]).both_ids(&"u1".parse().unwrap(), &Address::new(address));
        for address in ["ann@example.org", "Ann@Example.ORG ", "ПОЧТА@пример.рф"] {
            assert_eq!(both(address), [id("", address), id("u1", address)]);
        }
    }

    #[test]
    fn an_id_is_read_back_and_nothing_else_is() {
        let reported = id("", "x").to_string();
        assert_eq!(reported.parse::<SuppressionId>().unwrap(), id("", "x"));
        for bad in
            ["", "0", &reported[1..], &reported.to_uppercase(), &format!("{reported}0"), &"é".repeat(16)]
        {
            assert!(bad.parse::<SuppressionId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_key_prints_masked() {
        assert_eq!(format!("{:?}", AddressKey::new(b"secret")), "key(***)");
    }

    #[test]
    fn no_other_bytes_are_a_record() {
        let record = *b"\x01a\x00\x0f\0\0\0\0\0\x01\0\0\0\0\0\x02\x03uc";
        let read = SuppressionRecord::decode(&record).unwrap();
        assert_eq!(
            (read.status, read.reason, read.source),
            (SuppressionStatus::Active, Reason::Suppressed, SuppressionSource::Unsubscribe)
        );
        assert_eq!((read.first, read.last, read.strikes, read.of_sender), (UnixMs(1), UnixMs(2), 3, false));
        for (at, byte) in [(0, 2), (1, b'x'), (17, b'x'), (18, b'x')] {
            let mut other = record;
            other[at] = byte;
            assert!(SuppressionRecord::decode(&other).is_err(), "{at}");
        }
        assert!(SuppressionRecord::decode(&record[1..]).is_err());
    }
}
