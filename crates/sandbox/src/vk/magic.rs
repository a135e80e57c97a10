//! Magic peers: the id says what happens to messages, so no setup is needed.

use std::time::Duration;

use super::errors;
use crate::fake_provider::{Magic, MessageAction};

/// All magic peers.
pub const MAGIC_PEERS: &[Magic] = &[
    Magic::new(
        "99900CCCC",
        "fails with error CCCC: 999000901 has forbidden messages, 999000007 lacks a permission, 999003610 is deactivated; 6, 9, 10, 14 and such fail the whole request",
    ),
    Magic::new(
        "99800CCCC",
        "makes its call fail with error CCCC: in execute, false with an entry in execute_errors",
    ),
    Magic::new("997000001", "hangs; nothing is accepted"),
    Magic::new("997000002", "resets; nothing is accepted"),
    Magic::new("997000003", "accepts the message and resets before the answer"),
    Magic::new("997000004", "accepts the message and answers after 2 s"),
    Magic::new("997000005", "answers with nonsense; nothing is accepted"),
    Magic::new("997000006", "accepts the message and cuts the answer in the middle"),
    Magic::new("997000502", "502 with an HTML page"),
    Magic::new("997000999", "error 6, and the token's other requests for 1 s too"),
];

/// The action for a peer with this id, if it is magic.
pub(super) fn action(peer: i64) -> Option<MessageAction> {
    let code = u16::try_from(peer % 10_000).ok().filter(|code| *code != 0)?;
    match (peer / 10_000, code) {
        (99_900, _) if errors::is_of_request(code) => {
            Some(MessageAction::Refuse { code, description: String::new() })
        }
        (99_900, _) => Some(MessageAction::RefuseRecipient { code }),
        (99_800, _) => Some(MessageAction::RefuseCall { code }),
        (99_700, 1) => Some(MessageAction::Hang),
        (99_700, 2) => Some(MessageAction::Reset),
        (99_700, 3) => Some(MessageAction::TakeAndReset),
        (99_700, 4) => Some(MessageAction::Slow { by: Duration::from_secs(2) }),
        (99_700, 5) => Some(MessageAction::Malformed),
        (99_700, 6) => Some(MessageAction::TakeAndCut),
        (99_700, 502) => Some(MessageAction::Html { status: 502 }),
        (99_700, 999) => Some(MessageAction::Throttle { retry_after: 1 }),
        _ => None,
    }
}
