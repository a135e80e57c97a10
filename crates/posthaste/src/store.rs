//! Access to the store for the few commands that bypass the queue. They use the queue's own settings.

use std::path::PathBuf;

use posthaste_store::preflight::PreflightReport;
use posthaste_store::{ConnectError, Role, Settings, Store, TypedUrlError};

use crate::failure::{Failure, Kind, Result};

/// Connects.
///
/// # Errors
/// The settings are invalid, Redis does not respond, or it is configured so that it would lose messages.
pub(crate) async fn connect(settings: Settings) -> Result<(Store, PreflightReport)> {
    join(settings, Role::Tool).await
}

/// Connects for reading only: nothing is written, an empty database stays empty, and a halted one can be inspected too.
///
/// # Errors
/// As [`connect`].
pub(crate) async fn inspect(settings: Settings) -> Result<(Store, PreflightReport)> {
    join(settings, Role::Inspector).await
}

async fn join(settings: Settings, role: Role) -> Result<(Store, PreflightReport)> {
    let place = settings.clone();
    Store::connect(settings, role).await.map_err(|error| failure(&place, error))
}

/// The failure for a store that can't be used; it names the server and says what to do.
pub(crate) fn failure(settings: &Settings, error: ConnectError) -> Failure {
    let kind = match error {
        ConnectError::Settings { .. } => Kind::Usage,
        ConnectError::Refused(_) | ConnectError::Stop(_) => Kind::Refused,
        ConnectError::Unreachable(_) | ConnectError::FirstPartition { .. } | ConnectError::Call(_) => {
            Kind::Unreachable
        }
    };
    let remedy = error.remedy();
    let text = match settings.address() {
        Some(address) => format!("Redis at {address} cannot be used"),
        None => "the Redis settings cannot be used".to_owned(),
    };
    let failure = Failure::new(kind, text).because(error);
    match remedy {
        Some(remedy) => failure.remedy(remedy),
        None => failure,
    }
}

/// The section `redis` of the queue's settings, with its environment variables; `--redis` takes precedence.
///
/// # Errors
/// Usage: the settings are invalid, or a password was given on the command line.
pub(crate) fn settings(config: Option<PathBuf>, url: Option<&str>) -> Result<Settings> {
    let args = posthaste_queue::Args { config, ..posthaste_queue::Args::default() };
    let mut settings = args.load(std::env::vars_os())?.settings.redis;
    if let Some(url) = url {
        settings.url = checked(url)?.into();
    }
    Ok(settings)
}

/// Checks an address of a store given on the command line.
///
/// # Errors
/// Usage: it is not an address, or it contains a password.
pub(crate) fn checked(url: &str) -> Result<String> {
    posthaste_store::check_typed_url(url).map_err(|why| {
        Failure::usage("--redis is invalid").because(why).remedy(match why {
            TypedUrlError::NoAddress(_) => "Example: --redis redis://127.0.0.1:6379",
            TypedUrlError::Password => {
                "Put the password in a file, and set POSTHASTE_REDIS__PASSWORD_FILE to its path."
            }
        })
    })?;
    Ok(url.to_owned())
}
