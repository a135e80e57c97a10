//! A fake Bot API on loopback: reads every request completely, records it, then answers as configured.

#![expect(clippy::unwrap_used, reason = "the helpers of tests fail as the tests do")]

use std::collections::HashMap;

pub(crate) use posthaste_rig::http::HttpReply as Reply;
use posthaste_rig::http::HttpRequest;
use posthaste_rig::{FakeProvider, ProviderApi};
use serde_json::{Value, json};
use tokio::time::Instant;

/// A request as received.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) at: Instant,
    /// `sendMessage`, in lower case.
    pub(crate) method: String,
    pub(crate) token: String,
    pub(crate) head: String,
    pub(crate) body: Value,
}

impl Request {
    /// The chat in the form of an address.
    pub(crate) fn chat(&self) -> String {
        match &self.body["chat_id"] {
            Value::String(name) => name.clone(),
            number => number.to_string(),
        }
    }

    pub(crate) fn text(&self) -> String {
        self.body["text"].as_str().unwrap_or_default().to_owned()
    }

    pub(crate) fn is_message(&self) -> bool {
        self.method == "sendmessage"
    }
}

/// A part of an answer, then a reset.
pub(crate) fn half() -> Reply {
    Reply::Half("{\"ok\":true,\"res".to_owned())
}

pub(crate) fn refusal(code: u16, description: &str) -> Reply {
    Reply::json(code, &json!({"ok": false, "error_code": code, "description": description}))
}

pub(crate) fn rate_limited(seconds: u64) -> Reply {
    let body = json!({"ok": false, "error_code": 429, "description": format!("Too Many Requests: retry after {seconds}"),
        "parameters": {"retry_after": seconds}});
    Reply::Say(429, format!("retry-after: {seconds}\r\n"), body.to_string())
}

fn accepted(request: &Request) -> Reply {
    let chat = json!({"id": request.body["chat_id"], "type": "private", "first_name": "A"});
    let message = json!({"message_id": 7, "date": 1_760_000_000, "chat": chat, "text": request.text()});
    Reply::json(200, &json!({"ok": true, "result": message}))
}

/// The answer to a token check.
pub(crate) fn bot_of(token: &str) -> Reply {
    let id: u64 = token.split(':').next().unwrap().parse().unwrap();
    Reply::json(
        200,
        &json!({"ok": true, "result": {"id": id, "is_bot": true, "first_name": "Bot", "username": "a_bot",
            "can_join_groups": true, "can_read_all_group_messages": false, "supports_inline_queries": false,
            "can_connect_to_business": false, "has_main_web_app": false}}),
    )
}

/// The fake provider.
pub(crate) type Provider = FakeProvider<BotApi>;

/// The Bot API. It remembers nothing.
#[derive(Default)]
pub(crate) struct BotApi;

impl ProviderApi for BotApi {
    type Request = Request;

    fn read(raw: &HttpRequest) -> Request {
        let mut path = raw.target.trim_start_matches('/').split('/');
        let token = path.next().unwrap().strip_prefix("bot").unwrap().to_owned();
        Request {
            at: raw.at,
            method: path.next().unwrap().to_ascii_lowercase(),
            token,
            head: raw.head.clone(),
            body: serde_json::from_slice(&raw.body).unwrap_or(Value::Null),
        }
    }

    fn is_message(request: &Request) -> bool {
        request.is_message()
    }

    fn accept(&self, request: &Request) -> Reply {
        accept(request)
    }
}

/// How many messages were sent by each bot.
pub(crate) fn by_bot(provider: &Provider) -> HashMap<String, usize> {
    let mut counts = HashMap::new();
    for request in provider.messages() {
        *counts.entry(request.token).or_default() += 1;
    }
    counts
}

pub(crate) fn accept(request: &Request) -> Reply {
    match request.method.as_str() {
        "getme" => bot_of(&request.token),
        _ => accepted(request),
    }
}
