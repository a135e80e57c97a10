//! Magic peers: numbers that say what happens to messages, so that faults need no set-up.

use std::time::Duration;

use super::errors;
use crate::standin::{Action, Magic};

/// All magic peers.
pub const MAGIC_PEERS: &[Magic] = &[
    Magic::new(
        "99900CCCC",
        "fails with error CCCC: 999000901 has forbidden messages, 999000007 lacks a right, 999003610 is deactivated; 6, 9, 10, 14 and such fail the whole request",
    ),
    Magic::new(
        "99800CCCC",
        "makes its call fail with error CCCC: in execute a false with an entry in execute_errors",
    ),
    Magic::new("997000001", "hangs; nothing is taken"),
    Magic::new("997000002", "resets; nothing is taken"),
    Magic::new("997000003", "takes the message and resets before the answer"),
    Magic::new("997000004", "takes the message and answers after 2 s"),
    Magic::new("997000005", "answers what makes no sense; nothing is taken"),
    Magic::new("997000006", "takes the message and cuts the answer in the middle"),
    Magic::new("997000502", "502 with a page of HTML"),
    Magic::new("997000999", "error 6, and the token's other requests for 1 s too"),
];

/// What a peer of this number does, if it is magic.
pub(super) fn action(peer: i64) -> Option<Action> {
    let code = u16::try_from(peer % 10_000).ok().filter(|code| *code != 0)?;
    match (peer / 10_000, code) {
        (99_900, _) if errors::is_of_request(code) => {
            Some(Action::Refuse { code, description: String::new() })
        }
        (99_900, _) => Some(Action::RefuseRecipient { code }),
        (99_800, _) => Some(Action::RefuseCall { code }),
        (99_700, 1) => Some(Action::Hang),
        (99_700, 2) => Some(Action::Reset),
        (99_700, 3) => Some(Action::TakeAndReset),
        (99_700, 4) => Some(Action::Slow { by: Duration::from_secs(2) }),
        (99_700, 5) => Some(Action::Malformed),
        (99_700, 6) => Some(Action::TakeAndCut),
        (99_700, 502) => Some(Action::Html { status: 502 }),
        (99_700, 999) => Some(Action::Throttle { retry_after: 1 }),
        _ => None,
    }
}
