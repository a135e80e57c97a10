//! Error codes of VK with their texts from its schema, and the answers made from them.

use serde_json::{Value, json};

use crate::fake_provider::{Answer, Form};

/// The text of a code.
pub(super) fn words(code: u16) -> &'static str {
    match code {
        1 => "Unknown error occurred",
        2 => "Application is disabled. Enable your application or use test mode",
        3 => "Unknown method passed",
        4 => "Incorrect signature",
        5 => "User authorization failed",
        6 => "Too many requests per second",
        7 => "Permission to perform this action is denied",
        8 => "Invalid request",
        9 => "Flood control",
        10 => "Internal server error",
        12 => "Unable to compile code",
        13 => "Runtime error occurred during code invocation",
        14 => "Captcha needed",
        15 => "Access denied",
        17 => "Validation required",
        18 => "User was deleted or banned",
        23 => "This method was disabled",
        27 => "Group authorization failed",
        28 => "Application authorization failed",
        29 => "Rate limit reached",
        32 => "Need wait",
        36 => "Method execution was interrupted due to timeout",
        37 => "User was banned",
        39 => "Unknown user",
        43 => "This section is temporary unavailable",
        100 => "One of the parameters specified was missing or invalid",
        113 => "Invalid user id",
        900 => "Can't send messages for users from blacklist",
        901 => "Can't send messages for users without permission",
        902 => "Can't send messages to this user due to their privacy settings",
        911 => "Keyboard format is invalid",
        912 => "This is a chat bot feature, change this status in settings",
        914 => "Message is too long",
        917 => "You don't have access to this chat",
        936 => "Contact not found",
        943 => "Cannot use this intent",
        944 => "Limits overflow for this intent",
        945 => "Chat was disabled",
        946 => "Chat not supported",
        950 => "Can't send message, reply timed out",
        1117 => "Access token has expired",
        3300 => "Recaptcha needed",
        3610 => "User is deactivated",
        _ => "Error",
    }
}

/// Codes that fail a whole request rather than a single peer.
pub(super) fn is_of_request(code: u16) -> bool {
    matches!(code, 1..=6 | 8..=14 | 16 | 17 | 20..=29 | 32 | 34..=36 | 42 | 43 | 1117 | 3300)
}

/// An error, before it becomes an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) code: u16,
    pub(super) words: String,
}

impl Failure {
    pub(super) fn of(code: u16) -> Self {
        Self { code, words: words(code).to_owned() }
    }

    pub(super) fn because(code: u16, why: &str) -> Self {
        Self { code, words: format!("{}: {why}", words(code)) }
    }
}

/// `{"response":…}`.
pub(super) fn response(value: &Value) -> Answer {
    Answer::json(200, &json!({ "response": value }))
}

/// `{"error":{…}}`, with the parameters of the request as VK repeats them.
pub(super) fn refusal(failure: &Failure, method: &str, form: &Form) -> Answer {
    let pair = |key: &str, value: &str| json!({ "key": key, "value": value });
    let mut parameters = vec![pair("method", method), pair("oauth", "1")];
    let shown = form.pairs().filter(|(name, _)| *name != "access_token");
    parameters.extend(shown.map(|(name, value)| pair(name, value)));
    let mut error =
        json!({ "error_code": failure.code, "error_msg": failure.words, "request_params": parameters });
    if failure.code == 14 {
        error["captcha_sid"] = json!("100000000001");
        error["captcha_img"] = json!("https://api.vk.com/captcha.php?sid=100000000001");
    }
    Answer::json(200, &json!({ "error": error }))
}
