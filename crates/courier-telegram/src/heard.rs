//! What an update says of a chat: whether it can still be written to. Everything else an update may say is passed over.

use posthaste_model::{Address, UnixMs};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use teloxide::types::{Chat, ChatMember, ChatMemberKind, User};

/// Who is gone, or here again, by the addresses orders may have of them.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// The person blocked the bot; the group or channel put it out.
    Gone(Vec<Address>),
    /// The person unblocked the bot, or wrote to it; the group or channel let it in.
    Here(Vec<Address>),
}

/// The bot's place in a chat has changed. Only what is needed is read: the rest may be as strange as it likes.
#[derive(Deserialize)]
struct Change {
    chat: Chat,
    new_chat_member: ChatMember,
}

/// Somebody wrote.
#[derive(Deserialize)]
struct Written {
    chat: Chat,
    from: Option<User>,
    migrate_to_chat_id: Option<i64>,
}

/// Reads an update; `None` if it says nothing of the kind, or can't be read: Telegram has new kinds of updates every few months.
pub(crate) fn heard(update: &Value) -> Option<Heard> {
    if let Some(change) = read::<Change>(update, "my_chat_member") {
        let addresses = addresses(&change.chat);
        return Some(match is_in(&change.new_chat_member) {
            true => Heard::Here(addresses),
            false => Heard::Gone(addresses),
        });
    }
    let message = read::<Written>(update, "message")?;
    let by_a_person = message.chat.is_private() && message.from.is_some_and(|from| !from.is_bot);
    // A group that moved may look left; what is sent to its old number is told the new one.
    let moved = message.migrate_to_chat_id.is_some();
    (by_a_person || moved).then(|| Heard::Here(addresses(&message.chat)))
}

/// When it was said, by Telegram's clock.
pub(crate) fn moment(update: &Value) -> Option<UnixMs> {
    let kinds = ["/my_chat_member/date", "/message/date"];
    let seconds = kinds.iter().find_map(|kind| update.pointer(kind)).and_then(Value::as_u64)?;
    seconds.checked_mul(1000).map(UnixMs)
}

fn read<T: DeserializeOwned>(update: &Value, kind: &str) -> Option<T> {
    serde_json::from_value(update.get(kind)?.clone()).ok()
}

/// Whether the bot can write to a chat it has this place in.
fn is_in(bot: &ChatMember) -> bool {
    match &bot.kind {
        ChatMemberKind::Owner(_) | ChatMemberKind::Administrator(_) | ChatMemberKind::Member(_) => true,
        ChatMemberKind::Restricted(restricted) => restricted.is_member,
        ChatMemberKind::Left | ChatMemberKind::Banned(_) => false,
    }
}

/// The number, and the public name if the chat is no person: persons can't be written to by name.
fn addresses(chat: &Chat) -> Vec<Address> {
    let mut addresses = vec![Address::new(chat.id.0.to_string())];
    if let (false, Some(name)) = (chat.is_private(), chat.username()) {
        addresses.push(Address::new(format!("@{}", name.to_ascii_lowercase())));
    }
    addresses
}

#[cfg(test)]
#[path = "heard_tests.rs"]
mod tests;
