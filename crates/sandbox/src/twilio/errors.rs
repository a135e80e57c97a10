//! Error codes of Twilio with their texts, and the answers made from them.

use serde_json::json;

use crate::fake_provider::Answer;

/// The text of a code.
pub(super) fn words(code: u16) -> &'static str {
    match code {
        20001 => "Invalid parameter",
        20003 => "Authenticate",
        20404 => "The requested resource was not found",
        20429 => "Too Many Requests",
        20500 => "An internal server error has occurred",
        21211 => "The 'To' number is not a valid phone number.",
        21212 => "The 'From' number is not a valid phone number, shortcode, or alphanumeric sender ID.",
        21266 => "'To' and 'From' number cannot be the same",
        21408 => {
            "Permission to send an SMS has not been enabled for the region indicated by the 'To' number."
        }
        21602 => "Message body is required.",
        21603 => "A 'From' phone number is required.",
        21604 => "A 'To' phone number is required.",
        21606 => {
            "The 'From' phone number provided is not a valid message-capable Twilio phone number for this destination."
        }
        21609 => "The 'StatusCallback' URL is not a valid URL.",
        21610 => "Attempt to send to unsubscribed recipient",
        21611 => "This 'From' number has exceeded the maximum number of queued messages",
        21612 => "Message cannot be sent with the current combination of 'To' and/or 'From' parameters",
        21614 => "'To' number is not a valid mobile number",
        21617 => "The concatenated message body exceeds the 1600 character limit.",
        21635 => "'To' number cannot be a landline",
        30003 => "Unreachable destination handset",
        30005 => "Unknown destination handset",
        30006 => "Landline or unreachable carrier",
        30007 => "Message filtered",
        30008 => "Unknown error",
        _ => "Error",
    }
}

/// The HTTP status of an error.
pub(super) fn status(code: u16) -> u16 {
    match code {
        20003 => 401,
        20404 => 404,
        20429 => 429,
        20005 | 20006 => 403,
        20500 => 500,
        _ => 400,
    }
}

/// An error in Twilio's format.
pub(super) fn refusal(code: u16, description: &str) -> Answer {
    let words = if description.is_empty() { words(code) } else { description };
    let status = status(code);
    let more = format!("https://www.twilio.com/docs/errors/{code}");
    Answer::json(status, &json!({ "code": code, "message": words, "more_info": more, "status": status }))
}
