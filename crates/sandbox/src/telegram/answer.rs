//! Answers as the Bot API gives them.

use serde_json::{Value, json};

/// A whole answer.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) content_type: &'static str,
    pub(super) retry_after: Option<u64>,
    pub(super) body: String,
}

impl Answer {
    fn json(status: u16, body: &Value) -> Self {
        Self { status, content_type: "application/json", retry_after: None, body: body.to_string() }
    }

    /// `{"ok":true,"result":…}`.
    pub(super) fn result(result: &Value) -> Self {
        Self::json(200, &json!({ "ok": true, "result": result }))
    }

    /// `{"ok":false,…}`; the status is the code.
    pub(super) fn refusal(code: u16, description: &str) -> Self {
        Self::json(code, &json!({ "ok": false, "error_code": code, "description": description }))
    }

    /// 429.
    pub(super) fn wait(seconds: u64) -> Self {
        let description = format!("Too Many Requests: retry after {seconds}");
        let parameters = json!({ "retry_after": seconds });
        let body =
            json!({ "ok": false, "error_code": 429, "description": description, "parameters": parameters });
        Self { retry_after: Some(seconds), ..Self::json(429, &body) }
    }

    /// The group has another number now.
    pub(super) fn moved(to: i64) -> Self {
        let body = json!({
            "ok": false, "error_code": 400,
            "description": "Bad Request: group chat was upgraded to a supergroup chat",
            "parameters": { "migrate_to_chat_id": to },
        });
        Self::json(400, &body)
    }

    /// The page of a gateway.
    pub(super) fn html(status: u16) -> Self {
        let body =
            format!("<html><head><title>{status}</title></head><body><h1>{status}</h1></body></html>\r\n");
        Self { status, content_type: "text/html", retry_after: None, body }
    }
}
