//! Error responses of the queue (RFC 9457).

use std::fmt;

use reqwest::StatusCode;
use serde::Deserialize;

/// An error response. It never repeats what was sent.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct ApiProblem {
    /// A short title.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// The details.
    pub detail: Option<String>,
    /// The stable word for programs.
    pub code: String,
    /// The invalid parts of the request.
    pub errors: Vec<InvalidPart>,
    /// The id under which the server's log has this error.
    pub trace_id: Option<String>,
    /// Seconds to wait before the next try, from the header `Retry-After`.
    #[serde(skip)]
    pub retry_after: Option<u64>,
}

/// One invalid part of a request.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct InvalidPart {
    /// Its line in an upload, from 1.
    pub line: Option<u64>,
    /// Its place as a JSON pointer.
    pub pointer: Option<String>,
    /// The stable word.
    pub code: String,
    /// The explanation.
    pub detail: Option<String>,
}

impl InvalidPart {
    /// The explanation, or the code if there is none.
    #[must_use]
    pub fn reason(&self) -> &str {
        self.detail.as_deref().unwrap_or(&self.code)
    }
}

impl ApiProblem {
    /// Reads the body of an error response. If it is not a problem document, only the status is known.
    pub(crate) fn read(status: StatusCode, retry_after: Option<u64>, body: &[u8]) -> Self {
        let mut problem: Self = serde_json::from_slice(body).unwrap_or_default();
        problem.status = status.as_u16();
        problem.retry_after = retry_after;
        if problem.title.is_empty() && problem.detail.is_none() {
            problem.title = match status {
                StatusCode::UNAUTHORIZED => "the API key is missing or unknown".to_owned(),
                StatusCode::NOT_FOUND => "not found".to_owned(),
                other => other.canonical_reason().unwrap_or_default().to_owned(),
            };
        }
        problem
    }

    /// The details, or the title if there are none.
    #[must_use]
    pub fn reason(&self) -> &str {
        match (&self.detail, self.title.is_empty()) {
            (Some(detail), _) => detail,
            (None, false) => &self.title,
            (None, true) => "the server gave no reason",
        }
    }
}

impl fmt::Display for ApiProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}", self.reason(), self.status)?;
        if !self.code.is_empty() {
            write!(f, " {}", self.code)?;
        }
        f.write_str(")")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_document_is_read_with_all_its_members() {
        let body = br#"{"title":"Invalid order","detail":"Two parts are wrong","code":"validation_failed","trace_id":"7f",
            "errors":[{"pointer":"/text","code":"empty","detail":"a text is needed"},{"line":7,"code":"bad_mailbox"}]}"#;
        let problem = ApiProblem::read(StatusCode::UNPROCESSABLE_ENTITY, Some(3), body);
        assert_eq!(problem.to_string(), "Two parts are wrong (422 validation_failed)");
        assert_eq!((problem.retry_after, problem.trace_id.as_deref()), (Some(3), Some("7f")));
        let parts: Vec<_> =
            problem.errors.iter().map(|part| (part.line, part.pointer.as_deref(), part.reason())).collect();
        assert_eq!(parts, [(None, Some("/text"), "a text is needed"), (Some(7), None, "bad_mailbox")]);
    }

    #[test]
    fn of_anything_else_the_status_is_reported() {
        let reported = |status| ApiProblem::read(status, None, b"<html>").to_string();
        assert_eq!(reported(StatusCode::UNAUTHORIZED), "the API key is missing or unknown (401)");
        assert_eq!(reported(StatusCode::BAD_GATEWAY), "Bad Gateway (502)");
        let unnamed = StatusCode::from_u16(599).expect("a status");
        assert_eq!(reported(unnamed), "the server gave no reason (599)");
    }
}
