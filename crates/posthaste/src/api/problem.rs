//! Error responses of the queue (RFC 9457), and the kind of failure they are for the user.

use serde::Deserialize;

use crate::failure::{Failure, Kind};
use crate::terminal::plain;

/// An error response. It never repeats what was sent.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Problem {
    /// A short title.
    pub(crate) title: String,
    /// The HTTP status.
    pub(crate) status: u16,
    /// The details.
    pub(crate) detail: Option<String>,
    /// The stable word for programs.
    pub(crate) code: String,
    /// The faults, one per part of the request.
    pub(crate) errors: Vec<Fault>,
    /// The id under which the server's log has this error.
    pub(crate) trace_id: Option<String>,
}

/// One invalid part of a request.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Fault {
    /// Its line in an upload, from 1.
    pub(crate) line: Option<u64>,
    /// Its place as a JSON pointer.
    pub(crate) pointer: Option<String>,
    /// The stable word.
    pub(crate) code: String,
    /// The explanation.
    pub(crate) detail: Option<String>,
}

impl Fault {
    /// The explanation, or the code if there is none.
    pub(crate) fn words(&self) -> String {
        plain(self.detail.as_deref().unwrap_or(&self.code))
    }
}

impl Problem {
    /// Reads the body of an error response. If it is not a problem document, only the status is known.
    pub(crate) fn read(status: u16, body: &[u8]) -> Self {
        let mut problem: Self = serde_json::from_slice(body).unwrap_or_default();
        problem.status = status;
        problem
    }

    /// What kind of failure it is.
    pub(crate) fn kind(&self) -> Kind {
        match self.status {
            401 | 403 => Kind::NotAllowed,
            404 | 410 => Kind::NotFound,
            502..=504 => Kind::Unreachable,
            400..=499 => Kind::Refused,
            _ => Kind::Error,
        }
    }

    /// The failure, with one line per fault; `retry_after` is the wait in seconds that the server requested.
    pub(crate) fn into_failure(self, retry_after: Option<u64>) -> Failure {
        let lines: Vec<String> = self
            .errors
            .iter()
            .map(|fault| match (fault.line, &fault.pointer) {
                (Some(line), Some(pointer)) => format!("line {line} {}: {}", plain(pointer), fault.words()),
                (Some(line), None) => format!("line {line}: {}", fault.words()),
                (None, Some(pointer)) => format!("{}: {}", plain(pointer), fault.words()),
                (None, None) => fault.words(),
            })
            .collect();
        self.into_failure_with(lines, retry_after)
    }

    /// Like [`Problem::into_failure`], with the caller's own lines for the faults.
    pub(crate) fn into_failure_with(self, mut lines: Vec<String>, retry_after: Option<u64>) -> Failure {
        let text = match (&self.detail, self.title.is_empty()) {
            (Some(detail), _) => plain(detail),
            (None, false) => plain(&self.title),
            (None, true) => "the server gave no reason".to_owned(),
        };
        let code = if self.code.is_empty() { String::new() } else { format!(" {}", plain(&self.code)) };
        let failure = Failure::new(self.kind(), format!("{text} ({}{code})", self.status));
        lines.extend(retry_after.map(|seconds| format!("Try again in {seconds} s.")));
        lines.extend(match self.kind() {
            Kind::NotAllowed if self.status == 401 => Some(
                "Set an API key: --token-file FILE, POSTHASTE_CLIENT__TOKEN_FILE, or token_file in client.toml."
                    .to_owned(),
            ),
            Kind::Error | Kind::Unreachable => {
                self.trace_id.as_ref().map(|id| format!("Trace id in the server's log: {}", plain(id)))
            }
            _ => None,
        });
        if lines.is_empty() { failure } else { failure.remedy(lines.join("\n")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_response_names_every_part() {
        let body = br#"{"title":"Invalid order","detail":"Two parts are wrong","code":"validation_failed",
            "errors":[{"pointer":"/text","code":"empty","detail":"a text is needed"},{"line":7,"code":"bad_mailbox"}]}"#;
        let failure = Problem::read(422, body).into_failure(Some(3));
        assert_eq!(failure.kind(), Kind::Refused);
        assert_eq!(
            failure.lines(),
            [
                "Two parts are wrong (422 validation_failed)",
                "  /text: a text is needed",
                "  line 7: bad_mailbox",
                "  Try again in 3 s."
            ]
        );
    }

    #[test]
    fn the_status_decides_the_exit_code() {
        for (status, kind) in [
            (401, Kind::NotAllowed),
            (403, Kind::NotAllowed),
            (404, Kind::NotFound),
            (409, Kind::Refused),
            (429, Kind::Refused),
            (500, Kind::Error),
            (503, Kind::Unreachable),
        ] {
            assert_eq!(Problem::read(status, b"<html>").kind(), kind, "{status}");
        }
    }
}
