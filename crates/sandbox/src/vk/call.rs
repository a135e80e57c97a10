//! One call of `messages.send`: its parameters, from a form or from code.

use serde_json::{Map, Value};

use super::errors::Failure;
use crate::fake_provider::Form;

/// Most peers per call, and most characters of a text.
const MOST_PEERS: usize = 100;
const MOST_CHARACTERS: usize = 4_096;

/// A checked call.
#[derive(Debug)]
pub(super) struct Call {
    /// As they were named; empty when they are invalid.
    pub(super) peers: Vec<i64>,
    /// Named as `peer_ids`: then each has its own result.
    pub(super) is_many: bool,
    pub(super) text: String,
    pub(super) random: i64,
    /// Why it fails.
    pub(super) wrong: Option<Failure>,
}

/// The parameters of a form, as a program would pass them.
pub(super) fn parameters(form: &Form) -> Value {
    let own = |(name, value): (&str, &str)| (name.to_owned(), Value::String(value.to_owned()));
    Value::Object(form.pairs().map(own).collect::<Map<_, _>>())
}

impl Call {
    pub(super) fn of(parameters: &Value) -> Self {
        let text = word(&parameters["message"]).unwrap_or_default();
        let is_many = !parameters["peer_ids"].is_null();
        let (peers, mut wrong) = match peers(parameters) {
            Ok(peers) => (peers, None),
            Err(wrong) => (Vec::new(), Some(wrong)),
        };
        let has_attachment = word(&parameters["attachment"]).is_some_and(|text| !text.is_empty());
        let random = word(&parameters["random_id"]).and_then(|text| text.parse().ok());
        if wrong.is_none() {
            wrong = if random.is_none() {
                Some(Failure::because(100, "random_id is undefined"))
            } else if text.is_empty() && !has_attachment {
                Some(Failure::because(100, "message is empty or invalid"))
            } else if text.chars().count() > MOST_CHARACTERS {
                Some(Failure::of(914))
            } else {
                None
            };
        }
        Self { peers, is_many, text, random: random.unwrap_or(0), wrong }
    }
}

fn peers(parameters: &Value) -> Result<Vec<i64>, Failure> {
    let invalid = |why: &str| Failure::because(100, why);
    let number = |text: &str| text.trim().parse::<i64>().ok().filter(|peer| *peer != 0);
    match &parameters["peer_ids"] {
        Value::Null => {
            let one = word(&parameters["peer_id"]).or_else(|| word(&parameters["user_id"]));
            let chat = word(&parameters["chat_id"]).and_then(|chat| number(&chat));
            let chat = chat.and_then(|chat| chat.checked_add(2_000_000_000));
            let one = one.and_then(|text| number(&text)).or(chat);
            one.map(|peer| vec![peer]).ok_or_else(|| invalid("peer_id is undefined"))
        }
        many => {
            let texts: Vec<String> = match many {
                Value::Array(items) => items.iter().filter_map(word).collect(),
                other => word(other).unwrap_or_default().split(',').map(str::to_owned).collect(),
            };
            if texts.len() > MOST_PEERS {
                return Err(invalid("peer_ids should contain at most 100 elements"));
            }
            let peers: Option<Vec<i64>> = texts.iter().map(|text| number(text)).collect();
            peers.filter(|peers| !peers.is_empty()).ok_or_else(|| invalid("peer_ids not integer"))
        }
    }
}

/// A text or a number, as a text.
fn word(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}
