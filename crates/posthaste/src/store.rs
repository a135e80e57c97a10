//! Where the store is, for the few commands that go to it without the queue: as the queue's own settings say.

use std::path::PathBuf;

use posthaste_store::preflight::Report;
use posthaste_store::{ConnectError, Role, Settings, Store, TypedUrlError};

use crate::failure::{Failure, Kind, Result};

/// Connects.
///
/// # Errors
/// The settings cannot be used, nobody answers, or the store would lose messages.
pub(crate) async fn connect(settings: Settings) -> Result<(Store, Report)> {
    join(settings, Role::Tool).await
}

/// Connects to look only: nothing is written, an empty database stays empty, and one that is halted is met as well.
///
/// # Errors
/// As [`connect`].
pub(crate) async fn inspect(settings: Settings) -> Result<(Store, Report)> {
    join(settings, Role::Inspector).await
}

async fn join(settings: Settings, role: Role) -> Result<(Store, Report)> {
    let place = settings.clone();
    Store::connect(settings, role).await.map_err(|error| failure(&place, error))
}

/// What keeps a store from being used, as a failure that names the server and says what to do.
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
        None => "the settings of Redis cannot be used".to_owned(),
    };
    let failure = Failure::new(kind, text).because(error);
    match remedy {
        Some(remedy) => failure.mend(remedy),
        None => failure,
    }
}

/// The section `redis` of the queue's settings, with its environment, and `--redis` above it.
///
/// # Errors
/// Usage: the settings cannot be used, or a password was typed.
pub(crate) fn settings(config: Option<PathBuf>, url: Option<&str>) -> Result<Settings> {
    let args = posthaste_queue::Args { config, ..posthaste_queue::Args::default() };
    let mut settings = args.load(std::env::vars_os())?.settings.redis;
    if let Some(url) = url {
        settings.url = checked(url)?.into();
    }
    Ok(settings)
}

/// An address of a store without a password in it.
///
/// # Errors
/// Usage: it is none, or it holds one.
pub(crate) fn checked(url: &str) -> Result<String> {
    posthaste_store::check_typed_url(url).map_err(|why| {
        Failure::usage("--redis can't be used").because(why).mend(match why {
            TypedUrlError::NoAddress(_) => "Write it as --redis redis://127.0.0.1:6379",
            TypedUrlError::Password => {
                "Write it into a file, and name that file in POSTHASTE_REDIS__PASSWORD_FILE."
            }
        })
    })?;
    Ok(url.to_owned())
}
