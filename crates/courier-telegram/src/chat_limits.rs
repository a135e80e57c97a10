//! What is remembered about chats: how much they were sent recently, waits, new ids, and which bot reaches them. Bounded: the
//! least recently used chat is forgotten first. Pure: the caller passes the time.

use std::collections::{HashMap, VecDeque};
use std::num::NonZeroUsize;
use std::time::Duration;

use lru::LruCache;
use tokio::time::Instant;

use crate::chat::Chat;

/// Maximum number of chats remembered.
const MOST: NonZeroUsize = NonZeroUsize::MIN.saturating_add(99_999);

/// The longest wait a chat's own limit explains: a person may be sent about one message per second with short bursts, a group
/// 20 per minute. For requests dropped while it shuts down, the server says 5 s.
const OF_A_PERSON: Duration = Duration::from_secs(3);
const OF_A_GROUP: Duration = Duration::from_secs(60);

/// A limit: at most `messages` per `span`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SendWindow {
    pub(crate) messages: usize,
    pub(crate) span: Duration,
}

#[derive(Default)]
struct Memory {
    /// When messages were sent to the chat; at most as many as the window allows.
    sent: VecDeque<Instant>,
    waits_until: Option<Instant>,
    moved_to: Option<i64>,
    bot: Option<u64>,
}

/// The limits of all chats of the channel.
pub(crate) struct ChatLimits {
    known: LruCache<Chat, Memory>,
    /// By bot id: the chat that alone waits because of an answer 429 to that bot, and until when.
    alone: HashMap<u64, (Chat, Instant)>,
    person: SendWindow,
    group: SendWindow,
}

impl ChatLimits {
    pub(crate) fn new(person: SendWindow, group: SendWindow) -> Self {
        Self { known: LruCache::new(MOST), alone: HashMap::new(), person, group }
    }

    fn window(&self, chat: &Chat) -> SendWindow {
        if chat.is_person() { self.person } else { self.group }
    }

    fn memory(&mut self, chat: &Chat) -> &mut Memory {
        self.known.get_or_insert_mut_ref(chat, Memory::default)
    }

    /// Takes the place of one message to this chat, or returns how long it has to wait.
    pub(crate) fn admit(&mut self, chat: &Chat, now: Instant) -> Result<(), Duration> {
        let window = self.window(chat);
        if let Some(left) = self.waits(chat, now) {
            return Err(left);
        }
        let memory = self.memory(chat);
        memory.waits_until = None;
        while memory.sent.front().is_some_and(|sent| now.saturating_duration_since(*sent) >= window.span) {
            memory.sent.pop_front();
        }
        if memory.sent.len() >= window.messages
            && let Some(oldest) = memory.sent.front()
        {
            return Err(window.span.saturating_sub(now.saturating_duration_since(*oldest)));
        }
        memory.sent.push_back(now);
        Ok(())
    }

    /// How much longer nothing may be sent to this chat.
    pub(crate) fn waits(&self, chat: &Chat, now: Instant) -> Option<Duration> {
        let left = self.known.peek(chat)?.waits_until?.saturating_duration_since(now);
        (!left.is_zero()).then_some(left)
    }

    /// Returns the last place taken: its message was not sent.
    pub(crate) fn give_back(&mut self, chat: &Chat) {
        if let Some(memory) = self.known.peek_mut(chat) {
            memory.sent.pop_back();
        }
    }

    /// Whether the chat was sent so much recently, before the last message, that a refusal may concern it alone: half
    /// its window.
    fn is_busy(&self, chat: &Chat, now: Instant) -> bool {
        let window = self.window(chat);
        let of_late = |sent: &&Instant| now.saturating_duration_since(**sent) < window.span;
        let sent = self.known.peek(chat).map_or(0, |memory| memory.sent.iter().filter(of_late).count());
        sent > window.messages.div_ceil(2)
    }

    /// Whether an answer 429 with this wait may concern this chat alone: it was sent many messages recently, its
    /// limit explains the wait, and no other chat of the bot waits alone. If two chats are refused, the bot is
    /// limited.
    pub(crate) fn is_own(&self, bot: u64, chat: &Chat, now: Instant, wait: Duration) -> bool {
        let explained = if chat.is_person() { OF_A_PERSON } else { OF_A_GROUP };
        let other = self.alone.get(&bot).is_some_and(|(other, until)| other != chat && *until > now);
        wait <= explained && !other && self.is_busy(chat, now)
    }

    /// Sends nothing more to this chat before `until`, because of an answer 429 to this bot.
    pub(crate) fn wait(&mut self, bot: u64, chat: &Chat, until: Instant) {
        let memory = self.memory(chat);
        let until = memory.waits_until.map_or(until, |known| known.max(until));
        memory.waits_until = Some(until);
        self.alone.insert(bot, (chat.clone(), until));
    }

    /// The chat's new id, if it moved.
    pub(crate) fn now_at(&mut self, chat: &Chat) -> Option<i64> {
        self.known.get(chat)?.moved_to
    }

    pub(crate) fn moved(&mut self, chat: &Chat, to: i64) {
        self.memory(chat).moved_to = Some(to);
    }

    /// The bot to try first.
    pub(crate) fn bot(&mut self, chat: &Chat) -> Option<u64> {
        self.known.get(chat)?.bot
    }

    pub(crate) fn reached_by(&mut self, chat: &Chat, bot: Option<u64>) {
        self.memory(chat).bot = bot;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const PERSON: Chat = Chat::Number(7);
    const GROUP: Chat = Chat::Number(-7);

    fn chats() -> ChatLimits {
        ChatLimits::new(
            SendWindow { messages: 2, span: SECOND * 2 },
            SendWindow { messages: 20, span: SECOND * 60 },
        )
    }

    #[tokio::test(start_paused = true)]
    async fn a_chat_gets_no_more_than_its_limit() {
        let (now, mut chats) = (Instant::now(), chats());
        assert_eq!(chats.admit(&PERSON, now), Ok(()));
        assert_eq!(chats.admit(&PERSON, now + SECOND), Ok(()));
        assert_eq!(chats.admit(&PERSON, now + SECOND), Err(SECOND));
        assert_eq!(chats.admit(&PERSON, now + SECOND * 2), Ok(()));
        for _ in 0..20 {
            assert_eq!(chats.admit(&GROUP, now), Ok(()));
        }
        assert_eq!(chats.admit(&GROUP, now + SECOND), Err(SECOND * 59));
        chats.give_back(&GROUP);
        assert_eq!(chats.admit(&GROUP, now + SECOND), Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_chat_is_busy_after_half_its_window() {
        let (now, mut chats) = (Instant::now(), chats());
        for sent in 1..=20 {
            chats.admit(&GROUP, now).unwrap();
            assert_eq!(chats.is_busy(&GROUP, now), sent > 10);
        }
        assert!(!chats.is_busy(&GROUP, now + SECOND * 60));
        assert!(!chats.is_busy(&PERSON, now));
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_concerns_the_bot_when_another_chat_waits_or_the_wait_is_long() {
        let (now, mut chats) = (Instant::now(), chats());
        for chat in [PERSON, Chat::Number(8)] {
            chats.admit(&chat, now).unwrap();
            chats.admit(&chat, now).unwrap();
        }
        for _ in 0..11 {
            chats.admit(&GROUP, now).unwrap();
        }
        assert!(chats.is_own(1, &PERSON, now, SECOND * 3) && !chats.is_own(1, &PERSON, now, SECOND * 4));
        assert!(chats.is_own(1, &GROUP, now, SECOND * 60) && !chats.is_own(1, &GROUP, now, SECOND * 61));
        chats.wait(1, &PERSON, now + SECOND);
        assert!(!chats.is_own(1, &Chat::Number(8), now, SECOND) && !chats.is_own(1, &GROUP, now, SECOND));
        // Messages already on the wire to the same chat say nothing new, and another bot is another account.
        assert!(chats.is_own(1, &PERSON, now, SECOND) && chats.is_own(2, &GROUP, now, SECOND));
        assert!(chats.is_own(1, &GROUP, now + SECOND, SECOND));
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_is_kept() {
        let (now, mut chats) = (Instant::now(), chats());
        chats.wait(1, &PERSON, now + SECOND * 30);
        assert_eq!(chats.admit(&PERSON, now + SECOND), Err(SECOND * 29));
        assert_eq!(chats.waits(&PERSON, now + SECOND * 30), None);
        assert_eq!(chats.admit(&PERSON, now + SECOND * 30), Ok(()));
    }
}
