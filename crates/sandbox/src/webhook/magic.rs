//! Magic paths: the last part of a path says what happens to messages.

use std::time::Duration;

use crate::fake_provider::{Magic, MessageAction};

/// All magic paths.
pub const MAGIC_PATHS: &[Magic] = &[
    Magic::new("/refuse", "400: refuses the message"),
    Magic::new("/gone", "410: wants no more messages"),
    Magic::new("/busy", "429, with Retry-After: 2"),
    Magic::new("/fail", "500"),
    Magic::new("/hang", "hangs; nothing is accepted"),
    Magic::new("/reset", "resets; nothing is accepted"),
    Magic::new("/take-and-reset", "accepts the message and resets before the answer"),
    Magic::new("/slow", "accepts the message and answers after 2 s"),
];

/// The action for this path, if it is magic.
pub(super) fn action(path: &str) -> Option<MessageAction> {
    let path = path.split('?').next().unwrap_or_default();
    let refuse = |code| Some(MessageAction::Refuse { code, description: String::new() });
    match path.rsplit('/').next().unwrap_or_default() {
        "refuse" => refuse(400),
        "gone" => refuse(410),
        "busy" => Some(MessageAction::Throttle { retry_after: 2 }),
        "fail" => refuse(500),
        "hang" => Some(MessageAction::Hang),
        "reset" => Some(MessageAction::Reset),
        "take-and-reset" => Some(MessageAction::TakeAndReset),
        "slow" => Some(MessageAction::Slow { by: Duration::from_secs(2) }),
        _ => None,
    }
}
