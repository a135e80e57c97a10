//! A fake VK API on loopback: reads every request completely, records it, runs the flat programs of this channel, and remembers
//! which peer got what under which `random_id`.

#![expect(clippy::unwrap_used, reason = "the helpers of tests fail as the tests do")]

use std::collections::{HashMap, HashSet};
use std::sync::Mutex;

pub(crate) use posthaste_rig::http::HttpReply as Reply;
use posthaste_rig::http::HttpRequest;
use posthaste_rig::{FakeProvider, ProviderApi};
use serde_json::{Value, json};
use tokio::time::Instant;

/// A request as received.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) at: Instant,
    /// The method, such as `execute`.
    pub(crate) method: String,
    pub(crate) head: String,
    pub(crate) form: HashMap<String, String>,
    /// Parameters of the calls of messages.send in the program; `None`: it has another form.
    pub(crate) calls: Option<Vec<Value>>,
}

impl Request {
    pub(crate) fn is_message(&self) -> bool {
        self.method == "execute"
    }

    pub(crate) fn calls(&self) -> &[Value] {
        self.calls.as_deref().unwrap_or_default()
    }

    /// All peers of all calls.
    pub(crate) fn peers(&self) -> Vec<i64> {
        self.calls().iter().flat_map(peers).collect()
    }
}

/// The peers of a call.
pub(crate) fn peers(call: &Value) -> Vec<i64> {
    call["peer_ids"].as_str().unwrap().split(',').map(|peer| peer.parse().unwrap()).collect()
}

/// An accepted message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) peer: i64,
    pub(crate) random_id: u64,
    pub(crate) text: String,
}

/// A part of an answer, then a reset.
pub(crate) fn half() -> Reply {
    Reply::Half("{\"response\":[[".to_owned())
}

/// The whole request failed.
pub(crate) fn refusal(code: u32, echo: &str) -> Reply {
    let params = [json!({"key": "method", "value": "execute"}), json!({"key": "code", "value": echo})];
    let error = json!({"error_code": code, "error_msg": "no", "request_params": params});
    Reply::json(200, &json!({ "error": error }))
}

/// The answer to a token check.
pub(crate) fn permissions(names: &[&str]) -> Reply {
    let all: Vec<Value> = names.iter().map(|name| json!({"name": name, "setting": 1})).collect();
    Reply::json(200, &json!({"response": {"mask": 0, "permissions": all}}))
}

/// The accepted messages.
#[derive(Default)]
pub(crate) struct Shop {
    taken: Mutex<Vec<Message>>,
    known: Mutex<HashSet<(i64, u64)>>,
}

impl Shop {
    /// The messages accepted so far.
    pub(crate) fn taken(&self) -> Vec<Message> {
        self.taken.lock().unwrap().clone()
    }

    /// Runs a call for all its peers except those refused. A repeat is answered and dropped.
    pub(crate) fn call(&self, call: &Value, refuses: &dyn Fn(i64) -> Option<u32>) -> Value {
        let (random_id, text) = (call["random_id"].as_u64().unwrap(), call["message"].as_str().unwrap());
        let mut items = Vec::new();
        for peer in peers(call) {
            if let Some(code) = refuses(peer) {
                items.push(json!({"peer_id": peer, "error": {"code": code, "description": "no"}}));
                continue;
            }
            if random_id == 0 || self.known.lock().unwrap().insert((peer, random_id)) {
                self.taken.lock().unwrap().push(Message { peer, random_id, text: text.to_owned() });
            }
            items.push(json!({"peer_id": peer, "message_id": 7, "conversation_message_id": 3}));
        }
        Value::Array(items)
    }

    /// Runs a request, refusing peers with these codes.
    pub(crate) fn run(&self, request: &Request, refuses: &dyn Fn(i64) -> Option<u32>) -> Reply {
        match request.method.as_str() {
            "groups.getTokenPermissions" => permissions(&["manage", "messages"]),
            "execute" => {
                let Some(calls) = &request.calls else { return refusal(12, "") };
                let places: Vec<Value> = calls.iter().map(|call| self.call(call, refuses)).collect();
                Reply::json(200, &json!({ "response": places }))
            }
            _ => refusal(3, ""),
        }
    }

    /// Runs a request whose calls fail as a whole where `fails` says so.
    pub(crate) fn run_with(&self, request: &Request, fails: &dyn Fn(&Value) -> Option<u32>) -> Reply {
        if !request.is_message() {
            return self.run(request, &|_| None);
        }
        let (mut places, mut errors) = (Vec::new(), Vec::new());
        for call in request.calls() {
            match fails(call) {
                Some(code) => {
                    places.push(Value::Bool(false));
                    errors.push(json!({"method": "messages.send", "error_code": code, "error_msg": "no"}));
                }
                None => places.push(self.call(call, &|_| None)),
            }
        }
        Reply::json(200, &json!({"response": places, "execute_errors": errors}))
    }
}

/// The fake provider.
pub(crate) type Provider = FakeProvider<Shop>;

impl ProviderApi for Shop {
    type Request = Request;

    fn read(raw: &HttpRequest) -> Request {
        let form: HashMap<String, String> = url::form_urlencoded::parse(&raw.body).into_owned().collect();
        Request {
            at: raw.at,
            method: raw.target.strip_prefix("/method/").unwrap().to_owned(),
            head: raw.head.clone(),
            calls: form.get("code").and_then(|code| calls(code)),
            form,
        }
    }

    fn is_message(request: &Request) -> bool {
        request.is_message()
    }

    fn accept(&self, request: &Request) -> Reply {
        accept(self, request)
    }
}

pub(crate) fn accept(shop: &Shop, request: &Request) -> Reply {
    shop.run(request, &|_| None)
}

/// The parameters of the calls of a flat program. The program is parsed, not searched: anything else in it is refused.
pub(crate) fn calls(program: &str) -> Option<Vec<Value>> {
    let mut rest = program.strip_prefix("return [")?;
    let mut calls = Vec::new();
    loop {
        rest = rest.strip_prefix("API.messages.send(")?;
        let mut objects = serde_json::Deserializer::from_str(rest).into_iter::<Value>();
        calls.push(objects.next()?.ok().filter(Value::is_object)?);
        // ECMAScript line ends that JSON allows in strings.
        let length = objects.byte_offset();
        if rest[..length].contains(['\u{2028}', '\u{2029}']) {
            return None;
        }
        rest = rest[length..].strip_prefix(')')?;
        if rest == "];" {
            return Some(calls);
        }
        rest = rest.strip_prefix(',')?;
    }
}
