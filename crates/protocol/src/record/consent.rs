//! Notices: opt-ins and opt-outs of persons, identified by an id so that a copy does not count again, and ordered by
//! time.

use std::time::Duration;

use posthaste_model::UnixMs;

use super::suppression::AddressKey;

/// Bytes of an id.
const LENGTH: usize = 8;

/// Identifies a notice and all its copies: a keyed hash of the provider's id, or random where there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct NoticeId([u8; LENGTH]);

impl NoticeId {
    /// The id of a notice without a provider's id; `random`: 8 bytes that are unique.
    #[must_use]
    pub const fn random(random: [u8; LENGTH]) -> Self {
        Self(random)
    }

    /// As stored in records.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; LENGTH] {
        &self.0
    }
}

impl AddressKey {
    /// The id of the numbers with this prefix.
    #[must_use]
    pub fn prefix_id(&self, prefix: &str) -> NoticeId {
        let hash = self.hash(&[b"\0prefix\0", prefix.as_bytes()]);
        let mut id = [0; LENGTH];
        id.copy_from_slice(&hash[..LENGTH]);
        NoticeId(id)
    }

    /// The id of a notice with this name at its provider.
    #[must_use]
    pub fn notice_id(&self, name: &str) -> NoticeId {
        let hash = self.hash(&[b"\0notice\0", name.as_bytes()]);
        let mut id = [0; LENGTH];
        id.copy_from_slice(&hash[..LENGTH]);
        NoticeId(id)
    }
}

/// When a notice was said, as far as it can be proved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoticeTime {
    /// The provider's time.
    Provider(UnixMs),
    /// This database's time, at the earliest. For opt-ins.
    NotBefore(UnixMs),
    /// At least this long ago. For opt-outs.
    Ago(Duration),
    /// Some time before now.
    Unknown,
}

/// A notice as passed to scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Notice {
    /// Identifies its copies.
    pub id: NoticeId,
    /// When it was said.
    pub said: NoticeTime,
}

impl Notice {
    /// 15 bytes: id, clock, ms.
    #[must_use]
    pub fn encode(&self) -> [u8; 15] {
        let (clock, ms) = match self.said {
            NoticeTime::Provider(at) => (b'p', at.0),
            NoticeTime::NotBefore(at) => (b'h', at.0),
            NoticeTime::Ago(ago) => (b'a', u64::try_from(ago.as_millis()).unwrap_or(u64::MAX)),
            NoticeTime::Unknown => (b'-', 0),
        };
        // 48 bits of milliseconds are about 9,000 years.
        let ms = ms.min((1 << 48) - 1).to_be_bytes();
        let mut packed = [0; 15];
        packed[..8].copy_from_slice(&self.id.0);
        packed[8] = clock;
        packed[9..].copy_from_slice(&ms[2..]);
        packed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notice_is_written_as_the_scripts_read_it() {
        let id = NoticeId::random(*b"notice-1");
        let of = |said| Notice { id, said }.encode();
        assert_eq!(&of(NoticeTime::Provider(UnixMs(0x0102_0304_0506))), b"notice-1p\x01\x02\x03\x04\x05\x06");
        assert_eq!(&of(NoticeTime::NotBefore(UnixMs(7))), b"notice-1h\0\0\0\0\0\x07");
        assert_eq!(&of(NoticeTime::Ago(Duration::from_millis(256))), b"notice-1a\0\0\0\0\x01\0");
        assert_eq!(&of(NoticeTime::Ago(Duration::MAX)), b"notice-1a\xff\xff\xff\xff\xff\xff");
        assert_eq!(&of(NoticeTime::Unknown), b"notice-1-\0\0\0\0\0\0");
    }

    #[test]
    fn ids_differ_by_name_and_key() {
        let (one, other) = (AddressKey::new(&[7; 32]), AddressKey::new(&[8; 32]));
        assert_eq!(one.notice_id("SM1"), one.notice_id("SM1"));
        assert_ne!(one.notice_id("SM1"), one.notice_id("SM2"));
        assert_ne!(one.notice_id("SM1"), other.notice_id("SM1"));
    }
}
