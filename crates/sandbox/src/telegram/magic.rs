//! Magic chats: numbers that say what happens to messages, so that faults need no set-up.

use std::time::Duration;

use super::faults::Action;

/// A magic chat and what it does, for documentation.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct MagicChat {
    /// The chat's number.
    pub number: i64,
    /// What happens.
    pub does: &'static str,
}

const fn chat(number: i64, does: &'static str) -> MagicChat {
    MagicChat { number, does }
}

/// All magic chats.
pub const MAGIC_CHATS: &[MagicChat] = &[
    chat(400_001, "400 chat not found"),
    chat(403_001, "403 bot was blocked by the user"),
    chat(403_002, "403 user is deactivated"),
    chat(403_003, "403 bot can't initiate conversation with a user"),
    chat(-403_004, "403 bot was kicked from the group chat"),
    chat(-400_002, "400 not enough rights"),
    chat(-400_003, "400 the group is -1000000400003 now"),
    chat(429_001, "429 retry after 1, and the bot's other messages too"),
    chat(500_001, "500 Internal Server Error: restart"),
    chat(502_001, "502 with a page of HTML"),
    chat(600_001, "hangs; nothing is taken"),
    chat(600_002, "resets; nothing is taken"),
    chat(600_003, "takes the message and resets before the answer"),
    chat(600_004, "takes the message and answers after 2 s"),
    chat(600_005, "answers what makes no sense; nothing is taken"),
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
