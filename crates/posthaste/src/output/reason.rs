//! Why an address gets nothing, in words for people. Programs get the stable word.

use super::Reader;
use crate::terminal::plain;

/// Why an address gets nothing, for this reader.
pub(crate) fn suppressed(reason: &str, reader: &Reader<'_>) -> String {
    if matches!(reader, Reader::Program) {
        return reason.to_owned();
    }
    let words = match reason {
        "unsubscribed" => "unsubscribed from the sender",
        "bounced" => "messages come back",
        "opted_out" => "told the provider to stop",
        "undelivered" => "could not be delivered",
        "by_operator" => "put there by an operator",
        "bad_address" => "the address is wrong",
        "blocked" => "takes no messages from here",
        "rejected" => "the provider refuses it",
        "suppressed" => "on the suppression list",
        "" | "none" => "",
        other => {
            return match other.strip_prefix("provider_") {
                Some(code) => format!("the provider's reason {}", plain(code)),
                None => plain(other),
            };
        }
    };
    words.to_owned()
}
