//! The error responses of each operation in the OpenAPI description, by status instead of one `default`.
//!
//! Operations declare `default` for "a problem"; this module replaces it with one response for each status the
//! operation can return, which lists its codes. `reason` lists the database states it may name.

use std::collections::BTreeMap;

use posthaste_store::RedisState;
use serde_json::{Map, Value, json};

use crate::problem::{Code, MEDIA_TYPE};

/// Codes that any operation can return.
const ALWAYS: &[Code] = &[
    Code::BadRequest,
    Code::Unauthorized,
    Code::InsufficientScope,
    Code::UriTooLong,
    Code::RateLimited,
    Code::InternalError,
    Code::Overloaded,
    Code::ShuttingDown,
    Code::StorageUnavailable,
];
/// Codes of operations with a body.
const BODY: &[Code] = &[
    Code::MalformedJson,
    Code::BodyTimeout,
    Code::BodyTooLarge,
    Code::UnsupportedMediaType,
    Code::ValidationFailed,
    Code::SenderNotAllowed,
];
/// Codes of operations that write.
const WRITE: &[Code] = &[Code::StorageFull, Code::OutcomeUnknown];
/// Codes of operations on one order.
const ORDER: &[Code] = &[Code::OrderNotFound, Code::RecordUnreadable, Code::OrderEndedUnreadable];
/// Codes of operations that accept orders.
const TAKE: &[Code] = &[
    Code::RoleNotAllowed,
    Code::IdempotencyKeyInUse,
    Code::OrderAlreadyExists,
    Code::UploadInterrupted,
    Code::TooManyRecipients,
    Code::InvalidParameter,
    Code::IdempotencyKeyReused,
    Code::DailyLimitExceeded,
    Code::SmsLimitExceeded,
    Code::OrderUnexpectedStatus,
];

/// Codes of single operations, by operation id.
fn own(id: &str) -> &'static [Code] {
    match id {
        "retryOrder" => &[
            Code::NothingToRetry,
            Code::SmsLimitExceeded,
            Code::IdempotencyKeyInUse,
            Code::IdempotencyKeyReused,
            Code::ValidationFailed,
            Code::OrderUnexpectedStatus,
        ],
        "moveOrder" | "cancelOrder" => {
            &[Code::OrderUnexpectedStatus, Code::ValidationFailed, Code::OutcomeUnknown]
        }
        "createKey" => &[Code::KeyNameTaken, Code::KeyLimitReached],
        "revokeKey" => &[Code::KeyNotFound, Code::InvalidParameter],
        "deleteSuppression" => &[Code::SuppressionNotFound, Code::SenderNotAllowed],
        "getParked" | "failParked" | "releaseParked" => &[Code::NothingParked, Code::OrderUnexpectedStatus],
        "listDeliveries" => &[Code::NotAcceptable],
        "track" => &[Code::OrderNotFound, Code::RecordUnreadable],
        "queueLimit" | "getDailyLimit" => {
            &[Code::RoleNotAllowed, Code::SenderNotAllowed, Code::ValidationFailed]
        }
        "historyKey" => &[Code::ValidationFailed, Code::SenderNotAllowed],
        "createOrderId" => &[Code::ValidationFailed],
        "listOrders" => &[Code::SenderNotAllowed, Code::RecordUnreadable],
        _ => &[],
    }
}

fn codes(method: &str, path: &str, operation: &Value) -> Vec<Code> {
    let id = operation["operationId"].as_str().unwrap_or_default();
    let mut codes = ALWAYS.to_vec();
    let mut add = |more: &[Code]| codes.extend_from_slice(more);
    if operation["requestBody"].is_object() {
        add(BODY);
    }
    if method != "get" {
        add(WRITE);
    }
    if operation["parameters"].as_array().is_some_and(|parameters| !parameters.is_empty()) {
        add(&[Code::InvalidParameter]);
    }
    if path.starts_with("/v1/orders/{id}") || path.starts_with("/v1/parked/{id}") {
        add(ORDER);
    }
    if matches!(id, "createOrder" | "putOrder" | "createOrders" | "queue") {
        add(TAKE);
    }
    add(own(id));
    codes
}

/// Replaces `default` with a response for each status.
pub(crate) fn by_status(api: &mut Value) {
    let Some(paths) = api["paths"].as_object_mut() else { return };
    for (path, item) in paths {
        for (method, operation) in item.as_object_mut().into_iter().flatten() {
            let codes = codes(method, path, operation);
            let Some(responses) = operation["responses"].as_object_mut() else { continue };
            let Some(default) = responses.remove("default") else { continue };
            let mut statuses: BTreeMap<String, Vec<Code>> = BTreeMap::new();
            for code in Code::ALL.iter().copied().filter(|code| codes.contains(code)) {
                statuses.entry(code.status().as_str().to_owned()).or_default().push(code);
            }
            for (status, codes) in statuses {
                let response = response(&status, &codes, &default);
                responses.entry(status).or_insert(response);
            }
        }
    }
    let properties = &mut api["components"]["schemas"]["ProblemDocument"]["properties"];
    if let Some(properties) = properties.as_object_mut() {
        properties.insert("reason".to_owned(), reason());
    }
}

fn response(status: &str, codes: &[Code], default: &Value) -> Value {
    let words: Vec<_> = codes.iter().map(|code| format!("`{}` ({})", code.word(), code.title())).collect();
    let before = default["description"].as_str().unwrap_or("A problem.").trim_end_matches('.');
    let mut response = json!({
        "description": format!("{before}. Codes: {}.", words.join(", ")),
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemDocument"}}},
    });
    let header = |name: &str, what: &str, kind: &str| {
        let header = json!({"description": what, "schema": {"type": kind}});
        Map::from_iter([(name.to_owned(), header)])
    };
    let headers = match status {
        "401" => Some(header("WWW-Authenticate", "`Bearer`.", "string")),
        "429" | "503" => Some(header(
            "Retry-After",
            "Seconds to wait before retrying; absent when the limit of a day is reached.",
            "integer",
        )),
        _ => None,
    };
    if let (Some(headers), Some(response)) = (headers, response.as_object_mut()) {
        response.insert("headers".to_owned(), headers.into());
    }
    response
}

/// The member `reason`, which some problems have.
fn reason() -> Value {
    let states = RedisState::ALL.iter().map(|state| state.word());
    let mut words: Vec<_> = states.chain(["newer_version", "wrong_type", "damaged"]).collect();
    words.sort_unstable();
    words.dedup();
    json!({
        "type": "string",
        "description": "The cause, where the code alone does not give it: for `storage_unavailable` and `storage_full` the state \
            of the database, for `record_unreadable` what is wrong with the record.",
        "examples": words,
    })
}

#[cfg(test)]
mod tests {
    use crate::problem::Code;

    #[test]
    fn every_code_is_described_with_an_operation_that_returns_it() {
        let api: serde_json::Value = serde_json::from_str(&crate::api::openapi_json()).unwrap();
        let operations = api["paths"].to_string();
        // Returned outside any operation.
        let elsewhere = [Code::NotFound, Code::MethodNotAllowed];
        let missing = Code::ALL.iter().filter(|code| !operations.contains(&format!("`{}`", code.word())));
        assert_eq!(missing.copied().collect::<Vec<_>>(), elsewhere);
    }
}
