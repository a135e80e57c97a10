//! Errors of the HTTP port, in the form of RFC 9457.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// An error. The detail never repeats what was sent.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    code: &'static str,
    detail: String,
}

impl Problem {
    pub(super) fn not_found(detail: &str) -> Self {
        Self { status: StatusCode::NOT_FOUND, code: "not_found", detail: detail.to_owned() }
    }

    pub(super) fn invalid(detail: impl Into<String>) -> Self {
        Self { status: StatusCode::UNPROCESSABLE_ENTITY, code: "invalid", detail: detail.into() }
    }

    pub(super) fn misdirected() -> Self {
        let detail =
            "unknown host name; use an IP address or localhost, or add the name to sandbox.outbox.hosts";
        Self { status: StatusCode::MISDIRECTED_REQUEST, code: "unknown_host", detail: detail.to_owned() }
    }

    pub(super) fn with_status(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status, code: "refused", detail: detail.into() }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = json!({
            "type": "about:blank",
            "title": self.status.canonical_reason().unwrap_or("Refused"),
            "status": self.status.as_u16(),
            "code": self.code,
            "detail": self.detail,
        });
        (self.status, [(header::CONTENT_TYPE, "application/problem+json")], body.to_string()).into_response()
    }
}

pub(super) async fn no_such_path() -> Problem {
    Problem::not_found("no such path")
}

pub(super) async fn no_such_method() -> Problem {
    Problem::with_status(StatusCode::METHOD_NOT_ALLOWED, "method not allowed on this path")
}
