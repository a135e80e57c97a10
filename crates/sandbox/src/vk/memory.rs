//! What VK remembers: recent requests, random ids, message numbers. All bounded; the least recently used is forgotten
//! first.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::num::NonZeroUsize;
use std::time::Duration;

use lru::LruCache;
use tokio::time::Instant;

use crate::fake_provider::Window;

const MOST_TOKENS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(9_999);
const MOST_PEERS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(199_999);
const MOST_RANDOM: NonZeroUsize = NonZeroUsize::MIN.saturating_add(499_999);

/// The numbers of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Numbers {
    pub(super) message: u64,
    pub(super) in_conversation: u64,
    /// The message was there already.
    pub(super) is_repeat: bool,
}

#[derive(Debug)]
pub(super) struct Memory {
    hasher: RandomState,
    tokens: LruCache<String, Token>,
    random: LruCache<u64, (Instant, Numbers)>,
    conversations: LruCache<i64, u64>,
    last: u64,
}

#[derive(Debug, Default)]
struct Token {
    requested: Window,
    banned_until: Option<Instant>,
}

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TooMany {
    /// Too many in this second.
    InSecond,
    /// A fault has banned the token.
    InBan,
}

impl Memory {
    pub(super) fn new() -> Self {
        Self {
            hasher: RandomState::new(),
            tokens: LruCache::new(MOST_TOKENS),
            random: LruCache::new(MOST_RANDOM),
            conversations: LruCache::new(MOST_PEERS),
            last: 0,
        }
    }

    /// Counts a request of a token.
    pub(super) fn ask(&mut self, token: &str, per_second: usize, now: Instant) -> Result<(), TooMany> {
        let token = self.tokens.get_or_insert_mut(token.to_owned(), Token::default);
        if token.banned_until.is_some_and(|until| until > now) {
            return Err(TooMany::InBan);
        }
        if token.requested.full(per_second, Duration::from_secs(1), now).is_some() {
            return Err(TooMany::InSecond);
        }
        token.requested.count(per_second, now);
        Ok(())
    }

    pub(super) fn ban(&mut self, token: &str, until: Instant) {
        self.tokens.get_or_insert_mut(token.to_owned(), Token::default).banned_until = Some(until);
    }

    /// The numbers of a message to a peer: the existing ones if its random id was seen recently. 0 is not an id.
    pub(super) fn number(&mut self, peer: i64, random: i64, keep: Duration, now: Instant) -> Numbers {
        let key = self.hasher.hash_one((peer, random));
        if random != 0
            && let Some((at, numbers)) = self.random.get(&key)
            && now.saturating_duration_since(*at) < keep
        {
            return Numbers { is_repeat: true, ..*numbers };
        }
        self.last += 1;
        let conversation = self.conversations.get_or_insert_mut(peer, || 0);
        *conversation += 1;
        let numbers = Numbers { message: self.last, in_conversation: *conversation, is_repeat: false };
        if random != 0 {
            self.random.put(key, (now, numbers));
        }
        numbers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_random_id_is_one_message_for_each_peer_within_its_time() {
        let (mut memory, now, hour) = (Memory::new(), Instant::now(), Duration::from_secs(3_600));
        let first = memory.number(7, 5, hour, now);
        assert_eq!(memory.number(7, 5, hour, now + hour / 2), Numbers { is_repeat: true, ..first });
        assert!(!memory.number(8, 5, hour, now).is_repeat, "another peer");
        assert!(!memory.number(7, 6, hour, now).is_repeat, "another id");
        assert!(!memory.number(7, 5, hour, now + hour).is_repeat, "after its time");
        assert!(
            !memory.number(7, 0, hour, now).is_repeat && !memory.number(7, 0, hour, now).is_repeat,
            "no id"
        );
    }

    #[test]
    fn requests_per_second_are_limited() {
        let (mut memory, now) = (Memory::new(), Instant::now());
        assert_eq!(memory.ask("a", 2, now), Ok(()));
        assert_eq!(memory.ask("a", 2, now), Ok(()));
        assert_eq!(memory.ask("a", 2, now), Err(TooMany::InSecond));
        assert_eq!(memory.ask("b", 2, now), Ok(()));
        assert_eq!(memory.ask("a", 2, now + Duration::from_secs(1)), Ok(()));
        memory.ban("b", now + Duration::from_secs(9));
        assert_eq!(memory.ask("b", 2, now + Duration::from_secs(8)), Err(TooMany::InBan));
    }
}
