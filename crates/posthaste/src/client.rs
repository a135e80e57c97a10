//! The client of the queue: made from the settings, its errors as failures of commands.

use posthaste_client::{ApiError, ApiProblem, Client, ClientOptions, InvalidPart};
use secrecy::SecretString;

use crate::failure::{Failure, Kind, Result};
use crate::settings;
use crate::terminal::plain;

/// A client from the settings.
///
/// # Errors
/// Usage: the address or the key is invalid.
pub(crate) fn new(settings: &settings::Client) -> Result<Client> {
    let token = settings.token().map(SecretString::from);
    Ok(Client::new(ClientOptions { server: settings.server()?, token, timeout: settings.timeout.get() })?)
}

/// The explanation of an invalid part for a terminal.
pub(crate) fn words(part: &InvalidPart) -> String {
    plain(part.reason())
}

/// The failure for an error, with the caller's own lines for the invalid parts of the request.
pub(crate) fn failure_with(error: ApiError, lines: Vec<String>) -> Failure {
    let kind = kind(&error);
    match error.problem() {
        Some(problem) => of_problem(kind, problem, lines),
        None => without_problem(kind, error),
    }
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        let place = |part: &InvalidPart| match (part.line, &part.pointer) {
            (Some(line), Some(pointer)) => format!("line {line} {}: {}", plain(pointer), words(part)),
            (Some(line), None) => format!("line {line}: {}", words(part)),
            (None, Some(pointer)) => format!("{}: {}", plain(pointer), words(part)),
            (None, None) => words(part),
        };
        let parts = error.problem().map(|problem| problem.errors.iter().map(place).collect());
        failure_with(error, parts.unwrap_or_default())
    }
}

fn kind(error: &ApiError) -> Kind {
    match error {
        ApiError::Invalid(_) | ApiError::InvalidToken => Kind::Usage,
        // Only the caller can slow down; everything else that passes is trouble of the server.
        ApiError::RetryLater(problem) if problem.status == 429 => Kind::Refused,
        ApiError::CannotReach { .. } | ApiError::Silent | ApiError::RetryLater(_) => Kind::Unreachable,
        ApiError::NotAuthorised(_) => Kind::NotAllowed,
        ApiError::NotFound(_) => Kind::NotFound,
        ApiError::FixRequest(_) => Kind::Refused,
        ApiError::Setup(_) | ApiError::ServerFailed(_) | ApiError::NotUnderstood { .. } => Kind::Error,
    }
}

fn of_problem(kind: Kind, problem: &ApiProblem, mut lines: Vec<String>) -> Failure {
    let failure = Failure::new(kind, plain(&problem.to_string()));
    lines.extend(problem.retry_after.map(|seconds| format!("Try again in {seconds} s.")));
    lines.extend(match kind {
        Kind::NotAllowed if problem.status == 401 => Some(
            "Set an API key: --token-file FILE, POSTHASTE_CLIENT__TOKEN_FILE, or token_file in client.toml."
                .to_owned(),
        ),
        Kind::Error | Kind::Unreachable => {
            problem.trace_id.as_ref().map(|id| format!("Trace id in the server's log: {}", plain(id)))
        }
        _ => None,
    });
    if lines.is_empty() { failure } else { failure.remedy(lines.join("\n")) }
}

fn without_problem(kind: Kind, error: ApiError) -> Failure {
    let failure = Failure::new(kind, error.to_string());
    match error {
        ApiError::InvalidToken => failure.remedy("Check that --token-file names the right file."),
        ApiError::CannotReach { source, .. } => failure.because(source).remedy(
            "Check that it is running. To start everything on this computer, run `posthaste dev`; to use another server, \
             add --server URL.",
        ),
        ApiError::Setup(source) => failure.because(source),
        ApiError::NotUnderstood { .. } => {
            failure.remedy("Check that this is the address of a Posthaste queue of the same version.")
        }
        _ => failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_response_names_every_part() {
        let body = r#"{"title":"Invalid order","detail":"Two parts are wrong","code":"validation_failed",
            "errors":[{"pointer":"/text","code":"empty","detail":"a text is needed"},{"line":7,"code":"bad_mailbox"}]}"#;
        let problem: ApiProblem = serde_json::from_str(body).expect("a problem");
        let problem = ApiProblem { status: 422, retry_after: Some(3), ..problem };
        let failure = Failure::from(ApiError::from(problem));
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
            let problem = ApiProblem { status, ..ApiProblem::default() };
            assert_eq!(Failure::from(ApiError::from(problem)).kind(), kind, "{status}");
        }
    }
}
