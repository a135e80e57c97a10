//! Answers as the Bot API gives them.

use serde_json::{Value, json};

use crate::fake_provider::Answer;

/// `{"ok":true,"result":…}`.
pub(super) fn result(result: &Value) -> Answer {
    Answer::json(200, &json!({ "ok": true, "result": result }))
}

/// `{"ok":false,…}`; the status is the code.
pub(super) fn refusal(code: u16, description: &str) -> Answer {
    Answer::json(code, &json!({ "ok": false, "error_code": code, "description": description }))
}

/// 429.
pub(super) fn wait(seconds: u64) -> Answer {
    let description = format!("Too Many Requests: retry after {seconds}");
    let parameters = json!({ "retry_after": seconds });
    let body =
        json!({ "ok": false, "error_code": 429, "description": description, "parameters": parameters });
    Answer::json(429, &body).retry_after(seconds)
}

/// Another client requests the bot's updates.
pub(super) fn conflict() -> Answer {
    refusal(
        409,
        "Conflict: terminated by other getUpdates request; make sure that only one bot instance is running",
    )
}

/// The group has a new id.
pub(super) fn moved(to: i64) -> Answer {
    let body = json!({
        "ok": false, "error_code": 400,
        "description": "Bad Request: group chat was upgraded to a supergroup chat",
        "parameters": { "migrate_to_chat_id": to },
    });
    Answer::json(400, &body)
}
