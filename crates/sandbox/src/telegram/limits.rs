//! The limits of the Bot API: messages a second of a bot, to a person, and to a group in a minute. Pure: time comes in.

use std::num::NonZeroUsize;
use std::time::Duration;

use lru::LruCache;
use serde::Deserialize;
use tokio::time::Instant;

use crate::standin::Window;

/// Bots and chats remembered; the one unused for longest is forgotten first.
const MOST: NonZeroUsize = NonZeroUsize::MIN.saturating_add(199_999);

/// How much is taken. The real limits are soft and told as "about".
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Limits {
    /// Messages of one bot in a second.
    pub bot_per_second: usize,
    /// Seconds a bot that goes beyond it is banned for.
    pub ban: u64,
    /// Messages to one person in three seconds: one a second, with short bursts.
    pub person_per_three_seconds: usize,
    /// Messages to one group or channel in a minute.
    pub group_per_minute: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { bot_per_second: 33, ban: 3, person_per_three_seconds: 5, group_per_minute: 20 }
    }
}

impl Limits {
    /// None that is ever met.
    #[must_use]
    pub fn none() -> Self {
        let most = usize::MAX;
        Self { bot_per_second: most, ban: 1, person_per_three_seconds: most, group_per_minute: most }
    }
}

/// What was sent of late.
#[derive(Debug)]
pub(super) struct Counting {
    limits: Limits,
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
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, bots: LruCache::new(MOST), chats: LruCache::new(MOST) }
    }

    pub(super) fn set(&mut self, limits: Limits) {
        *self = Self::new(limits);
    }

    /// Bans a bot from now on; a longer ban stays.
    pub(super) fn ban(&mut self, bot: u64, now: Instant, seconds: u64) {
        let bot = self.bots.get_or_insert_mut(bot, Bot::default);
        let until = now + Duration::from_secs(seconds);
        bot.banned_until = Some(bot.banned_until.map_or(until, |other| other.max(until)));
    }

    /// The ban a bot is under.
    pub(super) fn banned(&mut self, bot: u64, now: Instant) -> Option<Limited> {
        let until = self.bots.get_mut(&bot)?.banned_until?;
        let left = until.saturating_duration_since(now);
        (!left.is_zero()).then(|| Limited { retry_after: seconds(left), in_ban: true })
    }

    /// Counts a message of this bot to this chat, or tells the limit it meets.
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
        let (now, limits) = (Instant::now(), Limits { bot_per_second: 2, ..Limits::default() });
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
        let mut counting = Counting::new(Limits { bot_per_second: 99, ..Limits::default() });
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
