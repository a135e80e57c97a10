//! The record of an API key: a hash `key:{p}:<id>` of plain fields. The secret itself is kept nowhere.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;

use bytes::Bytes;
use posthaste_model::{InvalidId, SenderId, UnixMs};
use subtle::ConstantTimeEq;

use super::SendAs;
use crate::value::{Malformed, Value};

/// The public part of an API key: `[a-z0-9]{12}`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId(Box<str>);

impl KeyId {
    /// As it stands in keys.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for KeyId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let fits = text.len() == 12 && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        let invalid = InvalidId { kind: "id of an API key", grammar: "12 of a-z 0-9" };
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
pub enum Scope {
    /// To order, cancel, move and retry.
    Enqueue,
    /// To see orders, recipients and what became of them.
    Read,
    /// To make and revoke keys.
    Admin,
    /// To name any sender and role.
    ActAs,
}

impl Scope {
    /// All scopes.
    pub const ALL: [Self; 4] = [Self::Enqueue, Self::Read, Self::Admin, Self::ActAs];

    /// The stable word for records and answers.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Enqueue => "enqueue",
            Self::Read => "read",
            Self::Admin => "admin",
            Self::ActAs => "act_as",
        }
    }

    fn bit(self) -> u8 {
        1 << self as u8
    }
}

impl FromStr for Scope {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let invalid = InvalidId { kind: "scope", grammar: "enqueue, read, admin or act_as" };
        Self::ALL.into_iter().find(|scope| scope.word() == text).ok_or(invalid)
    }
}

/// A set of scopes. Formats as words with commas between.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Scopes(u8);

impl Scopes {
    /// Whether a scope is among them.
    #[must_use]
    pub fn contains(self, scope: Scope) -> bool {
        self.0 & scope.bit() != 0
    }

    /// The same and one more.
    #[must_use]
    pub fn with(self, scope: Scope) -> Self {
        Self(self.0 | scope.bit())
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// All of them.
    pub fn iter(self) -> impl Iterator<Item = Scope> {
        Scope::ALL.into_iter().filter(move |scope| self.contains(*scope))
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        scopes.into_iter().fold(Self::default(), Self::with)
    }
}

impl FromStr for Scopes {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        text.split(',').filter(|word| !word.is_empty()).map(str::parse).collect()
    }
}

impl fmt::Display for Scopes {
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
    /// Takes a hash as it is.
    #[must_use]
    pub fn new(hash: [u8; 32]) -> Self {
        Self(hash)
    }

    /// The hash itself.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Whether both are the same, in a time that does not tell where they differ.
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

/// A key to be kept.
#[derive(Debug, Clone)]
pub struct NewKey {
    /// Its id.
    pub id: KeyId,
    /// What people call it; two live keys at most have one name.
    pub name: String,
    /// Hash of its secret.
    pub hash: SecretHash,
    /// What it allows.
    pub scopes: Scopes,
    /// The only sender it may name, unless it may act as others.
    pub sender: Option<SenderId>,
    /// The only role it may name, unless it may act as others.
    pub role: Option<String>,
    /// The mailboxes and names its orders may be from.
    pub send_as: SendAs,
    /// When it ends by itself.
    pub expires: Option<UnixMs>,
}

/// A key as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRecord {
    /// Its id.
    pub id: KeyId,
    /// What people call it.
    pub name: String,
    /// Hash of its secret.
    pub hash: SecretHash,
    /// What it allows.
    pub scopes: Scopes,
    /// The only sender it may name, unless it may act as others.
    pub sender: Option<SenderId>,
    /// The only role it may name, unless it may act as others.
    pub role: Option<String>,
    /// The mailboxes and names its orders may be from.
    pub send_as: SendAs,
    /// When it was made.
    pub created: UnixMs,
    /// When it ends by itself.
    pub expires: Option<UnixMs>,
    /// When it was last used, to the minute.
    pub last_used: Option<UnixMs>,
    /// When it was revoked.
    pub revoked: Option<UnixMs>,
}

impl KeyRecord {
    /// Reads the fields of a record, names and values in turn; `None` when there are none.
    ///
    /// # Errors
    /// When a field is missing or can't be read.
    pub fn decode(id: KeyId, flat: Value) -> Result<Option<Self>, Malformed> {
        let mut flat = flat.array("key")?.into_iter();
        let mut fields: HashMap<String, Bytes> = HashMap::new();
        while let (Some(name), Some(value)) = (flat.next(), flat.next()) {
            fields.insert(name.text("field of a key")?, value.bytes("field of a key")?);
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
            // A scope of a later version allows nothing here.
            scopes: text("scopes")?
                .unwrap_or_default()
                .split(',')
                .filter_map(|word| word.parse::<Scope>().ok())
                .collect(),
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

    /// Whether the key may be used at a moment.
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
        let scopes: Scopes = [Scope::ActAs, Scope::Enqueue].into_iter().collect();
        assert_eq!(scopes.to_string(), "enqueue,act_as");
        assert_eq!("act_as,enqueue".parse::<Scopes>().unwrap(), scopes);
        assert_eq!("".parse::<Scopes>().unwrap(), Scopes::default());
        assert!("enqueue,root".parse::<Scopes>().is_err());
        assert!(scopes.contains(Scope::ActAs) && !scopes.contains(Scope::Admin));
    }

    #[test]
    fn a_hash_prints_masked() {
        let hash = SecretHash::new([7; 32]);
        assert_eq!(format!("{hash:?}"), "hash(***)");
        assert!(hash.same(&SecretHash::new([7; 32])) && !hash.same(&SecretHash::new([8; 32])));
    }
}
