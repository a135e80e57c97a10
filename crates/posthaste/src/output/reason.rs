//! Why an address is suppressed, in words for people. Programs get the stable word.

use super::Reader;
use crate::terminal::plain;

/// Why an address is suppressed, for this reader; `code` is the provider's own.
pub(crate) fn suppressed(reason: &str, code: Option<u64>, reader: &Reader<'_>) -> String {
    if matches!(reader, Reader::Program) {
        return reason.to_owned();
    }
    let words = match reason {
        "unsubscribed" => "unsubscribed from the sender",
        "bounced" => "messages bounced",
        "opted_out" => "opted out at the provider",
        "undelivered" => "could not be delivered",
        "manual" => "added by an operator",
        "invalid_address" => "the address is invalid",
        "blocked" => "has blocked messages from this sender",
        "rejected" => "the provider rejects it",
        "suppressed" => "on the suppression list",
        "" | "none" => "",
        other => {
            return match code {
                Some(code) => format!("provider code {code}"),
                None => plain(other),
            };
        }
    };
    words.to_owned()
}
