//! Adds to the OpenAPI description what the types do not say: an example of each body, and which members a request needs.

use serde_json::{Map, Value, json};

/// Deeper parts of an example are left out.
const DEEPEST: usize = 8;

/// Members that a request can't do without although another form of the same type can.
const REQUIRED: &[(&str, &[&str])] = &[("Order", &["recipients"]), ("QueueOrder", &["recipients"])];

/// Adds the required members and the examples.
pub(crate) fn add(api: &mut Value) {
    for (name, members) in REQUIRED {
        require(&mut api["components"]["schemas"][*name], members);
    }
    // Either of them; both may be given.
    api["components"]["schemas"]["Order"]["anyOf"] =
        json!([{"required": ["text"]}, {"required": ["overrides"]}]);
    let schemas = api["components"]["schemas"].clone();
    let Some(paths) = api["paths"].as_object_mut() else { return };
    for operation in paths.values_mut().filter_map(Value::as_object_mut).flat_map(Map::values_mut) {
        let id = operation["operationId"].as_str().unwrap_or_default().to_owned();
        if let Some(content) = operation.pointer_mut("/requestBody/content").and_then(Value::as_object_mut) {
            for (media_type, body) in content {
                body["example"] = request(&id, media_type);
            }
        }
        let Some(responses) = operation.get_mut("responses").and_then(Value::as_object_mut) else { continue };
        for (_, response) in responses.iter_mut().filter(|(status, _)| status.starts_with('2')) {
            let Some(content) = response.get_mut("content").and_then(Value::as_object_mut) else { continue };
            for (media_type, body) in content {
                body["example"] = answer(&schemas, media_type, &body["schema"]);
            }
        }
    }
}

fn require(schema: &mut Value, members: &[&str]) {
    schema["required"] = json!(members);
    for member in members {
        let kinds = schema.pointer_mut(&format!("/properties/{member}/type"));
        if let Some(kinds) = kinds.and_then(Value::as_array_mut) {
            kinds.retain(|kind| kind != "null");
        }
    }
}

/// The example of a request's body; lines for NDJSON.
fn request(id: &str, media_type: &str) -> Value {
    let recipient = json!({"id": "1", "name": "Anna", "contacts": {"email": ["anna@example.org"]}});
    let head =
        json!({"sender": {"id": "office"}, "subject": "News", "text": "Hello", "metadata": {"case": 17}});
    let mut order = head.clone();
    order["recipients"] = json!([recipient]);
    if media_type != "application/json" {
        let lines = if id == "createOrders" { vec![order] } else { vec![head, recipient] };
        return lines.iter().map(|line| format!("{line}\n")).collect::<String>().into();
    }
    let addresses = json!({"channel": "email", "addresses": ["anna@example.org"]});
    match id {
        "createOrder" | "putOrder" => order,
        "createOrderId" => json!({"sender_id": "office"}),
        "moveOrder" => json!({"deliver_at": "2026-11-21T09:00:00+03:00"}),
        "retryOrder" => json!({"statuses": ["failed"]}),
        "addSuppressions" | "deleteSuppressions" | "lookUpSuppressions" => addresses,
        "createKey" => json!({"name": "office", "scopes": ["write", "read"], "sender_id": "office"}),
        "queue" => {
            json!({"history_key": "history:office:1763618400000000000", "sender": {"id": "office", "role": "staff"},
            "text": "Hello", "recipients": [{"id": "1", "name": "Anna", "email": "anna@example.org"}]})
        }
        "track" => {
            json!({"history_key": "history:office:1763618400000000000", "touch_count": 1, "timeout": 10})
        }
        _ => Value::Null,
    }
}

/// The example of a response's body, made from its schema.
fn answer(schemas: &Value, media_type: &str, schema: &Value) -> Value {
    let made = made(schemas, "", schema, 0);
    match media_type {
        "application/json" => made,
        "text/event-stream" => {
            "event: snapshot\nid: 3\ndata: {\"id\":\"office.1763618400000000000\",…}\n\n".into()
        }
        _ => format!("{made}\n").into(),
    }
}

/// An example of a value; `name` is that of its member.
fn made(schemas: &Value, name: &str, schema: &Value, depth: usize) -> Value {
    if depth > DEEPEST {
        return Value::Null;
    }
    if let Some(example) = schema.get("example").or_else(|| schema["examples"].get(0)) {
        return example.clone();
    }
    let inner = |schema: &Value| made(schemas, name, schema, depth + 1);
    if let Some(target) = schema["$ref"].as_str().and_then(|path| path.rsplit('/').next()) {
        return inner(&schemas[target]);
    }
    if let Some(parts) = schema["allOf"].as_array() {
        let parts = parts.iter().map(inner).filter_map(|part| part.as_object().cloned());
        return Value::Object(parts.flatten().collect());
    }
    for union in ["oneOf", "anyOf"] {
        if let Some(first) =
            schema[union].as_array().and_then(|parts| parts.iter().find(|part| part["type"] != "null"))
        {
            return inner(first);
        }
    }
    if let Some(first) = schema["enum"].get(0) {
        return first.clone();
    }
    let kind = match &schema["type"] {
        Value::Array(kinds) => kinds.iter().find(|kind| **kind != "null").cloned().unwrap_or_default(),
        kind => kind.clone(),
    };
    match kind.as_str().unwrap_or_default() {
        "object" => object(schemas, schema, depth),
        "array" => json!([inner(&schema["items"])]),
        "integer" | "number" => json!(schema["minimum"].as_u64().unwrap_or(0).max(1)),
        "boolean" => json!(false),
        "string" => text(name).into(),
        _ => Value::Null,
    }
}

fn object(schemas: &Value, schema: &Value, depth: usize) -> Value {
    let properties = schema["properties"].as_object().into_iter().flatten();
    let mut object: Map<String, Value> =
        properties.map(|(name, member)| (name.clone(), made(schemas, name, member, depth + 1))).collect();
    if schema["additionalProperties"].is_object() {
        let value = made(schemas, "email", &schema["additionalProperties"], depth + 1);
        object.insert("email".to_owned(), value);
    }
    Value::Object(object)
}

/// A text for a member without an example of its own.
fn text(name: &str) -> &'static str {
    match name {
        "channel" | "channels_without_courier" => "email",
        "address" | "addresses" => "anna@example.org",
        "status" => "sent",
        "scopes" => "write",
        "sender_id" => "office",
        "recipient_id" => "1",
        "recipient_name" => "Anna",
        "text" => "Hello",
        "subject" => "News",
        "history_key" => "history:office:1763618400000000000",
        "id" | "order_id" | "retry_of" => "office.1763618400000000000",
        "token" => "ph_<id>_<secret>",
        "pointer" => "/recipients/0/contacts/email/0",
        _ => "…",
    }
}
