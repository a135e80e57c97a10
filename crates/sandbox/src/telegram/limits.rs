//! The limits of the Bot API: messages per second of a bot, to a person, and per minute to a group. Pure: the time is
//! a parameter.

use std::num::NonZeroUsize;
use std::time::Duration;

use lru::LruCache;
use serde::Deserialize;
use tokio::time::Instant;

use crate::fake_provider::Window;

/// Bots and chats remembered; the least recently used is forgotten first.
const MOST: NonZeroUsize = NonZeroUsize::MIN.saturating_add(199_999);

/// The limits. The real ones are soft and documented as "about".
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct BotLimits {
    /// Messages of one bot in a second.
    pub bot_per_second: usize,
    /// How many seconds a bot above this is banned.
    pub ban: u64,
    /// Messages to one person in three seconds: one a second, with short bursts.
    pub person_per_three_seconds: usize,
    /// Messages to one group or channel in a minute.
    pub group_per_minute: usize,
}

impl Default for BotLimits {
    fn default() -> Self {
        Self { bot_per_second: 33, ban: 3, person_per_three_seconds: 5, group_per_minute: 20 }
    }
}

impl BotLimits {
    /// Limits that are never reached.
    #[must_use]
    pub fn none() -> Self {
        let most = usize::MAX;
        Self { bot_per_second: most, ban: 1, person_per_three_seconds: most, group_per_minute: most }
    }
}

/// What was sent recently.
#[derive(Debug)]
pub(super) struct Counting {
    limits: BotLimits,
    bots: LruCache<u64, Bot>,
    chats: LruCache<(u64, String), Window>,
}

#[derive(Debug, Default)]
struct Bot {
    sent: Window,
    banned_until: Option<Instant>,
}

/// A refusal by a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limited {
    pub(super) retry_after: u64,
    /// It came while the bot was banned already.
    pub(super) in_ban: bool,
}

impl Counting {
    pub(super) fn new(limits: BotLimits) -> Self {
        Self { limits, bots: LruCache::new(MOST), chats: LruCache::new(MOST) }
    }

    pub(super) fn set(&mut self, limits: BotLimits) {
        *self = Self::new(limits);
    }

    /// Bans a bot from now on; a longer ban stays.
    pub(super) fn ban(&mut self, bot: u64, now: Instant, seconds: u64) {
        let bot = self.bots.get_or_insert_mut(bot, Bot::default);
        let until = now + Duration::from_secs(seconds);
        bot.banned_until = Some(bot.banned_until.map_or(until, |other| other.max(until)));
    }

    /// The current ban of a bot.
    pub(super) fn banned(&mut self, bot: u64, now: Instant) -> Option<Limited> {
        let until = self.bots.get_mut(&bot)?.banned_until?;
        let left = until.saturating_duration_since(now);
        (!left.is_zero()).then(|| Limited { retry_after: seconds(left), in_ban: true })
    }

    /// Counts a message of this bot to this chat, or returns the limit it exceeds.
    pub(super) fn count(&mut self, bot: u64, chat: &str, now: Instant) -> Result<(), Limited> {
        let limited = |left| Err(Limited { retry_after: seconds(left), in_ban: false });
        let is_person = chat.bytes().all(|byte| byte.is_ascii_digit());
        let (most, span) = match is_person {
            true => (self.limits.person_per_three_seconds, Duration::from_secs(3)),
            false => (self.limits.group_per_minute, Duration::from_secs(60)),
        };
        let sent = self.chats.get_or_insert_mut((bot, chat.to_owned()), Window::default);
        if let Some(left) = sent.full(most, span, now) {
            return limited(left);
        }
        let of_bot = self.bots.get_or_insert_mut(bot, Bot::default);
        if of_bot.sent.full(self.limits.bot_per_second, Duration::from_secs(1), now).is_some() {
            let ban = Duration::from_secs(self.limits.ban);
            of_bot.banned_until = Some(now + ban);
            return limited(ban);
        }
        of_bot.sent.count(self.limits.bot_per_second, now);
        sent.count(most, now);
        Ok(())
    }
}

fn seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_bot_that_goes_too_fast_is_banned_with_all_its_chats() {
        let (now, limits) = (Instant::now(), BotLimits { bot_per_second: 2, ..BotLimits::default() });
        let mut counting = Counting::new(limits);
        assert_eq!(counting.count(1, "7", now), Ok(()));
        assert_eq!(counting.count(1, "8", now), Ok(()));
        assert_eq!(counting.count(1, "9", now), Err(Limited { retry_after: 3, in_ban: false }));
        assert_eq!(counting.banned(1, now + SECOND), Some(Limited { retry_after: 2, in_ban: true }));
        assert_eq!(counting.banned(2, now), None);
        assert_eq!(counting.count(2, "9", now), Ok(()));
        assert_eq!(counting.banned(1, now + SECOND * 3), None);
        assert_eq!(counting.count(1, "9", now + SECOND * 3), Ok(()));
    }

    #[test]
    fn persons_and_groups_have_their_own() {
        let now = Instant::now();
        let mut counting = Counting::new(BotLimits { bot_per_second: 99, ..BotLimits::default() });
        for _ in 0..5 {
            assert_eq!(counting.count(1, "7", now), Ok(()));
        }
        assert_eq!(counting.count(1, "7", now), Err(Limited { retry_after: 3, in_ban: false }));
        for _ in 0..20 {
            assert_eq!(counting.count(1, "-7", now), Ok(()));
        }
        assert_eq!(
            counting.count(1, "-7", now + SECOND * 10),
            Err(Limited { retry_after: 50, in_ban: false })
        );
        assert_eq!(counting.banned(1, now), None);
        assert_eq!(counting.count(1, "7", now + SECOND * 3), Ok(()));
    }
}
