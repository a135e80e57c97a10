//! The record of an API key: a hash `key:{p}:<id>` of plain fields. The secret itself is never stored.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;

use bytes::Bytes;
use posthaste_model::{InvalidId, SenderId, UnixMs};
use subtle::ConstantTimeEq;

use super::SendAs;
use crate::reply_value::{Malformed, ReplyValue};

/// The public part of an API key: `[a-z0-9]{12}`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId(Box<str>);

impl KeyId {
    /// As used in key names.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for KeyId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let fits = text.len() == 12 && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        let invalid = InvalidId { kind: "key id", grammar: "12 characters from a-z 0-9" };
        fits.then(|| Self(text.into())).ok_or(invalid)
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a key allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum KeyScope {
    /// Create, cancel, reschedule and retry orders.
    Write,
    /// Read orders, recipients and outcomes.
    Read,
    /// Create and revoke keys.
    Admin,
    /// Use any sender and role.
    AnySender,
}

impl KeyScope {
    /// All scopes.
    pub const ALL: [Self; 4] = [Self::Write, Self::Read, Self::Admin, Self::AnySender];

    /// The stable word of the API.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Write => "write",
            Self::Read => "read",
            Self::Admin => "admin",
            Self::AnySender => "any_sender",
        }
    }

    /// The word in records.
    fn record_word(self) -> &'static str {
        match self {
            Self::Write => "enqueue",
            Self::AnySender => "act_as",
            Self::Read | Self::Admin => self.word(),
        }
    }

    fn bit(self) -> u8 {
        1 << self as u8
    }
}

impl FromStr for KeyScope {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let invalid = InvalidId { kind: "scope", grammar: "write, read, admin or any_sender" };
        Self::ALL.into_iter().find(|scope| scope.word() == text).ok_or(invalid)
    }
}

/// A set of scopes. Formats as words separated by commas.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct KeyScopes(u8);

impl KeyScopes {
    /// Whether it contains the scope.
    #[must_use]
    pub fn contains(self, scope: KeyScope) -> bool {
        self.0 & scope.bit() != 0
    }

    /// The set with this scope added.
    #[must_use]
    pub fn with(self, scope: KeyScope) -> Self {
        Self(self.0 | scope.bit())
    }

    /// Whether it is empty.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The set as in records.
    #[must_use]
    pub fn record(self) -> String {
        self.iter().map(KeyScope::record_word).collect::<Vec<_>>().join(",")
    }

    /// The set of a record. Scopes of later versions allow nothing here.
    #[must_use]
    pub fn of_record(text: &str) -> Self {
        let known = |word: &str| KeyScope::ALL.into_iter().find(|scope| scope.record_word() == word);
        text.split(',').filter_map(known).collect()
    }

    /// All scopes of the set.
    pub fn iter(self) -> impl Iterator<Item = KeyScope> {
        KeyScope::ALL.into_iter().filter(move |scope| self.contains(*scope))
    }
}

impl FromIterator<KeyScope> for KeyScopes {
    fn from_iter<I: IntoIterator<Item = KeyScope>>(scopes: I) -> Self {
        scopes.into_iter().fold(Self::default(), Self::with)
    }
}

impl FromStr for KeyScopes {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        text.split(',').filter(|word| !word.is_empty()).map(str::parse).collect()
    }
}

impl fmt::Display for KeyScopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, scope) in self.iter().enumerate() {
            f.write_str(if at > 0 { "," } else { "" })?;
            f.write_str(scope.word())?;
        }
        Ok(())
    }
}

/// SHA-256 of a secret. Formats masked.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretHash([u8; 32]);

impl SecretHash {
    /// Wraps a hash.
    #[must_use]
    pub fn new(hash: [u8; 32]) -> Self {
        Self(hash)
    }

    /// The hash itself.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Whether both are the same, compared in constant time.
    #[must_use]
    pub fn same(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("hash(***)")
    }
}

/// A new key.
#[derive(Debug, Clone)]
pub struct NewKey {
    /// Its id.
    pub id: KeyId,
    /// Its display name; at most two live keys may share one.
    pub name: String,
    /// Hash of its secret.
    pub hash: SecretHash,
    /// What it allows.
    pub scopes: KeyScopes,
    /// The only sender it may use, unless it may act as others.
    pub sender: Option<SenderId>,
    /// The only role it may use, unless it may act as others.
    pub role: Option<String>,
    /// The mailboxes and display names its orders may use as sender.
    pub send_as: SendAs,
    /// When it expires.
    pub expires: Option<UnixMs>,
}

/// A stored key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRecord {
    /// Its id.
    pub id: KeyId,
    /// Its display name.
    pub name: String,
    /// Hash of its secret.
    pub hash: SecretHash,
    /// What it allows.
    pub scopes: KeyScopes,
    /// The only sender it may use, unless it may act as others.
    pub sender: Option<SenderId>,
    /// The only role it may use, unless it may act as others.
    pub role: Option<String>,
    /// The mailboxes and display names its orders may use as sender.
    pub send_as: SendAs,
    /// When it was created.
    pub created: UnixMs,
    /// When it expires.
    pub expires: Option<UnixMs>,
    /// When it was last used, to the minute.
    pub last_used: Option<UnixMs>,
    /// When it was revoked.
    pub revoked: Option<UnixMs>,
}

impl KeyRecord {
    /// Reads the fields of a record, names and values alternating; `None` when there are none.
    ///
    /// # Errors
    /// When a field is missing or can't be read.
    pub fn decode(id: KeyId, flat: ReplyValue) -> Result<Option<Self>, Malformed> {
        let mut flat = flat.array("key")?.into_iter();
        let mut fields: HashMap<String, Bytes> = HashMap::new();
        while let (Some(name), Some(value)) = (flat.next(), flat.next()) {
            fields.insert(name.text("key field")?, value.bytes("key field")?);
        }
        if fields.is_empty() {
            return Ok(None);
        }
        let text = |field: &'static str| {
            let bytes = fields.get(field).map(|bytes| String::from_utf8(bytes.to_vec()));
            bytes.transpose().map_err(|_| Malformed::new(field))
        };
        let moment = |field: &'static str| {
            let number = text(field)?.map(|text| text.parse().map(UnixMs));
            number.transpose().map_err(|_| Malformed::new(field))
        };
        let hash = fields.get("hash").and_then(|hash| <[u8; 32]>::try_from(&hash[..]).ok());
        let sender = text("sender")?.map(|sender| sender.parse());
        Ok(Some(Self {
            id,
            name: text("name")?.ok_or(Malformed::new("name"))?,
            hash: SecretHash(hash.ok_or(Malformed::new("hash"))?),
            scopes: KeyScopes::of_record(&text("scopes")?.unwrap_or_default()),
            sender: sender.transpose().map_err(|_| Malformed::new("sender"))?,
            role: text("role")?,
            send_as: SendAs::read(
                &text("mailboxes")?.unwrap_or_default(),
                &text("display_names")?.unwrap_or_default(),
            ),
            created: moment("created")?.ok_or(Malformed::new("created"))?,
            expires: moment("expires")?,
            last_used: moment("used")?,
            revoked: moment("revoked")?,
        }))
    }

    /// Whether the key may be used at this time.
    #[must_use]
    pub fn live_at(&self, now: UnixMs) -> bool {
        self.revoked.is_none() && self.expires.is_none_or(|end| now < end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_scopes_have_a_grammar() {
        for bad in ["", "abc", "ABCDEFGHIJKL", "abcdefghijk-", "abcdefghijklm", "{abcdefghij}"] {
            assert!(bad.parse::<KeyId>().is_err(), "{bad:?}");
        }
        assert_eq!("abc123def456".parse::<KeyId>().unwrap().to_string(), "abc123def456");
        let scopes: KeyScopes = [KeyScope::AnySender, KeyScope::Write].into_iter().collect();
        assert_eq!(scopes.to_string(), "write,any_sender");
        assert_eq!("any_sender,write".parse::<KeyScopes>().unwrap(), scopes);
        assert_eq!("".parse::<KeyScopes>().unwrap(), KeyScopes::default());
        assert!("write,root".parse::<KeyScopes>().is_err());
        assert!(scopes.contains(KeyScope::AnySender) && !scopes.contains(KeyScope::Admin));
    }

    #[test]
    fn scopes_in_records_keep_their_words() {
        let all: KeyScopes = KeyScope::ALL.into_iter().collect();
        assert_eq!(all.record(), "enqueue,read,admin,act_as");
        assert_eq!(KeyScopes::of_record("enqueue,read,later,admin,act_as"), all);
        assert_eq!(KeyScopes::of_record(""), KeyScopes::default());
    }

    #[test]
    fn a_hash_prints_masked() {
        let hash = SecretHash::new([7; 32]);
        assert_eq!(format!("{hash:?}"), "hash(***)");
        assert!(hash.same(&SecretHash::new([7; 32])) && !hash.same(&SecretHash::new([8; 32])));
    }
}
