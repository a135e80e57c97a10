//! Magic chats: the id says what happens to messages, so no setup is needed.

use std::time::Duration;

use crate::fake_provider::{Magic, MessageAction};

const fn chat(number: &'static str, does: &'static str) -> Magic {
    Magic::new(number, does)
}

/// All magic chats.
pub const MAGIC_CHATS: &[Magic] = &[
    chat("400001", "400 chat not found"),
    chat("403001", "403 bot was blocked by the user"),
    chat("403002", "403 user is deactivated"),
    chat("403003", "403 bot can't initiate conversation with a user"),
    chat("-403004", "403 bot was kicked from the group chat"),
    chat("-400002", "400 not enough rights"),
    chat("-400003", "400 group has moved to -1000000400003"),
    chat("429001", "429 retry after 1, and the bot's other messages too"),
    chat("500001", "500 Internal Server Error: restart"),
    chat("502001", "502 with an HTML page"),
    chat("600001", "hangs; nothing is accepted"),
    chat("600002", "resets; nothing is accepted"),
    chat("600003", "accepts the message and resets before the answer"),
    chat("600004", "accepts the message and answers after 2 s"),
    chat("600005", "answers with nonsense; nothing is accepted"),
];

/// The action for a chat with this id, if it is magic.
pub(super) fn action(chat: &str) -> Option<MessageAction> {
    let refuse =
        |code, description: &str| Some(MessageAction::Refuse { code, description: description.to_owned() });
    match chat.parse().ok()? {
        400_001_i64 => refuse(400, "Bad Request: chat not found"),
        403_001 => refuse(403, "Forbidden: bot was blocked by the user"),
        403_002 => refuse(403, "Forbidden: user is deactivated"),
        403_003 => refuse(403, "Forbidden: bot can't initiate conversation with a user"),
        -403_004 => refuse(403, "Forbidden: bot was kicked from the group chat"),
        -400_002 => refuse(400, "Bad Request: not enough rights to send text messages to the chat"),
        -400_003 => Some(MessageAction::Migrate { to: -1_000_000_400_003 }),
        429_001 => Some(MessageAction::Throttle { retry_after: 1 }),
        500_001 => refuse(500, "Internal Server Error: restart"),
        502_001 => Some(MessageAction::Html { status: 502 }),
        600_001 => Some(MessageAction::Hang),
        600_002 => Some(MessageAction::Reset),
        600_003 => Some(MessageAction::TakeAndReset),
        600_004 => Some(MessageAction::Slow { by: Duration::from_secs(2) }),
        600_005 => Some(MessageAction::Malformed),
        _ => None,
    }
}
