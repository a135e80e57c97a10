//! The values of keys. Everything is shared until it is written, so a copy of a world costs one reference count.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use super::sorted_set::SortedSet;

/// Bytes that may be shared by many worlds.
pub type Str = Arc<[u8]>;

/// A list: head first.
pub type List = VecDeque<Str>;

/// A set. The order of iteration is by bytes; a server's is unspecified.
pub type Set = BTreeSet<Str>;

/// The value of a key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Data {
    /// A string.
    Text(Str),
    /// A hash.
    Hash(Arc<Hash>),
    /// A sorted set.
    Sorted(Arc<SortedSet>),
    /// A list.
    List(Arc<List>),
    /// A set.
    Set(Arc<Set>),
}

impl Data {
    /// The name returned by `TYPE`.
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        match self {
            Data::Text(_) => "string",
            Data::Hash(_) => "hash",
            Data::Sorted(_) => "zset",
            Data::List(_) => "list",
            Data::Set(_) => "set",
        }
    }
}

/// A key's value and its deadline.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Entry {
    /// The value.
    pub data: Data,
    /// Milliseconds since the epoch after which the key has expired; `None` if it never does.
    pub expires_at: Option<i64>,
}

/// A hash with more fields than this leaves the compact form (`hash-max-listpack-entries`).
pub const COMPACT_FIELDS: usize = 512;
/// A hash leaves the compact form for a longer field or value, in bytes (`hash-max-listpack-value`).
pub const COMPACT_BYTES: usize = 64;

/// A hash in one of the server's two forms.
///
/// The compact form (a listpack) keeps its fields in the order of their first `HSET`, and scripts can see that
/// order in `HGETALL`. The table's order is unspecified on a server; here it is descending by bytes, which no
/// sane script expects, so that a script relying on the order of a large hash is detected.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Hash {
    /// At most [`COMPACT_FIELDS`] fields, none longer than [`COMPACT_BYTES`].
    Compact(Vec<(Str, Str)>),
    /// Any size. Never converts back.
    Table(BTreeMap<Str, Str>),
}

impl Default for Hash {
    fn default() -> Self {
        Hash::Compact(Vec::new())
    }
}

impl Hash {
    /// The value of a field.
    #[must_use]
    pub fn get(&self, field: &[u8]) -> Option<&Str> {
        match self {
            Hash::Compact(pairs) => pairs.iter().find(|(name, _)| **name == *field).map(|(_, value)| value),
            Hash::Table(map) => map.get(field),
        }
    }

    /// Number of fields.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Hash::Compact(pairs) => pairs.len(),
            Hash::Table(map) => map.len(),
        }
    }

    /// Whether there is no field.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the hash is in the compact form, whose order of fields is defined.
    #[must_use]
    pub fn is_compact(&self) -> bool {
        matches!(self, Hash::Compact(_))
    }

    /// Fields and values in the order of `HGETALL`.
    pub fn iter(&self) -> impl Iterator<Item = (&Str, &Str)> {
        let (compact, table) = match self {
            Hash::Compact(pairs) => (Some(pairs.iter().map(|(field, value)| (field, value))), None),
            Hash::Table(map) => (None, Some(map.iter().rev())),
        };
        compact.into_iter().flatten().chain(table.into_iter().flatten())
    }

    /// Leaves the compact form if a string of `bytes` bytes is to be stored.
    pub(crate) fn make_room_for(&mut self, bytes: usize) {
        if bytes > COMPACT_BYTES {
            self.become_table();
        }
    }

    /// Writes a field; returns whether it is new.
    pub(crate) fn set(&mut self, field: &[u8], value: &[u8]) -> bool {
        self.make_room_for(field.len().max(value.len()));
        let new = match self {
            Hash::Compact(pairs) => match pairs.iter_mut().find(|(name, _)| **name == *field) {
                Some((_, old)) => {
                    *old = Str::from(value);
                    false
                }
                None => {
                    pairs.push((Str::from(field), Str::from(value)));
                    true
                }
            },
            Hash::Table(map) => match map.get_mut(field) {
                Some(old) => {
                    *old = Str::from(value);
                    false
                }
                None => map.insert(Str::from(field), Str::from(value)).is_none(),
            },
        };
        if self.len() > COMPACT_FIELDS {
            self.become_table();
        }
        new
    }

    /// Removes a field; returns whether it existed.
    pub(crate) fn remove(&mut self, field: &[u8]) -> bool {
        match self {
            Hash::Compact(pairs) => match pairs.iter().position(|(name, _)| **name == *field) {
                Some(at) => {
                    pairs.remove(at);
                    true
                }
                None => false,
            },
            Hash::Table(map) => map.remove(field).is_some(),
        }
    }

    fn become_table(&mut self) {
        if let Hash::Compact(pairs) = self {
            *self = Hash::Table(std::mem::take(pairs).into_iter().collect());
        }
    }
}

/// A kind of collection: how it is stored in [`Data`], and when its key is removed.
pub(crate) trait Kind: Clone + Default {
    /// The collection in a key of this kind.
    fn of(data: &Data) -> Option<&Self>;
    /// The same, for writing.
    fn of_mut(data: &mut Data) -> Option<&mut Self>;
    /// A key's value from a collection.
    fn into_data(self) -> Data;
    /// Whether the key must be removed.
    fn is_spent(&self) -> bool;
}

macro_rules! kind {
    ($kind:ty, $variant:ident) => {
        impl Kind for $kind {
            fn of(data: &Data) -> Option<&Self> {
                match data {
                    Data::$variant(inner) => Some(inner),
                    _ => None,
                }
            }
            fn of_mut(data: &mut Data) -> Option<&mut Self> {
                match data {
                    Data::$variant(inner) => Some(Arc::make_mut(inner)),
                    _ => None,
                }
            }
            fn into_data(self) -> Data {
                Data::$variant(Arc::new(self))
            }
            fn is_spent(&self) -> bool {
                self.is_empty()
            }
        }
    };
}

kind!(Hash, Hash);
kind!(SortedSet, Sorted);
kind!(List, List);
kind!(Set, Set);
