//! What an update says about a chat: whether the bot can still write to it. Everything else in an update is ignored.

use posthaste_model::{Address, UnixMs};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use teloxide::types::{Chat, ChatMember, ChatMemberKind, User};

/// A chat that is gone or back, by the addresses orders may use for it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum UpdateEvent {
    /// The person blocked the bot, or the group or channel removed it.
    Gone(Vec<Address>),
    /// The person unblocked the bot or wrote to it, or the group or channel added it.
    Here(Vec<Address>),
}

/// The bot's membership in a chat has changed. Only the fields needed are parsed; the rest may have any form.
#[derive(Deserialize)]
struct Change {
    chat: Chat,
    new_chat_member: ChatMember,
}

/// A message in a chat.
#[derive(Deserialize)]
struct Written {
    chat: Chat,
    from: Option<User>,
    migrate_to_chat_id: Option<i64>,
}

/// Parses an update. `None` if it says nothing of the kind or can't be parsed: Telegram adds kinds of updates every few months.
pub(crate) fn received(update: &Value) -> Option<UpdateEvent> {
    if let Some(change) = read::<Change>(update, "my_chat_member") {
        let addresses = addresses(&change.chat);
        return Some(match is_in(&change.new_chat_member) {
            true => UpdateEvent::Here(addresses),
            false => UpdateEvent::Gone(addresses),
        });
    }
    let message = read::<Written>(update, "message")?;
    let by_a_person = message.chat.is_private() && message.from.is_some_and(|from| !from.is_bot);
    // A group that moved may look as if the bot had left it; a message to its old id is answered with the new one.
    let moved = message.migrate_to_chat_id.is_some();
    (by_a_person || moved).then(|| UpdateEvent::Here(addresses(&message.chat)))
}

/// When the update happened, by Telegram's clock.
pub(crate) fn moment(update: &Value) -> Option<UnixMs> {
    let kinds = ["/my_chat_member/date", "/message/date"];
    let seconds = kinds.iter().find_map(|kind| update.pointer(kind)).and_then(Value::as_u64)?;
    seconds.checked_mul(1000).map(UnixMs)
}

fn read<T: DeserializeOwned>(update: &Value, kind: &str) -> Option<T> {
    serde_json::from_value(update.get(kind)?.clone()).ok()
}

/// Whether a bot with this membership can write to the chat.
fn is_in(bot: &ChatMember) -> bool {
    match &bot.kind {
        ChatMemberKind::Owner(_) | ChatMemberKind::Administrator(_) | ChatMemberKind::Member(_) => true,
        ChatMemberKind::Restricted(restricted) => restricted.is_member,
        ChatMemberKind::Left | ChatMemberKind::Banned(_) => false,
    }
}

/// The id, and the public name unless the chat is a person: a bot can't write to a person by name.
fn addresses(chat: &Chat) -> Vec<Address> {
    let mut addresses = vec![Address::new(chat.id.0.to_string())];
    if let (false, Some(name)) = (chat.is_private(), chat.username()) {
        addresses.push(Address::new(format!("@{}", name.to_ascii_lowercase())));
    }
    addresses
}

#[cfg(test)]
#[path = "update_event_tests.rs"]
mod tests;
