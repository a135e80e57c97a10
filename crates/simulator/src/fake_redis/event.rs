//! Keyspace events: what a server publishes to its subscribers.

use super::data::Str;

/// The class of an event, as the letters of `notify-keyspace-events` name them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Class {
    /// `g`: `del`, `expire` and others that do not depend on the type.
    Generic = 1,
    /// `$`: strings.
    Text = 2,
    /// `l`: lists.
    List = 4,
    /// `s`: sets.
    Set = 8,
    /// `h`: hashes.
    Hash = 16,
    /// `z`: sorted sets.
    Sorted = 32,
    /// `x`: an expired key was found and removed.
    Expired = 64,
}

/// Which classes of events a world records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Classes(u8);

impl Classes {
    /// Every class (`A`).
    pub const ALL: Classes = Classes(127);
    /// No events at all: notifications switched off.
    pub const NONE: Classes = Classes(0);
    /// What couriers and trackers subscribe to: `x` and `h`.
    pub const EXPIRED_AND_HASH: Classes = Classes(Class::Expired as u8 | Class::Hash as u8);

    /// These classes and one more.
    #[must_use]
    pub const fn with(self, class: Class) -> Classes {
        Classes(self.0 | class as u8)
    }

    /// Whether events of the class are recorded.
    #[must_use]
    pub const fn contains(self, class: Class) -> bool {
        self.0 & class as u8 != 0
    }
}

impl Default for Classes {
    fn default() -> Self {
        Classes::ALL
    }
}

/// A message to subscribers, in the order in which the server sends it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// A keyspace event: published as `__keyevent@0__:<name>` with the key as message.
    Key {
        /// Its class.
        class: Class,
        /// Its name: `expired`, `del`, `set`, `hset`, …
        name: &'static str,
        /// The key it is about.
        key: Str,
    },
    /// A `PUBLISH` by a script or client.
    Message {
        /// The channel.
        channel: Str,
        /// The message.
        payload: Str,
    },
}

impl Event {
    /// The key, if this event says that it was found expired and removed.
    #[must_use]
    pub fn expired_key(&self) -> Option<&[u8]> {
        match self {
            Event::Key { class: Class::Expired, key, .. } => Some(key),
            _ => None,
        }
    }
}
