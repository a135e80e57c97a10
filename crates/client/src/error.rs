//! Why a request has no result, named by what the caller does next.

use std::error::Error;

use url::Url;

use crate::problem::ApiProblem;

/// Why a request has no result. No text of it contains a token, a query or a part of a response; the text of a problem
/// is the server's own, which repeats nothing of the request.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// Correct what the client was given; nothing was sent.
    #[error("{0}")]
    Invalid(&'static str),
    /// Correct the API key; nothing was sent.
    #[error("the API key contains invalid characters")]
    InvalidToken,
    /// No HTTP client can be made on this computer.
    #[error("cannot create an HTTP client")]
    Setup(#[source] Box<dyn Error + Send + Sync>),
    /// Check that the server runs, then try again. A request that stores something may have been carried out: repeat it
    /// with the same idempotency key.
    #[error("no response from {server}")]
    CannotReach {
        /// The server's address.
        server: Url,
        /// What happened.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// A stream ended before it was complete, because the server stopped sending data. Ask again.
    #[error("the server stopped sending data")]
    Silent,
    /// Try again later, at the earliest after [`ApiProblem::retry_after`]: 429, 502, 503, 504.
    #[error("{0}")]
    RetryLater(Box<ApiProblem>),
    /// Use another API key: 401, 403.
    #[error("{0}")]
    NotAuthorised(Box<ApiProblem>),
    /// Find the right name: 404, 410.
    #[error("{0}")]
    NotFound(Box<ApiProblem>),
    /// Correct the request: the other statuses from 400 to 499.
    #[error("{0}")]
    FixRequest(Box<ApiProblem>),
    /// Look into the server's log, where the error has the id [`ApiProblem::trace_id`]: all other statuses.
    #[error("{0}")]
    ServerFailed(Box<ApiProblem>),
    /// Check that this is the address of a Posthaste queue of the same version.
    #[error("unexpected response from {server}: {what}")]
    NotUnderstood {
        /// The server's address.
        server: Url,
        /// What is wrong with the response, without a part of it.
        what: String,
    },
}

impl ApiError {
    /// The error response, if the server sent one.
    #[must_use]
    pub fn problem(&self) -> Option<&ApiProblem> {
        match self {
            Self::RetryLater(problem)
            | Self::NotAuthorised(problem)
            | Self::NotFound(problem)
            | Self::FixRequest(problem)
            | Self::ServerFailed(problem) => Some(problem),
            Self::Invalid(_)
            | Self::InvalidToken
            | Self::Setup(_)
            | Self::CannotReach { .. }
            | Self::Silent
            | Self::NotUnderstood { .. } => None,
        }
    }

    /// The text with its causes, each once: `no response from http://127.0.0.1:8080/: …: connection refused`.
    #[must_use]
    pub fn with_causes(&self) -> String {
        let mut text = self.to_string();
        let mut cause = self.source();
        while let Some(error) = cause {
            let more = error.to_string();
            if !text.ends_with(&more) {
                text = format!("{text}: {more}");
            }
            cause = error.source();
        }
        text
    }
}

impl From<ApiProblem> for ApiError {
    fn from(problem: ApiProblem) -> Self {
        let problem = Box::new(problem);
        match problem.status {
            401 | 403 => Self::NotAuthorised(problem),
            404 | 410 => Self::NotFound(problem),
            429 | 502..=504 => Self::RetryLater(problem),
            400..=499 => Self::FixRequest(problem),
            _ => Self::ServerFailed(problem),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variant(status: u16) -> &'static str {
        match ApiError::from(ApiProblem { status, ..ApiProblem::default() }) {
            ApiError::RetryLater(_) => "retry later",
            ApiError::NotAuthorised(_) => "not authorised",
            ApiError::NotFound(_) => "not found",
            ApiError::FixRequest(_) => "fix the request",
            ApiError::ServerFailed(_) => "server failed",
            _ => "no problem",
        }
    }

    #[test]
    fn the_status_decides_what_to_do_next() {
        for (status, next) in [
            (400, "fix the request"),
            (401, "not authorised"),
            (403, "not authorised"),
            (404, "not found"),
            (409, "fix the request"),
            (410, "not found"),
            (422, "fix the request"),
            (429, "retry later"),
            (500, "server failed"),
            (502, "retry later"),
            (503, "retry later"),
            (504, "retry later"),
            (302, "server failed"),
        ] {
            assert_eq!(variant(status), next, "{status}");
        }
    }

    #[test]
    fn each_cause_is_reported_once() {
        let server: Url = "http://127.0.0.1:1".parse().expect("an address");
        let error = ApiError::CannotReach { server, source: std::io::Error::other("refused").into() };
        assert_eq!(error.with_causes(), "no response from http://127.0.0.1:1/: refused");
        assert_eq!(ApiError::Silent.with_causes(), "the server stopped sending data");
    }
}
