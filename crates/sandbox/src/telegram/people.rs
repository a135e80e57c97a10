//! What people do in their chats with a bot, as the bot's updates show it: they block it, unblock it, write to it.
//! Updates are kept until a `getUpdates` request confirms them; one request per bot can wait for the next update.
//! Pure: the time is a parameter.

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lru::LruCache;
use posthaste_model::UnixMs;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::{answer, methods};
use crate::fake_provider::{Answer, Poll, Reply};

/// Bots remembered, and people who blocked one; the least recently used is forgotten first.
const BOTS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(999);
const BLOCKS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(99_999);
/// Updates kept per bot; the oldest are dropped first. The real API keeps them for a day.
const MOST_KEPT: usize = 10_000;
/// Most updates per answer, and how long a request may stay open, as in the real API.
const MAX_UPDATES: usize = 100;
const LONGEST: u64 = 50;
/// The number before a bot's first update.
const BEFORE: i64 = 700_000_000;

/// The inboxes of all bots.
#[derive(Debug)]
pub(super) struct People {
    inboxes: LruCache<u64, Inbox>,
    /// Who blocked which bot.
    blocks: LruCache<(u64, i64), ()>,
    /// The bot that made the latest request.
    last: Option<u64>,
}

/// Shared with the outbox, where people act on request.
#[derive(Debug, Clone)]
pub(crate) struct Crowd(pub(super) Arc<Mutex<People>>);

impl Crowd {
    /// A person acts on a bot, or on the one that made the latest request. Returns the bot and the number of the
    /// update; `None` if no bot has made a request.
    pub(crate) fn does(&self, bot: Option<u64>, person: i64, does: &Does, at: UnixMs) -> Option<(u64, i64)> {
        let mut people = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let bot = bot.or(people.last)?;
        Some(match does {
            Does::Block => (bot, people.block(bot, person, true, at)),
            Does::Unblock => (bot, people.block(bot, person, false, at)),
            Does::Write(text) => (bot, people.write(bot, person, text, at)),
        })
    }
}

/// An action of a person.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Does {
    Block,
    Unblock,
    /// Writes this text.
    Write(String),
}

#[derive(Debug)]
struct Inbox {
    last: i64,
    kept: VecDeque<(i64, Value)>,
    asking: Option<Asking>,
}

/// An open request.
#[derive(Debug)]
struct Asking {
    tell: oneshot::Sender<Answer>,
    limit: usize,
}

impl Inbox {
    fn reported(&self, limit: usize) -> Answer {
        let updates: Vec<&Value> = self.kept.iter().take(limit).map(|(_, update)| update).collect();
        answer::result(&json!(updates))
    }

    /// Drops what a request confirms: all below its offset, or all but the last few if the offset is negative.
    fn confirm(&mut self, offset: i64) {
        if offset < 0 {
            let most = usize::try_from(offset.unsigned_abs()).unwrap_or(usize::MAX);
            self.kept.drain(..self.kept.len().saturating_sub(most));
        } else {
            self.kept.retain(|(number, _)| *number >= offset);
        }
    }
}

impl People {
    pub(super) fn new() -> Self {
        Self { inboxes: LruCache::new(BOTS), blocks: LruCache::new(BLOCKS), last: None }
    }

    fn inbox(&mut self, bot: u64) -> &mut Inbox {
        let new = || Inbox { last: BEFORE, kept: VecDeque::new(), asking: None };
        self.inboxes.get_or_insert_mut(bot, new)
    }

    /// This bot made a request.
    pub(super) fn seen(&mut self, bot: u64) {
        self.last = Some(bot);
    }

    pub(super) fn has_blocked(&self, bot: u64, person: &str) -> bool {
        person.parse().is_ok_and(|person| self.blocks.contains(&(bot, person)))
    }

    /// `getUpdates`. An open request of the same bot ends with a conflict, as in the real API.
    pub(super) fn ask(&mut self, bot: u64, parameters: &Value) -> Reply {
        let number = |name: &str| parameters[name].as_i64();
        let limit = number("limit").and_then(|limit| usize::try_from(limit).ok()).unwrap_or(MAX_UPDATES);
        let limit = limit.clamp(1, MAX_UPDATES);
        let open = number("timeout").and_then(|open| u64::try_from(open).ok()).unwrap_or(0).min(LONGEST);
        let inbox = self.inbox(bot);
        if let Some(other) = inbox.asking.take() {
            // The other client may have left.
            let _ = other.tell.send(answer::conflict());
        }
        if let Some(offset) = number("offset") {
            inbox.confirm(offset);
        }
        let reply = Reply::say(inbox.reported(limit));
        if open == 0 || !inbox.kept.is_empty() {
            return reply;
        }
        let (tell, reported) = oneshot::channel();
        inbox.asking = Some(Asking { tell, limit });
        reply.poll(Poll { reported, most: Duration::from_secs(open) })
    }

    /// A person blocks or unblocks a bot. Returns the number of the update.
    pub(super) fn block(&mut self, bot: u64, person: i64, blocked: bool, at: UnixMs) -> i64 {
        let known = match blocked {
            true => self.blocks.put((bot, person), ()).is_some(),
            false => self.blocks.pop(&(bot, person)).is_some(),
        };
        let place = |blocked: bool| {
            let status = if blocked { "kicked" } else { "member" };
            json!({ "user": methods::user(bot), "status": status, "until_date": 0 })
        };
        let change = json!({
            "chat": chat(person), "from": someone(person), "date": at.0 / 1000,
            "old_chat_member": place(known), "new_chat_member": place(blocked),
        });
        self.come(bot, "my_chat_member", change)
    }

    /// A person writes to a bot; not possible while they block it. Returns the number of the update.
    pub(super) fn write(&mut self, bot: u64, person: i64, text: &str, at: UnixMs) -> i64 {
        if self.blocks.contains(&(bot, person)) {
            self.block(bot, person, false, at);
        }
        let id = self.inbox(bot).last - BEFORE + 1;
        let message = json!({
            "message_id": id, "chat": chat(person), "from": someone(person), "date": at.0 / 1000, "text": text,
        });
        self.come(bot, "message", message)
    }

    fn come(&mut self, bot: u64, kind: &str, what: Value) -> i64 {
        let inbox = self.inbox(bot);
        inbox.last += 1;
        let number = inbox.last;
        let mut update = json!({ "update_id": number });
        update[kind] = what;
        inbox.kept.push_back((number, update));
        if inbox.kept.len() > MOST_KEPT {
            inbox.kept.pop_front();
        }
        if let Some(Asking { tell, limit }) = inbox.asking.take() {
            let _ = tell.send(inbox.reported(limit));
        }
        number
    }
}

fn chat(person: i64) -> Value {
    json!({ "id": person, "type": "private", "first_name": "Somebody" })
}

fn someone(person: i64) -> Value {
    json!({ "id": person, "is_bot": false, "first_name": "Somebody" })
}

#[cfg(test)]
#[path = "people_tests.rs"]
mod tests;
