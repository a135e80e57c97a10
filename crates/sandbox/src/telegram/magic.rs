//! Magic chats: numbers that say what happens to messages, so that faults need no set-up.

use std::time::Duration;

use crate::standin::{Action, Magic};

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
    chat("-400003", "400 the group is -1000000400003 now"),
    chat("429001", "429 retry after 1, and the bot's other messages too"),
    chat("500001", "500 Internal Server Error: restart"),
    chat("502001", "502 with a page of HTML"),
    chat("600001", "hangs; nothing is taken"),
    chat("600002", "resets; nothing is taken"),
    chat("600003", "takes the message and resets before the answer"),
    chat("600004", "takes the message and answers after 2 s"),
    chat("600005", "answers what makes no sense; nothing is taken"),
];

/// What a chat of this number does, if it is magic.
pub(super) fn action(chat: &str) -> Option<Action> {
    let refuse = |code, description: &str| Some(Action::Refuse { code, description: description.to_owned() });
    match chat.parse().ok()? {
        400_001_i64 => refuse(400, "Bad Request: chat not found"),
        403_001 => refuse(403, "Forbidden: bot was blocked by the user"),
        403_002 => refuse(403, "Forbidden: user is deactivated"),
        403_003 => refuse(403, "Forbidden: bot can't initiate conversation with a user"),
        -403_004 => refuse(403, "Forbidden: bot was kicked from the group chat"),
        -400_002 => refuse(400, "Bad Request: not enough rights to send text messages to the chat"),
        -400_003 => Some(Action::Migrate { to: -1_000_000_400_003 }),
        429_001 => Some(Action::Throttle { retry_after: 1 }),
        500_001 => refuse(500, "Internal Server Error: restart"),
        502_001 => Some(Action::Html { status: 502 }),
        600_001 => Some(Action::Hang),
        600_002 => Some(Action::Reset),
        600_003 => Some(Action::TakeAndReset),
        600_004 => Some(Action::Slow { by: Duration::from_secs(2) }),
        600_005 => Some(Action::Malformed),
        _ => None,
    }
}
