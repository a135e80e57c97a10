//! Magic numbers of the gateway.

use crate::fake_provider::{Magic, MessageAction};
use crate::twilio;

/// All magic numbers.
pub const MAGIC_NUMBERS: &[Magic] = &[
    Magic::new("+15007980006", "error 6: the message is forbidden; the last digit is any code from 1 to 9"),
    Magic::new("+15007900001", "hangs; nothing is accepted"),
    Magic::new("+15007900002", "resets; nothing is accepted"),
    Magic::new("+15007900003", "accepts the message and resets before the answer"),
    Magic::new("+15007900004", "accepts the message and answers after 2 s"),
    Magic::new("+15007900005", "answers with nonsense; nothing is accepted"),
    Magic::new("+15007900006", "accepts the message and cuts the answer in the middle"),
    Magic::new("+15007900502", "502 with an HTML page"),
];

/// The action for a recipient with this number, if it is magic.
pub(super) fn action(number: &str) -> Option<MessageAction> {
    let digits = number.trim_start_matches('+');
    let code = digits.strip_prefix("1500798000").and_then(|digit| digit.parse().ok());
    match code {
        Some(code @ 1..=9) => Some(MessageAction::Refuse { code, description: String::new() }),
        _ => twilio::transport(number),
    }
}
