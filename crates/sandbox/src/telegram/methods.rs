//! What the Bot API methods check and answer.

use std::collections::HashMap;

use posthaste_model::UnixMs;
use serde_json::{Value, json};

use super::answer;
use crate::fake_provider::{Answer, Whole};

/// Most UTF-16 units of a text.
const MOST_UNITS: usize = 4096;

/// The target of a request: `/bot<token>[/test]/<method>`.
pub(super) struct Place {
    pub(super) bot: u64,
    pub(super) token: String,
    pub(super) method: String,
}

/// Parses a path; `None` for any other.
pub(super) fn place(path: &str) -> Option<Place> {
    let path = path.split('?').next()?.strip_prefix("/bot")?;
    let mut parts = path.split('/');
    let token = parts.next()?.to_owned();
    let mut method = parts.next()?;
    if method == "test" {
        method = parts.next()?;
    }
    let (number, secret) = token.split_once(':')?;
    let bot = number.parse().ok()?;
    (!secret.is_empty() && parts.next().is_none()).then(|| Place {
        bot,
        token: token.clone(),
        method: method.to_ascii_lowercase(),
    })
}

/// The parameters of a request: JSON, a form, or the query.
pub(super) fn parameters(request: &Whole) -> Option<Value> {
    if request.content_type.starts_with("application/json") {
        return serde_json::from_slice(&request.body).ok().filter(Value::is_object);
    }
    let text = match request.body.is_empty() {
        true => request.path.split_once('?').map_or("", |(_, query)| query),
        false => str::from_utf8(&request.body).ok()?,
    };
    let pairs: HashMap<String, String> = url::form_urlencoded::parse(text.as_bytes()).into_owned().collect();
    let value = |(name, text): (String, String)| {
        // Forms carry numbers, lists and objects as JSON text.
        let is_text = matches!(name.as_str(), "text" | "parse_mode");
        let value = if is_text { None } else { serde_json::from_str(&text).ok() };
        (name, value.unwrap_or(Value::String(text)))
    };
    Some(Value::Object(pairs.into_iter().map(value).collect()))
}

/// The chat of a message, written as in addresses; empty when it names none.
pub(super) fn chat(parameters: &Value) -> String {
    match &parameters["chat_id"] {
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.clone(),
        _ => String::new(),
    }
}

/// Refuses what the real API refuses.
pub(super) fn check(parameters: &Value) -> Result<(), Answer> {
    let refuse = |description: &str| Err(answer::refusal(400, &format!("Bad Request: {description}")));
    let chat = chat(parameters);
    if chat.is_empty() {
        return refuse("chat_id is empty");
    }
    let is_name = chat.strip_prefix('@').is_some_and(|name| name.len() >= 4);
    let is_number = chat.parse::<i64>().is_ok_and(|number| number != 0 && number.unsigned_abs() < 1 << 52);
    if !is_name && !is_number {
        return refuse("chat not found");
    }
    let Some(text) = parameters["text"].as_str() else { return refuse("message text is empty") };
    let text = text.trim();
    if text.is_empty() {
        return refuse("message text is empty");
    }
    let units = text.chars().map(char::len_utf16).sum::<usize>();
    if units > MOST_UNITS {
        return refuse("message is too long");
    }
    if parameters["parse_mode"].is_string() && parameters["entities"].is_array() {
        // The real API applies the parse mode and drops the entities; no client wants that.
        return refuse("can't parse entities: both parse_mode and entities are given");
    }
    match &parameters["entities"] {
        Value::Null => Ok(()),
        Value::Array(entities) if entities.iter().all(|entity| is_entity(entity, units)) => Ok(()),
        _ => refuse("can't parse entities"),
    }
}

fn is_entity(entity: &Value, units: usize) -> bool {
    let number = |name: &str| entity[name].as_u64().and_then(|number| usize::try_from(number).ok());
    let (Some(offset), Some(length)) = (number("offset"), number("length")) else { return false };
    entity["type"].is_string() && length > 0 && offset.checked_add(length).is_some_and(|end| end <= units)
}

/// The answer to an accepted message.
pub(super) fn sent(parameters: &Value, bot: u64, id: u64, now: UnixMs) -> Answer {
    let chat = chat(parameters);
    let chat = match chat.parse::<i64>() {
        Ok(number) if number > 0 => json!({ "id": number, "type": "private", "first_name": "Somebody" }),
        Ok(number) if number < -1_000_000_000_000 => {
            json!({ "id": number, "type": "supergroup", "title": "Group" })
        }
        Ok(number) => json!({ "id": number, "type": "group", "title": "Group" }),
        Err(_) => {
            json!({ "id": -1_000_000_000_001_i64, "type": "channel", "title": "Channel", "username": chat.trim_start_matches('@') })
        }
    };
    let mut message = json!({
        "message_id": id, "from": user(bot), "date": now.0 / 1000, "chat": chat,
        "text": parameters["text"].as_str().unwrap_or_default().trim(),
    });
    if let Value::Array(entities) = &parameters["entities"] {
        message["entities"] = json!(entities);
    }
    answer::result(&message)
}

pub(super) fn user(bot: u64) -> Value {
    json!({ "id": bot, "is_bot": true, "first_name": "Sandbox", "username": format!("sandbox_{bot}_bot") })
}

/// The answer to `getMe`.
pub(super) fn me(bot: u64) -> Answer {
    let mut me = user(bot);
    me["can_join_groups"] = json!(true);
    for name in [
        "can_read_all_group_messages",
        "supports_inline_queries",
        "can_connect_to_business",
        "has_main_web_app",
    ] {
        me[name] = json!(false);
    }
    answer::result(&me)
}
