//! `posthaste sandbox`: the fake providers as a process.

use std::path::PathBuf;

use posthaste_ops::exit::{Exit, ExitFailure};
use posthaste_sandbox::Args;

use crate::command::config::Row;

/// The sandbox's exit code for invalid settings.
const SETTINGS: u8 = Exit::Usage.code();

/// Runs the sandbox until it is stopped.
///
/// # Errors
/// It cannot start. The sandbox does not know the exit codes of the other processes, so they are translated here.
pub(crate) async fn run(args: Args) -> Result<(), ExitFailure> {
    posthaste_sandbox::run(args).await.map_err(|error| match error.exit_code() {
        SETTINGS => ExitFailure::usage(error),
        _ => ExitFailure::unavailable(error),
    })
}

/// The settings the sandbox would start with.
///
/// # Errors
/// The first invalid setting.
pub(crate) fn settings(config: Option<PathBuf>) -> crate::failure::Result<Vec<Row>> {
    let args = Args { config, ..Args::default() };
    let settings = args.settings(std::env::vars_os());
    let settings = settings.map_err(|error| {
        crate::failure::Failure::usage("the sandbox cannot use its settings").because(error)
    })?;
    let row = |setting: posthaste_sandbox::Setting| Row {
        key: setting.key,
        value: setting.value,
        origin: setting.origin,
    };
    Ok(settings.into_iter().map(row).collect())
}
