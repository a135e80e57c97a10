//! Magic numbers: Twilio's own, and more from the sandbox.

use std::time::Duration;

use crate::fake_provider::{Callbacks, Magic, MessageAction};

/// All magic numbers. The first ten are Twilio's own, as with its test credentials.
pub const MAGIC_NUMBERS: &[Magic] = &[
    Magic::new("+15005550001", "21211: not a valid number; as From 21212"),
    Magic::new("+15005550002", "21612: cannot be routed"),
    Magic::new("+15005550003", "21408: the region is not enabled"),
    Magic::new("+15005550004", "21610: has opted out"),
    Magic::new("+15005550006", "valid, also as From"),
    Magic::new("+15005550007", "as From 21606: not yours"),
    Magic::new("+15005550008", "as From 21611: its queue is full"),
    Magic::new("+15005550009", "21614: not a mobile number"),
    Magic::new(
        "+150077CCCCC",
        "accepted, then undelivered with error CCCCC: +15007730003 cannot be reached, +15007730005 is unknown",
    ),
    Magic::new("+150078CCCCC", "accepted, then failed with error CCCCC before it is sent"),
    Magic::new("+15007900001", "hangs; nothing is accepted"),
    Magic::new("+15007900002", "resets; nothing is accepted"),
    Magic::new("+15007900003", "accepts the message and resets before the answer"),
    Magic::new("+15007900004", "accepts the message and answers after 2 s"),
    Magic::new("+15007900005", "answers with nonsense; nothing is accepted"),
    Magic::new("+15007900006", "accepts the message and cuts the answer in the middle"),
    Magic::new("+15007900429", "429 with code 20429"),
    Magic::new("+15007900502", "502 with an HTML page"),
    Magic::new("+15007901001", "stays sent: its carrier gives no delivery receipts"),
    Magic::new("+15007902001", "calls back before it answers"),
    Magic::new("+15007902002", "calls back twice for each status"),
    Magic::new("+15007902003", "calls back in the wrong order"),
    Magic::new("+15007902004", "calls back also with a forged signature"),
    Magic::new("+15007902005", "never calls back"),
];

/// The action for a recipient with this number, if it is magic.
pub(super) fn action(number: &str) -> Option<MessageAction> {
    let refuse = |code| Some(MessageAction::Refuse { code, description: String::new() });
    let end = |status: &str, code| Some(MessageAction::End { status: status.to_owned(), code });
    if let Some(code) = number.strip_prefix("+150077").and_then(code) {
        return end("undelivered", Some(code));
    }
    if let Some(code) = number.strip_prefix("+150078").and_then(code) {
        return end("failed", Some(code));
    }
    match number {
        "+15005550001" => refuse(21_211),
        "+15005550002" => refuse(21_612),
        "+15005550003" => refuse(21_408),
        "+15005550004" => refuse(21_610),
        "+15005550009" => refuse(21_614),
        "+15007901001" => end("sent", None),
        "+15007902001" => Some(MessageAction::Callbacks(Callbacks::Early)),
        "+15007902002" => Some(MessageAction::Callbacks(Callbacks::Twice)),
        "+15007902003" => Some(MessageAction::Callbacks(Callbacks::Reversed)),
        "+15007902004" => Some(MessageAction::Callbacks(Callbacks::Forged)),
        "+15007902005" => Some(MessageAction::Callbacks(Callbacks::Lost)),
        "+15007900429" => refuse(20_429),
        _ => transport(number),
    }
}

/// Numbers whose connection or answer fails: the same for every SMS provider.
pub(crate) fn transport(number: &str) -> Option<MessageAction> {
    match number.trim_start_matches('+') {
        "15007900001" => Some(MessageAction::Hang),
        "15007900002" => Some(MessageAction::Reset),
        "15007900003" => Some(MessageAction::TakeAndReset),
        "15007900004" => Some(MessageAction::Slow { by: Duration::from_secs(2) }),
        "15007900005" => Some(MessageAction::Malformed),
        "15007900006" => Some(MessageAction::TakeAndCut),
        "15007900502" => Some(MessageAction::Html { status: 502 }),
        _ => None,
    }
}

/// The error for a sender with this number, if any.
pub(super) fn sender(number: &str) -> Option<u16> {
    match number {
        "+15005550001" => Some(21_212),
        "+15005550007" => Some(21_606),
        "+15005550008" => Some(21_611),
        _ => None,
    }
}

fn code(digits: &str) -> Option<u16> {
    digits.parse().ok().filter(|code| digits.len() == 5 && *code > 0)
}
