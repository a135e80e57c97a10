//! Errors: RFC 9457 problem documents with a stable code, for every response that is not a success.
//!
//! A problem never repeats what the client sent: it names places (a JSON pointer, a line) and rules.

mod refused;
mod store;

use std::borrow::Cow;
use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use posthaste_store::UnreadableRecord;
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::middleware::trace;

/// The media type of a problem.
pub const MEDIA_TYPE: &str = "application/problem+json";

/// When to retry while the store is unreachable.
pub(crate) const STORE_RETRY: Duration = Duration::from_secs(1);
/// When to retry if an operator must act first.
const FULL_RETRY: Duration = Duration::from_secs(5);

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $status:ident, $word:literal, $title:literal;)*) => {
        /// What went wrong, as a stable code. Clients act on the code; titles and details are for people.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, ToSchema)]
        #[serde(rename_all = "snake_case")]
        pub enum Code {
            $($(#[$doc])* $name,)*
        }

        impl Code {
            /// All codes.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The stable word.
            #[must_use]
            pub fn word(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }

            /// The title, the same for every problem of this code.
            #[must_use]
            pub fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)* }
            }

            /// The HTTP status.
            #[must_use]
            pub fn status(self) -> StatusCode {
                match self { $(Self::$name => StatusCode::$status,)* }
            }
        }
    };
}

codes! {
    /// The request is not valid HTTP: conflicting lengths, a broken body.
    BadRequest = BAD_REQUEST, "bad_request", "The request is malformed";
    /// The body is not a single JSON object, or repeats a name.
    MalformedJson = BAD_REQUEST, "malformed_json", "The body is not valid JSON of the expected form";
    /// The key is missing, wrong, expired or revoked.
    Unauthorized = UNAUTHORIZED, "unauthorized", "A valid key is required";
    /// The key lacks the scope.
    InsufficientScope = FORBIDDEN, "insufficient_scope", "The key does not allow this";
    /// The key is bound to another sender or role, or to other mailboxes or names.
    SenderNotAllowed = FORBIDDEN, "sender_not_allowed", "The key is bound to another sender, role, mailbox or name";
    /// The role has no daily limit, so it may not send.
    RoleNotAllowed = FORBIDDEN, "role_not_allowed", "The role may not send orders";
    /// The path does not exist.
    NotFound = NOT_FOUND, "not_found", "Not found";
    /// The order has nothing parked.
    NothingParked = NOT_FOUND, "nothing_parked", "This order has nothing parked";
    /// A record of the order exists but can't be read; `reason` says why: `newer_version`, `wrong_type`, `damaged`.
    RecordUnreadable = CONFLICT, "record_unreadable", "A record of the order can't be read";
    /// The order could not be read, and an operator ended it.
    OrderEndedUnreadable = GONE, "order_ended_unreadable", "The order could not be read and was ended by an operator";
    /// The order does not exist, or belongs to another sender.
    OrderNotFound = NOT_FOUND, "order_not_found", "The order does not exist";
    /// The key does not exist.
    KeyNotFound = NOT_FOUND, "key_not_found", "The key does not exist";
    /// The suppression lists have no such entry.
    SuppressionNotFound = NOT_FOUND, "suppression_not_found", "The suppression does not exist";
    /// The path exists, but not with this method.
    MethodNotAllowed = METHOD_NOT_ALLOWED, "method_not_allowed", "The method is not allowed here";
    /// The body was received too slowly.
    BodyTimeout = REQUEST_TIMEOUT, "body_timeout", "The body was not received in time";
    /// A request with this idempotency key is still running.
    IdempotencyKeyInUse = CONFLICT, "idempotency_key_in_use", "A request with this idempotency key is still running";
    /// An order with this id already exists.
    OrderAlreadyExists = CONFLICT, "order_already_exists", "An order with this id already exists";
    /// The order's status does not allow it; the member `order_status` names the status.
    OrderUnexpectedStatus = CONFLICT, "order_unexpected_status", "The order's status does not allow this";
    /// No delivery matches the retry.
    NothingToRetry = CONFLICT, "nothing_to_retry", "No delivery matches the retry";
    /// Another upload took over, or this one stalled for too long.
    UploadInterrupted = CONFLICT, "upload_interrupted", "The upload was interrupted";
    /// Two live keys already have this name.
    KeyNameTaken = CONFLICT, "key_name_taken", "Two live keys already have this name";
    /// There are as many keys as there may be.
    KeyLimitReached = CONFLICT, "key_limit_reached", "There are too many keys";
    /// The body is larger than allowed.
    BodyTooLarge = PAYLOAD_TOO_LARGE, "body_too_large", "The body is too large";
    /// More recipients than one order may have in this form.
    TooManyRecipients = PAYLOAD_TOO_LARGE, "too_many_recipients", "There are too many recipients";
    /// The path and query are longer than allowed.
    UriTooLong = URI_TOO_LONG, "uri_too_long", "The path and query are too long";
    /// The media type or encoding of the body is not supported.
    UnsupportedMediaType = UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", "The media type or encoding is not supported";
    /// None of the accepted media types is available.
    NotAcceptable = NOT_ACCEPTABLE, "not_acceptable", "None of the accepted media types is available";
    /// A parameter of the query or path is invalid; `errors` names it.
    InvalidParameter = UNPROCESSABLE_ENTITY, "invalid_parameter", "A parameter is invalid";
    /// The order or another body is invalid; `errors` lists the places.
    ValidationFailed = UNPROCESSABLE_ENTITY, "validation_failed", "The body is invalid";
    /// The idempotency key was already used with another body.
    IdempotencyKeyReused = UNPROCESSABLE_ENTITY, "idempotency_key_reused", "The idempotency key was used with another body";
    /// The sender has reached the daily limit of orders.
    DailyLimitExceeded = TOO_MANY_REQUESTS, "daily_limit_exceeded", "The daily limit of orders is reached";
    /// The order exceeds what may still be sent by SMS; `limit` names the setting.
    SmsLimitExceeded = TOO_MANY_REQUESTS, "sms_limit_exceeded", "The SMS limit is reached";
    /// Too many requests with this key.
    RateLimited = TOO_MANY_REQUESTS, "rate_limited", "Too many requests with this key";
    /// An internal error of the service.
    InternalError = INTERNAL_SERVER_ERROR, "internal_error", "Internal error";
    /// The service is at capacity.
    Overloaded = SERVICE_UNAVAILABLE, "overloaded", "The service is at capacity";
    /// The service is stopping.
    ShuttingDown = SERVICE_UNAVAILABLE, "shutting_down", "The service is shutting down";
    /// The store does not answer, or refuses for now.
    StorageUnavailable = SERVICE_UNAVAILABLE, "storage_unavailable", "The store is not available";
    /// The store accepts nothing new for now.
    StorageFull = SERVICE_UNAVAILABLE, "storage_full", "The store is full";
    /// The request may have been carried out: repeat it with the same key or id to learn the outcome.
    OutcomeUnknown = SERVICE_UNAVAILABLE, "outcome_unknown", "The outcome is unknown: repeat with the same id or key";
}

/// One invalid place of a body or query.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Violation {
    /// Where in a JSON body, as a JSON pointer; for a query, `/name`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pointer: Option<String>,
    /// The line of an NDJSON body, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// What is wrong, as a stable code.
    pub code: &'static str,
    /// The rule, for people; never repeats the value.
    pub detail: Cow<'static, str>,
}

impl Violation {
    /// An invalid place of a JSON body.
    pub fn at(pointer: impl Into<String>, code: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { pointer: Some(pointer.into()), line: None, code, detail: detail.into() }
    }

    /// An invalid line of an NDJSON body; the first line is 1.
    pub fn on_line(line: u64, code: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { pointer: None, line: Some(line), code, detail: detail.into() }
    }
}

/// An error. `IntoResponse` turns it into a problem document.
#[derive(Debug, Clone, PartialEq)]
pub struct Problem(Box<ProblemParts>);

#[derive(Debug, Clone, PartialEq)]
struct ProblemParts {
    code: Code,
    detail: Cow<'static, str>,
    errors: Vec<Violation>,
    members: Map<String, Value>,
    retry_after: Option<Duration>,
}

/// The document as described to clients.
#[derive(Debug, Serialize, ToSchema)]
pub struct ProblemDocument {
    /// Where the code is explained, as a path of this service.
    #[serde(rename = "type")]
    #[schema(example = "/docs#rate_limited")]
    kind: String,
    /// The title, the same for every problem of this code.
    title: &'static str,
    /// The HTTP status.
    #[schema(example = 429)]
    status: u16,
    /// What is wrong this time, for people.
    detail: Cow<'static, str>,
    /// The stable code to act on.
    code: Code,
    /// The invalid places, if any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<Violation>,
    /// Identifies the request in the service's log.
    trace_id: String,
}

impl Problem {
    /// An error with this code; `detail` says what is wrong this time, without repeating what was sent.
    pub fn new(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(ProblemParts {
            code,
            detail: detail.into(),
            errors: Vec::new(),
            members: Map::new(),
            retry_after: None,
        }))
    }

    /// Adds the invalid places.
    #[must_use]
    pub fn with_errors(mut self, errors: impl IntoIterator<Item = Violation>) -> Self {
        self.0.errors.extend(errors);
        self
    }

    /// Names the invalid places by the pointers of another body: `rename` returns the other pointer, or `None` to drop a
    /// place. Places without a pointer stay.
    #[must_use]
    pub(crate) fn with_pointers(mut self, rename: impl Fn(&str) -> Option<String>) -> Self {
        self.0.errors.retain_mut(|error| match &error.pointer {
            None => true,
            Some(pointer) => {
                error.pointer = rename(pointer);
                error.pointer.is_some()
            }
        });
        self
    }

    /// Adds an extra member (`order_id`, `order_status`).
    #[must_use]
    pub fn with(mut self, member: &str, value: impl Into<Value>) -> Self {
        self.0.members.insert(member.to_owned(), value.into());
        self
    }

    /// Sets when to retry; sent in whole seconds, at least one.
    #[must_use]
    pub fn retry_after(mut self, after: Duration) -> Self {
        self.0.retry_after = Some(after);
        self
    }

    /// One invalid parameter of the query or path.
    pub fn parameter(name: &str, code: &'static str, rule: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::InvalidParameter, "a parameter is invalid").with_errors([Violation::at(
            format!("/{name}"),
            code,
            rule,
        )])
    }

    /// The outcome is unknown: for a write whose reply was lost, or was not confirmed in time.
    #[must_use]
    pub fn outcome_unknown() -> Self {
        let detail = "the request may have been carried out, but was not confirmed; repeat the same request with the same id \
                      or Idempotency-Key to learn the outcome";
        Self::new(Code::OutcomeUnknown, detail).retry_after(STORE_RETRY)
    }

    /// The order does not exist, or is not the caller's: both get the same response.
    #[must_use]
    pub fn order_not_found() -> Self {
        Self::new(Code::OrderNotFound, "this key has no order with this id")
    }

    /// A record of the order exists but can't be read.
    #[must_use]
    pub fn unreadable(why: UnreadableRecord) -> Self {
        metrics::counter!("posthaste_unreadable_records_total", "reason" => why.word()).increment(1);
        let detail = match why {
            UnreadableRecord::Newer => {
                "the record was written by a newer version of the service and is left unchanged"
            }
            _ => "the record is damaged; an operator finds it in GET /v1/parked",
        };
        Self::new(Code::RecordUnreadable, detail).with("reason", why.word())
    }

    /// The code.
    #[must_use]
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// The invalid places.
    #[must_use]
    pub fn errors(&self) -> &[Violation] {
        &self.0.errors
    }

    /// When to retry.
    #[must_use]
    pub fn wait(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// The document as JSON, for a response that holds several (a line of a batch).
    #[must_use]
    pub fn document(&self) -> Value {
        let reported = &*self.0;
        let document = ProblemDocument {
            kind: format!("/docs#{}", reported.code.word()),
            title: reported.code.title(),
            status: reported.code.status().as_u16(),
            detail: reported.detail.clone(),
            code: reported.code,
            errors: reported.errors.clone(),
            trace_id: trace::current(),
        };
        let mut value = serde_json::to_value(document).unwrap_or_default();
        if let Value::Object(object) = &mut value {
            for (name, member) in &reported.members {
                object.entry(name.clone()).or_insert_with(|| member.clone());
            }
        }
        value
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = self.document().to_string();
        let mut response = (self.0.code.status(), body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        // For the log line.
        response.extensions_mut().insert(self.0.code);
        let headers = response.headers_mut();
        if let Some(after) = self.0.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(whole_seconds(after)));
        }
        if self.0.code == Code::Unauthorized {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// Seconds as sent in headers: rounded up, at least one.
#[must_use]
pub(crate) fn whole_seconds(span: Duration) -> u64 {
    u64::try_from(span.as_millis().div_ceil(1_000)).unwrap_or(u64::MAX).max(1)
}

#[cfg(test)]
mod tests {

    use super::*;

    #[test]
    fn words_are_those_of_the_serialised_code_and_unique() {
        for (at, code) in Code::ALL.iter().enumerate() {
            assert_eq!(serde_json::to_value(code).unwrap(), code.word());
            assert!(Code::ALL[..at].iter().all(|other| other.word() != code.word()), "{code:?}");
            assert!(code.status().is_client_error() || code.status().is_server_error());
        }
    }

    #[test]
    fn the_document_has_the_members_of_the_standard_and_ours() {
        let problem = Problem::new(Code::OrderUnexpectedStatus, "the order is being sent")
            .with("order_status", "running")
            .with("code", "forged")
            .with_errors([Violation::at("/deliver_at", "past", "must lie in the future")]);
        let document = problem.document();
        assert_eq!(document["type"], "/docs#order_unexpected_status");
        assert_eq!(document["status"], 409);
        assert_eq!(document["code"], "order_unexpected_status", "a member cannot replace ours");
        assert_eq!(document["order_status"], "running");
        assert_eq!(document["errors"][0]["pointer"], "/deliver_at");
        assert!(document["errors"][0].get("line").is_none());
    }

    #[test]
    fn waits_are_sent_in_whole_seconds() {
        for (millis, reported) in [(0, 1), (1, 1), (1_000, 1), (1_001, 2)] {
            assert_eq!(whole_seconds(Duration::from_millis(millis)), reported);
        }
    }
}
